package livefire

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"truceline/sensorio"
	"truceline/treaty"
)

// data is the folder of recordings, or the test is skipped.
func data(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("TRUCELINE_DATA")
	if dir == "" {
		dir = "../../../shared/data"
	}
	dir = filepath.Join(dir, "livefire_pittsburgh")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no recordings: %v; set TRUCELINE_DATA to the folder that holds livefire_pittsburgh", err)
	}
	return dir
}

func plan(r *Recording, nations int) Plan {
	return Plan{
		Placement: Placement{Anchor: treaty.Position{LatE7: 48e7, LonE7: 38e7, HAEmm: 100_000}, Origin: r.Tests[0].Survey.Shooter, RotateDeg: 30},
		Start:     1_795_385_400_000_000_000, Spacing: 20 * time.Second, Nations: nations,
	}
}

// distance is between two positions, by Earth-centred coordinates: an oracle of its own for the placement.
func distance(a, b treaty.Position) float64 {
	xyz := func(p treaty.Position) [3]float64 {
		lat, lon := p.Degrees()
		lat, lon = lat*math.Pi/180, lon*math.Pi/180
		h := float64(p.HAEmm) / 1000
		n := axis / math.Sqrt(1-ecc2*math.Sin(lat)*math.Sin(lat))
		return [3]float64{(n + h) * math.Cos(lat) * math.Cos(lon), (n + h) * math.Cos(lat) * math.Sin(lon), (n*(1-ecc2) + h) * math.Sin(lat)}
	}
	p, q := xyz(a), xyz(b)
	return math.Sqrt((p[0]-q[0])*(p[0]-q[0]) + (p[1]-q[1])*(p[1]-q[1]) + (p[2]-q[2])*(p[2]-q[2]))
}

// Would catch a placement that stretches, mirrors or turns the wrong way.
func TestPlacement(t *testing.T) {
	p := Placement{Anchor: treaty.Position{LatE7: 48e7, LonE7: 38e7, HAEmm: 100_000}, Origin: Point{-11450, 3653, -92}}
	at := func(e, n, u float64) treaty.Position {
		return p.Position(Point{p.Origin.X + e, p.Origin.Y + n, p.Origin.Z + u})
	}
	if got := at(0, 0, 0); got != p.Anchor {
		t.Errorf("the origin lies at %v", got)
	}
	if e, n := at(1000, 0, 0), at(0, 1000, 0); e.LonE7 <= 38e7 || n.LatE7 <= 48e7 || n.LonE7 != 38e7 {
		t.Errorf("east %v, north %v", e, n)
	}
	for _, q := range [][3]float64{{1000, 0, 0}, {0, -2000, 30}, {700, 700, -15}} {
		want := math.Sqrt(q[0]*q[0] + q[1]*q[1] + q[2]*q[2])
		if got := distance(p.Anchor, at(q[0], q[1], q[2])); math.Abs(got-want) > 0.02 {
			t.Errorf("%v is %.3f m away, not %.3f", q, got, want)
		}
	}
	p.RotateDeg = 90 // clockwise: north becomes east
	if got := at(0, 1000, 0); got.LonE7 <= 38e7 || distance(got, (Placement{Anchor: p.Anchor}).Position(Point{1000, 0, 0})) > 0.02 {
		t.Errorf("turned: %v", got)
	}
	line := []treaty.Position{{LatE7: 48e7, LonE7: 37e7}, {LatE7: 48e7, LonE7: 39e7}} // eastwards: left is north
	if got := Beside(line, 0, 60, 0); got.LatE7 <= 48e7 || math.Abs(distance(got, treaty.Position{LatE7: 48e7, LonE7: 38e7})-60) > 0.02 {
		t.Errorf("beside: %v", got)
	}
}

// Would catch a real pulse that does not load, decode or pass Check, wrong counts, and a sensor dealt to two nations.
func TestRealRecordings(t *testing.T) {
	dir := data(t)
	tests, pulses, shots, labelled, absent := 0, 0, 0, 0, 0
	for _, fp := range []string{"FP1", "FP2", "FP3"} {
		r, err := Load(filepath.Join(dir, fp))
		if err != nil {
			t.Fatal(err)
		}
		byNation, err := r.Detections(plan(r, 7))
		if err != nil {
			t.Fatal(err)
		}
		owner := map[treaty.SensorID]int{}
		got := map[string]treaty.Detection{}
		for n, ds := range byNation {
			var last treaty.Time
			for _, d := range ds {
				if o, ok := owner[d.Sensor]; ok && o != n {
					t.Fatalf("%s belongs to nations %d and %d", d.Sensor, o, n)
				}
				owner[d.Sensor] = n
				if d.Time.Value < last {
					t.Fatalf("%s: out of order", d.Sensor)
				}
				last = d.Time.Value
				if d.Mode != treaty.ModeReplay {
					t.Fatalf("mode %s", d.Mode)
				}
				if d.Arrival != nil {
					got[d.NativeID] = d
				}
			}
		}
		pos := plan(r, 7).Placement
		for _, x := range r.Tests {
			tests++
			pulses += len(x.Pulses)
			shots += len(x.Shots)
			byID := map[string]Pulse{}
			for _, p := range x.Pulses {
				byID[p.UUID] = p
				d, ok := got[p.UUID]
				if !ok {
					t.Fatalf("pulse %s is lost", p.UUID)
				}
				want := math.Sqrt(math.Pow(p.Location.X-x.Survey.Shooter.X, 2) + math.Pow(p.Location.Y-x.Survey.Shooter.Y, 2) + math.Pow(p.Location.Z-x.Survey.Shooter.Z, 2))
				if dist := distance(d.Pose.Position, pos.Position(x.Survey.Shooter)); math.Abs(dist-want) > 0.03 {
					t.Fatalf("sensor %s is %.3f m from the shooter, not %.3f", p.Serial, dist, want)
				}
				if first := x.Pulses[0]; d.Time.Value-got[first.UUID].Time.Value != treaty.Time(p.Time.Sub(first.Time)) {
					t.Fatalf("pulse %s is shifted against the others", p.UUID)
				}
			}
			for _, s := range x.Shots {
				labelled += len(s.Pulses)
				for _, id := range s.Pulses {
					if _, ok := byID[id]; !ok {
						absent++
					}
				}
			}
		}
	}
	// 17 labels (in tests 008, 029, 032 and 034) name pulses that the folders do not hold.
	if tests != 54 || pulses != 3430 || shots != 108 || labelled != 1507 || absent != 17 {
		t.Errorf("%d tests, %d pulses, %d shots, %d labels, %d of them of no pulse", tests, pulses, shots, labelled, absent)
	}
}

