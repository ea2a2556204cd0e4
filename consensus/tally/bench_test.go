package tally_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"truceline/consensus/tally"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// bench applies records made by make, round the roster, and prints records a second.
func bench(b *testing.B, n int, make func(k *book, i int, nation treaty.Nation, at treaty.Time) *treaty.Record) {
	net := treatytest.New(n).Net
	s, k := tally.New(net), newBook(net)
	records := []*treaty.Record{}
	for i := range b.N {
		at := start.Add(time.Duration(i/n+1) * 2 * time.Second)
		records = append(records, make(k, i, net.Nations()[i%n], at))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, r := range records {
		if res := s.Apply(r); !res.Taken || res.Rejected != "" {
			b.Fatalf("%+v", res)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// What the ledger carries most of: go test -bench Apply ./consensus/tally
func BenchmarkApply(b *testing.B) {
	text := strings.Repeat("x", 128)
	for _, n := range []int{4, 7, 35} {
		b.Run(fmt.Sprintf("remark/n=%d", n), func(b *testing.B) {
			bench(b, n, func(k *book, _ int, c treaty.Nation, at treaty.Time) *treaty.Record {
				return k.record(c, at, &treaty.Remark{Text: text})
			})
		})
		b.Run(fmt.Sprintf("seal/n=%d", n), func(b *testing.B) {
			prev := map[treaty.Nation]treaty.Hash{}
			bench(b, n, func(k *book, i int, c treaty.Nation, at treaty.Time) *treaty.Record {
				r := k.record(c, at, &treaty.Seal{
					Window: treaty.WindowOf(at, 2*time.Second) - 1, Count: 20, Digest: treaty.HashOf([]byte("x")), Prev: prev[c],
				})
				prev[c] = r.ID
				return r
			})
		})
	}
}

// A whole event: n seals, one incident, q attestations that cite one detection of each seal, one verdict.
func BenchmarkEvent(b *testing.B) {
	for _, n := range []int{4, 7, 35} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			net := treatytest.New(n).Net
			s, k := tally.New(net), newBook(net)
			prev := map[treaty.Nation]treaty.Hash{}
			b.ReportAllocs()
			for i := range b.N {
				at := start.Add(time.Duration(i+1) * 2 * time.Second)
				var refs []treaty.Ref
				for _, c := range net.Nations() {
					r := k.record(c, at, &treaty.Seal{
						Window: treaty.WindowOf(at, 2*time.Second) - 1, Count: 1, Digest: treaty.HashOf([]byte("x")), Prev: prev[c],
					})
					prev[c] = r.ID
					refs = append(refs, treaty.Ref{Seal: r.ID})
					must(b, s, r, "")
				}
				cites := treaty.NewCites(refs)
				in := k.record(net.Nations()[i%n], at, &treaty.Incident{Time: start, Class: treaty.ClassOther, Cites: cites})
				must(b, s, in, "")
				verdicts := 0
				for _, c := range net.Nations() {
					a := k.breach(in.ID, cites)
					a.Assessment.Resilience = uint32(n)
					verdicts += len(must(b, s, k.record(c, at, a), "").Derived)
				}
				if verdicts != 1 {
					b.Fatalf("%d verdicts", verdicts)
				}
			}
		})
	}
}

// What a certificate pays for: the state of a night with an event every 10 seconds, everybody sealing every window.
func BenchmarkState(b *testing.B) {
	for _, n := range []int{7, 35} {
		net := treatytest.New(n).Net
		s, k := tally.New(net), newBook(net)
		prev := map[treaty.Nation]treaty.Hash{}
		for i := range 3_600 {
			at := start.Add(time.Duration(i+1) * 2 * time.Second)
			var refs []treaty.Ref
			for _, c := range net.Nations() {
				r := k.record(c, at, &treaty.Seal{
					Window: treaty.WindowOf(at, 2*time.Second) - 1, Count: 1, Digest: treaty.HashOf([]byte("x")), Prev: prev[c],
				})
				prev[c] = r.ID
				refs = append(refs, treaty.Ref{Seal: r.ID})
				must(b, s, r, "")
			}
			if i%5 != 0 {
				continue
			}
			in := k.record(net.Nations()[i%n], at, &treaty.Incident{Time: start, Class: treaty.ClassOther, Cites: treaty.NewCites(refs)})
			must(b, s, in, "")
			for _, c := range net.Nations() {
				must(b, s, k.record(c, at, k.breach(in.ID, in.Incident.Cites)), "")
			}
		}
		enc := s.Encode()
		b.Run(fmt.Sprintf("encode/n=%d", n), func(b *testing.B) {
			for range b.N {
				s.Encode()
			}
			b.ReportMetric(float64(len(enc)), "bytes")
		})
		b.Run(fmt.Sprintf("decode/n=%d", n), func(b *testing.B) {
			for range b.N {
				if _, err := tally.Decode(net, enc); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("clone/n=%d", n), func(b *testing.B) {
			for range b.N {
				s.Clone()
			}
		})
	}
}
