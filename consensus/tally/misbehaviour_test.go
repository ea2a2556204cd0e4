package tally_test

import (
	"bytes"
	"strings"
	"testing"

	"truceline/consensus/tally"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// court is a tally that records are brought to, each nation's under its own numbers.
type court struct {
	t   *testing.T
	f   *treatytest.Fixture
	s   *tally.State
	seq map[treaty.Nation]uint64
}

func newCourt(t *testing.T) *court {
	f := treatytest.New(4)
	return &court{t, f, tally.New(f.Net), map[treaty.Nation]uint64{}}
}

// report lets a nation bring two heads of the accused, of one term, that part at index.
func (c *court) report(by, accused, signer treaty.Nation, term uint64, index uint64, other string) (treaty.Hash, tally.Result) {
	c.t.Helper()
	head := func(chain string) []byte {
		raw, err := c.f.Signers[signer].SignHead(treaty.Head{
			Term: term, Start: treaty.HashOf([]byte("run")), Index: index, Chain: treaty.HashOf([]byte(chain)),
		})
		if err != nil {
			c.t.Fatal(err)
		}
		return raw
	}
	m, err := treaty.NewMisbehaviour(accused, treaty.TwoHeads, head("one"), head(other))
	if err != nil {
		c.t.Fatal(err)
	}
	c.seq[by]++
	r, err := c.f.Signers[by].SignRecord(c.seq[by], treatytest.Founded.Add(1), m)
	if err != nil {
		c.t.Fatal(err)
	}
	return r.ID, c.s.Apply(r)
}

// Would catch a misbehaviour counted twice, one recorded without proof, a list without end, and a state that forgets
// what is proven when it is stored or copied.
func TestMisbehaviourKept(t *testing.T) {
	c := newCourt(t)
	first, res := c.report("AUT", "BEL", "BEL", 7, 18, "two")
	if !res.Taken || res.Rejected != "" {
		t.Fatalf("the first: %+v", res)
	}
	for name, again := range map[string]func() (treaty.Hash, tally.Result){
		"another reporter": func() (treaty.Hash, tally.Result) { return c.report("CZE", "BEL", "BEL", 7, 18, "two") },
		"another pair":     func() (treaty.Hash, tally.Result) { return c.report("CZE", "BEL", "BEL", 7, 19, "three") },
		"the accused":      func() (treaty.Hash, tally.Result) { return c.report("BEL", "BEL", "BEL", 7, 18, "two") },
	} {
		if _, res := again(); !res.Taken || res.Rejected != tally.RejectedRepeated || res.About != first {
			t.Errorf("%s: %+v", name, res)
		}
	}
	if _, res := c.report("AUT", "DNK", "BEL", 8, 18, "two"); !res.Taken || res.Rejected != tally.RejectedUnproven {
		t.Errorf("signed by another: %+v", res)
	}
	if _, res := c.report("AUT", "ZZZ", "BEL", 8, 18, "two"); !res.Taken || res.Rejected != tally.RejectedUnproven {
		t.Errorf("a stranger: %+v", res)
	}
	for i := range tally.MaxMisbehaviour + 3 {
		want := ""
		if i >= tally.MaxMisbehaviour-1 {
			want = tally.RejectedQuota
		}
		if _, res := c.report("AUT", "BEL", "BEL", uint64(100+i), 18, "two"); res.Rejected != want {
			t.Errorf("number %d: %+v", i, res)
		}
	}
	kept := c.s.Misbehaviour("BEL")
	if len(kept) != tally.MaxMisbehaviour || kept[0].Record != first || kept[0].By != "AUT" || kept[0].Kind != treaty.TwoHeads {
		t.Errorf("kept %+v", kept)
	}
	if len(c.s.Misbehaviour("DNK"))+len(c.s.Misbehaviour("ZZZ")) != 0 {
		t.Error("somebody is recorded without proof")
	}
	copied := c.s.Clone()
	stored, err := tally.Decode(c.f.Net, c.s.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if !copied.Equal(c.s) || !stored.Equal(c.s) || stored.Describe(nil) != c.s.Describe(nil) {
		t.Error("the state does not survive copying or storing")
	}
	// What the copy learns, the original does not: they share nothing that changes.
	was := c.s
	c.s = copied
	c.report("AUT", "CZE", "CZE", 9, 18, "two")
	if len(was.Misbehaviour("CZE")) != 0 || len(copied.Misbehaviour("CZE")) != 1 {
		t.Error("a copy shares its list")
	}
}

// Would catch a stored list that no tally could have written.
func TestMisbehaviourDecode(t *testing.T) {
	c := newCourt(t)
	c.report("AUT", "BEL", "BEL", 7, 18, "two")
	good := c.s.Encode()
	refused := false
	for i := range good {
		for _, bit := range []byte{1, 4, 0x80} {
			bad := append([]byte{}, good...)
			bad[i] ^= bit
			s, err := tally.Decode(c.f.Net, bad)
			if err != nil {
				refused = refused || strings.Contains(err.Error(), "a misbehaviour")
				continue
			}
			if !bytes.Equal(s.Encode(), bad) {
				t.Fatalf("byte %d: a second encoding is accepted", i)
			}
			for _, k := range c.f.Net.Nations() {
				for _, m := range s.Misbehaviour(k) {
					if !m.Kind.Valid() || c.f.Net.Index(m.By) < 0 {
						t.Fatalf("byte %d: %+v", i, m)
					}
				}
			}
			s.Clone().Describe(nil)
		}
	}
	if !refused {
		t.Error("no changed misbehaviour is refused")
	}
}
