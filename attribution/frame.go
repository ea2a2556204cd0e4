package attribution

import (
	"math"

	"truceline/treaty"
)

// vec is a point or vector in metres.
type vec [3]float64

func (a vec) sub(b vec) vec { return vec{a[0] - b[0], a[1] - b[1], a[2] - b[2]} }

func (a vec) dot(b vec) float64 { return mul(a[0], b[0]) + mul(a[1], b[1]) + mul(a[2], b[2]) }

const (
	wgsA  = 6_378_137.0
	wgsE2 = 6.69437999014131699614e-03
	rad   = math.Pi / 180
)

// ecef is a WGS-84 position in earth-centred coordinates.
func ecef(p treaty.Position) vec {
	lat, lon := p.Degrees()
	return ecefOf(mul(lat, rad), mul(lon, rad), float64(p.HAEmm)/1000)
}

func ecefOf(lat, lon, h float64) vec {
	sf, cf := sincos(lat)
	sl, cl := sincos(lon)
	n := wgsA / math.Sqrt(1-mul(wgsE2, sq(sf)))
	return vec{float64((n + h) * cf * cl), float64((n + h) * cf * sl), float64((mul(n, 1-wgsE2) + h) * sf)}
}

// frame is a local plane: east, north and up at an anchor. Distances in it are exact, because up is kept.
type frame struct {
	origin vec
	lat    float64
	lon    float64
	h      float64
	e      vec
	n      vec
	u      vec
}

func newFrame(p treaty.Position) frame {
	lat, lon := p.Degrees()
	f := frame{origin: ecef(p), lat: mul(lat, rad), lon: mul(lon, rad), h: float64(p.HAEmm) / 1000}
	sf, cf := sincos(f.lat)
	sl, cl := sincos(f.lon)
	f.e = vec{-sl, cl, 0}
	f.n = vec{mul(-sf, cl), mul(-sf, sl), cf}
	f.u = vec{mul(cf, cl), mul(cf, sl), sf}
	return f
}

func (f *frame) fromECEF(q vec) vec {
	d := q.sub(f.origin)
	return vec{d.dot(f.e), d.dot(f.n), d.dot(f.u)}
}

func (f *frame) local(p treaty.Position) vec { return f.fromECEF(ecef(p)) }

// position is the geodetic position of a local point: three Newton steps from the anchor, each shrinking the error by
// the curvature (1e-3 or better per 10 km), so 1 mm within a few hundred kilometres.
func (f *frame) position(v vec) treaty.Position {
	target := f.origin
	for i := range 3 {
		target[i] += mul(v[0], f.e[i]) + mul(v[1], f.n[i]) + mul(v[2], f.u[i])
	}
	lat, lon, h := f.lat, f.lon, f.h
	for range 6 {
		sf, cf := sincos(lat)
		sl, cl := sincos(lon)
		d := target.sub(ecefOf(lat, lon, h))
		w := 1 - mul(wgsE2, sq(sf))
		n := wgsA / math.Sqrt(w)
		m := mul(n, 1-wgsE2) / w
		e := mul(-sl, d[0]) + mul(cl, d[1])
		no := float64(-sf*cl*d[0]) - float64(sf*sl*d[1]) + mul(cf, d[2])
		up := float64(cf*cl*d[0]) + float64(cf*sl*d[1]) + mul(sf, d[2])
		lat += no / (m + h)
		lon += e / float64((n+h)*cf)
		h += up
	}
	return treaty.Position{
		LatE7: round(float64(lat / rad * 1e7)), LonE7: round(float64(lon / rad * 1e7)), HAEmm: round(float64(h * 1000)),
	}
}

// round is to the nearest integer, halves away from zero.
func round(x float64) int64 { return int64(math.Round(x)) }

// ppm rounds a probability to millionths, clamped to [0, 1], without a product that could be fused with the rounding.
func ppm(p float64) treaty.PPM {
	return treaty.PPM(round(min(max(float64(p*float64(treaty.Certain)), 0), float64(treaty.Certain))))
}
