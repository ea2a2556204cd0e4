package attribution

import (
	"math"

	"truceline/treaty"
)

// reading is what one sensor measured of a feature of the sound, and how far from the source, kilometres.
type reading struct {
	nation treaty.Nation
	km     float64
	value  float64
}

// feature is what all sensors' readings say of it at 1 km, and how unsure the way leaves that.
type feature struct {
	value, sigma float64
	ok           bool
}

// path is what the way adds to a feature, a kilometre: a prior, and how much readings scatter around the trend.
type path struct{ mean, sigma, scatter float64 }

// What the way does beyond spreading. Levels: the air takes 0.1 dB/km at 50 Hz, 10 C and 70 % humidity, 0.02 at 20 Hz (ISO
// 9613-1); ground, wind and turbulence take more, 1 to 3 dB/km over open country (blast noise is found to fall by 7 to 9
// dB with every doubling of the distance, where spreading alone makes 6). Periods grow, as a strong wave's front outruns
// its tail and the air takes the high notes first: by a tenth to a half over 10 km, here in decimal logarithms.
var (
	levelPath  = path{mean: -1.5, sigma: 1, scatter: 8}
	periodPath = path{mean: 0.015, sigma: 0.01, scatter: 0.15}
)

// heard1km takes the trend with distance out of the readings: its slope is the path's prior, improved by the readings
// themselves, within two sigmas of that prior, so that a liar cannot turn it far. Then each nation speaks with its median.
func heard1km(rs []reading, p path) feature {
	if len(rs) == 0 {
		return feature{}
	}
	n := float64(len(rs))
	var km, mean float64
	for _, r := range rs {
		km, mean = km+r.km/n, mean+r.value/n
	}
	slope, sigma := p.mean, p.sigma
	if p.sigma > 0 {
		var xx, xy float64
		for _, r := range rs {
			xx += sq(r.km - km)
			xy += mul(r.km-km, r.value-mean)
		}
		weight := xx/sq(p.scatter) + 1/sq(p.sigma)
		slope = (xy/sq(p.scatter) + p.mean/sq(p.sigma)) / weight
		slope = min(max(slope, p.mean-float64(2*p.sigma)), p.mean+float64(2*p.sigma))
		sigma = 1 / math.Sqrt(weight)
	}
	at := map[treaty.Nation][]float64{}
	var far []float64
	for _, r := range rs {
		at[r.nation] = append(at[r.nation], r.value-mul(slope, r.km-1))
		far = append(far, math.Abs(r.km-1))
	}
	value, _ := medianOfMedians(at)
	return feature{value, mul(sigma, median(far)), true}
}
