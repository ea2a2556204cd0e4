package testnet

import (
	"testing"

	"truceline/node/observe"
	"truceline/treaty"
)

// What stands is what an observer would say today. Catches a superseded verdict that is still counted, and an INCONCLUSIVE
// that is counted beside the finding it left standing.
func TestStanding(t *testing.T) {
	see := func(id byte, at treaty.Time, f treaty.Finding, amends, standing byte) Sighting {
		hash := func(b byte) (h treaty.Hash) { h[0] = b; return h }
		v := &treaty.Verdict{Outcome: f, Amends: hash(amends)}
		return Sighting{VerdictView: observe.VerdictView{ID: hash(id), Verdict: v, Standing: hash(standing)}, Final: at}
	}
	got := Standing([]Sighting{
		see(1, 10, treaty.Inconclusive, 0, 0),
		see(2, 20, treaty.Breach, 1, 0),
		see(3, 30, treaty.Breach, 2, 0),
		see(4, 40, treaty.Inconclusive, 0, 3),
		see(5, 50, treaty.NoBreach, 0, 0),
	})
	if len(got) != 2 || got[0].ID[0] != 3 || got[1].ID[0] != 5 {
		t.Fatalf("standing: %+v", got)
	}
	if got[0].Final != 20 {
		t.Errorf("BREACH was first FINAL at %d, want 20: the INCONCLUSIVE before it said something else", got[0].Final)
	}
}
