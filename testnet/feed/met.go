package feed

import (
	"math"
	"time"
)

// Met is the air from At on, changing evenly to the next entry. Wind is measured at 2 m, as the sensors do; sound over
// kilometres travels mostly higher up, where there is more of it.
type Met struct {
	At          time.Duration `yaml:"at"`
	TempC       float64       `yaml:"temp_c"`
	WindMS      float64       `yaml:"wind_ms"`
	WindFromDeg float64       `yaml:"wind_from_deg"`
	Shear       float64       `yaml:"shear"`
	VeerDeg     float64       `yaml:"veer_deg"`
	InversionK  float64       `yaml:"inversion_k"`
	InversionM  float64       `yaml:"inversion_m"`
}

const (
	deg      = math.Pi / 180
	lowest   = 0.5 // no path runs lower over the ground than this, m
	jetM     = 300 // the wind grows no more above this, m
	windM    = 2   // where sensors measure it, m
	lapseKpM = 0.0065
)

// soundSpeed is that of dry air, m/s: the ideal gas law with gamma 1.4 and 287.05 J/(kg K).
func soundSpeed(tempC float64) float64 { return math.Sqrt(1.4 * 287.05 * (tempC + 273.15)) }

// air is the state at one moment.
func (s *Scenario) air(at time.Duration) Met {
	i := 0
	for i+1 < len(s.Met) && s.Met[i+1].At <= at {
		i++
	}
	a := s.Met[i]
	if i+1 == len(s.Met) {
		return a
	}
	b := s.Met[i+1]
	f := float64(at-a.At) / float64(b.At-a.At)
	mix := func(x, y float64) float64 { return x + f*(y-x) }
	turn := math.Remainder(b.WindFromDeg-a.WindFromDeg, 360)
	return Met{
		At: at, TempC: mix(a.TempC, b.TempC), WindMS: mix(a.WindMS, b.WindMS),
		WindFromDeg: a.WindFromDeg + f*turn, Shear: mix(a.Shear, b.Shear), VeerDeg: mix(a.VeerDeg, b.VeerDeg),
		InversionK: mix(a.InversionK, b.InversionK), InversionM: mix(a.InversionM, b.InversionM),
	}
}

// temp is the temperature at z metres above the ground.
func (m Met) temp(z float64) float64 {
	if m.InversionK == 0 {
		return m.TempC - lapseKpM*z
	}
	if z < m.InversionM {
		return m.TempC + m.InversionK*z/m.InversionM
	}
	return m.TempC + m.InversionK - lapseKpM*(z-m.InversionM)
}

// wind is where the air moves to at height z, m/s east and north.
func (m Met) wind(z float64) (e, n float64) {
	z = min(max(z, lowest), jetM)
	u := m.WindMS * math.Pow(z/windM, m.Shear)
	to := (m.WindFromDeg + 180 + m.VeerDeg*z/100) * deg
	return u * math.Sin(to), u * math.Cos(to)
}

// travel is how long sound needs over d metres of ground towards azimuth az (radians), from zs to zr metres above it.
// By Fermat's principle it takes, of the arcs between the two, the fastest: downwind and under an inversion one that
// climbs into the faster air, upwind the one along the ground, by which a creeping wave reaches into the shadow.
func (m Met) travel(d, az, zs, zr float64) float64 {
	se, sn := math.Sin(az), math.Cos(az)
	const steps = 24
	along := func(h float64) float64 {
		t, prev := 0.0, zs
		for i := range steps {
			x := float64(i+1) / steps
			z := zs + (zr-zs)*x + 4*h*x*(1-x)
			mid := max((z+prev)/2, lowest)
			we, wn := m.wind(mid)
			dx, dz := d/steps, z-prev
			ds := math.Hypot(dx, dz)
			t += ds / (soundSpeed(m.temp(mid)) + (we*se+wn*sn)*dx/ds)
			prev = z
		}
		return t
	}
	// Golden section over the height of the arc; the time is a smooth valley in it.
	const g = 0.6180339887498949
	lo, hi := 0.0, 0.12*d
	a, b := hi-g*(hi-lo), lo+g*(hi-lo)
	fa, fb := along(a), along(b)
	for range 28 {
		if fa < fb {
			hi, b, fb = b, a, fa
			a = hi - g*(hi-lo)
			fa = along(a)
		} else {
			lo, a, fa = a, b, fb
			b = lo + g*(hi-lo)
			fb = along(b)
		}
	}
	return min(along(0), fa, fb)
}

// bend is how much faster the air is at 50 m than at 2 m for sound going towards az, m/s: above 0 sound is bent
// down to the ground, below 0 away from it.
func (m Met) bend(az float64) float64 {
	eff := func(z float64) float64 {
		e, n := m.wind(z)
		return soundSpeed(m.temp(z)) + e*math.Sin(az) + n*math.Cos(az)
	}
	return eff(50) - eff(windM)
}
