package ndjson

import (
	"flag"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"

	"truceline/treaty"
)

var rewrite = flag.Bool("rewrite-golden", false, "write the golden file")

func base() treaty.Detection {
	return treaty.Detection{
		Sensor: "acoustic:17", NativeID: "pick-4711", Modality: treaty.ModalityAcoustic, Mode: treaty.ModeReal,
		Time:       treaty.TimeQuantity{Value: 1_795_385_400_123_456_789, SigmaNs: 1_000_000},
		TimeSource: treaty.TimeGNSS,
		Pose:       treaty.Pose{Position: treaty.Position{LatE7: 480123456, LonE7: -377654321, HAEmm: 142500}, SigmaMm: 1500},
		Class:      treaty.ClassShot, Confidence: 800_000, Trust: treaty.TrustChannel, Raw: treaty.HashOf([]byte("raw")),
	}
}

// all is one detection of each kind.
func all() (out []treaty.Detection) {
	pos := treaty.Position{LatE7: 481234567, LonE7: 371234567, HAEmm: -1500}
	loc := &treaty.Location{Position: pos, Covariance: treaty.Covariance{EE: 4_000_001, EN: -17, NN: 9_000_000}}
	az := treaty.Angle{Urad: 4_738_568, SigmaUrad: 34_907}
	add := func(set func(*treaty.Detection)) {
		d := base()
		set(&d)
		out = append(out, d)
	}
	add(func(d *treaty.Detection) {
		d.Arrival = &treaty.Arrival{Phase: treaty.PhaseMuzzleBlast, BackAzimuth: &az, SNRmB: 1420, AmplitudeMB: -9170, PeriodUs: 2500}
	})
	add(func(d *treaty.Detection) {
		d.Bearing = &treaty.Bearing{Azimuth: az, Elevation: &treaty.Angle{Urad: -1, SigmaUrad: 1}}
	})
	add(func(d *treaty.Detection) {
		d.RangeBearing = &treaty.RangeBearing{Azimuth: az, RangeMm: 1_234_567, SigmaRangeMm: 1}
	})
	add(func(d *treaty.Detection) { d.Location = loc })
	add(func(d *treaty.Detection) {
		d.Trajectory = &treaty.Trajectory{
			Points: []treaty.TrackPoint{{Time: 1e18, Position: pos, SigmaMm: 5}, {Time: 1e18 + 1, Position: pos, SigmaMm: 5}},
			Launch: loc, Impact: loc, Rounds: 3,
		}
	})
	add(func(d *treaty.Detection) {
		d.Thermal = &treaty.ThermalPixel{Position: pos, ScanM: 390, TrackM: 440, BrightMK: 367_000, FRPkW: 550, Satellite: "N20", Day: true}
	})
	add(func(d *treaty.Detection) {
		d.Human = &treaty.HumanReport{
			Means: "PATROL", Observation: "HEARD", CountMin: 2, CountMax: 7, Azimuth: &az, DistanceMinMm: 150_000,
			DistanceMaxMm: 200_000, Weapon: "N/K", Text: "line one\nline \"two\" <é>",
		}
	})
	add(func(d *treaty.Detection) {
		d.Status = &treaty.SensorStatus{System: "OK", RangeM: 12_000, ClockNs: 1500, WindMmS: 3200, TempMC: -1100, HaveTemp: true, WindFrom: &az}
	})
	add(func(d *treaty.Detection) { d.Status = &treaty.SensorStatus{System: "OK", HaveTemp: true} })
	add(func(d *treaty.Detection) { d.Gap = &treaty.Gap{Begin: 1e18, End: 2e18, Lost: 9, Cause: "link down"} })
	return out
}

