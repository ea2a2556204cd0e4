package tally_test

import (
	"strings"
	"testing"
	"time"

	"truceline/treaty"
)

func containsLine(text, begin, end string) bool {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, begin) && strings.HasSuffix(strings.TrimSpace(line), strings.TrimSpace(end)) {
			return true
		}
	}
	return false
}

// The leader alone holds back the seals of the three of seven nations that heard an event, and orders everybody else's
// records meanwhile: up to Policy.SealWait that must make nobody late, nor let anybody reveal; beyond it, it does.
func TestLeaderCannotMakeLate(t *testing.T) {
	for _, hold := range []time.Duration{0, 3 * time.Second, 5 * time.Second, 20 * time.Second, 30 * time.Second, 31 * time.Second} {
		c := newHearing(t, 7)
		ks := c.net.Nations()
		var held []*treaty.Record
		for _, k := range ks[:3] {
			held = append(held, c.makeSeal(k, 0, 1, 0))
		}
		for _, k := range ks[3:] {
			c.seal(k, 0, 0, hold, "")
		}
		overdue := hold > c.net.Accord.Policy.SealWait()
		if revealable := c.s.Closed() > c.w; revealable != overdue {
			t.Errorf("held back for %s: others may reveal: %v", hold, revealable)
		}
		var refs []treaty.Ref
		for _, r := range held {
			must(t, c.s, r, "")
			if v, _ := c.s.Seal(r.ID); v.Late != overdue {
				t.Errorf("held back for %s: late %v", hold, v.Late)
			}
			refs = append(refs, treaty.Ref{Seal: r.ID})
		}
		cites := treaty.NewCites(refs)
		in := c.incident(ks[0], cites, treaty.Hash{}, "")
		for _, k := range ks {
			c.s.Apply(c.record(k, start, c.breach(in, cites)))
		}
		want := treaty.Breach
		if overdue {
			want = treaty.Inconclusive
		}
		c.stands(in, want)
	}
}

// Whatever closes a window, what is sealed for it afterwards is late: else somebody could read a batch and still count.
// A window that is closed stays closed, also when a nation that was not waited for comes back and seals it.
func TestClosedStaysClosed(t *testing.T) {
	c := newHearing(t, 4)
	ks := c.net.Nations()
	absent := ks[3]
	i := 0
	for ; i < 60; i++ { // the last nation falls silent; the others go on
		for _, k := range ks[:3] {
			c.seal(k, i, 1, 0, "")
		}
		if i > 1 && c.s.Closed() >= c.w+treaty.Window(i)-1 { // waited for no longer: grace alone decides
			break
		}
		p := c.net.Accord.Policy
		now := c.s.LedgerTime()
		if end := c.s.Closed().End(p.Window()); now > end.Add(p.SealWait()) {
			t.Fatalf("at %s the window that ended %s is not closed", now, end)
		}
	}
	p := c.net.Accord.Policy
	if silent, want := time.Duration(i)*p.Window(), p.Heartbeat()+p.SealWait(); silent < want-2*p.Window() || silent > want+2*p.Window() {
		t.Errorf("a silent nation is waited for for %s, want %s", silent, want)
	}
	closed := c.s.Closed()
	for _, back := range []treaty.Window{10, 5, 1} { // now it listens again, and has not sealed what comes after
		id := c.seal(absent, int(closed-back-c.w), 1, 0, "")
		if v, _ := c.s.Seal(id); !v.Late {
			t.Errorf("a seal of a window that was closed %d windows ago counts as independent", back)
		}
		if c.s.Closed() < closed {
			t.Error("a window was opened again")
		}
	}
	id := c.seal(absent, int(closed-c.w), 1, 0, "")
	if v, _ := c.s.Seal(id); v.Late {
		t.Error("a seal of an open window is late")
	}
}

// One nation that listens and never seals in time delays the others' batches by SealWait and no longer.
func TestWaitIsBounded(t *testing.T) {
	c := newHearing(t, 4)
	ks := c.net.Nations()
	p := c.net.Accord.Policy
	for i := range 200 {
		for _, k := range ks[:3] {
			c.seal(k, i, 1, 0, "")
		}
		if i%40 == 39 {
			c.seal(ks[3], i-20, 0, time.Minute, "")
		}
		if d := c.s.LedgerTime().Sub(c.s.Closed().End(p.Window())); d > p.SealWait() {
			t.Fatalf("window %d waits for %s", i, d)
		}
	}
}
