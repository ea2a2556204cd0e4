package sensorio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/prometheus/client_golang/prometheus"

	"truceline/sensorio/ndjson"
	"truceline/sensorio/rawlog"
	"truceline/treaty"
)

func detection(i int) treaty.Detection {
	return treaty.Detection{
		Sensor: "acoustic:1", NativeID: fmt.Sprint(i), Modality: treaty.ModalityAcoustic, Mode: treaty.ModeTest,
		Time: treaty.TimeQuantity{Value: treaty.Time(1e17 + i), SigmaNs: 1000}, TimeSource: treaty.TimeGNSS,
		Pose:  treaty.Pose{Position: treaty.Position{LatE7: 48e7, LonE7: 37e7}, SigmaMm: 1000},
		Class: treaty.ClassShot, Confidence: 500_000, Trust: treaty.TrustManual, Arrival: &treaty.Arrival{Phase: treaty.PhaseUnknown},
	}
}

func line(t testing.TB, d treaty.Detection) []byte {
	t.Helper()
	b, err := ndjson.Encode(&d)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// feed is a source that a test pushes lines into; it tells which were acknowledged.
type feed struct {
	lines [][]byte
	next  int
	mu    sync.Mutex
	acked []string
	nacks int
}

func (f *feed) Connect(context.Context) error { return nil }
func (f *feed) Close() error                  { return nil }

func (f *feed) Read(context.Context) (Raw, Ack, error) {
	if f.next == len(f.lines) {
		return Raw{}, nil, ErrEnd
	}
	b := f.lines[f.next]
	f.next++
	return Raw{MediaType: MediaNDJSON, Bytes: b}, func(_ context.Context, err error) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if err == nil {
			f.acked = append(f.acked, string(b))
		} else {
			f.nacks++
		}
		return nil
	}, nil
}

// sealing plays the node: it keeps what is handed over in batches and tells the intake.
type sealing struct {
	mu   sync.Mutex
	open []treaty.Detection
	kept [][]treaty.Detection
}

func (s *sealing) hand(_ context.Context, ds []treaty.Detection) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = append(s.open, ds...)
	return nil
}

// seal keeps up to n detections as a batch.
func (s *sealing) seal(t testing.TB, in *Intake, n int) bool {
	s.mu.Lock()
	n = min(n, len(s.open))
	if n == 0 {
		s.mu.Unlock()
		return false
	}
	batch := slices.Clone(s.open[:n])
	s.open = slices.Delete(s.open, 0, n)
	s.kept = append(s.kept, batch)
	s.mu.Unlock()
	if err := in.Sealed(batch); err != nil {
		t.Fatal(err)
	}
	return true
}

func openLog(t testing.TB, fs vfs.FS) *rawlog.Log {
	t.Helper()
	l, err := rawlog.Open(rawlog.Config{FS: fs, Dir: "raw", SegmentBytes: 8192, MaxBytes: 1 << 24, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func intake(t testing.TB, l *rawlog.Log, hand func(context.Context, []treaty.Detection) error, change func(*IntakeConfig), sources ...SourceConfig) *Intake {
	t.Helper()
	cfg := IntakeConfig{
		RawLog: l, Clock: RealClock(), Sources: sources, Hand: hand, Registerer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	in, err := NewIntake(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// run runs the intake until do returns.
func run(t testing.TB, in *Intake, do func()) error {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	synctest.Wait()
	do()
	cancel()
	return <-done
}

// Would catch an acknowledged detection that is lost, and one that is sealed twice, when the power fails at any write to
// the raw log, its dead letters or its checkpoint.
func TestCrashNothingLostNothingTwice(t *testing.T) {
	type crash struct {
		fs    *vfs.MemFS
		acked []string
		kept  [][]treaty.Detection
	}
	var crashes []crash
	const n = 120
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewCrashableMem()
		f, s := &feed{}, &sealing{}
		for i := range n {
			f.lines = append(f.lines, line(t, detection(i)))
			if i%10 == 0 {
				f.lines = append(f.lines, fmt.Appendf(nil, "{rubbish %d", i))
			}
		}
		rng := rand.New(rand.NewPCG(1, 1))
		var mu sync.Mutex
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsRead {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			f.mu.Lock()
			acked := slices.Clone(f.acked)
			f.mu.Unlock()
			s.mu.Lock()
			kept := slices.Clone(s.kept)
			s.mu.Unlock()
			for _, percent := range []int{0, 60} {
				crashes = append(crashes, crash{mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}), acked, kept})
			}
			return nil
		}))
		in := intake(t, openLog(t, fs), s.hand, nil, SourceConfig{ID: "a", Source: f, Decoder: NDJSON{}, QueueMessages: 8})
		if err := run(t, in, func() {
			for s.seal(t, in, 7) {
				synctest.Wait()
			}
		}); err != nil {
			t.Fatal(err)
		}
	})
	if len(crashes) < 60 {
		t.Fatalf("only %d crashes", len(crashes))
	}
	for i, c := range crashes {
		synctest.Test(t, func(t *testing.T) {
			s := &sealing{kept: c.kept}
			l := openLog(t, c.fs)
			in := intake(t, l, s.hand, nil, SourceConfig{ID: "a", Source: &feed{}, Decoder: NDJSON{}})
			if k := len(c.kept); k > 0 {
				if err := in.Sealed(c.kept[k-1]); err != nil {
					t.Fatal(err)
				}
			}
			if err := run(t, in, func() {
				for s.seal(t, in, 1000) {
					synctest.Wait()
				}
			}); err != nil {
				t.Fatal(err)
			}
			count := map[string]int{}
			for _, b := range s.kept {
				for _, d := range b {
					count[d.NativeID]++
				}
			}
			letters := map[string]int{}
			if err := l.Letters(func(m rawlog.Letter) error { letters[string(m.Raw.Bytes)]++; return nil }); err != nil {
				t.Fatal(err)
			}
			for id, k := range count {
				if k != 1 {
					t.Errorf("crash %d: detection %s was sealed %d times", i, id, k)
				}
			}
			for _, a := range c.acked {
				d, err := ndjson.Decode([]byte(a))
				if err != nil {
					if letters[a] != 1 {
						t.Errorf("crash %d: %q is %d dead letters", i, a, letters[a])
					}
				} else if count[d.NativeID] != 1 {
					t.Errorf("crash %d: detection %s was acknowledged and is lost", i, d.NativeID)
				}
			}
		})
	}
}

