package attribution

import (
	"math"
	"slices"
	"testing"

	"truceline/treaty"
)

// TestKinds catches a classifier that blames the weather or a quarry, or calls a gun thunder: the usual sources at
// their usual levels and periods, sensors saying little.
func TestKinds(t *testing.T) {
	j := judge(t, 6, nil)
	for _, k := range []struct {
		source
		word treaty.EventClass
		fire bool
	}{
		{source{treaty.ClassArtillery, 181, 0.042, 15_000}, treaty.ClassLaunch, true},
		{source{treaty.ClassMortar, 166, 0.019, 9_000}, treaty.ClassLaunch, true},
		{source{treaty.ClassRocketArtillery, 178, 0.085, 15_000}, treaty.ClassLaunch, true},
		{source{treaty.ClassSmallArms, 158, 0.0022, 4_000}, treaty.ClassShot, true},
		{source{treaty.ClassQuarryBlast, 175, 0.28, 15_000}, treaty.ClassExplosion, false},
		{source{treaty.ClassThunder, 178, 0.14, 15_000}, treaty.ClassUndetermined, false},
	} {
		right, breach, events := 0, 0, 0
		for seed := range scenes(t, 20) {
			w := newWorld(uint64(seed)+77, 6, 24, 10_000, 4_000)
			w.weather(15_000)
			w.shoot((w.r.Float64()-0.5)*6_000, 2500, 100, k.source, nil)
			for i := range w.ev {
				if d := w.ev[i].Detection; d.Arrival != nil && i%2 == 0 {
					d.Class = k.word
				}
			}
			for _, e := range j.Associate(w.ev) {
				a := j.Assess(w.ev, e)
				check(t, a)
				events++
				if a.Class == k.class {
					right++
				}
				if a.Finding == treaty.Breach {
					breach++
				}
			}
		}
		t.Logf("%-18v %2d events: class right in %2d, breach in %2d", k.class, events, right, breach)
		if !k.fire && breach > 0 {
			t.Errorf("%v was called a breach %d times", k.class, breach)
		}
		if k.fire && (breach < events/2 || events == 0) {
			t.Errorf("%v was called a breach only %d times of %d", k.class, breach, events)
		}
	}
}

// TestWitnesses catches a gate that lets in what does not fit, or shuts out what does.
func TestWitnesses(t *testing.T) {
	j := judge(t, 6, nil)
	w := newWorld(1, 6, 18, 16_000, 6_000)
	w.weather(15_000)
	w.shoot(1000, 3000, 100, howitzer, nil)
	put := func(name string, off float64, set func(d *treaty.Detection, az int64)) {
		// A witness at the first sensor; az points at the gun, turned by off radians.
		d := w.base(0, 100)
		d.Sensor = treaty.SensorID(name)
		d.Modality, d.Time.SigmaNs = treaty.ModalityCamera, 1e8
		az := math.Atan2(1000-w.at[0][0], 3000-w.at[0][1]) + off
		set(d, int64(az*1e6))
		w.add(w.nation(5), d)
	}
	loc := func(n, e float64) *treaty.Location {
		return &treaty.Location{Position: w.fr.position(vec{e, n, 0}), Covariance: treaty.Covariance{EE: 1e10, NN: 1e10}}
	}
	for _, off := range []float64{0, 0.5} {
		name := map[float64]string{0: "fits ", 0.5: "off "}[off]
		put(name+"bearing", off, func(d *treaty.Detection, az int64) {
			d.Bearing = &treaty.Bearing{Azimuth: treaty.Angle{Urad: az, SigmaUrad: 20_000}}
		})
		put(name+"human", off, func(d *treaty.Detection, az int64) {
			d.Modality = treaty.ModalityHuman
			d.Human = &treaty.HumanReport{Means: "PATROL", Observation: "HEARD", Azimuth: &treaty.Angle{Urad: az, SigmaUrad: 80_000}}
		})
		put(name+"range", off, func(d *treaty.Detection, az int64) {
			r := math.Hypot(1000-w.at[0][0], 3000-w.at[0][1])
			d.RangeBearing = &treaty.RangeBearing{Azimuth: treaty.Angle{Urad: az, SigmaUrad: 20_000}, RangeMm: int64(r * 1000), SigmaRangeMm: 100_000}
		})
		put(name+"track", off, func(d *treaty.Detection, _ int64) {
			d.Modality = treaty.ModalityWeaponRadar
			d.Trajectory = &treaty.Trajectory{Launch: loc(3000+off*4000, 1000)}
		})
		put(name+"location", off, func(d *treaty.Detection, _ int64) { d.Location = loc(3000+off*4000, 1000) })
		put(name+"thermal", off, func(d *treaty.Detection, _ int64) {
			d.Modality = treaty.ModalitySatellite
			d.Thermal = &treaty.ThermalPixel{Position: w.fr.position(vec{1100 + off*4000, 2900, 0}), ScanM: 375, TrackM: 375, Satellite: "N20"}
		})
	}
	es := j.Associate(w.ev)
	if len(es) != 1 {
		t.Fatalf("%d events", len(es))
	}
	for _, e := range w.ev {
		d := e.Detection
		if d.Arrival != nil || d.Status != nil {
			continue
		}
		want := d.Sensor[:4] == "fits"
		if got := slices.Contains(es[0].Corroborating, e.Ref); got != want {
			t.Errorf("%s: corroborates %v", d.Sensor, got)
		}
	}
	a := j.Assess(w.ev, es[0])
	check(t, a)
	if len(a.Modalities) != 5 {
		t.Errorf("modalities %v", a.Modalities)
	}
}

// TestWrongDate catches an association that one wrong clock or one made-up place can spoil.
func TestWrongDate(t *testing.T) {
	j := judge(t, 6, nil)
	w := newWorld(1, 6, 18, 16_000, 6_000)
	w.weather(15_000)
	w.shoot(1000, 3000, 100, howitzer, nil)
	w.arrival(3, 5*365*86400, treaty.ClassShot, 90, 0.01)
	far := w.base(4, 101)
	far.Sensor, far.Pose.Position = "antipode", treaty.Position{LatE7: -48e7, LonE7: -142e7}
	far.Arrival = &treaty.Arrival{Phase: treaty.PhaseMuzzleBlast}
	w.add(w.nation(4), far)
	if es := j.Associate(w.ev); len(es) != 1 {
		t.Fatalf("%d events, want 1", len(es))
	}
}
