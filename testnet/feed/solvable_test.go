package feed

import (
	"math"
	"slices"
	"testing"

	"truceline/treaty"
)

// arrivalOf is one arrival as a solver may use it: where its sensor says it stands, in metres from a point.
type arrivalOf struct {
	sensor   treaty.SensorID
	at       vec
	t, sigma float64
}

// near collects, for every sensor, the arrival nearest to what the truth and a straight ray would have it.
func near(night *Night, e Event, c float64) []arrivalOf {
	best := map[treaty.SensorID]arrivalOf{}
	gap := map[treaty.SensorID]float64{}
	for _, feed := range night.Feed {
		for _, f := range feed {
			d := f.Detection
			if d.Arrival == nil {
				continue
			}
			o := offset(e.Position, d.Pose.Position)
			t := d.Time.Value.Sub(e.Time).Seconds()
			g := math.Abs(t - math.Hypot(o.x, o.y)/c)
			if old, ok := gap[d.Sensor]; g < 1.2 && (!ok || g < old) {
				gap[d.Sensor] = g
				best[d.Sensor] = arrivalOf{d.Sensor, o, t, math.Hypot(float64(d.Time.SigmaNs)/1e9, 0.003*t)}
			}
		}
	}
	var out []arrivalOf
	for _, a := range best {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b arrivalOf) int {
		if a.sensor < b.sensor {
			return -1
		}
		return 1
	})
	return out
}

// straight is a plain solver of another make than attribution's: straight rays at one speed in one wind, both unknown
// within priors, robust weights. It returns how far from the truth it ends, and the weighted misfit.
func straight(as []arrivalOf, c float64) (east, north, misfit float64) {
	var s [5]float64 // x, y, t0, relative speed, wind east, wind north follows
	state := append(s[:], 0)
	for range 40 {
		var n [6][7]float64
		// Priors: 1 % of speed, 4 m/s of wind either way.
		for i, sd := range []float64{1e5, 1e5, 1e3, 0.01, 4, 4} {
			n[i][i] = 1 / (sd * sd)
			n[i][6] = -state[i] / (sd * sd)
		}
		misfit = 0
		for _, a := range as {
			dx, dy := a.at.x-state[0], a.at.y-state[1]
			r := math.Hypot(dx, dy)
			ux, uy := dx/r, dy/r
			v := c*(1+state[3]) + state[4]*ux + state[5]*uy
			z := (a.t - state[2] - r/v) / a.sigma
			w := 1 / (1 + z*z/16) / (a.sigma * a.sigma)
			misfit += z * z / (1 + z*z/16)
			j := []float64{-ux / v, -uy / v, 1, -r * c / (v * v), -r * ux / (v * v), -r * uy / (v * v)}
			for p := range 6 {
				for q := range 6 {
					n[p][q] += w * j[p] * j[q]
				}
				n[p][6] += w * j[p] * z * a.sigma
			}
		}
		for p := range 6 { // Gauss-Jordan; the priors keep it regular
			for q := range 6 {
				if q == p {
					continue
				}
				f := n[q][p] / n[p][p]
				for k := range 7 {
					n[q][k] -= f * n[p][k]
				}
			}
		}
		for p := range 6 {
			state[p] += n[p][6] / n[p][p]
		}
	}
	return state[0], state[1], misfit / float64(len(as))
}

// TestSolvable catches a night that no honest solver could judge, and one so smooth that it would judge itself: a plain
// robust fit must find the side of every clear breach that enough sensors heard, and must not fit to the noise alone.
func TestSolvable(t *testing.T) {
	var errors, misfits []float64
	for _, n := range []int{4, 7} {
		for seed := uint64(1); seed <= 3; seed++ {
			s := Default()
			s.Seed = seed
			night := play(t, s, n)
			for _, e := range night.Truth {
				if e.Expect != ExpectBreach || !e.Seeable() {
					continue
				}
				c := soundSpeed(s.air(e.Time.Std().Sub(s.Start)).TempC)
				as := near(night, e, c)
				if len(as) < 6 {
					continue // fewer arrivals than unknowns: an honest solver says INCONCLUSIVE
				}
				x, y, misfit := straight(as, c)
				d := math.Hypot(x, y)
				errors, misfits = append(errors, d), append(misfits, misfit)
				t.Logf("seed %d n %d %-5s %-10s %2d arrivals: %4.0f m off, misfit %.2f, line at %4.0f m", seed, n, e.ID, e.Kind, len(as), d, misfit, e.LineM)
				if d > 0.8*e.LineM {
					t.Errorf("%s, seed %d, %d nations: a plain fit of %d arrivals is %.0f m off, with the line at %.0f", e.ID, seed, n, len(as), d, e.LineM)
				}
			}
		}
	}
	slices.Sort(errors)
	slices.Sort(misfits)
	t.Logf("error median %.0f m, 95 %% %.0f m; misfit median %.2f", errors[len(errors)/2], errors[len(errors)*95/100], misfits[len(misfits)/2])
	if m := errors[len(errors)/2]; m < 2 || m > 150 {
		t.Errorf("the median error of a plain fit is %.0f m: too easy or too hard", m)
	}
}
