package attribution

import (
	"math"
	"math/rand/v2"
	"testing"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// TestSideAgainstFormula catches a wrong integral: for a straight line the probability is Phi(D / sqrt(n'Pn + s^2)).
func TestSideAgainstFormula(t *testing.T) {
	j := judge(t, 4, nil) // line along 48 N, sigma 20 m, A north
	s := &scene{j: j}
	r := rand.New(rand.NewPCG(5, 5))
	for range 200 {
		d := (r.Float64()*2 - 1) * 400
		se, sn := 10+r.Float64()*200, 10+r.Float64()*200
		rho := (r.Float64()*2 - 1) * 0.9
		s.frame = newFrame(treaty.Position{LatE7: 48e7, LonE7: 38e7})
		m := mode{weight: 1, v: [nBase]float64{0, d}, cov: [3][3]float64{{se * se, rho * se * sn}, {rho * se * sn, sn * sn}}}
		f := newFrame(s.placeOf(&m.v))
		g := j.groundAt(&f, treatytest.Founded+1)
		c := control(s.spots([]mode{m}, &f, g))
		want := 0.5 * math.Erfc(-d/math.Hypot(sn, 20)/math.Sqrt2)
		if e := math.Abs(c.A.Float() - want); e > 0.012 {
			t.Errorf("%.0f m north, sigma %.0f m: A %.4f, formula %.4f", d, sn, c.A.Float(), want)
		}
		if c.A+c.B+c.Neither != treaty.Certain || c.Neither != 0 {
			t.Fatalf("odds %+v", c)
		}
	}
}

// TestSideAtCorners catches the classical mistake at a sharp corner, where the nearest segment's orientation lies: the
// slow twin counts crossings with a polygon closed far away on the left.
func TestSideAtCorners(t *testing.T) {
	zig := []point{{-900_000, 0}, {-1000, 0}, {0, 80_000}, {1000, 0}, {2000, -60_000}, {3000, 0}, {900_000, 0}}
	g := &ground{}
	for i := 1; i < len(zig); i++ {
		g.segments = append(g.segments, segment{zig[i-1], zig[i], 1})
	}
	ring := append(append([]point{}, zig...), point{900_000, 900_000}, point{-900_000, 900_000}, zig[0])
	r := rand.New(rand.NewPCG(9, 9))
	for range 20_000 {
		p := point{r.Int64N(20_000) - 10_000, r.Int64N(300_000) - 150_000}
		d, _, _ := g.side(p)
		if math.Abs(d) > 0.002 && (d > 0) != inside(ring, p) {
			t.Fatalf("%v: signed distance %.3f m, inside %v", p, d, inside(ring, p))
		}
	}
}

// TestLinesInTime catches a line that counts outside its time, or a buffer zone that gives ground to a side.
func TestLinesInTime(t *testing.T) {
	then := treatytest.Founded + 1000
	j := judge(t, 4, func(a *treaty.Accord) {
		moved := a.Lines[0]
		a.Lines[0].Until = then
		moved.From = then
		moved.Vertices = []treaty.Position{{LatE7: 481e6, LonE7: 37e7}, {LatE7: 481e6, LonE7: 39e7}}
		a.Lines = append(a.Lines, moved)
		a.Zones = []treaty.Zone{{ID: "buf", Name: "Buffer", Kind: treaty.ZoneBuffer, From: treatytest.Founded, Ring: []treaty.Position{
			{LatE7: 479e6, LonE7: 385e6}, {LatE7: 479e6, LonE7: 386e6}, {LatE7: 482e6, LonE7: 386e6}, {LatE7: 482e6, LonE7: 385e6}, {LatE7: 479e6, LonE7: 385e6},
		}}}
	})
	for _, c := range []struct {
		lat, lon int64
		t        treaty.Time
		want     int
	}{
		{4805e5, 38e7, then - 1, 0}, {4805e5, 38e7, then, 1}, {4815e5, 38e7, then, 0}, {479e6, 38e7, then - 1, 1}, {4805e5, 3855e5, then, 2},
	} {
		f := newFrame(treaty.Position{LatE7: c.lat, LonE7: c.lon})
		sp := j.groundAt(&f, c.t).read(point{}, 1)
		if sp.odds[c.want] < 0.999 {
			t.Errorf("%+v: odds %v", c, sp.odds)
		}
	}
}
