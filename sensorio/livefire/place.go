package livefire

import (
	"math"

	"truceline/treaty"
)

// Placement lays local metres on the Earth.
type Placement struct {
	// Anchor is where Origin comes to lie.
	Anchor treaty.Position `json:"anchor"`
	// Origin is the local point, such as the surveyed shooter.
	Origin Point `json:"origin"`
	// RotateDeg turns the plan clockwise about Origin.
	RotateDeg float64 `json:"rotate_deg,omitempty"`
}

// WGS-84.
const (
	axis = 6378137.0
	ecc2 = 6.69437999014e-3
)

// Position is where a local point comes to lie: it is taken as east, north and up of a plane that touches the ellipsoid
// at the anchor, by way of Earth-centred coordinates, so that distances between the points are kept.
func (p Placement) Position(q Point) treaty.Position {
	s, c := math.Sincos(p.RotateDeg * math.Pi / 180)
	dx, dy, up := q.X-p.Origin.X, q.Y-p.Origin.Y, q.Z-p.Origin.Z
	east := float64(dx*c) + float64(dy*s)
	north := float64(dy*c) - float64(dx*s)
	return offset(p.Anchor, east, north, up)
}

// offset moves a position by metres in its own east-north-up frame.
func offset(a treaty.Position, east, north, up float64) treaty.Position {
	lat, lon := a.Degrees()
	sf, cf := math.Sincos(lat * math.Pi / 180)
	sl, cl := math.Sincos(lon * math.Pi / 180)
	h := float64(a.HAEmm) / 1000
	n := axis / math.Sqrt(1-ecc2*sf*sf)
	x := (n+h)*cf*cl - sl*east - sf*cl*north + cf*cl*up
	y := (n+h)*cf*sl + cl*east - sf*sl*north + cf*sl*up
	z := (n*(1-ecc2)+h)*sf + cf*north + sf*up
	// Back: a few rounds of the fixed point are exact to far below a millimetre this near the surface.
	r := math.Hypot(x, y)
	phi := math.Atan2(z, r*(1-ecc2))
	for range 6 {
		s := math.Sin(phi)
		phi = math.Atan2(z+ecc2*axis/math.Sqrt(1-ecc2*s*s)*s, r)
	}
	s, c := math.Sincos(phi)
	height := r*c + z*s - axis*math.Sqrt(1-ecc2*s*s)
	return treaty.Position{
		LatE7: int64(math.Round(phi * 180 / math.Pi * 1e7)),
		LonE7: int64(math.Round(math.Atan2(y, x) * 180 / math.Pi * 1e7)),
		HAEmm: int64(math.Round(height * 1000)),
	}
}

// Beside is the point that lies offM metres to the left of a line (to the right when negative), abreast of the middle of
// its segment i, at height haeMm. The left is Parties[0]'s side of an accord's line.
func Beside(line []treaty.Position, i int, offM float64, haeMm int64) treaty.Position {
	a, b := line[i], line[i+1]
	mid := treaty.Position{LatE7: (a.LatE7 + b.LatE7) / 2, LonE7: (a.LonE7 + b.LonE7) / 2, HAEmm: haeMm}
	lat, _ := mid.Degrees()
	east := float64(b.LonE7-a.LonE7) * math.Cos(lat*math.Pi/180)
	north := float64(b.LatE7 - a.LatE7)
	l := math.Hypot(east, north)
	return offset(mid, -north/l*offM, east/l*offM, 0)
}
