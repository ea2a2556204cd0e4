package testnet

import (
	"os"
	"path/filepath"
	"testing"

	"truceline/testnet/feed"
	"truceline/treaty"
)

// A demo must get one plain breach through four real nodes, from the sensors' lines to a verdict that verifies offline:
// this catches a part that is not wired to the next.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a network in real time")
	}
	s, err := feed.Builtin("breach")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r, err := Demo(t.Context(), DemoConfig{Nations: 4, Scenario: s, Speed: 30, Dir: dir, Watch: Watch{
		Say: func(line string) { t.Log(line) },
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", r.Table)
	if !r.OK() {
		t.Errorf("wrong verdicts, unverified ones or two ledgers: %v %v", r.Proofs.Problems, r.Violations)
	}
	if r.Table.Count[feed.ResultRight] != 1 || r.Proofs.Verified < 1 {
		t.Errorf("the one breach of the night was not found: %s, %d proofs", r.Table.Summary(), r.Proofs.Verified)
	}
	for _, row := range r.Table.Rows {
		if row.Verdict != nil && row.Verdict.Outcome == treaty.Breach && row.Beyond <= 0 {
			t.Errorf("a verdict was FINAL before the sound had arrived: %v", row.Beyond)
		}
	}
	for _, name := range []string{AccordName, FoundingName, PolicyName} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("the founding left no %s: %v", name, err)
		}
	}
}

// A demo that cannot be played must say everything that is wrong before it starts anything.
func TestDemoRefuses(t *testing.T) {
	for _, c := range []DemoConfig{
		{Nations: 3, Scenario: feed.Default(), Speed: 1},
		{Nations: 36, Scenario: feed.Default(), Speed: 1},
		{Nations: 4, Speed: 1},
		{Nations: 4, Scenario: feed.Default()},
		{Nations: 4, Scenario: feed.Default(), Speed: 1e9},
	} {
		if _, err := Demo(t.Context(), c); err == nil {
			t.Errorf("%+v was played", c)
		}
	}
}