// write makes a small recording.
func write(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "FP9", "test_900")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var ps []string
	for i := range 6 {
		ps = append(ps, fmt.Sprintf(`{"pulse_uuid":"u%d","serial_number":"S%d","arrival_time_utc":"2018-12-19T00:49:%02d.467Z",
			"location":{"x":%d,"y":10,"z":1},"location_error":0.03,"signal_to_noise_dB":%d,"power_dB_SPL":77}`, i, i%3, 20-i, i*100, i*5))
	}
	for name, text := range map[string]string{
		"allpulses": "[" + strings.Join(ps, ",") + "]",
		"survey":    `{"test_id":900,"firing_position":"FP9","num_rounds":1,"survey_location":{"x":0,"y":0,"z":0}}`,
		"weather":   `{"temperature":-1.1,"speed":3,"direction":270,"observation_time":"2018-12-19T00:01:17Z","source":"TEST"}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, "test_900."+name+".json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Dir(dir)
}

// Would catch a replay that comes early, late or in another order, weather that is lost, and confidence that falls with
// the signal.
func TestSource(t *testing.T) {
	r, err := Load(write(t))
	if err != nil {
		t.Fatal(err)
	}
	if same, err := Load(filepath.Join(filepath.Dir(write(t)), "FP9", "test_900")); err != nil || len(same.Tests) != 1 {
		t.Fatalf("one test folder: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		clock, err := sensorio.NewClock(time.Now(), plan(r, 1).Start, 10)
		if err != nil {
			t.Fatal(err)
		}
		s, err := NewSource(r, plan(r, 1), 0, clock)
		if err != nil {
			t.Fatal(err)
		}
		var kinds []string
		var conf []treaty.PPM
		for {
			raw, _, err := s.Read(t.Context())
			if err != nil {
				break
			}
			ds, err := Decoder{}.Decode(raw)
			if err != nil {
				t.Fatal(err)
			}
			d := ds[0]
			if late := clock.Now().Sub(d.Time.Value); late < 0 || late > time.Millisecond {
				t.Errorf("%s came %s late", d.NativeID, late)
			}
			kinds = append(kinds, d.Kind())
			if d.Status != nil {
				if d.Status.TempMC != -1100 || d.Status.WindMmS != 3000 || d.Status.WindFrom.Urad != 5_235_988 { // 270+30 degrees
					t.Errorf("weather %+v", d.Status)
				}
				continue
			}
			conf = append(conf, d.Confidence)
		}
		if strings.Join(kinds, " ") != "status status status arrival arrival arrival arrival arrival arrival" {
			t.Errorf("kinds %v", kinds)
		}
		if !slices.IsSortedFunc(conf, func(a, b treaty.PPM) int { return int(b) - int(a) }) || conf[0] <= conf[5] {
			t.Errorf("confidences %v", conf)
		}
	})
}

// Would catch a panic, or a detection that does not pass Check or is not a replay.
func FuzzDecode(f *testing.F) {
	r, err := Load(write(f))
	if err != nil {
		f.Fatal(err)
	}
	ms, err := r.messages(plan(r, 1), 0)
	if err != nil {
		f.Fatal(err)
	}
	for _, m := range ms {
		f.Add(m.raw)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ds, err := Decoder{}.Decode(sensorio.Raw{Bytes: b})
		if err != nil {
			return
		}
		for _, d := range ds {
			if err := d.Check(); err != nil || d.Mode != treaty.ModeReplay {
				t.Fatalf("%v, mode %s", err, d.Mode)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	r, err := Load(write(b))
	if err != nil {
		b.Fatal(err)
	}
	ms, err := r.messages(plan(r, 1), 0)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (Decoder{}).Decode(sensorio.Raw{Bytes: ms[5].raw}); err != nil {
			b.Fatal(err)
		}
	}
}
