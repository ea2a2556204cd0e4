package attribution

import (
	"math"

	"truceline/treaty"
)

// point is a place in the plane at an event, in whole millimetres: geometry on it is exact.
type point struct{ x, y int64 }

// farMm bounds the plane, 1,000 km: products of differences stay below 2^63.
const farMm = 1_000_000_000

func (j *Judge) flatten(f *frame, vs []vec) []point {
	out := make([]point, len(vs))
	for i, v := range vs {
		q := f.fromECEF(v)
		lim := func(m float64) int64 { return round(min(max(float64(m*1000), -farMm), farMm)) }
		out[i] = point{lim(q[0]), lim(q[1])}
	}
	return out
}

// cross is twice the area of the triangle a, b, p: positive when p lies left of the way from a to b.
func cross(a, b, p point) int64 {
	return int64((b.x-a.x)*(p.y-a.y)) - int64((b.y-a.y)*(p.x-a.x))
}

// segment is one stretch of a line in force.
type segment struct {
	a, b  point
	sigma float64 // of the drawn line, metres
}

// area is a zone in force.
type area struct {
	zone *treaty.Zone
	ring []point
}

// ground is what the accord draws on the land around one event, at its time.
type ground struct {
	segments []segment
	areas    map[string]area
}

// inForce says whether t lies in [from, until).
func inForce(from, until, t treaty.Time) bool { return t >= from && (until == 0 || t < until) }

func (j *Judge) groundAt(f *frame, t treaty.Time) *ground {
	g := &ground{areas: map[string]area{}}
	for i := range j.accord.Lines {
		l := &j.accord.Lines[i]
		if !inForce(l.From, l.Until, t) {
			continue
		}
		ps := j.flatten(f, j.lines[i])
		for k := 1; k < len(ps); k++ {
			if ps[k-1] != ps[k] {
				g.segments = append(g.segments, segment{ps[k-1], ps[k], float64(l.SigmaMm) / 1000})
			}
		}
	}
	for i := range j.accord.Zones {
		z := &j.accord.Zones[i]
		if inForce(z.From, z.Until, t) {
			g.areas[z.ID] = area{z, j.flatten(f, j.rings[i])}
		}
	}
	return g
}

// distance is how far p is from a segment, and from the segment's whole straight line (both in metres, squared).
func (s *segment) distance(p point) (d2, off2 float64) {
	ax, ay := float64(p.x-s.a.x)/1000, float64(p.y-s.a.y)/1000
	bx, by := float64(s.b.x-s.a.x)/1000, float64(s.b.y-s.a.y)/1000
	l2 := sq(bx) + sq(by)
	t := (mul(ax, bx) + mul(ay, by)) / l2
	off2 = sq(mul(ax, by)-mul(ay, bx)) / l2
	u := min(1, max(0, t))
	return sq(ax-mul(u, bx)) + sq(ay-mul(u, by)), off2
}

// near keeps the segments that could be nearest to anything within radius metres of p.
func (g *ground) near(p point, radius float64) *ground {
	best := math.Inf(1)
	d := make([]float64, len(g.segments))
	for i := range g.segments {
		d2, _ := g.segments[i].distance(p)
		d[i] = math.Sqrt(d2)
		best = min(best, d[i])
	}
	out := &ground{areas: g.areas}
	for i := range g.segments {
		if d[i] <= best+float64(2*radius)+1 {
			out.segments = append(out.segments, g.segments[i])
		}
	}
	return out
}

// side is the signed distance to the nearest line, metres, positive on its left, and that line's sigma. Where the
// nearest point is a corner, the segment that p is further off decides: the side is then right for every angle.
func (g *ground) side(p point) (dist, sigma float64, ok bool) {
	best, bestOff := math.Inf(1), 0.0
	var at *segment
	for i := range g.segments {
		s := &g.segments[i]
		d2, off2 := s.distance(p)
		tie := math.Abs(d2-best) <= mul(1e-9, best)+1e-9
		if !tie && d2 < best || tie && off2 > bestOff {
			best, bestOff, at = min(best, d2), off2, s
		}
	}
	if at == nil {
		return 0, 0, false
	}
	dist = math.Sqrt(best)
	if cross(at.a, at.b, p) < 0 {
		dist = -dist
	}
	return dist, at.sigma, true
}

