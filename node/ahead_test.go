package node

import (
	"testing"

	"truceline/treaty"
)

// A node that finds several heights in its inbox must get each message when its height comes, in the sender's order, once;
// lost ones would cost it half a round's timeout at every height.
func TestAheadRipens(t *testing.T) {
	ks := []treaty.Nation{"XAA", "XAB"}
	var a ahead
	msg := func(k treaty.Nation, b byte) inboxMessage { return inboxMessage{k, []byte{1, b}} }
	a.keep(msg("XAB", 1), 7, 5)
	a.keep(msg("XAA", 2), 8, 5)
	a.keep(msg("XAA", 3), 8, 5)
	a.keep(msg("XAA", 4), 9, 5)
	want := map[uint64]string{5: "", 6: "\x01", 7: "\x02\x03", 8: "\x04", 9: ""}
	for h := uint64(5); h <= 9; h++ {
		for range 2 { // the second time nothing is new
			got := ""
			for _, m := range a.ripe(h, ks) {
				got += string(m.raw[1:])
			}
			if got != want[h] {
				t.Errorf("height %d: messages %q, want %q", h, got, want[h])
			}
			want[h] = ""
		}
	}
	if len(a.by) != 0 {
		t.Errorf("%d nations left", len(a.by))
	}
}

// A peer must not make the node keep more than its share, nor take another's; and what a jump in height passes over must go.
func TestAheadIsBounded(t *testing.T) {
	var a ahead
	for i := range 10 * aheadCount {
		a.keep(inboxMessage{"XAA", make([]byte, 100)}, uint64(3+i%aheadHeights), 2)
		a.keep(inboxMessage{"XAB", make([]byte, aheadBytes+1)}, 4, 2)
		a.keep(inboxMessage{"XAB", make([]byte, 100)}, 2+aheadHeights+1, 2)
	}
	if n := len(a.by["XAA"]); n != aheadCount {
		t.Errorf("%d messages kept of one nation, want %d", n, aheadCount)
	}
	if n := len(a.by["XAB"]); n != 0 {
		t.Errorf("%d messages kept that are too large or too far ahead", n)
	}
	if got := a.ripe(1000, []treaty.Nation{"XAA"}); len(got) != 0 || len(a.by) != 0 {
		t.Errorf("after a jump %d messages ripen and %d nations are left, want none", len(got), len(a.by))
	}
}
