package attribution

import (
	"math"
	"slices"
	"testing"
	"time"

	"truceline/treaty"
)

// TestLineHour catches an association that works in a city only: an hour of a 100 km line of 60 stations, 400 events,
// 30 % false picks, with weather. Wanted are the events that at least five sensors heard.
func TestLineHour(t *testing.T) {
	events := 400
	if testing.Short() {
		events = 100
	}
	j := judge(t, 7, nil)
	w := newWorld(3, 7, 60, 100_000, 6_000)
	w.weather(15_000)
	type shot struct {
		x, y float64
		t    treaty.Time
		n    int
	}
	var truth []shot
	n := 0
	for range events {
		x, y, at := (w.r.Float64()-0.5)*100_000, (w.r.Float64()*2-1)*8_000, w.r.Float64()*3600
		k := w.shoot(x, y, at, howitzer, nil)
		truth = append(truth, shot{x, y, w.start + treaty.Time(at*1e9), k})
		n += k
	}
	w.clutter(n*3/7, 3600)
	es := j.Associate(w.ev)
	hit, wanted, extra := 0, 0, 0
	used := make([]bool, len(truth))
	var errs []float64
	in95 := 0
	for _, e := range es {
		v := w.fr.local(e.Position)
		best := -1
		for k := range truth {
			d := math.Hypot(v[0]-truth[k].x, v[1]-truth[k].y)
			if !used[k] && d < 1500 && within(truth[k].t, e.Time, 3*time.Second) {
				best = k
				break
			}
		}
		if best < 0 {
			extra++
			dt, at := time.Duration(1<<62), 0
			for k := range truth {
				if x := e.Time.Sub(truth[k].t); x.Abs() < dt.Abs() {
					dt, at = x, k
				}
			}
			t.Logf("extra %.0f,%.0f score %.1f members %d misfit %.1f sigma %.0f; nearest in time %v: %.0f,%.0f n %d", v[0], v[1], e.Score, len(e.Members), e.Misfit, math.Sqrt(float64(e.Covariance.EE+e.Covariance.NN))/1e3, dt, truth[at].x, truth[at].y, truth[at].n)
			continue
		}
		used[best] = true
		dx, dy := v[0]-truth[best].x, v[1]-truth[best].y
		errs = append(errs, math.Hypot(dx, dy))
		ee, en, nn := float64(e.Covariance.EE)/1e6, float64(e.Covariance.EN)/1e6, float64(e.Covariance.NN)/1e6
		if (nn*dx*dx-2*en*dx*dy+ee*dy*dy)/(ee*nn-en*en) < 5.991 {
			in95++
		}
	}
	for k := range truth {
		if truth[k].n >= 5 {
			wanted++
			if used[k] {
				hit++
			} else {
				t.Logf("missed %.0f,%.0f at %v, heard by %d", truth[k].x, truth[k].y, truth[k].t.Sub(w.start), truth[k].n)
			}
		}
	}
	slices.Sort(errs)
	recall, precision := float64(hit)/float64(wanted), float64(len(errs))/float64(len(es))
	f1 := 2 * recall * precision / (recall + precision)
	t.Logf("%d arrivals, %d events, %d wanted, %d found, %d extra: F1 %.3f, error median %.0f m, 90 %% %.0f m, %.1f %% inside the 95 %% ellipse",
		n*10/7, events, wanted, hit, extra, f1, errs[len(errs)/2], errs[len(errs)*9/10], 100*float64(in95)/float64(len(errs)))
	if f1 < 0.98 {
		t.Errorf("F1 %.3f, want at least 0.98", f1)
	}
	if c := float64(in95) / float64(len(errs)); c < 0.90 || c > 0.995 {
		t.Errorf("%.3f of the events lie inside their 95 %% ellipse, want 0.90 to 0.99", c)
	}
}
