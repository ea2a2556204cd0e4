package attribution

import (
	"math"
	"testing"

	"truceline/treaty"
)

// TestOneShot catches one event being taken for two, and with it one shot being judged twice: three nations' stations in
// a thin row, a gun near them, and nothing else that night. Stations beyond the reach of the others hear it too, the
// nations' caps are all full, and in the second half of the scenes the wood throws every fifth sound back.
func TestOneShot(t *testing.T) {
	j := judge(t, 4, nil)
	n := scenes(t, 60)
	for _, depth := range []float64{800, 2500, 4000} {
		for seed := range n {
			w := newWorld(uint64(seed)+1, 3, 28, 18_000, depth)
			w.sigma = 0.01
			w.weather(15_000)
			heard := w.shoot((w.r.Float64()-0.5)*12_000, 1800, 100, howitzer, nil)
			if seed >= n/2 {
				w.echo(0.2)
			}
			es := j.Associate(w.ev)
			if len(es) != 1 {
				t.Errorf("row %v m deep, scene %d: %d events, want 1", depth, seed, len(es))
				for _, e := range es {
					t.Logf("  %d arrivals of %d, misfit %.1f, score %.1f", len(e.Members), heard, e.Misfit, e.Score)
				}
			}
		}
	}
}

// TestTwoShots catches a second shot being taken for the echo of the first: two guns 400 m apart, a second and a half
// between them.
func TestTwoShots(t *testing.T) {
	j := judge(t, 6, nil)
	for seed := range scenes(t, 30) {
		w := newWorld(uint64(seed)+1, 6, 24, 16_000, 5_000)
		w.weather(15_000)
		w.shoot(1000, 2000, 100, howitzer, nil)
		w.shoot(1400, 2000, 101.5, howitzer, nil)
		if es := j.Associate(w.ev); len(es) != 2 {
			t.Errorf("scene %d: %d events, want 2", seed, len(es))
		}
	}
}

// TestRankLikesMore catches a comparison of fits in which the vaguer one wins: the same shot fitted to all that heard it,
// and to half of them.
func TestRankLikesMore(t *testing.T) {
	j := judge(t, 4, nil)
	for seed := range scenes(t, 30) {
		w := newWorld(uint64(seed)+1, 3, 28, 18_000, 4_000)
		w.sigma = 0.01
		w.weather(15_000)
		w.shoot((w.r.Float64()-0.5)*8_000, 1800, 100, howitzer, nil)
		s := j.newScene(sortEvidence(w.ev), everybody, nil)
		all := s.all(gridCells, 10)
		if len(all) == 0 {
			t.Fatalf("scene %d: nothing found", seed)
		}
		half := all[0].fit
		half.use = nil
		for i, p := range all[0].fit.use {
			if i%2 == 0 {
				half.use = append(half.use, p)
			}
		}
		set := half.use
		half.use = nil
		if !s.anneal(&half, set, 1, 10) || !s.finish(&half) {
			continue
		}
		if _, rank := s.score(all[0].cluster, &half); rank >= all[0].rank {
			t.Errorf("scene %d: %d arrivals rank %.1f, %d of them %.1f", seed, len(all[0].fit.use), all[0].rank, len(half.use), rank)
		}
	}
}

// echo throws back a part of what was heard, later and more quietly.
func (w *world) echo(part float64) {
	for i := range w.ev {
		d := w.ev[i].Detection
		if d.Arrival == nil || w.r.Float64() > part {
			continue
		}
		e, a := *d, *d.Arrival
		e.Arrival = &a
		e.Time.Value += treaty.Time(1e9 * (0.2 - 0.7*math.Log(w.r.Float64())))
		a.AmplitudeMB -= 800
		w.add(w.ev[i].Nation, &e)
	}
}
