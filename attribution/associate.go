package attribution

import (
	"cmp"
	"container/heap"
	"slices"

	"truceline/treaty"
)

// found is an accepted event inside a scene.
type found struct {
	fit     fit
	score   float64
	cluster *cluster
	impact  bool
	modes   []mode
}

// pile is the heap of candidates, the one before all others on top.
type pile []candidate

func (h pile) Len() int           { return len(h) }
func (h pile) Less(a, b int) bool { return h[a].before(h[b]) }
func (h pile) Swap(a, b int)      { h[a], h[b] = h[b], h[a] }
func (h *pile) Push(x any)        { *h = append(*h, x.(candidate)) }
func (h *pile) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// trial is a candidate that has been refined and could be accepted.
type trial struct {
	cand  candidate
	fit   fit
	score float64
}

// search finds the events of one cluster among the free arrivals: cells that could hold the most sensors are refined
// first, until nothing left could beat the best trial; that one is accepted, and its arrivals and their echoes are
// taken from what the rest may use.
func (s *scene) search(c *cluster, free []bool, impact bool, cells, limit int) []found {
	g := s.newGrid(c, cells)
	need := s.need(c, &g)
	var out []found
	budget := 4000 + 20*len(s.picks)
	for range maxSweeps {
		n := len(out)
		out = s.round(c, &g, free, impact, need, limit, &budget, out)
		if len(out) == n || len(out) >= limit {
			break
		}
	}
	return out
}

// maxSweeps bounds how often a cluster is swept; after the first time little is left.
const maxSweeps = 3

// round sweeps once and accepts what it finds, best first.
func (s *scene) round(c *cluster, g *grid, free []bool, impact bool, need, limit int, budget *int, out []found) []found {
	h := pile(g.sweep(need, free, impact))
	seen := map[uint64]bool{}
	var ready []trial
	best := -1 // index of the best of ready
	for len(out) < limit {
		if len(h) > 0 && *budget > 0 && (best < 0 || h[0].bound >= len(ready[best].fit.use)-1) {
			top := h[0]
			x, y := g.centre(top.cell)
			set, n := g.gather(x, y, top.t, free, impact)
			if n < top.bound && n >= need {
				h[0].bound = n
				heap.Fix(&h, 0)
				continue
			}
			heap.Pop(&h)
			if n < need {
				continue
			}
			key := setKey(set, top.cell/(g.cols*4), (top.cell%g.cols)/4)
			if seen[key] {
				continue
			}
			seen[key] = true
			*budget--
			if t, ok := s.try(g, x, y, top.t, set, free, impact); ok {
				t.cand = top
				ready = append(ready, t)
				if best < 0 || t.score > ready[best].score {
					best = len(ready) - 1
				}
			}
			continue
		}
		if best < 0 {
			break
		}
		t := s.polish(g, ready[best], free, impact)
		out = append(out, found{fit: t.fit, score: t.score, cluster: c, impact: impact})
		s.take(c, &t.fit, free, impact)
		// Trials that lost arrivals go back to be tried with what is left.
		kept := ready[:0]
		for i := range ready {
			if i == best {
				continue
			}
			if slices.ContainsFunc(ready[i].fit.use, func(p int) bool { return !free[p] }) {
				heap.Push(&h, ready[i].cand)
				continue
			}
			kept = append(kept, ready[i])
		}
		ready = kept
		best = bestTrial(ready)
	}
	return out
}

// need is how many sensors a candidate must have: minArrivals, and more where chance alone would fill the windows.
func (s *scene) need(c *cluster, g *grid) int {
	n := 0
	for _, i := range c.sensors {
		n += len(s.sensors[i].picks)
	}
	w := float64(2 * g.tolerance(g.sigma, c.reach/3))
	mu := float64(float64(n) / s.span * w)
	switch {
	case mu < 0.5:
		return minArrivals
	case mu < 2:
		return minArrivals + 1
	}
	return minArrivals + 2
}

func everybody(treaty.Nation) bool { return true }

// gridCells bounds the grid of an association; a jackknife run looks at one event's neighbourhood and needs fewer.
const gridCells = maxCells

// Associate finds the events in a window of evidence, by time. The order of ev does not matter.
func (j *Judge) Associate(ev []Evidence) []Event {
	s := j.newScene(sortEvidence(ev), everybody, nil)
	fs := s.all(gridCells, j.p.MaxEvents)
	out := make([]Event, 0, len(fs))
	for i := range fs {
		out = append(out, s.event(&fs[i]))
	}
	slices.SortFunc(out, func(a, b Event) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Position.LatE7, b.Position.LatE7), cmp.Compare(a.Position.LonE7, b.Position.LonE7))
	})
	return out
}

// all searches every cluster, for muzzle blasts and for impacts.
func (s *scene) all(cells, limit int) []found {
	if len(s.picks) < minArrivals {
		return nil
	}
	impacts := slices.ContainsFunc(s.picks, func(p pick) bool { return p.impact })
	cs := s.clusters()
	free := make([]bool, len(s.picks))
	var out []found
	for part := range s.parts {
		n := 0
		for p := range free {
			free[p] = s.picks[p].part == part
			if free[p] {
				n++
			}
		}
		if n < minArrivals {
			continue
		}
		for i := range cs {
			out = append(out, s.search(&cs[i], free, false, cells, limit-len(out))...)
			if impacts {
				out = append(out, s.search(&cs[i], free, true, cells, limit-len(out))...)
			}
		}
	}
	for i := range out {
		out[i].modes = s.modesOf(&out[i])
	}
	return out
}
