package model

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// drops are the names of weakened rules in testdata.
var drops = map[string]func(*Rules){
	"vote-once":       func(r *Rules) { r.VoteTwice = true },
	"prepare-round":   func(r *Rules) { r.NoPrepareRound = true },
	"memory":          func(r *Rules) { r.Forgetful = true },
	"lock":            func(r *Rules) { r.NoLock = true },
	"q-wishes":        func(r *Rules) { r.FewWishes = true },
	"cosign-last":     func(r *Rules) { r.CosignInCommit = true },
	"byzantine-quota": func(r *Rules) { r.TwoFPlusOne = true },
}

func boundOf(t *testing.T, d *datadriven.TestData) (b Bound) {
	d.ScanArgs(t, "nations", &b.Nations)
	d.ScanArgs(t, "heights", &b.Heights)
	d.ScanArgs(t, "rounds", &b.Rounds)
	if d.HasArg("drop") {
		var name string
		d.ScanArgs(t, "drop", &name)
		if drops[name] == nil {
			t.Fatalf("%s: no rule %q", d.Pos, name)
		}
		drops[name](&b.Rules)
	}
	if d.HasArg("free") {
		b.Order = Free
	}
	return b
}

// searches plays a file of searches. One marked "long" is left out of short runs.
func searches(t *testing.T, file string) {
	datadriven.RunTest(t, filepath.Join("testdata", file), func(t *testing.T, d *datadriven.TestData) string {
		if d.Cmd != "search" {
			t.Fatalf("%s: only \"search\" is known, not %q", d.Pos, d.Cmd)
		}
		if d.HasArg("long") && testing.Short() {
			return d.Expected
		}
		m, err := New(boundOf(t, d))
		if err != nil {
			return err.Error() + "\n"
		}
		res := m.Search()
		var b strings.Builder
		fmt.Fprintf(&b, "q=%d of %d, %d liars: %d states, %d steps", m.quorum, m.Nations, m.liars, res.States, res.Steps)
		if res.Conflict == "" {
			fmt.Fprintf(&b, "\nno conflict within %d steps; the last height is settled in %d states\n", res.Depth, res.Settled)
			if res.Settled == 0 {
				t.Errorf("%s: nothing is ever settled, so nothing was shown", d.Pos)
			}
			return b.String()
		}
		fmt.Fprintf(&b, "\nCONFLICT after %d steps\n%s", len(res.Run), m.Story(res.Run))
		return b.String()
	})
}

// Catches a rule of the protocol that lets two certificates or two cosigned checkpoints conflict, and a model that could not
// see it: each rule of docs/TRUST.md is dropped in turn and must lead to a conflict, whose shortest run is in the file.
func TestSearches(t *testing.T) { searches(t, "searches") }

// The same beyond the bound of issue 3: every order of steps unsorted, more nations, two liars.
func TestFullBound(t *testing.T) {
	if os.Getenv("TRUCELINE_MODEL") != "full" {
		t.Skip("set TRUCELINE_MODEL=full: half a minute and 2 GB")
	}
	searches(t, "full")
}

// collect is the set of states of a whole walk, conflicts or not.
func (m *Model) collect(as func(State) State) map[State]bool {
	set := map[State]bool{}
	m.walk(func(s *State, _ int) bool {
		set[m.canonical(as(*s))] = true
		return true
	}, new(Result))
	return set
}

