package treaty_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"truceline/treaty"
	"truceline/treaty/treatytest"

	"golang.org/x/mod/sumdb/tlog"
)

// forest is two ledgers that part after a number of leaves, cosigned by whoever is asked.
type forest struct {
	f      *treatytest.Fixture
	hashes [2][]tlog.Hash
}

func newForest(n, size, part int) *forest {
	x := &forest{f: treatytest.New(n)}
	for side := range x.hashes {
		for i := range size {
			leaf := fmt.Sprint("leaf ", i)
			if i >= part {
				leaf += fmt.Sprint(" of side ", side)
			}
			x.hashes[side] = append(x.hashes[side], must(tlog.StoredHashes(int64(i), []byte(leaf), x.reader(side)))...)
		}
	}
	return x
}

func (x *forest) reader(side int) tlog.HashReader {
	return tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range at {
			out = append(out, x.hashes[side][i])
		}
		return out, nil
	})
}

func (x *forest) note(side, size int, by []treaty.Nation) []byte {
	cp := treaty.Checkpoint{Size: uint64(size), Root: treaty.Hash(must(tlog.TreeHash(int64(size), x.reader(side))))}
	var cs []*treaty.Cosignature
	for _, k := range by {
		cs = append(cs, must(x.f.Net.Cosign(k, x.f.Keys[k].Cosign, cp, 946_771_200)))
	}
	return must(x.f.Net.CheckpointNote(cs))
}

// proof is how the larger tree of a side holds its own smaller one.
func (x *forest) proof(side, small, large int) []byte {
	lines := []tlog.Hash{must(tlog.TreeHash(int64(small), x.reader(side)))}
	lines = append(lines, must(tlog.ProveTree(int64(large), int64(small), x.reader(side)))...)
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(base64.StdEncoding.EncodeToString(l[:]) + "\n")
	}
	return []byte(b.String())
}

// Would catch a fork that names fewer than f+1 signers, names somebody who signed one side only, or is seen where there
// is none; for every n where another quorum rule would fail too.
func TestCheckFork(t *testing.T) {
	for n := 4; n <= 13; n++ {
		x := newForest(n, 9, 5)
		ns, q, f := x.f.Net.Nations(), x.f.Net.Q, x.f.Net.F
		first, last := ns[:q], ns[n-q:] // they share as few as two quorums can
		var both []string
		for _, k := range ns[n-q : q] {
			both = append(both, strings.ToLower(string(k)))
		}
		pol := x.f.Net.Policy()
		for _, c := range []struct {
			name                 string
			a, b, proof          []byte
			conflict, consistent bool
		}{
			{"one size, two roots", x.note(0, 9, first), x.note(1, 9, last), nil, true, false},
			{"one size, one root", x.note(0, 9, first), x.note(0, 9, last), nil, false, true},
			{"the shared part", x.note(0, 5, first), x.note(1, 5, last), nil, false, true},
			{"two sizes, no proof", x.note(0, 7, first), x.note(1, 9, last), nil, false, false},
			{"two sizes of a fork", x.note(0, 7, first), x.note(1, 9, last), x.proof(1, 7, 9), true, false},
			{"the larger first", x.note(1, 9, last), x.note(0, 7, first), x.proof(1, 7, 9), true, false},
			{"a power of two", x.note(0, 8, first), x.note(1, 9, last), x.proof(1, 8, 9), true, false},
			{"one ledger", x.note(0, 7, first), x.note(0, 9, last), x.proof(0, 7, 9), false, true},
			{"one ledger up to there", x.note(0, 4, first), x.note(1, 9, last), x.proof(1, 4, 9), false, true},
		} {
			got, err := treaty.CheckFork(c.a, c.b, pol, c.proof)
			if err != nil {
				t.Errorf("n=%d, %s: %v", n, c.name, err)
				continue
			}
			if got.Conflict != c.conflict || got.Consistent != c.consistent {
				t.Errorf("n=%d, %s: %+v", n, c.name, got)
			}
			if !slices.Equal(got.Both, both) || got.Least != f+1 || len(got.Both) < f+1 {
				t.Errorf("n=%d, %s: %v signed both, want %v, at least %d", n, c.name, got.Both, both, f+1)
			}
		}
		for name, c := range map[string][3][]byte{
			"another side's proof": {x.note(0, 7, first), x.note(1, 9, last), x.proof(0, 7, 9)},
			"a cut proof":          {x.note(0, 7, first), x.note(1, 9, last), x.proof(1, 7, 9)[:45]},
			"an empty proof":       {x.note(0, 7, first), x.note(1, 9, last), {}},
			"another network":      {newForest(n+1, 9, 5).note(0, 9, treatytest.Names[:q+1]), x.note(1, 9, last), nil},
			"one nation fewer":     {x.note(0, 9, first), []byte(withoutLine(x.note(1, 9, last), ns[n-1])), nil},
		} {
			if got, err := treaty.CheckFork(c[0], c[1], pol, c[2]); err == nil {
				t.Errorf("n=%d, %s: %+v", n, name, got)
			}
		}
	}
}

func withoutLine(note []byte, k treaty.Nation) string {
	lines := strings.SplitAfter(string(note), "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "\u2014 "+strings.ToLower(string(k))+".") }), "")
}

// Would catch a panic, or a nation named by a changed file that did not sign both.
func FuzzCheckFork(f *testing.F) {
	x := newForest(4, 9, 5)
	ns, pol := x.f.Net.Nations(), x.f.Net.Policy()
	a, b := x.note(0, 7, ns[:3]), x.note(1, 9, ns[1:])
	f.Add(a, b, x.proof(1, 7, 9))
	f.Add(a, a, []byte(nil))
	f.Fuzz(func(t *testing.T, a, b, proof []byte) {
		got, err := treaty.CheckFork(a, b, pol, proof)
		if err != nil || !got.Conflict {
			return
		}
		if want := []string{"bel", "cze"}; !slices.Equal(got.Both, want) || got.Sizes != [2]uint64{7, 9} {
			t.Fatalf("%+v", got)
		}
	})
}