// Would catch a unit, sign or digit lost on the way out or in, and any change of the form that adapters write.
func TestGolden(t *testing.T) {
	var lines []byte
	for i, d := range all() {
		line, err := Encode(&d)
		if err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		got, err := Decode(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if !reflect.DeepEqual(got, d) {
			t.Fatalf("%s:\n got %+v\nwant %+v", line, got, d)
		}
		lines = append(append(lines, line...), '\n')
	}
	if *rewrite {
		if err := os.WriteFile("testdata/golden.ndjson", lines, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/golden.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	if string(lines) != string(want) {
		t.Errorf("the form has changed; old lines must stay readable. Got:\n%s", lines)
	}
}

// Would catch an example in the documentation that does not work.
func TestDocumentedExample(t *testing.T) {
	src, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(src)) {
		if rest, ok := strings.CutPrefix(line, "//\t"); ok {
			b.WriteString(strings.TrimSpace(rest))
		}
	}
	d, err := Decode([]byte(b.String()))
	if err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	if d.Arrival == nil || d.Arrival.SNRmB != 1420 || d.Pose.Position.LatE7 != 480123456 || d.Time.SigmaNs != 1_000_000 {
		t.Errorf("read as %+v", d)
	}
}

// Would catch a lenient reader: every one of these must be refused with a word about the field.
func TestRefusals(t *testing.T) {
	d := base()
	d.Arrival = &treaty.Arrival{Phase: treaty.PhaseP, SNRmB: 100}
	good, err := Encode(&d)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{`"sensor":"acoustic:17",`, ``, "sensor: is missing"},
		{`"sensor":`, `"sensr":`, "sensr: is not a field"},
		{`"class":"SHOT"`, `"class":"SHOT","class":"SHOT"`, `field "class" comes twice`},
		{`"class":"SHOT"`, `"class":"BANG"`, "class"},
		{`"mode":"REAL",`, ``, "mode: is missing"},
		{`"time_sigma_s":0.001`, `"time_sigma_s":0`, "sigma_ns"},
		{`"time_sigma_s":0.001`, `"time_sigma_s":NaN`, "no null, NaN"},
		{`"time_sigma_s":0.001`, `"time_sigma_s":"0.001"`, "time_sigma_s: is a text, must be a number"},
		{`"time_sigma_s":0.001`, `"time_sigma_s":1e99`, "time_sigma_s: 1e99 is too large"},
		{`"lat":48.0123456`, `"lat":98`, "latitude"},
		{`"lat":48.0123456`, `"lat":048`, "plain number"},
		{`"confidence":0.8`, `"confidence":1.1`, "confidence: must be from 0 to 1"},
		{`"phase":"P"`, `"phase":null`, "no null"},
		{`"phase":"P"`, `"phase":"P","snr":3`, "arrival.snr: is not a field"},
		{`"arrival":`, `"bearing":{"azimuth_deg":1,"azimuth_sigma_deg":1},"arrival":`, "exactly one"},
		{`}}`, `}`, "cut off"},
		{`}}`, `}} {}`, "one object per line"},
		{`"native_id":"pick-4711"`, "\"native_id\":\"\xff\"", "UTF-8"},
		{`"native_id":"pick-4711"`, `"native_id":"` + strings.Repeat("x", 65) + `"`, "native_id"},
		{`"native_id":"pick-4711"`, `"native_id":[[[[[[[[1]]]]]]]]`, "deeper"},
		{`"trust":"channel"`, `"trust":"channel"` + strings.Repeat(" ", MaxLine), "at most"},
	} {
		line := strings.Replace(string(good), c.old, c.new, 1)
		if line == string(good) {
			t.Fatalf("%q is not in the line", c.old)
		}
		if _, err := Decode([]byte(line)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s -> %s: error %v, want %q", c.old, c.new, err, c.want)
		}
	}
}

// Would catch a rounding that depends on floats, and an angle that does not come back.
func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		s      string
		places int
		want   int64
	}{
		{"48.01234565", 7, 480123457},
		{"-48.01234565", 7, -480123457},
		{"1e-9", 9, 1},
		{"4.9e-10", 9, 0},
		{"5e-10", 9, 1},
		{"0.1", 9, 100_000_000},
		{"12345.6789e2", 0, 1234568},
		{"0", 3, 0},
		{"-0.0", 3, 0},
		{"1E3", 0, 1000},
		{"0.0004", 3, 0},
		{"0.00049999999999999999999999", 3, 0},
		{"99.9995", 3, 100_000},
	} {
		if got, ok := decimal(c.s, c.places); !ok || got != c.want {
			t.Errorf("decimal(%s, %d) = %d, %v, want %d", c.s, c.places, got, ok, c.want)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		a := rng.Int64N(2*6_283_186+1) - 6_283_186
		deg, _ := degE7(a)
		nano, ok := decimal(string(appendDecimal(nil, deg, degDecimals)), 9)
		back, ok2 := urad(nano)
		if !ok || !ok2 || back != a {
			t.Fatalf("%d urad came back as %d", a, back)
		}
		v, places := rng.Int64N(1e18)-5e17, rng.IntN(10)
		if got, ok := decimal(string(appendDecimal(nil, v, places)), places); !ok || got != v {
			t.Fatalf("%d at %d places came back as %d", v, places, got)
		}
	}
	if u, _ := urad(180e9); u != 3_141_593 {
		t.Errorf("180 degrees are %d urad", u)
	}
}

// Would catch a panic, an invalid detection that is accepted, and one that does not survive the way out and in again.
func FuzzDecode(f *testing.F) {
	for _, d := range all() {
		line, err := Encode(&d)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line)
	}
	f.Add([]byte(`{"a":"\ud800"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		d, err := Decode(line)
		if err != nil {
			return
		}
		if err := d.Check(); err != nil {
			t.Fatal(err)
		}
		again, err := Encode(&d)
		if err != nil {
			t.Fatalf("read and cannot be written: %v", err)
		}
		back, err := Decode(again)
		if err != nil || !reflect.DeepEqual(back, d) {
			t.Fatalf("%v:\n%s\n%s", err, line, again)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	d := all()[0]
	line, err := Encode(&d)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(line); err != nil {
			b.Fatal(err)
		}
	}
}
