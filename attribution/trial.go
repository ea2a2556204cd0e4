package attribution

import "math"

// bestTrial is the index of the trial with the best rank, the earliest of equals; -1 of none.
func bestTrial(ts []trial) int {
	best := -1
	for i := range ts {
		if best < 0 || ts[i].rank > ts[best].rank {
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
	t := trial{fit: f}
	t.score, t.rank = s.score(c, &f)
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
				if o, ok := s.try(g, x, y, at, set, free, impact); ok && o.rank > t.rank {
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

// take removes an event's arrivals, and what else came with it, from the free ones.
func (s *scene) take(c *cluster, f *fit, free []bool, impact bool) {
	for _, p := range f.use {
		free[p] = false
	}
	for _, i := range c.sensors {
		sn := &s.sensors[i]
		h := s.hearing(f, sn)
		for _, p := range sn.picks {
			if k := &s.picks[p]; k.impact == impact && h.own(s, k) {
				free[p] = false
			}
		}
	}
}

// setKey identifies a set of picks and the neighbourhood a refinement starts from.
func setKey(set []int, row, col int) uint64 {
	h := uint64(14695981039346656037)
	add := func(v int) {
		h = (h ^ uint64(v)) * 0x9E3779B97F4A7C15
		h ^= h >> 32
	}
	for _, p := range set {
		add(p)
	}
	add(row)
	add(col)
	return h
}
