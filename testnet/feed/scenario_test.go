package feed

import (
	"strings"
	"testing"
	"time"

	"truceline/testnet/scenarios"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// TestRefuse catches a scenario that is taken though something is wrong, or whose problems are not all named.
func TestRefuse(t *testing.T) {
	good, err := scenarios.Get(scenarios.Default)
	if err != nil {
		t.Fatal(err)
	}
	swap := func(pairs ...string) string {
		for i := 0; i < len(pairs); i += 2 {
			if !strings.Contains(string(good), pairs[i]) {
				t.Fatalf("the built-in scenario no longer has %q: this test would test nothing", pairs[i])
			}
		}
		return strings.NewReplacer(pairs...).Replace(string(good))
	}
	for _, c := range []struct {
		yaml string
		want []string
	}{
		{"", []string{"empty"}},
		{"a: [", []string{"yaml"}},
		{swap("seed: 1", "sede: 1"), []string{"sede"}},
		{swap("duration: 36m", "duration: 36"), []string{"duration"}},
		{string(good) + "\n---\nname: two\n", []string{"one document"}},
		{
			swap("kind: quarry", "kind: volcano", "side: A, at: 1m20s", "side: C, at: 99m", "off_m: 2400", "off_m: .nan"),
			[]string{`kind "volcano"`, `side "C"`, "at 1h39m0s", "off_m NaN"},
		},
		{swap("id: b1", "id: a1"), []string{"used twice"}},
		{swap("rounds: 3, every: 14s", "rounds: 3"), []string{"need every"}},
		{swap("wind_ms: 2.2", "wind_ms: 90", "at: 20m,", "at: 0m,"), []string{"wind_ms 90", "met 1"}},
		{swap("kind: silent", "kind: loud", "by: 3s", "by: 0s"), []string{`kind "loud"`, "by is 0s"}},
		{swap("acoustic: 48", "acoustic: 2"), []string{"sensors.acoustic is 2"}},
		{swap("{code: B", "{code: A"), []string{"party 1"}},
		{swap("- [6, 1.2]", "- [0, 0]"), []string{"line_km 1"}},
		{swap("links: []", "links: [{at: 3m, until: 2m, nation: 0, do: bite}]"), []string{"no span of time", "bite"}},
	} {
		_, err := Parse([]byte(c.yaml))
		if err == nil {
			t.Errorf("taken, though it should complain of %q", c.want)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("does not name %q: %v", w, err)
			}
		}
	}
	s := Default()
	for _, names := range [][]treaty.Nation{nil, treatytest.Names[:3], {"AUT", "BEL", "CZE", "AUT"}, {"AUT", "BEL", "CZE", "d"}} {
		if _, err := s.Play(names); err == nil {
			t.Errorf("plays for %v", names)
		}
	}
	if _, err := s.Accord(treatytest.Accord(4, nil).Members, treaty.TimeOf(s.Start.Add(time.Second))); err == nil {
		t.Error("makes an accord that is founded after the night begins")
	}
}

// FuzzParse catches a scenario file that breaks the reader, or that is taken and then makes no accord.
func FuzzParse(f *testing.F) {
	for _, name := range scenarios.Names() {
		b, err := scenarios.Get(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("name: x\nevents: [{at: 1h, kind: mortar}]"))
	members := treatytest.Accord(4, nil).Members
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Parse(b)
		if err != nil {
			return
		}
		a, err := s.Accord(members, treaty.TimeOf(s.Start))
		if err == nil && a.Check() != nil {
			t.Fatal("makes an accord that does not check")
		}
		s.place(4)
	})
}
