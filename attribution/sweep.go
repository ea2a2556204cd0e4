package attribution

import (
	"cmp"
	"math"
	"slices"
)

// minArrivals is the fewest sensors that make an event: one more than the unknowns east, north and time.
const minArrivals = 4

// maxCells bounds one grid; a larger area gets larger cells.
const maxCells = 12_000

// candidate is a cell and a time at which many arrivals could be one event.
type candidate struct {
	bound int // sensors that fit at most
	cell  int
	t     float64
}

// before orders candidates: more sensors first, then time and cell, a total order.
func (a candidate) before(b candidate) bool {
	if a.bound != b.bound {
		return a.bound > b.bound
	}
	if a.t != b.t {
		return a.t < b.t
	}
	return a.cell < b.cell
}

// grid covers the ground from which a cluster can hear something.
type grid struct {
	s     *scene
	c     *cluster
	half  float64 // half a cell's diagonal
	size  float64
	x0    float64
	y0    float64
	cols  int
	rows  int
	tolA  float64 // tolerance = tolA*s + tolB*R/c
	tolB  float64
	sigma float64
	width float64 // of a bin of origin times, seconds
}

// newGrid lays cells in which moving from the middle to a corner changes a travel time by no more than its own
// uncertainty: small cells for a small array, large ones for a line of stations.
func (s *scene) newGrid(c *cluster, limit int) grid {
	g := grid{s: s, c: c, tolA: 3}
	g.tolB = math.Sqrt(sq(s.air.speedSigma)+sq(s.air.windSigma/s.air.c)) + s.j.p.Turbulence
	var sig []float64
	lo, hi := vec{math.Inf(1), math.Inf(1)}, vec{math.Inf(-1), math.Inf(-1)}
	for _, i := range c.sensors {
		sn := &s.sensors[i]
		for k := range 2 {
			lo[k], hi[k] = min(lo[k], sn.at[k]), max(hi[k], sn.at[k])
		}
		for _, p := range sn.picks {
			sig = append(sig, s.picks[p].sigma)
		}
	}
	g.sigma = median(sig)
	margin := float64(0.75 * c.reach)
	g.x0, g.y0 = lo[0]-margin, lo[1]-margin
	w, h := hi[0]-lo[0]+float64(2*margin), hi[1]-lo[1]+float64(2*margin)
	typical := math.Sqrt(mul(c.reach/3, c.reach/3)) / s.air.c
	g.size = float64(3.6 * s.air.c * (float64(g.tolA*g.sigma) + mul(g.tolB, typical)))
	g.size = max(g.size, math.Sqrt(mul(w, h)/float64(limit)))
	g.half = float64(g.size * sqrt2 / 2)
	g.cols, g.rows = int(w/g.size)+1, int(h/g.size)+1
	return g
}

// centre is the middle of a cell, at the height of the ground there.
func (g *grid) centre(cell int) (x, y float64) {
	return g.x0 + mul(float64(cell%g.cols)+0.5, g.size), g.y0 + mul(float64(cell/g.cols)+0.5, g.size)
}

// tolerance is how far an arrival may lie from its prediction at the middle of a cell.
func (g *grid) tolerance(sigma, r float64) float64 {
	return g.half/g.s.air.c + mul(g.tolA, sigma) + mul(g.tolB, r/g.s.air.c)
}

// block is a neighbourhood in place and time. Neighbouring cells mostly hold the same arrivals, so a sweep keeps the best
// candidate of each; search sweeps again for what stood in its shadow.
type block struct{ row, col, t int }

const blockCells = 2

