package attribution

import (
	"math"
	"testing"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

func judge(t testing.TB, n int, change func(*treaty.Accord)) *Judge {
	t.Helper()
	j, err := New(Config{Net: treatytest.NewWith(n, change).Net})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func check(t testing.TB, a treaty.Assessment) {
	t.Helper()
	if err := a.Check(); err != nil {
		t.Fatalf("assessment does not hold to its own rules: %v\n%+v", err, a)
	}
}

// TestOneHowitzer catches a chain that cannot find the plain case: a howitzer 3 km north of the line, heard well by
// six nations, is party A's breach of the heavy-weapons clause.
func TestOneHowitzer(t *testing.T) {
	j := judge(t, 6, nil)
	w := newWorld(1, 6, 18, 16_000, 6_000)
	w.weather(15_000)
	w.shoot(1000, 3000, 100, howitzer, nil)
	w.clutter(20, 200)
	es := j.Associate(w.ev)
	if len(es) != 1 {
		t.Fatalf("found %d events, want 1: %+v", len(es), es)
	}
	v := w.fr.local(es[0].Position)
	if d := math.Hypot(v[0]-1000, v[1]-3000); d > 300 {
		t.Fatalf("located %.0f m off: %v", d, v)
	}
	a := j.Assess(w.ev, es[0])
	check(t, a)
	if a.Finding != treaty.Breach || a.Party != "A" || a.Clause != "1.2" || a.Resilience == 0 {
		t.Fatalf("assessed %+v", a)
	}
	if m := j.Match(es[0], a.Cites); m != 1 {
		t.Fatalf("an event matches its own cites by %.2f", m)
	}
	t.Logf("%+v", a)
}
