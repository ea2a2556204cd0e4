package attribution

import (
	"math"
	"testing"

	"truceline/treaty"
)

// TestFarWeapon catches a far gun being called a mortar, because it is faint, or a rocket, because it is long drawn out:
// what the way takes is between nothing and 3 dB a kilometre. Every other sensor knows a launch. The class is named
// rightly or not at all; guns and mortars mostly rightly when the way takes nothing.
func TestFarWeapon(t *testing.T) {
	j := judge(t, 6, nil)
	for _, k := range []source{
		{treaty.ClassArtillery, 181, 0.042, 15_000},
		{treaty.ClassMortar, 166, 0.019, 9_000},
		{treaty.ClassRocketArtillery, 178, 0.085, 15_000},
	} {
		for _, loss := range []float64{0, 1.5, 3} {
			right, vague := 0, 0
			n := scenes(t, 12)
			for seed := range n {
				w := newWorld(uint64(seed)+177, 6, 24, 16_000, 4_000)
				w.weather(15_000)
				x := (w.r.Float64() - 0.5) * 6_000
				w.shoot(x, 2500, 100, k, nil)
				w.carry(x, 2500, loss)
				for i := range w.ev {
					if d := w.ev[i].Detection; d.Arrival != nil && i%2 == 0 {
						d.Class = treaty.ClassLaunch
					}
				}
				for _, e := range j.Associate(w.ev) {
					a := j.Assess(w.ev, e)
					check(t, a)
					switch a.Class {
					case k.class:
						right++
					case treaty.ClassLaunch, treaty.ClassUndetermined:
						vague++
					default:
						t.Errorf("%v, %v dB/km, scene %d: called %v", k.class, loss, seed, a.Class)
					}
				}
			}
			t.Logf("%-17v %.1f dB/km: %d named, %d not", k.class, loss, right, vague)
			if loss == 0 && k.class != treaty.ClassRocketArtillery && right < n/2 {
				t.Errorf("%v: only %d of %d named", k.class, right, n)
			}
		}
	}
}

// TestPath catches a trend that is not taken out, one that is taken from a liar, and a spread that is not owned up to.
func TestPath(t *testing.T) {
	p := path{mean: -1.5, sigma: 1, scatter: 8}
	var honest []reading
	for i := range 12 {
		km := 1 + float64(i)/2
		honest = append(honest, reading{treaty.Nation([]string{"AUT", "BEL", "CZE", "DNK"}[i%4]), km, 120 - 2*(km-1)})
	}
	near := func(name string, rs []reading, value, off float64) feature {
		t.Helper()
		f := heard1km(rs, p)
		if !f.ok || math.Abs(f.value-value) > off {
			t.Errorf("%s: %.2f, want %.0f within %.1f", name, f.value, value, off)
		}
		return f
	}
	all := near("honest", honest, 120, 2)
	if one := near("one reading", honest[11:], 120-11+5.5*1.5, 0.1); one.sigma < 5 || all.sigma > 3 || all.sigma <= 0 {
		t.Errorf("one reading at 6.5 km is off by %.2f, all of them by %.2f", one.sigma, all.sigma)
	}
	liar := append([]reading{{"EST", 9, 400}}, honest...)
	near("with a liar", liar, 120, 10)
	if f := heard1km(nil, p); f.ok {
		t.Error("nothing was heard, and it says something")
	}
}

// carry takes from every arrival what the way takes: loss in dB a kilometre, and 5 % of lengthening.
func (w *world) carry(x, y, loss float64) {
	for i := range w.ev {
		d := w.ev[i].Detection
		if d.Arrival == nil {
			continue
		}
		v := w.fr.local(d.Pose.Position)
		km := math.Hypot(v[0]-x, v[1]-y) / 1000
		d.Arrival.AmplitudeMB -= int64(100 * loss * km)
		d.Arrival.PeriodUs = int64(float64(d.Arrival.PeriodUs) * (1 + 0.05*km))
	}
}