// sweep finds every cell and time with at least need arrivals. The count is an upper bound on the sensors of any event
// inside the cell: arrivals vote for every origin time that their tolerance allows.
func (g *grid) sweep(need int, free []bool, impact bool) []candidate {
	s, c := g.s, g.c
	// What can vote, packed: per sensor the times and the parts of the tolerance that do not depend on the cell.
	type voter struct {
		x, y, reach2 float64
		t, h         []float64
	}
	t0, t1 := math.Inf(1), math.Inf(-1)
	var vs []voter
	for _, i := range c.sensors {
		sn := &s.sensors[i]
		v := voter{x: sn.at[0], y: sn.at[1], reach2: sq(sn.reach)}
		for _, p := range sn.picks {
			if k := &s.picks[p]; free[p] && k.impact == impact {
				v.t, v.h = append(v.t, k.t), append(v.h, mul(g.tolA, k.sigma))
				t0, t1 = min(t0, k.t), max(t1, k.t)
			}
		}
		if len(v.t) > 0 {
			vs = append(vs, v)
		}
	}
	if len(vs) < need {
		return nil
	}
	if t1 < t0 {
		return nil
	}
	g.width = max(g.half/s.air.c+float64(3*g.sigma), (t1-t0)/(1<<17))
	g.width /= 2
	width := g.width
	inv := 1 / width
	t0 -= float64(1.2*c.reach)/s.air.c + 1
	bins := int((t1-t0)/width) + 3
	votes := make([]int16, bins+2)
	best := map[block]candidate{}
	span := float64(blockCells * g.size / s.air.c)
	for cell := range g.cols * g.rows {
		x, y := g.centre(cell)
		n := 0
		first, last := bins, -1
		for i := range vs {
			v := &vs[i]
			dx, dy := v.x-x, v.y-y
			r2 := sq(dx) + sq(dy)
			if r2 > v.reach2 {
				continue
			}
			r := math.Sqrt(r2)
			n++
			shift := r/s.air.c + t0
			base := g.tolerance(0, r)
			open := -1 // last bin this sensor has voted for: it has one vote a bin
			hs := v.h[:len(v.t)]
			for k, t := range v.t {
				b, h := t-shift, base+hs[k]
				lo, hi := int(float64((b-h)*inv)), int(float64((b+h)*inv))
				lo, hi = max(lo, open+1), min(hi, bins-1)
				if lo > hi {
					continue
				}
				if open < 0 {
					first = min(first, lo)
				}
				open = hi
				votes[lo]++
				votes[hi+1]--
			}
			last = max(last, open)
		}
		if last < 0 {
			continue
		}
		if n < need {
			clear(votes[first : last+2])
			continue
		}
		var sum int16
		rising := true
		var prev int16
		for b := first; b <= last+1; b++ {
			sum += votes[b]
			votes[b] = 0
			if sum < prev && rising && int(prev) >= need {
				c := candidate{bound: int(prev), cell: cell, t: t0 + mul(float64(b)-0.5, width)}
				at := block{cell / g.cols / blockCells, cell % g.cols / blockCells, int((c.t - t0) / span)}
				if old, ok := best[at]; !ok || c.before(old) {
					best[at] = c
				}
			}
			if sum != prev {
				rising = sum > prev
			}
			prev = sum
		}
	}
	out := make([]candidate, 0, len(best))
	for _, c := range best { // sorted below, by a total order
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b candidate) int {
		switch {
		case a.before(b):
			return -1
		case b.before(a):
			return 1
		}
		return 0
	})
	return out
}

// gather lists, by sensor, the free arrivals that may belong to an event within half a cell of a place and time, and
// counts the sensors that have one.
func (g *grid) gather(x, y, t float64, free []bool, impact bool) (set []int, sensors int) {
	s, width := g.s, g.width
	for _, i := range g.c.sensors {
		sn := &s.sensors[i]
		if len(sn.picks) == 0 {
			continue
		}
		r := math.Sqrt(sq(sn.at[0]-x) + sq(sn.at[1]-y))
		if r > sn.reach {
			continue
		}
		want := t + r/s.air.c
		k, _ := slices.BinarySearchFunc(sn.picks, want-float64(2*g.tolerance(g.sigma, r))-width-1, func(p int, t float64) int {
			return cmp.Compare(s.picks[p].t, t)
		})
		got := false
		for ; k < len(sn.picks); k++ {
			p := sn.picks[k]
			h := g.tolerance(s.picks[p].sigma, r) + width
			d := s.picks[p].t - want
			if d > h+2 {
				break
			}
			if free[p] && s.picks[p].impact == impact && d >= -h && d <= h {
				set = append(set, p)
				got = true
			}
		}
		if got {
			sensors++
		}
	}
	return set, sensors
}