// Would catch input that stops a source, a rule of policy that is passed over, and a dead letter without its reason.
func TestMalformedInputAndPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := treaty.TimeOf(time.Now())
		future, real, stranger := detection(1), detection(2), detection(3)
		future.Time.Value = now.Add(time.Minute)
		real.Mode = treaty.ModeReal
		stranger.Sensor = "acoustic:99"
		boast := detection(5)
		boast.Trust = treaty.TrustSensorSigned
		f, s := &feed{lines: [][]byte{
			[]byte("{"),
			{0xff, 0},
			[]byte(`{"sensor":"x"}`), bytes.Repeat([]byte("x"), ndjson.MaxLine+1), make([]byte, rawlog.MaxRaw+1),
			line(t, future), line(t, real), line(t, stranger), line(t, detection(4)), line(t, detection(4)), line(t, boast),
		}}, &sealing{}
		l := openLog(t, vfs.NewMem())
		in := intake(t, l, s.hand, nil, SourceConfig{
			ID: "a", Source: f, Decoder: NDJSON{}, Replay: true, Sensors: []treaty.SensorID{"acoustic:1"}, Trust: treaty.TrustNetwork,
		})
		if err := run(t, in, func() {}); err != nil {
			t.Fatal(err)
		}
		if len(s.open) != 2 || s.open[0].NativeID != "4" || s.open[1].Trust != treaty.TrustNetwork {
			t.Fatalf("handed over: %+v", s.open)
		}
		var reasons []string
		if err := l.Letters(func(m rawlog.Letter) error { reasons = append(reasons, m.Reason); return nil }); err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"field name", "UTF-8", "is missing", "at most", "future", "replay", "identity"} {
			if i >= len(reasons) || !strings.Contains(reasons[i], want) {
				t.Errorf("dead letter %d: want %q in %q", i, want, reasons)
			}
		}
		st := in.Stats()
		if st.Accepted != 2 || st.Duplicates != 1 || st.DeadLetters != 7 || !st.Sources[0].Ended || f.nacks != 1 {
			t.Errorf("stats %+v, %d nacks", st, f.nacks)
		}
	})
}

// Would catch a queue without a bound: when nothing is sealed, sources must come to a stand, and go on afterwards.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := &feed{}, &sealing{}
		const n = 5000
		for i := range n {
			f.lines = append(f.lines, line(t, detection(i)))
		}
		in := intake(t, openLog(t, vfs.NewMem()), s.hand, func(c *IntakeConfig) { c.MaxPending, c.MaxBacklog = 64, 16<<10 },
			SourceConfig{ID: "a", Source: f, Decoder: NDJSON{}, QueueMessages: 20})
		if err := run(t, in, func() {
			if f.next > 1000 || len(s.open) > 64 {
				t.Errorf("%d messages were read and %d handed over although nothing was sealed", f.next, len(s.open))
			}
			for s.seal(t, in, 64) {
				synctest.Wait()
			}
		}); err != nil {
			t.Fatal(err)
		}
		total := 0
		for _, b := range s.kept {
			total += len(b)
		}
		if total != n {
			t.Errorf("%d of %d arrived in the end", total, n)
		}
	})
}

