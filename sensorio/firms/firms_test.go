package firms

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"truceline/sensorio"
	"truceline/treaty"
)

var decoder = Decoder{Mode: treaty.ModeReplay, Trust: treaty.TrustManual}

func decode(table string) ([]treaty.Detection, error) {
	return decoder.Decode(sensorio.Raw{Bytes: []byte(table)})
}

// Would catch a header variant or a spelling of time or confidence that is misread: times without leading zeros, most of
// all.
func TestVariants(t *testing.T) {
	at := time.Date(2025, 9, 20, 1, 12, 30, 0, time.UTC)
	for name, c := range map[string]struct {
		table, sensor string
		conf          treaty.PPM
		class         treaty.EventClass
		day           bool
	}{
		"area API": {"latitude,longitude,bright_ti4,scan,track,acq_date,acq_time,satellite,instrument,confidence,version,bright_ti5,frp,daynight\n" +
			"48.05962,37.95852,299.06,0.39,0.44,2025-09-20,0112,N20,VIIRS,n,2.0NRT,287.93,0.55,N", "firms:N20/VIIRS", 700_000, treaty.ClassThermal, false},
		"24 h, no instrument": {"latitude,longitude,bright_ti4,scan,track,acq_date,acq_time,satellite,confidence,version,bright_ti5,frp,daynight\n" +
			"48.05962,37.95852,299.06,0.39,0.44,2025-09-20,112,1,nominal,2.0NRT,287.93,0.55,D", "firms:N20/VIIRS", 700_000, treaty.ClassThermal, true},
		"archive with type": {"latitude,longitude,bright_ti4,scan,track,acq_date,acq_time,satellite,instrument,confidence,version,bright_ti5,frp,daynight,type\n" +
			"48.05962,37.95852,299.06,0.39,0.44,2025-09-20,112,N,VIIRS,l,2,287.93,0.55,N,2", "firms:NPP/VIIRS", 300_000, treaty.ClassOther, false},
		"clipped": {"\xef\xbb\xbflatitude,longitude,bright_ti4,scan,track,acq_date,acq_time,satellite,confidence,version,bright_ti5,frp,daynight,instrument,id\n" +
			"48.05962,37.95852,299.06,0.39,0.44,2025-09-20,01:12:00,1,high,2.0NRT,287.93,0.55,N,VIIRS,7", "firms:N20/VIIRS", 950_000, treaty.ClassThermal, false},
		"MODIS": {"latitude,longitude,brightness,scan,track,acq_date,acq_time,satellite,instrument,confidence,version,bright_t31,frp,daynight\n" +
			"48.05962,37.95852,299.06,0.39,0.44,2025-09-20,01:12,T,MODIS,42,6.1NRT,287.93,0.55,N", "firms:Terra/MODIS", 420_000, treaty.ClassThermal, false},
	} {
		ds, err := decode(c.table)
		if err != nil || len(ds) != 1 {
			t.Errorf("%s: %d rows, %v", name, len(ds), err)
			continue
		}
		d := ds[0]
		if string(d.Sensor) != c.sensor || d.Confidence != c.conf || d.Class != c.class || d.Thermal.Day != c.day {
			t.Errorf("%s: sensor %s, confidence %d, class %s, day %v", name, d.Sensor, d.Confidence, d.Class, d.Thermal.Day)
		}
		if !d.Time.Value.Std().Equal(at) || d.Time.SigmaNs != 17_321_000_000 {
			t.Errorf("%s: time %s, sigma %d", name, d.Time.Value, d.Time.SigmaNs)
		}
		if x := d.Thermal; x.Position.LatE7 != 480596200 || x.ScanM != 390 || x.TrackM != 440 || x.BrightMK != 299_060 || x.FRPkW != 550 {
			t.Errorf("%s: %+v", name, x)
		}
	}
}

// Would catch a row that is guessed at, and one that spoils its neighbours.
func TestBadRows(t *testing.T) {
	const head = "latitude,longitude,bright_ti4,scan,track,acq_date,acq_time,satellite,confidence,frp\n"
	const good = "48,37,300,0.4,0.4,2025-09-20,112,N20,n,0.5"
	for _, c := range []struct{ old, new, want string }{
		{"48,", "98,", "latitude"},
		{"48,", ",", "latitude"},
		{"48,", "NaN,", "latitude"},
		{"300", "x", "bright_ti4"},
		{"0.4", "0", "scan"},
		{"2025-09-20", "20/09/2025", "acq_date"},
		{"112", "2460", "acq_time"},
		{"112", "25:00", "acq_time"},
		{"112", "", "acq_time"},
		{",n,", ",50,", "confidence"},
		{"N20", "", "satellite"},
		{",0.5", "", "columns"},
		{"0.5", "-1", "frp"},
	} {
		bad := strings.Replace(good, c.old, c.new, 1)
		ds, err := decode(head + good + "\n" + bad + "\n" + good)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "line 3") || !errors.Is(err, treaty.ErrMalformed) {
			t.Errorf("%s: error %v, want %q", bad, err, c.want)
		}
		if len(ds) != 2 {
			t.Errorf("%s: %d good rows, want 2", bad, len(ds))
		}
	}
	for _, h := range []string{"", "a,b\n1,2", strings.Replace(head, "scan", "latitude", 1) + good, head} {
		if ds, err := decode(h); err == nil || len(ds) > 0 {
			t.Errorf("%q: %d rows, %v", h, len(ds), err)
		}
	}
}

func real(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("TRUCELINE_DATA")
	if dir == "" {
		dir = "../../../shared/data"
	}
	path := filepath.Join(dir, "firms_viirs_ukraine", "viirs_2026-06-24_25_27.csv")
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no recordings: %v; set TRUCELINE_DATA to the folder that holds firms_viirs_ukraine", err)
	}
	return path
}

// Would catch a real row that is refused, or a source that cuts a table wrong.
func TestRealFile(t *testing.T) {
	src := File(real(t))
	if err := src.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	n := 0
	satellites := map[string]int{}
	for {
		raw, _, err := src.Read(t.Context())
		if errors.Is(err, sensorio.ErrEnd) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		ds, err := decoder.Decode(raw)
		if err != nil || len(ds) != 1 {
			t.Fatalf("%d detections, %v, from:\n%s", len(ds), err, raw.Bytes)
		}
		n++
		satellites[ds[0].Thermal.Satellite]++
	}
	if n != 3872 || len(satellites) != 3 {
		t.Errorf("%d rows of %v", n, satellites)
	}
}

// Would catch a panic, and a detection that does not pass Check.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("latitude,longitude,bright_ti4,scan,track,acq_date,acq_time,satellite,confidence,frp\n48,37,300,0.4,0.4,2025-09-20,112,N20,n,0.5"))
	f.Add([]byte("latitude,longitude,brightness,scan,track,acq_date,acq_time,satellite,confidence,frp,type,daynight\n48,37,300,0.4,0.4,2025-09-20,1:2:3,T,99,0.5,0,D\n\"a"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ds, _ := decoder.Decode(sensorio.Raw{Bytes: b})
		for i := range ds {
			if err := ds[i].Check(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	raw := sensorio.Raw{Bytes: []byte("latitude,longitude,bright_ti4,scan,track,acq_date,acq_time,satellite,confidence,frp\n48,37,300,0.4,0.4,2025-09-20,112,N20,n,0.5")}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decoder.Decode(raw); err != nil {
			b.Fatal(err)
		}
	}
}
