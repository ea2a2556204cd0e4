package attribution

import (
	"math"
	"math/bits"
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
func (a *candidate) before(b *candidate) bool {
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
	set   []int   // of the last gather
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

// blockCells is the side of a block, a neighbourhood in place and time. Neighbouring cells mostly hold the same arrivals,
// so a sweep keeps the best candidate of each block; search sweeps again for what stood in its shadow.
const blockCells = 2

// voter is a sensor in a sweep: the times of what it may still vote with, and the parts of their tolerances that do not
// depend on the cell.
type voter struct {
	x, y, reach2 float64
	t, h         []float64
}

// voters packs what may vote, and says between which times.
func (g *grid) voters(free []bool, impact bool) (vs []voter, first, last float64) {
	first, last = math.Inf(1), math.Inf(-1)
	for _, i := range g.c.sensors {
		sn := &g.s.sensors[i]
		v := voter{x: sn.at[0], y: sn.at[1], reach2: sq(sn.reach)}
		for _, p := range sn.picks {
			if k := &g.s.picks[p]; free[p] && k.impact == impact {
				v.t, v.h = append(v.t, k.t), append(v.h, mul(g.tolA, k.sigma))
				first, last = min(first, k.t), max(last, k.t)
			}
		}
		if len(v.t) > 0 {
			vs = append(vs, v)
		}
	}
	return vs, first, last
}

// ballot counts votes by bin of origin time. It keeps only where the count changes, and which bins those are: most bins
// of most cells are empty.
type ballot struct {
	change []int16
	marks  []uint64
}

func (b *ballot) add(bin int, v int16) {
	b.change[bin] += v
	b.marks[bin>>6] |= 1 << (bin & 63)
}

// sweep finds every cell and time with at least need arrivals. The count is an upper bound on the sensors of any event
// inside the cell: arrivals vote for every origin time that their tolerance allows.
func (g *grid) sweep(need int, free []bool, impact bool) []candidate {
	vs, t0, t1 := g.voters(free, impact)
	if len(vs) < need {
		return nil
	}
	speed := g.s.air.c
	g.width = max(g.half/speed+float64(3*g.sigma), (t1-t0)/(1<<17))
	g.width /= 2
	inv := 1 / g.width
	t0 -= float64(1.2*g.c.reach)/speed + 1
	bins := int((t1-t0)/g.width) + 3
	votes := ballot{make([]int16, bins+2), make([]uint64, (bins+2)/64+1)}
	best := map[uint64]candidate{} // by block
	span := float64(blockCells * g.size / speed)
	spans := uint64(float64(float64(bins)*g.width)/span) + 2
	type hearer struct {
		v *voter
		r float64
	}
	near := make([]hearer, 0, len(vs))
	for cell := range g.cols * g.rows {
		x, y := g.centre(cell)
		near = near[:0]
		for i := range vs {
			v := &vs[i]
			if r2 := sq(v.x-x) + sq(v.y-y); r2 <= v.reach2 {
				near = append(near, hearer{v, r2})
			}
		}
		if len(near) < need {
			continue
		}
		first, last := bins, -1
		for _, n := range near {
			v, r := n.v, math.Sqrt(n.r)
			shift := r/speed + t0
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
				votes.add(lo, 1)
				votes.add(hi+1, -1)
			}
			last = max(last, open)
		}
		if last < 0 {
			continue
		}
		row, col := uint64(cell/g.cols/blockCells), uint64(cell%g.cols/blockCells)
		sum, rising := 0, true
		for w := first >> 6; w <= (last+1)>>6; w++ {
			for m := votes.marks[w]; m != 0; m &= m - 1 {
				b := w<<6 | bits.TrailingZeros64(m)
				change := int(votes.change[b])
				votes.change[b] = 0
				if change == 0 {
					continue
				}
				if change < 0 && rising && sum >= need {
					c := candidate{bound: sum, cell: cell, t: t0 + mul(float64(b)-0.5, g.width)}
					at := uint64((row<<32|col)*spans) + uint64(int((c.t-t0)/span))
					if old, ok := best[at]; !ok || c.before(&old) {
						best[at] = c
					}
				}
				sum, rising = sum+change, change > 0
			}
			votes.marks[w] = 0
		}
	}
	out := make([]candidate, 0, len(best))
	for _, c := range best { // sorted below, by a total order
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b candidate) int {
		switch {
		case a.bound != b.bound:
			return b.bound - a.bound
		case a.t < b.t:
			return -1
		case a.t > b.t:
			return 1
		}
		return a.cell - b.cell
	})
	return out
}

// gather lists, by sensor, the free arrivals that may belong to an event within half a cell of a place and time, and
// counts the sensors that have one. The list is the caller's until the next call.
func (g *grid) gather(x, y, t float64, free []bool, impact bool) (set []int, sensors int) {
	s := g.s
	set = g.set[:0]
	cell := g.half / s.air.c
	for _, i := range g.c.sensors {
		sn := &s.sensors[i]
		if len(sn.picks) == 0 {
			continue
		}
		r := math.Sqrt(sq(sn.at[0]-x) + sq(sn.at[1]-y))
		if r > sn.reach {
			continue
		}
		travel := r / s.air.c
		want, far := t+travel, mul(g.tolB, travel)
		widest := cell + mul(g.tolA, sn.sigma) + far + g.width
		had := len(set)
		for k := lowerBound(sn.times, want-widest); k < len(sn.times); k++ {
			d := sn.times[k] - want
			if d > widest {
				break
			}
			p := sn.picks[k]
			h := cell + mul(g.tolA, s.picks[p].sigma) + far + g.width
			if free[p] && s.picks[p].impact == impact && d >= -h && d <= h {
				set = append(set, p)
			}
		}
		if len(set) > had {
			sensors++
		}
	}
	g.set = set
	return set, sensors
}

// lowerBound is the index of the first of rising times that is not below t.
func lowerBound(times []float64, t float64) int {
	lo, hi := 0, len(times)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if times[mid] < t {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}