// Sorted runs must reach exactly the states that free ones reach, whatever rule is dropped, and forgetting must keep exactly
// what it keeps of a run that forgot nothing. Catches a step that reads what the reductions assume it does not.
func TestReductionsLoseNothing(t *testing.T) {
	rules := map[string]Rules{"none": {}}
	for name, drop := range drops {
		r := Rules{}
		drop(&r)
		rules[name] = r
	}
	for _, b := range []Bound{
		{Nations: 4, Heights: 1, Rounds: 1},
		{Nations: 4, Heights: 1, Rounds: 2},
		{Nations: 4, Heights: 2, Rounds: 1},
		{Nations: 6, Heights: 1, Rounds: 1},
	} {
		for name, r := range rules {
			if r.VoteTwice && b.Heights*b.Rounds > 1 { // minutes
				continue
			}
			b.Rules = r
			t.Run(fmt.Sprintf("n=%d/heights=%d/rounds=%d/drop=%s", b.Nations, b.Heights, b.Rounds, name), func(t *testing.T) {
				whole, free, sorted := b, b, b
				whole.Order, free.Order, sorted.Order = SortedWhole, Free, Sorted
				m := func(b Bound) *Model {
					m, err := New(b)
					if err != nil {
						t.Fatal(err)
					}
					return m
				}
				same := func(what string, a, b map[State]bool) {
					t.Helper()
					if len(a) < 15 || len(a) != len(b) {
						t.Errorf("%s: %d states and %d", what, len(a), len(b))
					}
					for s := range a {
						if !b[s] {
							t.Fatalf("%s: only one has %v", what, s)
						}
					}
				}
				timeless := func(s State) State { s.phase = 0; return s }
				same("free and sorted", m(free).collect(timeless), m(whole).collect(timeless))
				forgotten := func(s State) State {
					per := 3*b.Rounds + 1
					return m(sorted).forget(s, int(s.phase)/per, int(s.phase)%per/3)
				}
				same("forgotten before and after", m(sorted).collect(func(s State) State { return s }), m(whole).collect(forgotten))
			})
		}
	}
}

// A search that knows no symmetry, every nation and value by its name, must reach the same states up to names, and see a
// conflict in one exactly when the other does. Catches a permutation that is none.
func TestSymmetryLosesNothing(t *testing.T) {
	for _, b := range []Bound{
		{Nations: 4, Heights: 1, Rounds: 1, Order: Free, Rules: Rules{VoteTwice: true}},
		{Nations: 4, Heights: 2, Rounds: 1, Order: Free},
		{Nations: 4, Heights: 1, Rounds: 2, Rules: Rules{NoPrepareRound: true}},
		{Nations: 5, Heights: 1, Rounds: 1, Order: Free, Rules: Rules{TwoFPlusOne: true}},
		{Nations: 4, Heights: 2, Rounds: 2},
	} {
		m, err := New(b)
		if err != nil {
			t.Fatal(err)
		}
		named, unnamed := map[State]bool{{}: true}, map[State]bool{}
		for todo := []State{{}}; len(todo) > 0; {
			s := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			c := m.canonical(s)
			if unnamed[c] = true; m.Conflict(&s) != m.Conflict(&c) {
				t.Fatalf("%+v: %q but %q", b, m.Conflict(&s), m.Conflict(&c))
			}
			for _, step := range m.Steps(s) {
				if next := m.Take(s, step); !named[next] {
					named[next] = true
					todo = append(todo, next)
				}
			}
		}
		got := m.collect(func(s State) State { return s })
		t.Logf("%+v: %d states are %d up to names", b, len(named), len(got))
		if !maps.Equal(got, unnamed) || len(got)*3 > len(named) {
			t.Errorf("%+v: %d states by name are %d up to names, the search found %d", b, len(named), len(unnamed), len(got))
		}
	}
}

// The three orders must agree on how long the shortest run to a conflict is. Catches a reduction that hides one.
func TestReductionsHideNoConflict(t *testing.T) {
	for name, drop := range drops {
		if name == "cosign-last" || name == "byzantine-quota" {
			continue // four rounds are too many in free order; and n = 4 has no conflict
		}
		b := Bound{Nations: 4, Heights: 1, Rounds: 2}
		drop(&b.Rules)
		var want int
		for _, b.Order = range []Order{Free, SortedWhole, Sorted} {
			m, err := New(b)
			if err != nil {
				t.Fatal(err)
			}
			res := m.Search()
			if want == 0 {
				want = len(res.Run)
			}
			if res.Conflict == "" || len(res.Run) != want {
				t.Errorf("drop %s, order %d: a conflict after %d steps, want %d", name, b.Order, len(res.Run), want)
			}
		}
	}
}
