package feed

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"truceline/treaty"
)

// TestNight catches a default night in which the interesting things cannot be heard, or can be who should not.
func TestNight(t *testing.T) {
	for _, n := range []int{4, 7, 20} {
		night := play(t, Default(), n)
		if len(night.Truth) < 15 || len(night.Truth) > 25 {
			t.Errorf("%d events, want 15 to 25", len(night.Truth))
		}
		kindsSeen, expects, unheard := map[Kind]bool{}, map[Expect]int{}, 0
		for _, e := range night.Truth {
			kindsSeen[e.Kind] = true
			expects[e.Expect]++
			if !e.Seeable() {
				unheard++
			}
			if e.Expect == ExpectBreach && e.Kind != KindSmallArms && (e.Heard < 6 || e.Nations < min(4, n-1)) {
				t.Errorf("%d nations: %s: heard by %d sensors of %d nations, want 6 of 4 (one may be silent)", n, e.ID, e.Heard, e.Nations)
			}
			if e.LastArrival.Sub(e.Time) > time.Minute || e.LastArrival < e.Time {
				t.Errorf("%s: last arrival after %s", e.ID, e.LastArrival.Sub(e.Time))
			}
		}
		for _, k := range []Kind{KindArtillery, KindMortar, KindSmallArms, KindQuarry, KindThunder} {
			if !kindsSeen[k] {
				t.Errorf("no %s in the night", k)
			}
		}
		if expects[ExpectBreach] < 8 || expects[ExpectNoBreach] < 4 || expects[ExpectOpen] < 1 {
			t.Errorf("expectations %v", expects)
		}
		if unheard == 0 || unheard > 4 {
			t.Errorf("%d events nobody can see, want 1 to 4", unheard)
		}
	}
}

// TestImpacts catches landings that lie on the shooter's side, come before the shot, or may be blamed on the victim.
func TestImpacts(t *testing.T) {
	s, err := Builtin("impacts")
	if err != nil {
		t.Fatal(err)
	}
	night := play(t, s, 7)
	shots, landings := map[string]Event{}, 0
	for _, e := range night.Truth {
		id, landed := strings.CutSuffix(e.ID, "-impact")
		if !landed {
			shots[id] = e
			continue
		}
		landings++
		shot := shots[id]
		speed := apart(shot.Position, e.Position) / e.Time.Sub(shot.Time).Seconds()
		if shot.ID == "" || speed < 150 || speed > 400 {
			t.Errorf("%s: %.0f m/s from shot %q", e.ID, speed, shot.ID)
		}
		if north := offset(s.Terms.at(s.Terms.put(14, 0)), e.Position).y > 0; north == (e.Party == "A") {
			t.Errorf("%s: a round of %s landed on its own side", e.ID, e.Party)
		}
		victim := treaty.Party("A")
		if e.Party == "A" {
			victim = "B"
		}
		blame := Judged{Outcome: treaty.Breach, Party: victim, Time: e.Time, Position: e.Position}
		if Score([]Event{e}, []Judged{blame}).OK() {
			t.Errorf("%s: the victim may be blamed for it", e.ID)
		}
		blame.Party = e.Party
		if !Score([]Event{e}, []Judged{blame}).OK() {
			t.Errorf("%s: the shooter may not be blamed for it", e.ID)
		}
	}
	if landings != 6 {
		t.Errorf("%d landings, want 6", landings)
	}
}

// TestWitnesses catches a night without the other witnesses: a bearing, a person's report, a satellite's pixel; and
// bearings and reports that do not point anywhere near an event.
func TestWitnesses(t *testing.T) {
	s := Default()
	s.Noise, s.Faults = Noise{}, nil
	night := play(t, s, 7)
	count := map[string]int{}
	for _, feed := range night.Feed {
		for _, f := range feed {
			d := f.Detection
			var az *treaty.Angle
			switch {
			case d.Human != nil:
				az = d.Human.Azimuth
				count["human"]++
			case d.Thermal != nil:
				count["thermal"]++
			case d.Arrival != nil && d.Arrival.BackAzimuth != nil:
				az = d.Arrival.BackAzimuth
				count["bearing"]++
			}
			if az == nil {
				continue
			}
			best := math.Inf(1)
			for _, e := range night.Truth {
				o := offset(d.Pose.Position, e.Position)
				fits := d.Time.Value.Sub(e.Time).Seconds() - math.Hypot(o.x, o.y)/335
				if e.Kind != KindThunder && math.Abs(fits) < 15 {
					best = min(best, math.Abs(math.Remainder(float64(az.Urad)/1e6-math.Atan2(o.x, o.y), 2*math.Pi)))
				}
				if e.Kind == KindThunder && fits > -20 && fits < 20 {
					best = 0 // from anywhere along the lightning
				}
			}
			if best > 4*float64(az.SigmaUrad)/1e6+2*deg {
				t.Errorf("%s at %s points %.1f degrees past every event", d.Sensor, d.Time.Value, best/deg)
			}
		}
	}
	if count["human"] < 3 || count["bearing"] < 10 || count["thermal"] != 1 {
		t.Errorf("other witnesses: %v", count)
	}
}

// TestResiduals catches arrivals that do not come from the truth, and arrivals that a straight ray at one speed
// explains: then the physics would be the solver's own.
func TestResiduals(t *testing.T) {
	s := Default()
	s.Faults, s.Noise, s.Sensors.Holdover = nil, Noise{}, 0
	s.Events = slices.DeleteFunc(s.Events, func(e EventSpec) bool { return e.ID != "b2" })
	s.Events[0].Rounds = 1
	night := play(t, s, 7)
	e := night.Truth[0]
	var worst, sum, n float64
	for _, feed := range night.Feed {
		for _, f := range feed {
			if f.Detection.Arrival == nil {
				continue
			}
			c := soundSpeed(s.air(0).TempC)
			r := f.Detection.Time.Value.Sub(e.Time).Seconds() - apart(e.Position, f.Detection.Pose.Position)/c
			worst, sum, n = max(worst, math.Abs(r)), sum+r*r, n+1
		}
	}
	if n != float64(e.Heard) || n < 10 {
		t.Fatalf("%g arrivals, the truth says %d", n, e.Heard)
	}
	if worst > 1.2 {
		t.Errorf("an arrival is %.2f s off a straight ray", worst)
	}
	if rms := math.Sqrt(sum / n); rms < 0.08 {
		t.Errorf("straight rays fit to %.3f s: the air does nothing", rms)
	}
}
