package rawlog

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"truceline/treaty"
)

func open(t testing.TB, fs vfs.FS, change func(*Config)) *Log {
	t.Helper()
	c := Config{FS: fs, Dir: "raw", SegmentBytes: 4096, MaxBytes: 1 << 20, MaxDeadBytes: 1 << 20, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&c)
	}
	l, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func message(i int) Raw {
	return Raw{SourceID: "s", Peer: "p", Recv: treaty.Time(i + 1), MediaType: "m", Bytes: fmt.Appendf(nil, "message %d", i)}
}

func readAll(t testing.TB, l *Log, from Position) (out []Entry) {
	t.Helper()
	r := l.Reader(from)
	defer r.Close()
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
}

// Would catch a message that is acknowledged and lost, one that comes back changed, doubled or out of order, and a torn
// tail that stops the node, whatever write the power fails at and however much of what was not synced survives.
func TestCrashAtEveryWrite(t *testing.T) {
	var mu sync.Mutex
	var clones []*vfs.MemFS
	var ackedAt []int
	acked := 0
	mem := vfs.NewCrashableMem()
	rng := rand.New(rand.NewPCG(1, 1))
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsRead {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		for _, percent := range []int{0, 50, 100} {
			clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}))
			ackedAt = append(ackedAt, acked)
		}
		return nil
	}))
	l := open(t, fs, func(c *Config) { c.SegmentBytes = 1024 })
	for i := 0; i < 60; i += 3 {
		if err := l.Append(message(i), message(i+1), message(i+2)); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		acked = i + 3
		mu.Unlock()
		if i%15 == 0 {
			if err := l.Dead(Letter{Origin: l.End(), Reason: "r", Raw: message(i)}); err != nil {
				t.Fatal(err)
			}
			if err := l.SetCheckpoint(Checkpoint{Sealed: 1, Recent: 1, Done: []treaty.Hash{{byte(i)}}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(clones) < 200 {
		t.Fatalf("only %d crashes", len(clones))
	}
	for i, c := range clones {
		l := open(t, c, nil)
		got := readAll(t, l, 0)
		if len(got) < ackedAt[i] {
			t.Fatalf("crash %d: %d of %d acknowledged messages", i, len(got), ackedAt[i])
		}
		for j, e := range got {
			if string(e.Raw.Bytes) != fmt.Sprintf("message %d", j) || e.Raw.Recv != treaty.Time(j+1) {
				t.Fatalf("crash %d: message %d is %q", i, j, e.Raw.Bytes)
			}
		}
		// It goes on from there.
		if err := l.Append(message(len(got))); err != nil {
			t.Fatalf("crash %d: %v", i, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = open(t, c, nil)
		if again := readAll(t, l, 0); len(again) != len(got)+1 {
			t.Fatalf("crash %d: %d messages, then %d", i, len(got), len(again))
		}
		if err := l.Letters(func(Letter) error { return nil }); err != nil {
			t.Fatalf("crash %d: %v", i, err)
		}
	}
}

// Would catch a log that acknowledges on a full disk, goes on after it, or spoils what it had.
func TestDiskFull(t *testing.T) {
	mem := vfs.NewCrashableMem()
	for _, kind := range []errorfs.OpKind{errorfs.OpFileWrite, errorfs.OpFileSync} {
		mem = mem.CrashClone(vfs.CrashCloneCfg{})
		var full bool
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if full && op.Kind == kind {
				return syscall.ENOSPC
			}
			return nil
		}))
		l := open(t, fs, nil)
		before := len(readAll(t, l, 0))
		if err := l.Append(message(before)); err != nil {
			t.Fatal(err)
		}
		full = true
		if err := l.Append(message(before + 1)); !errors.Is(err, ErrDiskFull) {
			t.Fatalf("%v: error %v", kind, err)
		}
		full = false
		if err := l.Append(message(before + 1)); !errors.Is(err, ErrDiskFull) {
			t.Fatalf("%v: it went on after a failed write: %v", kind, err)
		}
		clone := mem.CrashClone(vfs.CrashCloneCfg{})
		if got := readAll(t, open(t, clone, nil), 0); len(got) != before+1 {
			t.Fatalf("%v: %d messages, want %d", kind, len(got), before+1)
		}
	}
}

// Would catch a log that grows without bound, removes what is not sealed, or reuses a position.
func TestRetention(t *testing.T) {
	mem := vfs.NewMem()
	change := func(c *Config) { c.SegmentBytes, c.MaxBytes = 1024, 4096 }
	l := open(t, mem, change)
	var err error
	n := 0
	for ; err == nil && n < 1000; n++ {
		err = l.Append(message(n))
	}
	if !errors.Is(err, ErrBacklog) {
		t.Fatalf("after %d messages: %v", n, err)
	}
	n--
	got := readAll(t, l, 0)
	if len(got) != n {
		t.Fatalf("%d of %d unsealed messages", len(got), n)
	}
	half := got[n/2].Position
	if err := l.SetCheckpoint(Checkpoint{Sealed: half, Recent: half}); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(message(n)); err != nil {
		t.Fatalf("sealed messages do not make room: %v", err)
	}
	after := readAll(t, l, 0)
	if after[0].Position > half || after[len(after)-1].Position <= got[n-1].Position || len(after) >= n {
		t.Fatalf("kept %d messages from %d to %d, sealed to %d", len(after), after[0].Position, after[len(after)-1].Position, half)
	}
	if u := l.Usage(); u.RawBytes > 4096 {
		t.Fatalf("%d bytes", u.RawBytes)
	}
}

// Would catch a damaged byte that is read as evidence, or that hides the segments behind it.
func TestDamage(t *testing.T) {
	mem := vfs.NewMem()
	l := open(t, mem, func(c *Config) { c.SegmentBytes = 1024 })
	for i := range 60 {
		if err := l.Append(message(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := mem.OpenReadWrite(l.raw.name(0), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0xff}, 500); err != nil {
		t.Fatal(err)
	}
	f.Close()
	l = open(t, mem, nil)
	r := l.Reader(0)
	damaged, read := 0, 0
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, ErrDamaged) {
			damaged++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if string(e.Raw.Bytes) != fmt.Sprintf("message %d", int(e.Raw.Recv)-1) {
			t.Fatalf("read %q", e.Raw.Bytes)
		}
		read++
	}
	if damaged != 1 || read < 30 || read >= 60 {
		t.Errorf("%d damages, %d messages", damaged, read)
	}
}

// Would catch a letter that is redriven twice or lost when the power fails in between, and one that is kept twice.
func TestRedriveCrash(t *testing.T) {
	mem := vfs.NewCrashableMem()
	l := open(t, mem, nil)
	letter := Letter{Origin: 20, Decoder: "d/1", Reason: "why", Done: []treaty.Hash{{1}}, Raw: message(7)}
	for range 2 {
		if err := l.Dead(letter); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var clones []*vfs.MemFS
	armed := false
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if armed && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{}))
		}
		return nil
	}))
	l = open(t, fs, nil)
	armed = true
	redrive := func(l *Log) (n int) {
		if err := l.Letters(func(m Letter) error {
			n++
			if m.Reason != "why" || m.Decoder != "d/1" || len(m.Done) != 1 {
				t.Errorf("letter %+v", m)
			}
			return l.Redrive(m)
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := redrive(l); n != 1 {
		t.Fatalf("%d letters", n)
	}
	armed = false
	clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{}))
	if len(clones) < 5 {
		t.Fatalf("%d crashes", len(clones))
	}
	for i, c := range clones {
		l := open(t, c, nil)
		redrive(l)
		if got := readAll(t, l, 0); len(got) != 1 || string(got[0].Raw.Bytes) != "message 7" || len(got[0].Done) != 1 {
			t.Fatalf("crash %d: %+v", i, got)
		}
		if n := redrive(l); n != 0 {
			t.Fatalf("crash %d: %d letters left", i, n)
		}
	}
}

