package attribution

import (
	"math"
	"slices"

	"truceline/treaty"
)

// airOf is the prior of the air from the sensors' own weather: the mean over nations of each nation's median, so that
// neither one nation's many sensors nor one broken thermometer decides.
func (j *Judge) airOf(ev []Evidence, keep func(treaty.Nation) bool) air {
	temps := map[treaty.Nation][]float64{}
	east := map[treaty.Nation][]float64{}
	north := map[treaty.Nation][]float64{}
	still := false // weather without a wind: a calm, or a thermometer alone
	for i := range ev {
		d := ev[i].Detection
		if d.Status == nil || !keep(ev[i].Nation) || !j.usable(d) {
			continue
		}
		n := ev[i].Nation
		if d.Status.HaveTemp {
			temps[n] = append(temps[n], float64(d.Status.TempMC)/1000)
		}
		if d.Status.HaveTemp && d.Status.WindFrom == nil && d.Status.WindMmS == 0 {
			still = true
		}
		if w := d.Status.WindFrom; w != nil {
			sa, ca := sincos(float64(w.Urad) / 1e6)
			v := float64(d.Status.WindMmS) / 1000
			east[n] = append(east[n], mul(-v, sa))
			north[n] = append(north[n], mul(-v, ca))
		}
	}
	a := air{speedSigma: j.p.SpeedSigma, windSigma: j.p.WindSigma}
	t, ok := medianOfMedians(temps)
	if ok {
		a.speedSigma = j.p.MetSpeedSigma
	} else {
		t = j.p.Temperature
		a.speedSigma = math.Sqrt(sq(j.p.SpeedSigma) + sq(0.02)) // 12 degrees either way
	}
	a.c = float64(331.3 * math.Sqrt(1+t/273.15))
	e, okE := medianOfMedians(east)
	n, okN := medianOfMedians(north)
	switch {
	case okE && okN:
		a.wind, a.windSigma = [2]float64{e, n}, j.p.MetWindSigma
	case still:
		a.windSigma = j.p.StillWindSigma
	}
	return a
}

func medianOfMedians(m map[treaty.Nation][]float64) (float64, bool) {
	var meds []float64
	for _, v := range m { // sorted below
		meds = append(meds, median(v))
	}
	return median(meds), len(meds) > 0
}

// median sorts v; of an even number it is the lower of the middle two. 0 of none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[(len(v)-1)/2]
}
