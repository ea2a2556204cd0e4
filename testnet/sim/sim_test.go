package sim

import (
	"flag"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"truceline/testnet/feed"
	"truceline/treaty"
)

var (
	seeds = flag.Int("seeds", 1, "how many seeds the random tests run with")
	first = flag.Uint64("seed", 1, "the first of them")
)

// each runs a bubble for every seed. (A bubble allows no t.Run.)
func each(t *testing.T, run func(t *testing.T, seed uint64)) {
	for k := range uint64(*seeds) {
		synctest.Test(t, func(t *testing.T) { run(t, *first+k) })
	}
}

// all is the seats from 0 to n-1.
func all(n int) (is []int) {
	for i := range n {
		is = append(is, i)
	}
	return is
}

// A quiet night must end without any breach, with every nation holding the same ledger.
func TestQuietNight(t *testing.T) {
	if testing.Short() {
		t.Skip("the night is six minutes long")
	}
	each(t, func(t *testing.T, seed uint64) {
		w := New(t, Options{Seed: seed, Scenario: "quiet"})
		w.StartAll()
		w.Ready()
		w.judge(w.Play())
		w.End()
	})
}

// judge waits until a night is over and everything is decided, and holds the honest nations' verdicts against what
// happened.
func (w *World) judge(night *feed.Night) { w.t.Helper(); w.judged(night, feed.ResultRight) }

// judged is judge where a breach may have any of these results.
func (w *World) judged(night *feed.Night, may ...feed.Result) {
	w.t.Helper()
	w.playing.Wait()
	time.Sleep(night.Ends.Sub(treaty.TimeOf(time.Now())) + 60*time.Second)
	w.Settle(3 * time.Minute)
	for i, s := range w.seats {
		if s.node == nil || s.tamper != nil {
			continue
		}
		table := feed.Score(night.Truth, w.standing(i))
		if !table.OK() {
			w.t.Errorf("%s shows a breach that did not happen:\n%s", s.nation, table)
		}
		for _, r := range table.Rows {
			if r.Event != nil && r.Event.Expect == feed.ExpectBreach && r.Event.Seeable() && !slices.Contains(may, r.Result) {
				w.t.Errorf("%s: event %s is %s:\n%s", s.nation, r.Event.ID, r.Result, table)
			}
		}
	}
}

// standing are the verdicts of a nation that nothing supersedes.
func (w *World) standing(i int) (js []feed.Judged) {
	for _, v := range w.Verdicts(i) {
		if v.SupersededBy.IsZero() {
			js = append(js, feed.JudgedOf(v.ID.Short(), v.Verdict, 0))
		}
	}
	return js
}

// One shot that all hear must become FINAL as a BREACH by the right party at every nation.
func TestBreach(t *testing.T) {
	each(t, func(t *testing.T, seed uint64) {
		w := New(t, Options{Seed: seed})
		w.StartAll()
		w.Ready()
		w.judge(w.Play())
		w.End()
	})
}

// The verdict must come without a nation whose sensors and node are silent, and the nation must have it afterwards.
func TestOneSilent(t *testing.T) {
	each(t, func(t *testing.T, seed uint64) {
		w := New(t, Options{Seed: seed})
		w.StartAll()
		w.Ready()
		w.Stop(2)
		w.judge(w.Play(2))
		w.End()
	})
}

// With f nations down, whichever they are, records must become FINAL, for every n where a wrong quorum shows; with f+1
// down nothing may.
func TestFaultyNationsDown(t *testing.T) {
	ns := []int{4, 5, 6, 7}
	if testing.Short() {
		ns = []int{4, 6}
	}
	for _, n := range ns {
		each(t, func(t *testing.T, seed uint64) {
			w := New(t, Options{Seed: seed, Nations: n})
			w.StartAll()
			w.Ready()
			down := w.rng.Perm(n)[:w.Net.F+1]
			w.Stop(down[:w.Net.F]...)
			up := slices.DeleteFunc(all(n), func(i int) bool { return slices.Contains(down, i) })
			for _, i := range up {
				w.SubmitFinal(i, "f are down", time.Minute)
			}
			w.Stop(down[w.Net.F])
			if len(up) < w.Net.Q {
				before := w.seats[up[0]].node.Network().Node.CosignedSize
				id := w.Submit(up[0], "too few are up")
				time.Sleep(30 * time.Second)
				if w.seats[up[0]].node.IsFinal(id) || w.seats[up[0]].node.Network().Node.CosignedSize < before {
					t.Errorf("n = %d: a record is FINAL with %d nations up; the quorum is %d", n, len(up), w.Net.Q)
				}
			}
			w.End()
		})
	}
}
