package attribution

import (
	"cmp"
	"slices"

	"truceline/treaty"
)

// found is an accepted event inside a scene.
type found struct {
	fit     fit
	score   float64
	rank    float64
	cluster *cluster
	impact  bool
	modes   []mode
}

// pile is what is left to try, best first: a sorted list, and a heap of those that came back worse than they were.
type pile struct {
	sorted []candidate
	back   []candidate
}

// top is the best of a pile, nil of an empty one.
func (h *pile) top() *candidate {
	switch {
	case len(h.back) > 0 && (len(h.sorted) == 0 || h.back[0].before(&h.sorted[0])):
		return &h.back[0]
	case len(h.sorted) > 0:
		return &h.sorted[0]
	}
	return nil
}

// pop takes the best out.
func (h *pile) pop() candidate {
	c := *h.top()
	if len(h.sorted) > 0 && c == h.sorted[0] {
		h.sorted = h.sorted[1:]
		return c
	}
	n := len(h.back) - 1
	h.back[0] = h.back[n]
	h.back = h.back[:n]
	for i := 0; ; {
		k := i + i + 1
		if k >= n {
			return c
		}
		if k+1 < n && h.back[k+1].before(&h.back[k]) {
			k++
		}
		if !h.back[k].before(&h.back[i]) {
			return c
		}
		h.back[i], h.back[k] = h.back[k], h.back[i]
		i = k
	}
}

// push puts one back.
func (h *pile) push(c candidate) {
	h.back = append(h.back, c)
	for i := len(h.back) - 1; i > 0; {
		up := (i - 1) >> 1
		if !h.back[i].before(&h.back[up]) {
			return
		}
		h.back[i], h.back[up] = h.back[up], h.back[i]
		i = up
	}
}

// trial is a candidate that has been refined and could be accepted.
type trial struct {
	cand  candidate
	fit   fit
	score float64
	rank  float64
}

// search finds the events of one cluster among the free arrivals: cells that could hold the most sensors are refined
// first, until nothing left could beat the best trial; that one is accepted, and its arrivals and their echoes are
// taken from what the rest may use.
func (s *scene) search(c *cluster, free []bool, impact bool, cells, limit int) []found {
	g := s.newGrid(c, cells)
	need := s.need(c, &g)
	var out []found
	budget := 4000 + 20*len(s.picks)
	seen := map[uint64]bool{}
	for range maxSweeps {
		n := len(out)
		out = s.round(c, &g, free, impact, need, limit, &budget, seen, out)
		if len(out) == n || len(out) >= limit {
			break
		}
	}
	return out
}

// maxSweeps bounds how often a cluster is swept; after the first time little is left.
const maxSweeps = 3

// round sweeps once and accepts what it finds, best first. What was seen in an earlier round, and is still free, has
// been tried and refused.
func (s *scene) round(
	c *cluster, g *grid, free []bool, impact bool, need, limit int, budget *int, seen map[uint64]bool, out []found,
) []found {
	h := pile{sorted: g.sweep(need, free, impact)}
	var ready []trial
	best := -1 // index of the best of ready
	for len(out) < limit {
		if c := h.top(); c != nil && *budget > 0 && (best < 0 || c.bound >= len(ready[best].fit.use)-1) {
			top := h.pop()
			x, y := g.centre(top.cell)
			set, n := g.gather(x, y, top.t, free, impact)
			if n < top.bound && n >= need {
				top.bound = n
				h.push(top)
				continue
			}
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
				if best < 0 || t.rank > ready[best].rank {
					best = len(ready) - 1
				}
			}
			continue
		}
		if best < 0 {
			break
		}
		t := s.polish(g, ready[best], free, impact)
		out = append(out, found{fit: t.fit, score: t.score, rank: t.rank, cluster: c, impact: impact})
		s.take(c, &t.fit, free, impact)
		// Trials that lost arrivals go back to be tried with what is left.
		kept := ready[:0]
		for i := range ready {
			if i == best {
				continue
			}
			if slices.ContainsFunc(ready[i].fit.use, func(p int) bool { return !free[p] }) {
				h.push(ready[i].cand)
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
	out = s.weed(out)
	for i := range out {
		out[i].modes = s.modesOf(&out[i])
	}
	return out
}
