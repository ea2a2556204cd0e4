package treaty_test

import (
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// richAccord uses every field of an accord.
func richAccord(n int) *treaty.Accord {
	return treatytest.Accord(n, func(a *treaty.Accord) {
		a.Founded += 123_456_789
		a.Members[0].Keys = append(a.Members[0].Keys[:1:1], append([]treaty.Key{{
			Role: treaty.RoleTreaty, Kind: treaty.KindMLDSA44, Public: make([]byte, 1312),
		}}, a.Members[0].Keys[1:]...)...)
		a.Lines[0].Until = a.Founded.Add(1e15)
		a.Lines[0].SigmaMm = 12_345
		a.Lines[0].Vertices[1].HAEmm = -12_345
		a.Lines = append(a.Lines, treaty.Line{
			From: a.Founded.Add(1e15), SigmaMm: 1,
			Vertices: []treaty.Position{{LatE7: -1, LonE7: -1799999999}, {LatE7: 7, LonE7: 10}, {LatE7: 899999999}},
		})
		ring := []treaty.Position{{LatE7: 48e7, LonE7: 37e7}, {LatE7: 49e7, LonE7: 37e7}, {LatE7: 49e7, LonE7: 38e7}, {LatE7: 48e7, LonE7: 37e7}}
		a.Zones = []treaty.Zone{
			{ID: "range: 1", Name: "Übungsplatz \"Nord\" # 1", Kind: treaty.ZoneExercise, From: a.Founded, Until: a.Founded + 1, Ring: ring},
			{ID: "w1", Name: "yes", Kind: treaty.ZoneWithdrawal, Party: "A", From: a.Founded, Ring: ring},
		}
		a.Clauses[2].Zones = []string{"w1"}
		a.Clauses[2].ExceptIn = []string{"range: 1"}
		a.Clauses[2].Text = "No heavy weapons.\nNot even one:  ever.\n"
		a.Clauses[2].Until = a.Founded + 5
		a.Clauses[1].WithinMm = 1_500
		a.Policy.Resilience = 2
		a.Policy.Guard = 1
		a.Policy.WindowNs += 7
	})
}

// Would catch any field that the file loses, rounds or reorders: the accord's identity would change on its way
// through the file that people read.
func TestAccordYAMLRoundTrip(t *testing.T) {
	for _, a := range []*treaty.Accord{treatytest.Accord(4, nil), richAccord(7), treatytest.Accord(40, nil)} {
		text := treaty.FormatAccordYAML(a)
		back, err := treaty.ParseAccordYAML(text, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if !reflect.DeepEqual(a, back) || back.Digest() != a.Digest() {
			t.Errorf("came back different\n%s\nagain\n%s", text, treaty.FormatAccordYAML(back))
		}
	}
}

func readExample(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("testdata/accord.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func exampleFile(name string) ([]byte, error) { return os.ReadFile("testdata/" + name) }

// Would catch a file, as a person writes it (any order, human units, GeoJSON beside it), that is read as other numbers
// than it says.
func TestAccordYAMLByHand(t *testing.T) {
	a, err := treaty.ParseAccordYAML([]byte(readExample(t)), exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	if got := a.Members[0].Nation + a.Members[3].Nation; got != "AUTDNK" {
		t.Errorf("members are not sorted: %s", got)
	}
	if v := a.Lines[0].Vertices; len(v) != 3 || v[1] != (treaty.Position{LatE7: 480123457, LonE7: 378000000, HAEmm: 152500}) {
		t.Errorf("line from its file: %+v", v)
	}
	if a.Lines[0].SigmaMm != 20_000 || a.Clauses[0].WithinMm != 7_500_000 {
		t.Errorf("lengths: %d, %d", a.Lines[0].SigmaMm, a.Clauses[0].WithinMm)
	}
	if p := a.Policy; p.WindowNs != 2e9 || p.HorizonNs != 7200e9 || p.MinLikelihood != 950_000 || p.Guard != 5_000 {
		t.Errorf("policy: %+v", p)
	}
	if got := a.Clauses[1].Classes; !reflect.DeepEqual(got, []treaty.EventClass{treaty.ClassArtillery, treaty.ClassMortar}) {
		t.Errorf("classes: %v", got)
	}
	if got := a.Founded.String(); got != "2026-11-23T00:00:00Z" {
		t.Errorf("founded %s", got)
	}
}

// Would catch an error that hides the others, or does not say where: a drafter mends a file once, not ten times.
func TestAccordYAMLRefusals(t *testing.T) {
	good := readExample(t)
	for _, c := range []struct {
		name, old, new string
		want           []string
	}{
		{"several at once", "2s\n", "2 s\n", []string{"2 problems", "line 64", "no duration", "line 65"}},
		{"unknown field", "epoch: 1", "epok: 1", []string{"line 5: field epok is unknown here"}},
		{"twice", "epoch: 1", "epoch: 1\nepoch: 2", []string{"line 6", "already defined"}},
		{"class", "ARTILLERY", "CANNON", []string{"use one of", "MUZZLE_FLASH"}},
		{"percent", "95%", "0.95", []string{"write 95%"}},
		{"percent digits", "95%", "95.00001%", []string{"more than 4 decimal places"}},
		{"percent range", "95%", "101%", []string{"outside"}},
		{"date", "founded: 2026-11-23", "founded: 23.11.2026", []string{"write 2026-11-23"}},
		{"early", "founded: 2026-11-23", "founded: 1969-11-23", []string{"1970"}},
		{"length", "20m", "20 miles", []string{"20 miles"}},
		{"no unit", "20m", "20", []string{"write 15mm"}},
		{"both shapes", "file: line.geojson", "file: line.geojson\n    geometry: {type: LineString, coordinates: []}", []string{"either geometry"}},
		{"no shape", "file: line.geojson", "", []string{"either geometry"}},
		{"missing file", "line.geojson", "none.geojson", []string{"none.geojson"}},
		{"bad key", "keys:", "keys:\n      - {role: treaty, kind: ed25519, public: '%%'}", []string{"neither hexadecimal nor base64"}},
		{"short key", "keys:", "keys:\n      - {role: treaty, kind: ed25519, public: aabb}", []string{"2 bytes, ed25519 has 32"}},
		{"position order", "[37.2, 48.5]", "[48.5, 137.2]", []string{"longitude first"}},
		{"position word", "[37.2, 48.5]", "[37.2, north]", []string{"plain decimal"}},
		{"exponent", "[37.2, 48.5]", "[3.72e1, 48.5]", []string{"plain decimal"}},
		{"hole", "[[[37.2", "[[], [[37.2", []string{"one ring"}},
		{"open ring", "[37.2, 48.5]]]", "[37.2, 48.6]]]", []string{"ends where it begins"}},
		{"alias", "epoch: 1", "epoch: &x 1", []string{"anchors"}},
		{"two documents", "name:", "---\nx: 1\n---\nname:", []string{"document"}},
		{"origin", "EXERCISE.north-line", "north-line", []string{"must begin with EXERCISE"}},
		{"not YAML", "name:", "name: [", []string{"line"}},
		{"list for a value", "founded: 2026-11-23", "founded: [2026-11-23]", []string{"line 7", "single value"}},
	} {
		text := strings.Replace(good, c.old, c.new, -1)
		if text == good {
			t.Fatalf("%s: the example no longer has %q", c.name, c.old)
		}
		_, err := treaty.ParseAccordYAML([]byte(text), exampleFile)
		if err == nil {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q is not in: %v", c.name, w, err)
			}
		}
	}
	if _, err := treaty.ParseAccordYAML(make([]byte, treaty.MaxAccordFile+1), nil); !errors.Is(err, treaty.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	if _, err := treaty.ParseAccordYAML([]byte(good), nil); err == nil || !strings.Contains(err.Error(), "inline") {
		t.Errorf("no way to read files: %v", err)
	}
}

// Would catch a view that is not GeoJSON (RFC 7946) or shows other digits than the accord holds.
func TestGeoJSONViews(t *testing.T) {
	a := richAccord(4)
	for _, c := range []struct {
		view any
		want string
	}{
		{a.LinesFeatureCollection().Features[1], `{"type":"Feature","properties":{"from":"2000-01-11T13:46:40.123456789Z","sigma_mm":1},` +
			`"geometry":{"type":"LineString","coordinates":[[-179.9999999,-0.0000001],[0.000001,0.0000007],[0,89.9999999]]}}`},
		{a.ZonesFeatureCollection().Features[1], `{"type":"Feature","id":"w1","properties":{"from":"1999-12-31T00:00:00.123456789Z",` +
			`"kind":"withdrawal","name":"yes","party":"A"},"geometry":{"type":"Polygon","coordinates":[[[37,48],[37,49],[38,49],[37,48]]]}}`},
		{treatytest.Accord(4, nil).ZonesFeatureCollection(), `{"type":"FeatureCollection","features":[]}`},
	} {
		got, err := json.Marshal(c.view)
		if err != nil || string(got) != c.want {
			t.Errorf("%v\n got %s\nwant %s", err, got, c.want)
		}
	}
}

// Would catch a parser that crashes, or accepts a file whose accord does not survive being written again.
func FuzzParseAccordYAML(f *testing.F) {
	f.Add([]byte(readExample(f)))
	f.Add(treaty.FormatAccordYAML(richAccord(4)))
	f.Add([]byte("lines: [{geometry: {type: Feature, geometry: {type: Feature}}}]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := treaty.ParseAccordYAML(b, func(string) ([]byte, error) {
			return []byte(`{"type":"LineString","coordinates":[[1,2],[3,4]]}`), nil
		})
		if err != nil {
			return
		}
		back, err := treaty.ParseAccordYAML(treaty.FormatAccordYAML(a), nil)
		if err != nil || back.Digest() != a.Digest() {
			t.Fatalf("written again: %v", err)
		}
	})
}
