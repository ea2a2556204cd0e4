package feed

import (
	"math"
	"testing"

	"truceline/treaty"
)

// TestSpeed catches a wrong speed of sound: 331.3 m/s at 0 C and 343.2 at 20 C are in every table.
func TestSpeed(t *testing.T) {
	for _, c := range []struct{ temp, want float64 }{{0, 331.3}, {20, 343.2}, {-20, 318.9}} {
		if got := soundSpeed(c.temp); math.Abs(got-c.want) > 0.2 {
			t.Errorf("at %g C sound runs %.2f m/s, want %.1f", c.temp, got, c.want)
		}
	}
}

// still is air without wind or inversion; the ordinary lapse cools it upwards.
var still = Met{TempC: 15, WindFromDeg: 270, InversionM: 80}

// TestTravel catches paths that are not the fastest, wind with the wrong sign, and bends that do nothing.
func TestTravel(t *testing.T) {
	const d = 5000
	straight := d / soundSpeed(15)
	if got := still.travel(d, 0, 2, 2); math.Abs(got-straight) > 1e-3 {
		t.Errorf("still air: %.4f s, want %.4f", got, straight)
	}
	west := still // a wind from the west blows to the east
	west.WindMS, west.Shear = 3, 0.2
	east, back, cross := west.travel(d, math.Pi/2, 2, 2), west.travel(d, -math.Pi/2, 2, 2), west.travel(d, 0, 2, 2)
	if !(east < cross && cross < back) {
		t.Errorf("downwind %.3f, across %.3f, upwind %.3f s: must rise", east, cross, back)
	}
	// With the 2 m wind alone, downwind would take d/(c+3). Higher up there is more wind and the path finds it; yet it
	// cannot beat the strongest wind there is, 3*(300/2)^0.2 = 8.2 m/s.
	if flat, best := d/(soundSpeed(15)+3), d/(soundSpeed(15)+8.2); east >= flat || east <= best {
		t.Errorf("downwind %.4f s, must lie between %.4f and %.4f", east, best, flat)
	}
	// Upwind the path hugs the ground, where there is least wind: no slower than through the 2 m wind.
	if flat := d / (soundSpeed(15) - 3); back > flat+1e-3 {
		t.Errorf("upwind %.4f s, slower than along the 2 m wind: %.4f", back, flat)
	}
	// An inversion of a constant gradient: the ray is a circle's arc, and its time is 2/g asinh(g d / 2 c).
	inv := still
	inv.InversionK, inv.InversionM = 5, 100
	g := (soundSpeed(20) - soundSpeed(15)) / 100
	const near = 2500 // its arc stays under the inversion's top: near^2 g/8c = 69 m
	want := 2 / g * math.Asinh(g*near/(2*soundSpeed(15)))
	if got := inv.travel(near, 0, 0, 0); math.Abs(got-want) > 1e-3 || got > near/soundSpeed(15)-0.01 {
		t.Errorf("inversion: %.4f s, the arc takes %.4f (straight %.4f)", got, want, near/soundSpeed(15))
	}
	if got, want := still.travel(300, 0, 2000, 2), math.Hypot(300, 1998)/soundSpeed(15-6.5); math.Abs(got-want) > 0.01 {
		t.Errorf("from above: %.3f s, want about %.3f", got, want)
	}
}

// TestLevel catches a wrong law of loss.
func TestLevel(t *testing.T) {
	if got := spreading(2000) - spreading(1000); math.Abs(got-6.0206) > 1e-3 {
		t.Errorf("twice as far costs %.3f dB by spreading, want 6.02", got)
	}
	if lo, hi := absorption(1000, 1/50.0), absorption(1000, 1/1000.0); math.Abs(lo-0.1) > 0.01 || hi < 4 || hi > 6 {
		t.Errorf("absorption over 1 km: %.2f dB at 50 Hz, %.2f at 1 kHz; want 0.1 and about 5", lo, hi)
	}
	west := still
	west.WindMS, west.Shear = 3, 0.2
	down, up := west.received(180, 0.03, 5000, math.Pi/2), west.received(180, 0.03, 5000, -math.Pi/2)
	if down-up < 3 {
		t.Errorf("5 km downwind is only %.1f dB louder than upwind", down-up)
	}
	gun, mortar, rifle := west.hears(kinds[KindArtillery]), west.hears(kinds[KindMortar]), west.hears(kinds[KindSmallArms])
	if !(gun > 7000 && gun < 15000 && mortar > 3500 && mortar < 8000 && rifle > 1500 && rifle < 3200) {
		t.Errorf("half of the guns are heard at %.0f m, mortars at %.0f, rifles at %.0f", gun, mortar, rifle)
	}
}

// TestGeometry catches places that are not where the scenario put them, against lengths of a degree from the tables
// for 45 N (111,132 m of latitude, 78,847 m of longitude) and against the line's own sides.
func TestGeometry(t *testing.T) {
	a := treaty.Position{LatE7: 45e7, LonE7: 10e7}
	if o := offset(a, treaty.Position{LatE7: 45e7 + 1e5, LonE7: 10e7}); math.Abs(o.y-1111.32) > 0.1 || math.Abs(o.x) > 0.01 {
		t.Errorf("0.01 degree north is %.3f m north, %.3f east", o.y, o.x)
	}
	if o := offset(a, treaty.Position{LatE7: 45e7, LonE7: 10e7 + 1e5}); math.Abs(o.x-788.47) > 0.1 {
		t.Errorf("0.01 degree east is %.3f m", o.x)
	}
	s := Default()
	for _, e := range s.Events {
		p := s.Terms.at(s.Terms.put(e.AlongKm, s.Terms.onSide(e.Side, e.OffM)))
		if got := fromLine(p, s.Terms.line()); got > 1.001*e.OffM+2 || got < 0.9*e.OffM-2 {
			t.Errorf("%s is %.0f m from the line, was put at %.0f", e.ID, got, e.OffM)
		}
		north := offset(s.Terms.at(s.Terms.put(e.AlongKm, 0)), p).y > 0
		if north != (e.Side == "A") {
			t.Errorf("%s of %s lies on the wrong side", e.ID, e.Side)
		}
	}
}
