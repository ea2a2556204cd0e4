package attribution

import (
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// scenes is how many scenes a campaign runs: n, or TRUCELINE_SCENES.
func scenes(t *testing.T, n int) int {
	if v, err := strconv.Atoi(os.Getenv("TRUCELINE_SCENES")); err == nil && v > 0 {
		return v
	}
	if testing.Short() {
		return n / 5
	}
	return n
}

// TestLiars catches a verdict that one nation's made-up evidence can turn: one of six nations drops what its sensors
// heard and reports, at all of them, a consistent event mirrored across the line. A wrong side is never found; saying
// nothing is allowed.
func TestLiars(t *testing.T) {
	j := judge(t, 6, nil)
	right, silent, lost := 0, 0, 0
	reasons := map[treaty.Reason]int{}
	n := scenes(t, 250)
	for seed := range n {
		w := newWorld(uint64(seed)+1000, 6, 12, 12_000, 4_000)
		w.weather(15_000)
		liar := seed % 6
		x, y := (w.r.Float64()-0.5)*8_000, (0.5+w.r.Float64()*4)*1000
		if w.r.IntN(2) == 0 {
			y = -y
		}
		w.shoot(x, y, 100, howitzer, func(i int) bool { return i%6 != liar })
		w.shoot(x, -y, 100, howitzer, func(i int) bool { return i%6 == liar })
		want := treaty.Party("A")
		if y < 0 {
			want = "B"
		}
		es := j.Associate(w.ev)
		if len(es) == 0 {
			lost++
		}
		for _, e := range es {
			a := j.Assess(w.ev, e)
			check(t, a)
			switch {
			case a.Finding == treaty.Breach && a.Party == want:
				right++
			case a.Finding == treaty.Inconclusive:
				silent++
				for _, r := range a.Reasons {
					reasons[r]++
				}
			default:
				t.Errorf("scene %d: %v by %q, want %q: %+v", seed, a.Finding, a.Party, want, a)
			}
		}
	}
	t.Logf("%d scenes, one liar of six: %d right, %d inconclusive %v, %d without an event, 0 wrong", n, right, silent, reasons, lost)
	if right < n/3 {
		t.Errorf("only %d of %d right: honest nations are not heard", right, n)
	}
}

// TestPermutation catches any dependence on the order in which evidence came.
func TestPermutation(t *testing.T) {
	j := judge(t, 6, nil)
	w := newWorld(4, 6, 18, 16_000, 6_000)
	w.weather(15_000)
	w.shoot(1000, 3000, 100, howitzer, nil)
	w.shoot(-3000, -2000, 103, howitzer, nil)
	w.clutter(40, 200)
	var want []byte
	r := rand.New(rand.NewPCG(8, 8))
	for k := range 6 {
		ev := slices.Clone(w.ev)
		if k > 0 {
			r.Shuffle(len(ev), func(a, b int) { ev[a], ev[b] = ev[b], ev[a] })
		}
		var got []byte
		for _, e := range j.Associate(ev) {
			a := j.Assess(ev, e)
			got = append(got, treaty.Encode(&a)...)
		}
		if k == 0 {
			want = got
		}
		if len(got) == 0 || string(got) != string(want) {
			t.Fatalf("shuffle %d: other bytes (%d, first time %d)", k, len(got), len(want))
		}
	}
}

// TestMirror catches a straight row of sensors being trusted to tell its two sides apart.
func TestMirror(t *testing.T) {
	j := judge(t, 6, nil)
	flagged := 0
	n := scenes(t, 30)
	for seed := range n {
		w := newWorld(uint64(seed)+50, 6, 12, 12_000, 0)
		for i := range w.at {
			w.at[i] = vec{float64(i)*1000 - 5500, 0, 0} // on the line itself
		}
		w.weather(15_000)
		w.shoot((w.r.Float64()-0.5)*6000, 2000+w.r.Float64()*2000, 100, howitzer, nil)
		for _, e := range j.Associate(w.ev) {
			a := j.Assess(w.ev, e)
			check(t, a)
			if a.Finding != treaty.Inconclusive {
				t.Errorf("scene %d: %v by %q from a straight row; mixture %+v", seed, a.Finding, a.Party, e.Mixture)
			}
			if slices.Contains(a.Reasons, treaty.ReasonMirrorSolution) {
				flagged++
			}
		}
	}
	t.Logf("%d of %d scenes flagged as mirrored", flagged, n)
	if flagged < n*8/10 {
		t.Errorf("MIRROR_SOLUTION in %d of %d scenes", flagged, n)
	}
}

// TestCoverage catches an ellipse that is a lie: with weather errors, the 95 % ellipse holds the truth in 90 to 99 %.
func TestCoverage(t *testing.T) {
	j := judge(t, 6, nil)
	in, all := 0, 0
	sum := 0.0
	for seed := range scenes(t, 300) {
		w := newWorld(uint64(seed)+5000, 6, 14, 14_000, 4_000)
		w.weather(15_000)
		x, y := (w.r.Float64()-0.5)*10_000, (w.r.Float64()*2-1)*6000
		w.shoot(x, y, 100, howitzer, nil)
		for _, e := range j.Associate(w.ev) {
			v := w.fr.local(e.Position)
			dx, dy := v[0]-x, v[1]-y
			ee, en, nn := float64(e.Covariance.EE)/1e6, float64(e.Covariance.EN)/1e6, float64(e.Covariance.NN)/1e6
			q := (nn*dx*dx - 2*en*dx*dy + ee*dy*dy) / (ee*nn - en*en)
			all++
			sum += q
			if q < 5.991 {
				in++
			}
		}
	}
	c := float64(in) / float64(all)
	t.Logf("%d events: %.1f %% inside the 95 %% ellipse, mean NEES %.2f", all, 100*c, sum/float64(all))
	if c < 0.90 || c > 0.99 || math.IsNaN(sum) {
		t.Errorf("coverage %.3f, want 0.90 to 0.99", c)
	}
}

// TestNearLine catches a side being named on a coin's toss: fire 20 m from the line.
func TestNearLine(t *testing.T) {
	j := judge(t, 6, nil)
	w := newWorld(21, 6, 18, 16_000, 6_000)
	w.weather(15_000)
	w.shoot(1000, 20, 100, howitzer, nil)
	es := j.Associate(w.ev)
	if len(es) != 1 {
		t.Fatalf("%d events", len(es))
	}
	a := j.Assess(w.ev, es[0])
	check(t, a)
	if a.Finding != treaty.Inconclusive || !slices.Contains(a.Reasons, treaty.ReasonCloseToLine) {
		t.Errorf("%v %v", a.Finding, a.Reasons)
	}
}

// TestRules catches a clause, zone, exception or mode that does not do what the accord says.
func TestRules(t *testing.T) {
	box := func(id string, kind treaty.ZoneKind, s, n int64) treaty.Zone {
		return treaty.Zone{ID: id, Name: id, Kind: kind, From: treatytest.Founded, Ring: []treaty.Position{
			{LatE7: s, LonE7: 379e6}, {LatE7: s, LonE7: 382e6}, {LatE7: n, LonE7: 382e6}, {LatE7: n, LonE7: 379e6}, {LatE7: s, LonE7: 379e6},
		}}
	}
	quarry := source{treaty.ClassQuarryBlast, 166, 0.45, 15_000}
	for name, c := range map[string]struct {
		change func(*treaty.Accord)
		src    source
		mode   treaty.Mode
		want   treaty.Finding
		clause treaty.ClauseID
		reason treaty.Reason
	}{
		"howitzer": {nil, howitzer, treaty.ModeSimulated, treaty.Breach, "1.2", 0},
		"quarry":   {nil, quarry, treaty.ModeSimulated, treaty.NoBreach, "", treaty.ReasonNotFire},
		"exercise": {func(a *treaty.Accord) {
			a.Zones = []treaty.Zone{box("range", treaty.ZoneExercise, 480e6+100_000, 481e6)}
			for i := range a.Clauses {
				a.Clauses[i].ExceptIn = []string{"range"}
			}
		}, howitzer, treaty.ModeSimulated, treaty.NoBreach, "", treaty.ReasonException},
		"withdrawal zone": {func(a *treaty.Accord) {
			a.Zones = []treaty.Zone{box("w", treaty.ZoneWithdrawal, 480e6, 482e6)}
			a.Clauses = append(a.Clauses, treaty.Clause{
				ID: "2", Text: "No heavy weapons in the zone.", Act: treaty.ActPresence, Severity: 5, From: treatytest.Founded,
				Classes: []treaty.EventClass{treaty.ClassArtillery, treaty.ClassMortar, treaty.ClassRocketArtillery}, Zones: []string{"w"},
			})
			a.Clauses = a.Clauses[3:]
		}, howitzer, treaty.ModeSimulated, treaty.Breach, "2", 0},
		"no clause there": {func(a *treaty.Accord) {
			for i := range a.Clauses {
				a.Clauses[i].WithinMm = 500_000
			}
		}, howitzer, treaty.ModeSimulated, treaty.NoBreach, "", treaty.ReasonOutsideZones},
		"simulated under a real accord": {
			func(a *treaty.Accord) { a.Exercise, a.Origin = false, "test.truceline/1" },
			howitzer, treaty.ModeSimulated, treaty.Inconclusive, "", treaty.ReasonExcluded,
		},
		"real under a real accord": {
			func(a *treaty.Accord) { a.Exercise, a.Origin = false, "test.truceline/1" },
			howitzer, treaty.ModeReal, treaty.Breach, "1.2", 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(1, 6, 18, 16_000, 6_000)
			w.weather(15_000)
			w.shoot(1000, 3000, 100, c.src, nil)
			for i := range w.ev {
				w.ev[i].Detection.Mode = c.mode
			}
			// Another nation's exercise accord found the event; this accord judges it.
			es := judge(t, 6, nil).Associate(w.ev)
			if len(es) != 1 {
				t.Fatalf("%d events", len(es))
			}
			a := judge(t, 6, c.change).Assess(w.ev, es[0])
			check(t, a)
			if a.Finding != c.want || a.Clause != c.clause || c.reason != 0 && !slices.Contains(a.Reasons, c.reason) {
				t.Errorf("%v, clause %q, class %v, likelihood %d, reasons %v", a.Finding, a.Clause, a.Class, a.Likelihood, a.Reasons)
			}
		})
	}
}

// TestCopied catches evidence counted that was sealed after it could be copied: with one independent nation left, no
// finding.
func TestCopied(t *testing.T) {
	j := judge(t, 6, nil)
	w := newWorld(1, 6, 18, 16_000, 6_000)
	w.weather(15_000)
	w.shoot(1000, 3000, 100, howitzer, nil)
	for i := range w.ev {
		w.ev[i].Independent = w.ev[i].Nation == treatytest.Names[0]
	}
	for _, e := range j.Associate(w.ev) {
		a := j.Assess(w.ev, e)
		check(t, a)
		if a.Finding != treaty.Inconclusive || !slices.Contains(a.Reasons, treaty.ReasonNotIndependent) {
			t.Errorf("%v %v", a.Finding, a.Reasons)
		}
	}
}
