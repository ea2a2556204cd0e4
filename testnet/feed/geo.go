package feed

import (
	"math"

	"truceline/treaty"
)

// WGS-84.
const (
	wgsA  = 6378137.0
	wgsE2 = 6.69437999014e-3
)

// vec is metres: in a plane east and north, or earth-centred.
type vec struct{ x, y, z float64 }

// at is the place of a point of the plane around the terms' place. The plane only says where things were put; what
// is measured between them (offset) is measured on the ellipsoid.
func (t *Terms) at(p vec) treaty.Position {
	lat0 := t.Place.Lat * deg
	s := math.Sin(lat0)
	w := 1 - wgsE2*s*s
	lat := lat0 + p.y/(wgsA*(1-wgsE2)/(w*math.Sqrt(w)))
	s = math.Sin(lat)
	lon := t.Place.Lon*deg + p.x/(wgsA/math.Sqrt(1-wgsE2*s*s)*math.Cos(lat))
	return treaty.Position{
		LatE7: int64(math.Round(lat / deg * 1e7)), LonE7: int64(math.Round(lon / deg * 1e7)),
		HAEmm: int64(math.Round((t.HeightM + p.z) * 1000)),
	}
}

func ecef(p treaty.Position) vec {
	lat, lon := p.Degrees()
	sl, cl := math.Sincos(lat * deg)
	so, co := math.Sincos(lon * deg)
	h := float64(p.HAEmm) / 1000
	n := wgsA / math.Sqrt(1-wgsE2*sl*sl)
	return vec{(n + h) * cl * co, (n + h) * cl * so, (n*(1-wgsE2) + h) * sl}
}

// offset is where b lies from a, metres east, north and up at a.
func offset(a, b treaty.Position) vec {
	p, q := ecef(a), ecef(b)
	dx, dy, dz := q.x-p.x, q.y-p.y, q.z-p.z
	lat, lon := a.Degrees()
	sl, cl := math.Sincos(lat * deg)
	so, co := math.Sincos(lon * deg)
	return vec{
		-so*dx + co*dy,
		-sl*co*dx - sl*so*dy + cl*dz,
		cl*co*dx + cl*so*dy + sl*dz,
	}
}

// put is the point along km from the line's beginning and off metres to its left, in the plane.
func (t *Terms) put(alongKm, off float64) vec {
	left := alongKm * 1000
	for i := 1; i < len(t.LineKm); i++ {
		a, b := t.LineKm[i-1], t.LineKm[i]
		dx, dy := (b[0]-a[0])*1000, (b[1]-a[1])*1000
		l := math.Hypot(dx, dy)
		if left > l && i+1 < len(t.LineKm) {
			left -= l
			continue
		}
		f := left / l
		return vec{a[0]*1000 + f*dx - off*dy/l, a[1]*1000 + f*dy + off*dx/l, 0}
	}
	return vec{}
}

// onSide turns metres from the line on a side into metres to the left.
func (t *Terms) onSide(side string, off float64) float64 {
	if t.side(side) == 1 {
		return -off
	}
	return off
}

func (t *Terms) line() []treaty.Position {
	var v []treaty.Position
	for _, p := range t.LineKm {
		v = append(v, t.at(vec{p[0] * 1000, p[1] * 1000, 0}))
	}
	return v
}

// fromLine is the distance of p from a line, m.
func fromLine(p treaty.Position, line []treaty.Position) float64 {
	best := math.Inf(1)
	for i := 1; i < len(line); i++ {
		a, b := offset(p, line[i-1]), offset(p, line[i])
		dx, dy := b.x-a.x, b.y-a.y
		f := min(1, max(0, -(a.x*dx+a.y*dy)/(dx*dx+dy*dy)))
		best = min(best, math.Hypot(a.x+f*dx, a.y+f*dy))
	}
	return best
}