// Would catch appends from several goroutines that mix their bytes or each wait for an fsync of their own.
func TestGroupSync(t *testing.T) {
	mem := vfs.NewMem()
	l := open(t, mem, nil)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 50 {
				if err := l.Append(message(g*50 + i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, e := range readAll(t, l, 0) {
		seen[string(e.Raw.Bytes)] = true
	}
	if len(seen) != 400 {
		t.Errorf("%d messages", len(seen))
	}
}

// Would catch a panic or an endless read on a segment of any bytes.
func FuzzSegment(f *testing.F) {
	mem := vfs.NewMem()
	l := open(f, mem, nil)
	if err := l.Append(message(1), message(2)); err != nil {
		f.Fatal(err)
	}
	l.Close()
	file, err := mem.Open(l.raw.name(0))
	if err != nil {
		f.Fatal(err)
	}
	seed, err := io.ReadAll(file)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		mem := vfs.NewMem()
		if err := mem.MkdirAll("raw", 0o700); err != nil {
			t.Fatal(err)
		}
		w, err := mem.Create("raw/raw-0000000000000000.seg", vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(append([]byte(nil), b...)); err != nil {
			t.Fatal(err)
		}
		w.Close()
		l := open(t, mem, nil)
		r := l.Reader(0)
		for range len(b) + 2 {
			if _, err := r.Next(); errors.Is(err, io.EOF) {
				return
			}
		}
		t.Fatal("no end")
	})
}

func BenchmarkAppend(b *testing.B) {
	l, err := Open(Config{FS: vfs.Default, Dir: b.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	raws := make([]Raw, 256)
	for i := range raws {
		raws[i] = Raw{SourceID: "s", MediaType: "m", Bytes: make([]byte, 512)}
	}
	for b.Loop() {
		if err := l.Append(raws...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(raws))/b.Elapsed().Seconds(), "messages/s")
}
