package finality

import (
	"testing"
	"time"

	"truceline/treaty"
)

// A proposal is the dearest message there is: it carries q wishes and their certificates. Only the one whose turn it is
// may cost us that, once a round. Catches a flood of proposals from anybody, for any round.
func TestWantsProposals(t *testing.T) {
	w, err := newWorld(4, time.Second, true)
	if err != nil {
		t.Fatal(err)
	}
	m := w.nodes[0].m
	for round := range uint64(maxAhead + 3) {
		for _, n := range w.fix.Net.Nations() {
			want := n == m.Proposer(1, round) && round <= maxAhead
			if got := m.Wants(n, Place{Type: treaty.TypeProposal, Height: 1, Round: round}); got != want {
				t.Errorf("round %d, proposal of %s: wanted %v", round, n, got)
			}
		}
	}
}
