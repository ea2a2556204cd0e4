package tally_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"truceline/consensus/tally"
)

// Any records in any order: no panic; two instances, and one that is written and read at any place, hold the same bytes
// and derive the same; what is not taken changes nothing; all that is derived can be read.
func FuzzApply(f *testing.F) {
	for i := range 8 {
		rng := rand.NewChaCha8([32]byte{byte(i)})
		data := make([]byte, 4_000)
		rng.Read(data)
		f.Add(byte(i), data)
	}
	f.Fuzz(func(t *testing.T, kind byte, data []byte) {
		if len(data) > 20_000 {
			return
		}
		net := nets[int(kind)%len(nets)]
		g, a, b, c := newGenerator(net, data), tally.New(net), tally.New(net), tally.New(net)
		for i := 0; !g.done(); i++ {
			r := g.next()
			var before []byte
			if i%7 == 0 {
				before = a.Encode()
			}
			ra, rb, rc := a.Apply(r), b.Apply(r), c.Apply(r)
			if fmt.Sprint(ra) != fmt.Sprint(rb) || fmt.Sprint(ra) != fmt.Sprint(rc) {
				t.Fatalf("three instances differ:\n%+v\n%+v\n%+v", ra, rb, rc)
			}
			if ra.Taken {
				g.taken(r, ra.Rejected)
				if again := a.Apply(r); !again.Duplicate || again.Taken {
					t.Fatalf("applied twice: %+v", again)
				}
			} else if before != nil && !bytes.Equal(before, a.Encode()) {
				t.Fatal("a record that is not taken changed the state")
			}
			for _, e := range ra.Derived {
				if v, err := net.ParseVerdict(e); err != nil || len(v.Attesters)+len(v.Dissents)+len(v.Missing) != net.N {
					t.Fatalf("verdict %+v: %v", v, err)
				}
			}
			if r.Seq%5 == 0 {
				var err error
				if b, err = tally.Decode(net, b.Encode()); err != nil {
					t.Fatal(err)
				}
			}
			if r.Seq%3 == 0 {
				c = c.Clone()
			}
		}
		if !a.Equal(b) || !a.Equal(c) || a.Describe(nil) != b.Describe(nil) || a.Describe(nil) != c.Describe(nil) {
			t.Fatalf("states differ:\n%s\n%s\n%s", a.Describe(nil), b.Describe(nil), c.Describe(nil))
		}
	})
}

// Bytes that are no state are refused; bytes that are accepted are their own encoding and make a state that works.
func FuzzDecode(f *testing.F) {
	net := nets[0]
	for i := range 4 {
		rng := rand.NewChaCha8([32]byte{byte(i)})
		data := make([]byte, 2_000*i)
		rng.Read(data)
		g, s := newGenerator(net, data), tally.New(net)
		for !g.done() {
			r := g.next()
			if res := s.Apply(r); res.Taken {
				g.taken(r, res.Rejected)
			}
		}
		f.Add(s.Encode(), data)
	}
	f.Fuzz(func(t *testing.T, b, data []byte) {
		s, err := tally.Decode(net, b)
		if err != nil {
			return
		}
		if !bytes.Equal(s.Encode(), b) {
			t.Fatal("accepted bytes are not their own encoding")
		}
		s.Incidents()
		for g := newGenerator(net, data[:min(len(data), 4_000)]); !g.done(); {
			r := g.next()
			r.Seq = s.LastSeq(r.Nation) + 1
			if res := s.Apply(r); res.Taken {
				g.taken(r, res.Rejected)
			}
		}
		s.Clone().Describe(nil)
	})
}
