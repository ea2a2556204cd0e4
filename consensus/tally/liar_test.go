package tally_test

import (
	"fmt"
	"testing"
	"time"

	"truceline/consensus/tally"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// hearing is a tally, the book of its nations and their last seals.
type hearing struct {
	*book
	t    *testing.T
	s    *tally.State
	w    treaty.Window // the first window
	last map[treaty.Nation]treaty.Hash
}

// newHearing opens it with an empty seal of every nation, of the window before the first, and with a policy in which
// two nations with one modality carry a BREACH.
func newHearing(t *testing.T, n int) *hearing {
	net := treatytest.NewWith(n, func(a *treaty.Accord) { a.Policy.OneModalityNations = 2 }).Net
	c := &hearing{
		book: newBook(net), t: t, s: tally.New(net), w: treaty.WindowOf(start, net.Accord.Policy.Window()),
		last: map[treaty.Nation]treaty.Hash{},
	}
	for _, k := range net.Nations() {
		c.seal(k, -1, 0, 0, "")
	}
	return c
}

// seal seals window i after the first with count detections, signed at its end, for the ledger delay later.
func (c *hearing) seal(k treaty.Nation, i int, count uint32, delay time.Duration, rejected string) treaty.Hash {
	c.t.Helper()
	r := c.makeSeal(k, i, count, delay)
	must(c.t, c.s, r, rejected)
	if rejected == "" {
		c.last[k] = r.ID
	}
	return r.ID
}

func (c *hearing) makeSeal(k treaty.Nation, i int, count uint32, delay time.Duration) *treaty.Record {
	b := &treaty.Seal{Window: c.w + treaty.Window(i), Count: count, Prev: c.last[k]}
	if count > 0 {
		b.Digest = digestOf(i)
	}
	return c.record(k, b.Window.End(c.net.Accord.Policy.Window()).Add(delay), b)
}

// tick moves a nation's time to sec seconds after the start.
func (c *hearing) tick(sec int, ks ...treaty.Nation) {
	c.t.Helper()
	for _, k := range ks {
		must(c.t, c.s, c.record(k, start.Add(time.Duration(sec)*time.Second), &treaty.Remark{Text: "tick"}), "")
	}
}

func (c *hearing) incident(k treaty.Nation, cites treaty.Cites, amends treaty.Hash, rejected string) treaty.Hash {
	c.t.Helper()
	r := c.record(k, start, &treaty.Incident{Time: start, Class: treaty.ClassOther, Cites: cites, Amends: amends})
	must(c.t, c.s, r, rejected)
	return r.ID
}

// notConfirmed is what an honest node answers that finds no such event: it cites what the incident cites.
func (c *hearing) notConfirmed(id treaty.Hash, cites treaty.Cites) *treaty.Attestation {
	a := c.breach(id, cites)
	a.Assessment.Finding, a.Assessment.Party, a.Assessment.Clause = treaty.Inconclusive, "", ""
	a.Assessment.Reasons = []treaty.Reason{treaty.ReasonNotConfirmed}
	return a
}

func (c *hearing) noBreach(id treaty.Hash, cites treaty.Cites) *treaty.Attestation {
	a := c.breach(id, cites)
	a.Assessment.Finding, a.Assessment.Party, a.Assessment.Clause = treaty.NoBreach, "", ""
	return a
}

// heard seals window i with two detections for some nations and cites the first of each.
func (c *hearing) heard(i int, ks ...treaty.Nation) (cites treaty.Cites) {
	c.t.Helper()
	var refs []treaty.Ref
	for _, k := range ks {
		refs = append(refs, treaty.Ref{Seal: c.seal(k, i, 2, 0, "")})
	}
	return treaty.NewCites(refs)
}

// judged is a case with a BREACH by all nations but the last, which the last now wants to be rid of.
func judged(t *testing.T, n int) (c *hearing, in treaty.Hash, cites treaty.Cites) {
	c = newHearing(t, n)
	honest := c.net.Nations()[:n-1]
	cites = c.heard(0, honest...)
	in = c.incident(honest[0], cites, treaty.Hash{}, "")
	for _, k := range honest {
		must(t, c.s, c.record(k, start, c.breach(in, cites)), "")
	}
	c.stands(in, treaty.Breach)
	return c, in, cites
}

func (c *hearing) stands(in treaty.Hash, want treaty.Finding) {
	c.t.Helper()
	if v, ok := c.s.Incident(in); !ok || v.CurrentOutcome != want {
		c.t.Errorf("%s stands (known %v), want %s", v.CurrentOutcome, ok, want)
	}
}

// One nation amends a BREACH with the same detections when the others have forgotten the evidence, or with so many
// more that the event cannot be recognised. All that the honest nations can say is that they do not confirm it.
func TestAmendAway(t *testing.T) {
	for n := 4; n <= 7; n++ {
		c, in, cites := judged(t, n)
		honest, liar := c.net.Nations()[:n-1], c.net.Nations()[n-1]
		before, _ := c.s.Incident(in)
		am := c.incident(liar, cites, in, "")
		var derived [][]byte
		for _, k := range honest {
			derived = append(derived, must(t, c.s, c.record(k, start, c.notConfirmed(am, cites)), "").Derived...)
		}
		c.stands(in, treaty.Breach)
		if len(derived) != 1 {
			t.Fatalf("n=%d: %d verdicts, the refusal must be on record", n, len(derived))
		}
		v, err := c.net.ParseVerdict(derived[0])
		if err != nil || v.Outcome != treaty.Inconclusive || !v.Amends.IsZero() {
			t.Errorf("n=%d: %+v, %v: must be INCONCLUSIVE and supersede nothing", n, v, err)
		}
		if after, _ := c.s.Incident(in); after.Current != before.Current || after.First != in {
			t.Errorf("n=%d: another verdict stands", n)
		}
		// The honest nations can still change their minds, by a finding.
		again := c.incident(honest[1], cites, am, "")
		for _, k := range honest {
			must(t, c.s, c.record(k, start, c.noBreach(again, cites)), "")
		}
		c.stands(in, treaty.NoBreach)
	}
}

// One nation amends a BREACH with detections of another, harmless event, about which everybody rightly says NO_BREACH:
// with those alone, with half of the event beside them, and by way of an amendment that is about the event.
func TestAmendWithAnotherEvent(t *testing.T) {
	c, in, cites := judged(t, 7)
	honest, liar := c.net.Nations()[:6], c.net.Nations()[6]
	quarry := c.heard(1, honest...)
	with := func(k int) treaty.Cites {
		var refs []treaty.Ref
		for r := range cites.All() {
			if len(refs) < k {
				refs = append(refs, r)
			}
		}
		for r := range quarry.All() {
			refs = append(refs, r)
		}
		return treaty.NewCites(refs)
	}
	c.incident(liar, quarry, in, tally.RejectedOtherEvent)
	c.incident(liar, with(3), in, tally.RejectedOtherEvent)
	am := c.incident(liar, with(4), in, "")
	for _, k := range honest {
		must(t, c.s, c.record(k, start, c.noBreach(am, quarry)), tally.RejectedOtherEvent)
	}
	c.stands(in, treaty.Breach)
	// The other event is not lost in it: it has an incident of its own.
	own := c.incident(honest[0], quarry, treaty.Hash{}, "")
	for _, k := range honest {
		must(t, c.s, c.record(k, start, c.noBreach(own, quarry)), "")
	}
	c.stands(own, treaty.NoBreach)
	// Nor can two steps lead away: the amendment of an amendment is held against the case's first incident.
	c.tick(130, c.net.Nations()...)
	c.incident(liar, quarry, am, tally.RejectedOtherEvent)
	c.stands(in, treaty.Breach)
}

// Three of seven nations called a BREACH in time; the other four find it with evidence that came late. All seven must be
// able to say so on the amendment, also those that have called it before, and also after another amendment in between.
func TestReopen(t *testing.T) {
	c := newHearing(t, 7)
	ks := c.net.Nations()
	early := c.heard(0, ks[:3]...)
	in := c.incident(ks[0], early, treaty.Hash{}, "")
	for _, k := range ks[:3] {
		must(t, c.s, c.record(k, start, c.breach(in, early)), "")
	}
	for _, k := range ks[3:] {
		must(t, c.s, c.record(k, start, c.notConfirmed(in, early)), "")
	}
	c.stands(in, treaty.Inconclusive)
	all := treaty.NewCites(append(refsOf(early), refsOf(c.heard(1, ks[3:]...))...))
	decoy := c.incident(ks[6], early, in, "")
	must(t, c.s, c.record(ks[0], start, c.breach(decoy, early)), "")
	am := c.incident(ks[3], all, in, "")
	for _, k := range ks[:5] {
		must(t, c.s, c.record(k, start, c.breach(am, all)), "")
	}
	c.stands(in, treaty.Breach)
	// In another case the same detections still carry one BREACH of a nation.
	other := c.incident(ks[0], treaty.NewCites(refsOf(early)[:1]), treaty.Hash{}, "")
	must(t, c.s, c.record(ks[0], start, c.breach(other, early)), tally.RejectedSecondBreach)
}

func refsOf(c treaty.Cites) (refs []treaty.Ref) {
	for r := range c.All() {
		refs = append(refs, r)
	}
	return refs
}

// One nation, whose detection everybody cites, seals the windows of the next hours at once to push that seal out of
// memory: the future is refused, and what may be sealed pushes out nothing within the horizon.
func TestSealFlood(t *testing.T) {
	c := newHearing(t, 4)
	ks := c.net.Nations()
	cites := c.heard(0, ks...)
	in := c.incident(ks[0], cites, treaty.Hash{}, "")
	taken := 0
	for i := 1; i < 8_000; i++ {
		r := c.makeSeal(ks[3], i, 1, 0)
		switch res := c.s.Apply(r); res.Rejected {
		case "":
			taken++
			c.last[ks[3]] = r.ID
		case tally.RejectedSealAhead:
		default:
			t.Fatal(res.Rejected)
		}
	}
	if ahead := c.net.Accord.Policy.SealAhead() / c.net.Accord.Policy.Window(); taken != int(ahead) {
		t.Errorf("%d seals of the future were taken, want %d", taken, ahead)
	}
	for _, k := range ks[:3] {
		must(t, c.s, c.record(k, start, c.breach(in, cites)), "")
	}
	c.stands(in, treaty.Breach)
}

// A nation whose clock was years ahead, before ledger time began or after, is heard again when its clock is right: at
// once, or as soon as a seal may be ahead.
func TestWrongClock(t *testing.T) {
	c := newHearing(t, 4)
	const years = 100_000_000 // windows
	k := c.net.Nations()[1]
	for i := range 3 {
		c.seal(k, years+i, 1, 0, tally.RejectedSealAhead)
	}
	c.seal(k, 0, 1, 0, "")

	c = newHearing(t, 4)
	c.s, c.seq, c.last = tally.New(c.net), map[treaty.Nation]uint64{}, map[treaty.Nation]treaty.Hash{}
	far := c.seal(k, years, 1, 0, "") // nobody knows better yet
	for _, o := range c.net.Nations() {
		if o != k {
			c.seal(o, 0, 0, 0, "")
		}
	}
	if _, ok := c.s.Seal(far); ok {
		t.Error("a seal of the far future is kept when ledger time begins")
	}
	ahead := int(c.net.Accord.Policy.SealAhead() / c.net.Accord.Policy.Window())
	c.seal(k, ahead, 1, 0, tally.RejectedSealOrder)
	for _, o := range c.net.Nations() {
		if o != k {
			c.seal(o, 10, 0, 0, "")
		}
	}
	c.seal(k, ahead+1, 1, 0, "")
	if d, err := tally.Decode(c.net, c.s.Encode()); err != nil || !d.Equal(c.s) {
		t.Error(err)
	}
}

// A node that seals on before it knows that a seal of its own was rejected loses that one, and not all that follow. A
// seal that names neither its last nor its last that counts is still refused.
func TestChainGoesOn(t *testing.T) {
	c := newHearing(t, 4)
	k := c.net.Nations()[0]
	good := c.seal(k, 0, 1, 0, "")
	c.last[k] = c.seal(k, 5_000, 1, 0, tally.RejectedSealAhead)
	c.seal(k, 1, 1, 0, "")
	c.last[k] = good
	c.last[k] = c.seal(k, 2, 1, 0, tally.RejectedSealChain)
	c.seal(k, 3, 1, 0, "")
	if got, _, _ := c.s.LastSeal(k); got != c.last[k] {
		t.Error("the last seal is another")
	}
}

// A liar proposes incident after incident over its own, never revealed detections. Every honest nation answers each with
// "not confirmed", which cites what the incident cites. That must cost them nothing.
func TestQuotaOfOthers(t *testing.T) {
	c := newHearing(t, 4)
	ks := c.net.Nations()
	cites := c.heard(0, ks[:3]...)
	own := c.net.Accord.Policy.SealAhead() / c.net.Accord.Policy.Window()
	n := 0
	for i := range int(own) {
		id := c.seal(ks[3], i, treaty.MaxDetections, 0, "")
		for part := range uint32(4) {
			x := treaty.SealCite{Seal: id}
			for d := range uint32(treaty.MaxCites) {
				x.Indexes = append(x.Indexes, part*treaty.MaxCites+d)
			}
			in := c.incident(ks[3], treaty.Cites{x}, treaty.Hash{}, "")
			for _, k := range ks[:3] {
				must(t, c.s, c.record(k, start, c.notConfirmed(in, treaty.Cites{x})), "")
			}
			n++
		}
		for _, k := range ks[:3] { // everybody's windows go on
			c.seal(k, i+1, 0, 0, "")
		}
	}
	if n*treaty.MaxCites < tally.MaxCited/5 {
		t.Fatalf("%d incidents prove nothing", n)
	}
	v := fmt.Sprint(c.s.Describe(nil))
	for _, k := range ks[:3] {
		if want := fmt.Sprintf("%s: record", k); !containsLine(v, want, " 0 proposals, 0 cited") {
			t.Errorf("%s is charged:\n%s", k, v)
		}
	}
	in := c.incident(ks[0], cites, treaty.Hash{}, "")
	for _, k := range ks[:3] {
		must(t, c.s, c.record(k, start, c.breach(in, cites)), "")
	}
	c.stands(in, treaty.Breach)
}