// Would catch a node that acknowledges on a full disk, or goes on as if nothing were.
func TestFullDiskStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpFileWrite && strings.HasSuffix(op.Path, ".seg") {
				return syscall.ENOSPC
			}
			return nil
		}))
		f, s := &feed{lines: [][]byte{line(t, detection(1))}}, &sealing{}
		in := intake(t, openLog(t, fs), s.hand, nil, SourceConfig{ID: "a", Source: f, Decoder: NDJSON{}})
		if err := in.Run(t.Context()); !errors.Is(err, rawlog.ErrDiskFull) {
			t.Fatalf("error %v", err)
		}
		if len(f.acked) > 0 || f.nacks != 1 || len(s.open) > 0 {
			t.Errorf("%d acknowledged, %d refused, %d handed over", len(f.acked), f.nacks, len(s.open))
		}
	})
}

// twoForms fails on lines that begin with ! until it is mended.
type twoForms struct{ mended *bool }

func (twoForms) Name() string { return "two/1" }
func (c twoForms) Decode(r Raw) ([]treaty.Detection, error) {
	var ds []treaty.Detection
	var errs []error
	for l := range bytes.Lines(r.Bytes) {
		l = bytes.TrimSpace(l)
		if bytes.HasPrefix(l, []byte("!")) {
			if !*c.mended {
				errs = append(errs, errors.New("a line with !"))
				continue
			}
			l = l[1:]
		}
		d, err := ndjson.Decode(l)
		errs = append(errs, err)
		ds = append(ds, d)
	}
	return ds, errors.Join(errs...)
}

// Would catch a redrive that doubles what was decoded the first time, or leaves what decodes now.
func TestRedrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		msg := slices.Concat(line(t, detection(1)), []byte("\n!"), line(t, detection(2)), []byte("\n"))
		f, s := &feed{lines: [][]byte{msg, []byte("!rubbish")}}, &sealing{}
		mended := false
		in := intake(t, openLog(t, vfs.NewMem()), s.hand, func(c *IntakeConfig) { c.Dedupe = time.Second },
			SourceConfig{ID: "a", Source: f, Decoder: twoForms{&mended}})
		if err := run(t, in, func() {
			if len(s.open) != 1 {
				t.Fatalf("%d handed over", len(s.open))
			}
			mended = true
			time.Sleep(time.Hour) // in the bubble: long after the dedupe window
			for range 2 {
				if _, err := in.Redrive(t.Context()); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			}
			if len(s.open) != 2 || s.open[1].NativeID != "2" {
				t.Errorf("handed over after redriving: %+v", s.open)
			}
			if r, err := in.Redrive(t.Context()); err != nil || r.Letters != 1 || r.Again != 0 {
				t.Errorf("%+v, %v", r, err)
			}
		}); err != nil {
			t.Fatal(err)
		}
	})
}

