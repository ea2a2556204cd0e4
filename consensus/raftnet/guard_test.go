//lint:file-ignore SA1019 raft still reads the deprecated identity fields of a request, so what stands in them is checked too

package raftnet

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

type fixedView struct {
	l    string
	t, a uint64
}

func (v fixedView) leader() string  { return v.l }
func (v fixedView) term() uint64    { return v.t }
func (v fixedView) applied() uint64 { return v.a }

func header(id string) raft.RPCHeader {
	return raft.RPCHeader{ProtocolVersion: 3, ID: []byte(id), Addr: []byte(id)}
}

// Would catch a lone liar deposing a leader at will, a straggler that is never believed, and liars raising the term
// beyond what an honest member says.
func TestRow05TermInAnswer(t *testing.T) {
	now := time.Unix(0, 0)
	c := newClaims(1, time.Second)
	deposed, ours := 0, uint64(5)
	for range 2 * 3600 { // two hours of a liar answering every second
		now = now.Add(time.Second)
		if term := c.judge("LIE", ours, 1<<39, now, false); term > ours {
			deposed, ours = deposed+1, term
		}
	}
	if deposed < 1 || deposed > 12 {
		t.Errorf("a lone liar deposed the leader %d times in two hours, want a handful", deposed)
	}
	c = newClaims(1, time.Second)
	got, waited := uint64(0), 0
	for ; got <= 5 && waited < 100; waited++ {
		now = now.Add(time.Second)
		got = c.judge("EST", 5, 6, now, false)
	}
	if got != 6 || waited > 5 {
		t.Errorf("an honest straggler was believed as %d after %d s", got, waited)
	}
	if c.judge("EST", 5, 6, now.Add(time.Second), false) != 6 || c.judge("EST", 5, 7, now.Add(time.Second), false) != 6 {
		t.Error("the pre-vote that follows does not hear of what was believed, or hears of more")
	}
	if c.judge("EST", 5, 6, now.Add(3*time.Second), false) != 5 {
		t.Error("what was believed once is believed for ever")
	}
	c = newClaims(1, time.Second)
	for range 100 { // heartbeats must not use up the belief that the next append needs
		now = now.Add(time.Second)
		if got := c.judge("EST", 5, 6, now, true); got != 5 {
			t.Fatal("a heartbeat's answer was believed")
		}
	}
	if got := c.judge("EST", 5, 6, now, false); got != 6 {
		t.Errorf("a claim heard for 100 s was believed as %d", got)
	}
	c = newClaims(1, time.Second)
	if got := c.judge("LIE", 5, 1<<39, now, false); got != 5 {
		t.Errorf("believed one claim at once: %d", got)
	}
	if got := c.judge("EST", 5, 7, now, false); got != 7 {
		t.Errorf("of two claims, 2^39 and 7, believed %d, want 7", got)
	}
	if got := c.judge("LIE", 5, 1<<39, now, false); got != 7 {
		t.Errorf("a liar among two raised the term to %d, want 7", got)
	}
	if got := c.judge("LIE", 5, 1<<64-1, now, false); got != 5 {
		t.Errorf("a term above the ceiling was believed as %d", got)
	}
}

// Would catch the counters growing without bound under strangers.
func TestRefusedIsBounded(t *testing.T) {
	g := testGuard()
	for i := range 10_000 {
		g.note(string(rune('a'+i%26))+string(rune(i)), refusedStranger)
	}
	if n := len(g.counted); n > maxMembers+maxStrangers+1 {
		t.Errorf("%d names are counted", n)
	}
}
