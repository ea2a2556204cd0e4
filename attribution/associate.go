package attribution

import (
	"cmp"
	"container/heap"
	"encoding/binary"
	"math"
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

// bestTrial is the index of the trial with the best score, the earliest of equals; -1 of none.
func bestTrial(ts []trial) int {
	best := -1
	for i := range ts {
		if best < 0 || ts[i].score > ts[best].score {
			best = i
		}
	}
	return best
}

// try refines one candidate and scores it.
func (s *scene) try(g *grid, x, y, at float64, set []int, free []bool, impact bool) (trial, bool) {
	c := g.c
	f := s.start(c, x, y, at)
	from := max(1.5, g.tolerance(g.sigma, c.reach/3)/float64(tukeyCut*g.sigma))
	if !s.anneal(&f, set, from, 10) {
		return trial{}, false
	}
	if !s.anneal(&f, s.reachable(c, &f, free, impact), 1.5, 6) || !s.finish(&f) {
		return trial{}, false
	}
	if f.birge > maxMisfit || s.nationsOf(&f) < 2 {
		return trial{}, false
	}
	for _, p := range f.use {
		sn := &s.sensors[s.picks[p].sensor]
		if sq(sn.at[0]-f.v[nX])+sq(sn.at[1]-f.v[nY]) > sq(float64(1.2*sn.reach)) {
			return trial{}, false
		}
	}
	t := trial{fit: f, score: s.score(c, &f)}
	return t, t.score >= s.accept
}

// polish starts again around a trial, nearby and a little earlier: where each sensor heard several echoes, neighbouring
// starts end on different sets of them, and the likeliest is the direct sound.
func (s *scene) polish(g *grid, t trial, free []bool, impact bool) trial {
	v := t.fit.v
	for _, early := range [...]float64{0, 0.06, 0.12} {
		for dx := -1; dx <= 1; dx++ {
			for dy := -1; dy <= 1; dy++ {
				x, y := v[nX]+mul(float64(dx), g.size), v[nY]+mul(float64(dy), g.size)
				at := v[nT] - early
				set, n := g.gather(x, y, at, free, impact)
				if n < minArrivals {
					continue
				}
				if o, ok := s.try(g, x, y, at, set, free, impact); ok && o.score > t.score {
					o.cand = t.cand
					t = o
				}
			}
		}
	}
	return t
}

// maxMisfit is the reduced chi squared beyond which arrivals are not of one place and time, whatever their number.
const maxMisfit = 5

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

func (s *scene) nationsOf(f *fit) int {
	have := make([]bool, len(s.nations))
	n := 0
	for _, p := range f.use {
		if k := s.sensors[s.picks[p].sensor].nation; !have[k] {
			have[k] = true
			n++
		}
	}
	return n
}

// reachable lists the free arrivals near a fit's predictions, at all sensors within reach.
func (s *scene) reachable(c *cluster, f *fit, free []bool, impact bool) []int {
	var set []int
	for _, i := range c.sensors {
		sn := &s.sensors[i]
		want := s.predict(&f.v, sn, nil)
		if float64((want-f.v[nT])*s.air.c) > float64(1.2*sn.reach) {
			continue
		}
		for _, p := range sn.picks {
			k := &s.picks[p]
			if free[p] && k.impact == impact && math.Abs(k.t-want) < float64(10*s.sigmaAt(k, want-f.v[nT])) {
				set = append(set, p)
			}
		}
	}
	return set
}

// coda is how long echoes of a first arrival trouble a sensor, seconds: reflections from up to 25 m further.
const coda = 0.15

// take removes an event's arrivals and their coda from the free ones.
func (s *scene) take(c *cluster, f *fit, free []bool, impact bool) {
	for _, p := range f.use {
		free[p] = false
	}
	for _, i := range c.sensors {
		sn := &s.sensors[i]
		want := s.predict(&f.v, sn, nil)
		if float64((want-f.v[nT])*s.air.c) > float64(1.2*sn.reach) {
			continue
		}
		for _, p := range sn.picks {
			k := &s.picks[p]
			d := k.t - want
			if k.impact == impact && d > float64(-4*s.sigmaAt(k, want-f.v[nT])) && d < coda {
				free[p] = false
			}
		}
	}
}

// setKey identifies a set of picks and the neighbourhood a refinement starts from.
func setKey(set []int, row, col int) uint64 {
	h := uint64(14695981039346656037)
	var b [8]byte
	add := func(v int) {
		binary.LittleEndian.PutUint64(b[:], uint64(v))
		for _, x := range b {
			h = (h ^ uint64(x)) * 1099511628211
		}
	}
	for _, p := range set {
		add(p)
	}
	add(row)
	add(col)
	return h
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
	free := make([]bool, len(s.picks))
	for i := range free {
		free[i] = true
	}
	impacts := slices.ContainsFunc(s.picks, func(p pick) bool { return p.impact })
	cs := s.clusters()
	var out []found
	for i := range cs {
		out = append(out, s.search(&cs[i], free, false, cells, limit-len(out))...)
		if impacts {
			out = append(out, s.search(&cs[i], free, true, cells, limit-len(out))...)
		}
	}
	for i := range out {
		out[i].modes = s.modesOf(&out[i])
	}
	return out
}
