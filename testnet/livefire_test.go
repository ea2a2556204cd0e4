package testnet

import (
	"os"
	"path/filepath"
	"testing"

	"truceline/treaty"
)

// dataDir finds the shared recordings, or skips.
func dataDir(t testing.TB, folder string) string {
	t.Helper()
	dir := os.Getenv("TRUCELINE_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "data")
	}
	dir = filepath.Join(dir, folder)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("recordings are absent: %v (set TRUCELINE_DATA to their folder)", err)
	}
	return dir
}

// Real sensors' pulses, unassociated and most of them clutter, must become the right verdicts through five real nodes:
// this catches whatever works on made-up input only. By default one test in nine is played; with TRUCELINE_LIVEFIRE=all,
// all 54, held to the aims of the acceptance test.
func TestLiveFire(t *testing.T) {
	if testing.Short() {
		t.Skip("runs networks in real time")
	}
	cfg := EvaluateConfig{
		Data: dataDir(t, "livefire_pittsburgh"), Nations: 5, Speed: 20, LineM: 200, Party: "A", Only: 9,
		Watch: Watch{Say: func(line string) { t.Log(line) }},
	}
	whole := os.Getenv("TRUCELINE_LIVEFIRE") == "all"
	if whole {
		cfg.Only = 0
	}
	rs, err := Evaluate(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	all := Total("all", rs)
	t.Logf("\n%s", FireTable(append(rs, all)))
	for _, r := range rs {
		if !r.OK() || r.Found < r.Shots || testing.Verbose() {
			t.Logf("%s\n%s", r.Name, r)
		}
		for _, x := range append(r.Proofs.Problems, r.Violations...) {
			t.Errorf("%s: %s", r.Name, x)
		}
	}
	if whole {
		for _, x := range all.Meets() {
			t.Error(x)
		}
		return
	}
	// Of so few, one may be missed.
	if all.Wrong > 0 || all.Found < all.Shots-1 || all.Spurious > 1 || all.ErrorM(0.5) > 4.5 {
		t.Errorf("found %d of %d, %d spurious, %d wrong, median error %.2f m", all.Found, all.Shots, all.Spurious, all.Wrong, all.ErrorM(0.5))
	}
}

// Scoring must count a verdict once, tell an unheard shot from a wrong side, and call a second verdict on one shot
// spurious: a lenient score would hide what the acceptance test looks for.
func TestFireScore(t *testing.T) {
	at := treaty.Position{LatE7: 45e7, LonE7: 61e7}
	far := at
	far.LatE7 += 1000 // 11 m
	say := func(dt int64, p treaty.Position, f treaty.Finding, party treaty.Party) Sighting {
		s := Sighting{}
		s.Verdict = &treaty.Verdict{Time: 1e15 + treaty.Time(dt*1e6), Position: p, Outcome: f, Party: party}
		return s
	}
	shots := []Shot{{Test: "t", Index: 0, Time: 1e15, Position: at}, {Test: "t", Index: 1, Time: 1e15 + 1e9, Position: at}, {Test: "t", Index: 2, Time: 1e15 + 2e9, Position: at}}
	for _, x := range []struct {
		name                                     string
		verdicts                                 []Sighting
		found, spurious, right, undecided, wrong int
	}{
		{"nothing", nil, 0, 0, 0, 0, 0},
		{"one right", []Sighting{say(3, far, treaty.Breach, "A")}, 1, 0, 1, 0, 0},
		{"twice", []Sighting{say(3, far, treaty.Breach, "A"), say(1, at, treaty.Inconclusive, "")}, 1, 1, 0, 1, 1},
		{"wrong side", []Sighting{say(3, far, treaty.Breach, "B")}, 1, 0, 0, 0, 1},
		{"denied", []Sighting{say(3, far, treaty.NoBreach, "")}, 1, 0, 0, 0, 1},
		{"too late", []Sighting{say(300, at, treaty.Inconclusive, "")}, 0, 1, 0, 0, 0},
		{"each its own", []Sighting{say(1001, at, treaty.Breach, "A"), say(2, at, treaty.Breach, "A"), say(1999, at, treaty.Inconclusive, "")}, 3, 0, 2, 1, 0},
	} {
		r := &FireReport{Party: "A"}
		r.score(1, shots, x.verdicts)
		if r.Found != x.found || r.Spurious != x.spurious || r.Right != x.right || r.Undecided != x.undecided || r.Wrong != x.wrong {
			t.Errorf("%s: %d found, %d spurious, %d right, %d undecided, %d wrong\n%s", x.name, r.Found, r.Spurious, r.Right, r.Undecided, r.Wrong, r)
		}
	}
}