// inside says whether p lies in a closed ring: exact crossing number, the boundary's lower and left edges belong to it.
func inside(ring []point, p point) bool {
	in := false
	for i := 1; i < len(ring); i++ {
		a, b := ring[i-1], ring[i]
		if (a.y > p.y) == (b.y > p.y) {
			continue
		}
		c := cross(a, b, p)
		if b.y > a.y && c > 0 || b.y < a.y && c < 0 {
			in = !in
		}
	}
	return in
}

// The lattice with which a Gaussian is integrated: rings of equal probability, each with evenly turned points.
const (
	latticeRings = 24
	latticeTurns = 16
	turnStep     = 2 * math.Pi / latticeTurns
)

// spot is one point of a posterior: where, how likely, and how likely each side holds it.
type spot struct {
	p      point
	weight float64
	odds   [3]float64 // Parties[0], Parties[1], neither
	dist   float64    // to the nearest line, metres, unsigned
	lined  bool
}

// spots spreads the lattice over every mode of a posterior and reads the map at each point.
func (s *scene) spots(modes []mode, f *frame, g *ground) []spot {
	var out []spot
	for i := range modes {
		m := &modes[i]
		c := f.local(s.placeOf(&m.v))
		// Cholesky factor of the 2x2 covariance.
		l11 := math.Sqrt(max(m.cov[0][0], 1e-9))
		l21 := m.cov[0][1] / l11
		l22 := math.Sqrt(max(m.cov[1][1]-sq(l21), 1e-9))
		mid := point{round(float64(c[0] * 1000)), round(float64(c[1] * 1000))}
		near := g.near(mid, float64(4*math.Sqrt(m.cov[0][0]+m.cov[1][1])))
		w := m.weight / (latticeRings * latticeTurns)
		for r := range latticeRings {
			q := (float64(r) + 0.5) / latticeRings
			rho := math.Sqrt(float64(-2 * log(1-q)))
			for k := range latticeTurns {
				turn := float64((float64(k) + float64(float64(r%2)/2)) * turnStep)
				sa, ca := sincos(turn)
				a, b := mul(rho, ca), mul(rho, sa)
				p := point{mid.x + round(float64(l11*a*1000)), mid.y + round(float64((mul(l21, a)+mul(l22, b))*1000))}
				out = append(out, near.read(p, w))
			}
		}
	}
	return out
}

// read is what the map says about one point.
func (g *ground) read(p point, w float64) spot {
	s := spot{p: p, weight: w}
	d, sigma, ok := g.side(p)
	s.dist, s.lined = math.Abs(d), ok
	switch {
	case !ok, g.neutral(p):
		s.odds[2] = 1
	default:
		a := phi(d / max(sigma, 1e-3))
		s.odds[0], s.odds[1] = a, 1-a
	}
	return s
}

// neutral says whether a point lies in a buffer zone.
func (g *ground) neutral(p point) bool {
	for _, a := range g.areas { // any of them: the order does not matter
		if a.zone.Kind == treaty.ZoneBuffer && inside(a.ring, p) {
			return true
		}
	}
	return false
}

// control sums a posterior's spots into odds that add up to exactly treaty.Certain.
func control(spots []spot) treaty.PartyOdds {
	var sum [3]float64
	for i := range spots {
		for k := range sum {
			sum[k] += mul(spots[i].weight, spots[i].odds[k])
		}
	}
	a := ppm(sum[0])
	b := min(ppm(sum[1]), treaty.Certain-a)
	n := treaty.Certain - a - b
	if sum[2] == 0 { // rounding must not invent a third side
		b, n = treaty.Certain-a, 0
	}
	return treaty.PartyOdds{A: a, B: b, Neither: n}
}
