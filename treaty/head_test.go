package treaty_test

import (
	"bytes"
	"errors"
	"testing"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// Would catch a leader convicted by anything but two of its own heads that no honest leader signs, and one that goes
// free though it signed them.
func TestCheckHeads(t *testing.T) {
	f, other := treatytest.New(4), treatytest.New(5)
	sign := func(n treaty.Nation, change func(*treaty.Head)) []byte {
		x := treaty.Head{Term: 7, Start: h("start"), Index: 18, Chain: h("chain")}
		change(&x)
		return must(f.Signers[n].SignHead(x))
	}
	good := sign("BEL", func(*treaty.Head) {})
	liar := sign("BEL", func(x *treaty.Head) { x.Chain = h("another chain") })
	if who, err := f.Net.CheckHeads(good, liar); err != nil || who != "BEL" {
		t.Fatalf("two orders at one index convict %q: %v", who, err)
	}
	forged := bytes.Clone(liar)
	forged[len(forged)-1] ^= 1
	abroad := must(other.Signers["BEL"].SignHead(treaty.Head{Term: 7, Start: h("start"), Index: 18, Chain: h("x")}))
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"the same head":            {good, treaty.ErrNoConflict},
		"a later head":             {sign("BEL", func(x *treaty.Head) { x.Index, x.Chain = 19, h("next") }), treaty.ErrNoConflict},
		"a later term":             {sign("BEL", func(x *treaty.Head) { x.Term, x.Chain = 8, h("x") }), treaty.ErrNoConflict},
		"a restored disk":          {sign("BEL", func(x *treaty.Head) { x.Start, x.Chain = h("again"), h("x") }), treaty.ErrNoConflict},
		"another nation's head":    {sign("CZE", func(x *treaty.Head) { x.Chain = h("x") }), treaty.ErrNoConflict},
		"a forged signature":       {forged, treaty.ErrBadSignature},
		"another accord":           {abroad, treaty.ErrWrongAccord},
		"no chain":                 {sign("BEL", func(x *treaty.Head) { x.Chain = treaty.Hash{} }), treaty.ErrMalformed},
		"no run":                   {sign("BEL", func(x *treaty.Head) { x.Start = treaty.Hash{} }), treaty.ErrMalformed},
		"a term beyond the bounds": {sign("BEL", func(x *treaty.Head) { x.Term = 1<<40 + 1 }), treaty.ErrMalformed},
		"a vote of the same bytes": {must(f.Signers["BEL"].Sign(treaty.TypeVote, must(treaty.ParseSigned(liar, 512)).Payload)), treaty.ErrMalformed},
		"too much":                 {make([]byte, treaty.MaxHead+1), treaty.ErrTooLarge},
	} {
		for _, pair := range [][2][]byte{{good, c.b}, {c.b, good}} {
			if who, err := f.Net.CheckHeads(pair[0], pair[1]); !errors.Is(err, c.want) || who != "" {
				t.Errorf("%s: convicts %q: %v, want %v", name, who, err, c.want)
			}
		}
	}
}

// Would catch a leader elected by fewer than q, by votes for something else, or by the same nation twice. n = 5 and 6 are
// where Raft's own majority is smaller than q.
func TestVerifyElection(t *testing.T) {
	for n := 4; n <= 7; n++ {
		f := treatytest.New(n)
		if err := f.Net.VerifyElection(election(f, f.Net.Q)); err != nil {
			t.Errorf("n=%d: q votes: %v", n, err)
		}
		if err := f.Net.VerifyElection(election(f, f.Net.Q-1)); !errors.Is(err, treaty.ErrNoQuorum) {
			t.Errorf("n=%d: %d votes: %v", n, f.Net.Q-1, err)
		}
	}
	f := treatytest.New(4)
	for name, c := range map[string]struct {
		change func(*treaty.Election)
		want   error
	}{
		"another term":         {func(e *treaty.Election) { e.Term++ }, treaty.ErrBadSignature},
		"another candidate":    {func(e *treaty.Election) { e.Candidate = "AUT" }, treaty.ErrBadSignature},
		"another run":          {func(e *treaty.Election) { e.Start = h("again") }, treaty.ErrBadSignature},
		"a stranger leads":     {func(e *treaty.Election) { e.Candidate = "ZMB" }, treaty.ErrUnknownNation},
		"a stranger votes":     {func(e *treaty.Election) { e.Sigs[2].Nation = "ZMB" }, treaty.ErrUnknownNation},
		"one nation twice":     {func(e *treaty.Election) { e.Sigs[2] = e.Sigs[1] }, treaty.ErrMalformed},
		"not in rising order":  {func(e *treaty.Election) { e.Sigs[0], e.Sigs[1] = e.Sigs[1], e.Sigs[0] }, treaty.ErrMalformed},
		"signatures exchanged": {func(e *treaty.Election) { e.Sigs[0].Sig, e.Sigs[1].Sig = e.Sigs[1].Sig, e.Sigs[0].Sig }, treaty.ErrBadSignature},
		"a short signature":    {func(e *treaty.Election) { e.Sigs[0].Sig = e.Sigs[0].Sig[:63] }, treaty.ErrMalformed},
		"term zero":            {func(e *treaty.Election) { e.Term = 0 }, treaty.ErrMalformed},
		"no run":               {func(e *treaty.Election) { e.Start = treaty.Hash{} }, treaty.ErrMalformed},
	} {
		e := election(f, 3)
		c.change(e)
		if err := f.Net.VerifyElection(e); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if err := f.Net.VerifyElection(nil); !errors.Is(err, treaty.ErrNoQuorum) {
		t.Errorf("nil: %v", err)
	}
	v := election(f, 3).Vote()
	sig := must(f.Signers["AUT"].SignElection(v))
	if err := f.Net.VerifyElectionSig(v, sig); err != nil {
		t.Error(err)
	}
	for _, s := range []treaty.ElectionSig{{Nation: "BEL", Sig: sig.Sig}, {Nation: "ZMB", Sig: sig.Sig}, {Nation: "AUT", Sig: nil}} {
		if f.Net.VerifyElectionSig(v, s) == nil {
			t.Errorf("a signature of AUT was taken for %s's with %d bytes", s.Nation, len(s.Sig))
		}
	}
	if n := treaty.MaxNations; len(treaty.Encode(election(treatytest.New(n), n))) > treaty.MaxElection {
		t.Errorf("the certificate of %d nations has more than %d bytes", n, treaty.MaxElection)
	}
}