// Would catch an answer before the bytes are kept, a wrong count, and a full queue that is not told.
func TestHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sealing{}
		in := intake(t, openLog(t, vfs.NewMem()), s.hand, nil, PushSource("http"))
		if _, err := in.Handler("other"); err == nil {
			t.Error("a handler for a source that is not there")
		}
		h, err := in.Handler("http")
		if err != nil {
			t.Fatal(err)
		}
		post := func(body io.Reader) (int, Answer) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/detections", body))
			var a Answer
			if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
				t.Fatalf("%v: %s", err, w.Body)
			}
			if w.Code == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
				t.Error("503 without Retry-After")
			}
			return w.Code, a
		}
		early := make(chan int, 1)
		go func() {
			code, _ := post(bytes.NewReader(slices.Concat(line(t, detection(0)), []byte("\n"))))
			early <- code
		}()
		synctest.Wait()
		select {
		case <-early:
			t.Fatal("answered before anything was kept")
		default:
		}
		if code, _ := post(strings.NewReader(strings.Repeat("x\n", MaxBodyLines))); code != http.StatusServiceUnavailable {
			t.Errorf("full queue: %d", code)
		}
		if err := run(t, in, func() {
			if code := <-early; code != http.StatusOK {
				t.Errorf("%d", code)
			}
			body := slices.Concat(line(t, detection(1)), []byte("\n\n{rubbish\n"), line(t, detection(2)))
			code, a := post(bytes.NewReader(body))
			if code != 200 || a.Lines != 3 || a.Accepted != 2 || a.DeadLetters != 1 || a.Problems[0].Line != 3 {
				t.Errorf("%d %+v", code, a)
			}
			for _, c := range []struct {
				body string
				want int
			}{{"", 400}, {strings.Repeat("x\n", MaxBodyLines+1), 413}, {strings.Repeat("x", MaxBody+1), 413}} {
				if code, _ := post(strings.NewReader(c.body)); code != c.want {
					t.Errorf("%d bytes: %d, want %d", len(c.body), code, c.want)
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
		if len(s.open) != 3 {
			t.Errorf("%d handed over", len(s.open))
		}
		if code, _ := post(strings.NewReader("x")); code != http.StatusServiceUnavailable {
			t.Errorf("after the end: %d", code)
		}
	})
}

// flaky fails to connect twice and loses its connection after every message.
type flaky struct {
	feed
	tries int
	read  bool
}

func (f *flaky) Connect(context.Context) error {
	if f.tries++; f.tries < 3 {
		return errors.New("refused")
	}
	return nil
}

func (f *flaky) Read(ctx context.Context) (Raw, Ack, error) {
	if f.read = !f.read; !f.read {
		return Raw{}, nil, ErrNotConnected
	}
	return f.feed.Read(ctx)
}

// Would catch a source that is given up when its other end is away for a while.
func TestReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := &flaky{}, &sealing{}
		for i := range 5 {
			f.lines = append(f.lines, line(t, detection(i)))
		}
		in := intake(t, openLog(t, vfs.NewMem()), s.hand, nil, SourceConfig{ID: "a", Source: f, Decoder: NDJSON{}})
		if err := run(t, in, func() {
			time.Sleep(5 * time.Minute)
			synctest.Wait()
		}); err != nil {
			t.Fatal(err)
		}
		if len(s.open) != 5 {
			t.Errorf("%d of 5 handed over", len(s.open))
		}
	})
}

// Would catch a long or last line that is lost, and a table's row without its header.
func TestLines(t *testing.T) {
	read := func(header bool, text string) (out []string) {
		l := NewLines(LinesConfig{Header: header, Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }})
		if err := l.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		for {
			r, _, err := l.Read(t.Context())
			if errors.Is(err, ErrEnd) {
				return out
			}
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, string(r.Bytes))
		}
	}
	if got := read(false, "a\r\n\n  \nb"); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%q", got)
	}
	if got := read(true, "h\n1\n2\n"); !slices.Equal(got, []string{"h\n1", "h\n2"}) {
		t.Errorf("%q", got)
	}
	got := read(false, strings.Repeat("x", 10*ndjson.MaxLine)+"\nb\n")
	if len(got) != 2 || len(got[0]) != ndjson.MaxLine+1 || got[1] != "b" {
		t.Errorf("%d lines, the first of %d bytes", len(got), len(got[0]))
	}
}

// Would catch a clock that runs at another speed than it says, or wakes a sleeper early.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := treaty.Time(1e18)
		c, err := NewClock(time.Now(), base, 20)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := c.SleepUntil(t.Context(), base.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d < 3*time.Second || d > 3*time.Second+time.Microsecond {
			t.Errorf("a minute at speed 20 took %s", d)
		}
		if c.Now() < base.Add(time.Minute) {
			t.Errorf("woken at %s", c.Now())
		}
		if d := RealClock().Until(treaty.TimeOf(time.Now().Add(time.Second))); d != time.Second+1 {
			t.Errorf("real clock: %s", d)
		}
		for _, speed := range []float64{0, -1, MaxSpeed + 1} {
			if _, err := NewClock(time.Now(), base, speed); err == nil {
				t.Errorf("speed %v is accepted", speed)
			}
		}
	})
}

func BenchmarkIngest(b *testing.B) {
	l, err := rawlog.Open(rawlog.Config{FS: vfs.Default, Dir: b.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	f := &feed{}
	for i := range b.N {
		f.lines = append(f.lines, line(b, detection(i)))
	}
	ctx, cancel := context.WithCancel(b.Context())
	var in *Intake
	n := 0
	in = intake(b, l, func(_ context.Context, ds []treaty.Detection) error {
		if n += len(ds); n >= b.N {
			cancel()
		}
		return nil
	}, func(c *IntakeConfig) { c.MaxPending = b.N + 1 }, SourceConfig{ID: "a", Source: f, Decoder: NDJSON{}})
	b.ReportAllocs()
	b.ResetTimer()
	if err := in.Run(ctx); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "detections/s")
}
