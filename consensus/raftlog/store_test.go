package raftlog_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"

	"truceline/consensus/raftlog"
)

// fixture is a store whose node is played by the test.
type fixture struct {
	*raftlog.Store
	db        *pebble.DB
	floor     uint64
	truncated []uint64
	mu        sync.Mutex
	fatal     []error
}

// fatalPanics makes Pebble's fatal commit errors reach the store, as Config.DB asks.
type fatalPanics struct{}

func (fatalPanics) Infof(string, ...any)      {}
func (fatalPanics) Errorf(string, ...any)     {}
func (fatalPanics) Fatalf(f string, a ...any) { panic(fmt.Errorf(f, a...)) }

func open(t *testing.T, fs vfs.FS) *fixture {
	t.Helper()
	db, err := pebble.Open("db", &pebble.Options{FS: fs, Logger: fatalPanics{}})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{db: db}
	f.Store, err = raftlog.Open(raftlog.Config{
		DB: db, Floor: func() uint64 { return f.floor },
		OnTruncate: func(min uint64) { f.truncated = append(f.truncated, min) },
		OnFatal:    func(err error) { f.mu.Lock(); defer f.mu.Unlock(); f.fatal = append(f.fatal, err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) close(t *testing.T) {
	t.Helper()
	if err := f.db.Close(); err != nil {
		t.Fatal(err)
	}
}

func entry(index, term uint64) *raft.Log {
	return &raft.Log{Index: index, Term: term, Type: raft.LogCommand, Data: fmt.Appendf(nil, "%d/%d", index, term)}
}

func fill(t *testing.T, s raft.LogStore, from, to, term uint64) {
	t.Helper()
	var ls []*raft.Log
	for i := from; i <= to; i++ {
		ls = append(ls, entry(i, term))
	}
	if err := s.StoreLogs(ls); err != nil {
		t.Fatal(err)
	}
}

func wantBounds(t *testing.T, s raft.LogStore, first, last uint64) {
	t.Helper()
	f, err1 := s.FirstIndex()
	l, err2 := s.LastIndex()
	if f != first || l != last || err1 != nil || err2 != nil {
		t.Fatalf("log is %d to %d (%v, %v), want %d to %d", f, l, err1, err2, first, last)
	}
	for i := first; i <= last && i > 0; i++ {
		var e raft.Log
		if err := s.GetLog(i, &e); err != nil || e.Index != i || !bytes.Equal(e.Data, entry(i, e.Term).Data) {
			t.Fatalf("entry %d: %+v, %v", i, e, err)
		}
	}
	for _, i := range []uint64{first - 1, last + 1} {
		var e raft.Log
		if i > 0 && (i < first || i > last) {
			if err := s.GetLog(i, &e); err != raft.ErrLogNotFound { //nolint:errorlint // raft compares with ==
				t.Fatalf("entry %d outside: %v, want raft.ErrLogNotFound itself", i, err)
			}
		}
	}
}

// Would catch every way in which this store differs from what raft expects of one: empty bounds, sentinel errors,
// order, gaps, what is kept of an entry, and the same after a restart (where nothing is cached).
func TestConformance(t *testing.T) {
	fs := vfs.NewMem()
	f := open(t, fs)
	if !f.IsMonotonic() {
		t.Error("not monotonic")
	}
	wantBounds(t, f, 0, 0)
	fill(t, f, 1, 5, 1)
	e := entry(6, 2)
	e.AppendedAt, e.Type = time.Unix(1, 0), raft.LogNoop
	if err := f.StoreLog(e); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []*raft.Log{
		entry(8, 2), entry(6, 2),
		{Index: 7, Term: 2, Type: raft.LogAddPeerDeprecated},
		{Index: 7, Term: 2, Type: 77},
		{Index: 7, Term: 0},
		{Index: 7, Term: 2, Extensions: []byte("x")},
		{Index: 7, Term: 2, Data: make([]byte, raftlog.MaxData+1)},
	} {
		if err := f.StoreLog(bad); err == nil {
			t.Errorf("stored %d/%d %s with %d bytes", bad.Index, bad.Term, bad.Type, len(bad.Data))
		}
	}
	if err := f.StoreLogs([]*raft.Log{entry(7, 2), entry(9, 2)}); err == nil {
		t.Error("stored a gap inside a batch")
	}
	for range 2 {
		wantBounds(t, f, 1, 6)
		var got raft.Log
		if err := f.GetLog(6, &got); err != nil || got.Type != raft.LogNoop || !got.AppendedAt.IsZero() || got.Term != 2 {
			t.Errorf("got %+v, %v", got, err)
		}
		f.close(t)
		f = open(t, fs)
	}
	if len(f.fatal) > 0 {
		t.Errorf("refused entries stopped the store: %v", f.fatal)
	}
	f.close(t)
}

// Would catch a stable store raft cannot start on: it compares the text of the error for a missing key.
func TestStable(t *testing.T) {
	fs := vfs.NewMem()
	f := open(t, fs)
	if _, err := f.Get([]byte("k")); err == nil || err.Error() != "not found" {
		t.Errorf("missing key: %v", err)
	}
	if n, err := f.GetUint64([]byte("n")); n != 0 || err == nil || err.Error() != "not found" {
		t.Errorf("missing number: %v", err)
	}
	if err := errors.Join(f.Set([]byte("k"), []byte("v")), f.SetUint64([]byte("n"), 7), f.Set([]byte("e"), nil)); err != nil {
		t.Fatal(err)
	}
	if err := f.Set([]byte("k"), make([]byte, 1<<20)); err == nil {
		t.Error("kept a megabyte as a vote")
	}
	fill(t, f, 1, 3, 1)
	if err := f.Wipe(); err != nil {
		t.Fatal(err)
	}
	f.close(t)
	f = open(t, fs)
	defer f.close(t)
	v, err1 := f.Get([]byte("k"))
	n, err2 := f.GetUint64([]byte("n"))
	_, err3 := f.Get([]byte("e"))
	if string(v) != "v" || n != 7 || err1 != nil || err2 != nil || err3 != nil {
		t.Errorf("after a wipe and restart: %q %d %v %v %v", v, n, err1, err2, err3)
	}
	wantBounds(t, f, 0, 0)
}

// Would catch a certified entry being truncated, a hole in the log, a truncation the node is not told of, and
// compaction beyond what is certified or of the anchor a leader needs after sending a snapshot.
func TestTruncateAndCompact(t *testing.T) {
	f := open(t, vfs.NewMem())
	defer f.close(t)
	fill(t, f, 1, 10, 1)
	if err := f.DeleteRange(1, 10); !errors.Is(err, raftlog.ErrCertified) {
		t.Errorf("the founding entry: %v", err)
	}
	f.floor = 6
	for _, min := range []uint64{1, 5, 6} {
		if err := f.DeleteRange(min, 10); !errors.Is(err, raftlog.ErrCertified) {
			t.Errorf("truncating from %d: %v, want ErrCertified", min, err)
		}
	}
	if err := f.DeleteRange(3, 8); err == nil {
		t.Error("left a hole")
	}
	if err := f.DeleteRange(1, 7); err == nil {
		t.Error("compacted beyond the certified point")
	}
	if err := f.CompactTo(7); err == nil {
		t.Error("CompactTo went beyond the certified point")
	}
	wantBounds(t, f, 1, 10)
	if err := f.DeleteRange(8, 10); err != nil {
		t.Fatal(err)
	}
	wantBounds(t, f, 1, 7)
	if !slices.Equal(f.truncated, []uint64{8}) {
		t.Errorf("told of truncations %v, want from 8", f.truncated)
	}
	fill(t, f, 8, 12, 2)
	if err := f.CompactTo(6); err != nil {
		t.Fatal(err)
	}
	wantBounds(t, f, 6, 12)
	f.floor = 12 // as after InstallSnapshot: all of it is certified, raft empties the log
	if err := f.DeleteRange(6, 12); err != nil {
		t.Fatal(err)
	}
	wantBounds(t, f, 0, 0)
	if len(f.truncated) != 1 {
		t.Errorf("compaction was reported as truncation: %v", f.truncated)
	}
	if err := f.StoreLog(entry(14, 3)); err == nil {
		t.Error("an empty log began with a gap behind the certified point")
	}
	fill(t, f, 13, 15, 3)
	wantBounds(t, f, 13, 15)
}

// Would catch a log of another history surviving a start at a certified point, and a good one being thrown away.
func TestAlign(t *testing.T) {
	for _, c := range []struct {
		name        string
		from, to    uint64
		index, term uint64
		wiped       bool
	}{
		{"holds it", 1, 10, 7, 1, false},
		{"holds another term there", 1, 10, 7, 2, true},
		{"ends before", 1, 10, 12, 1, true},
		{"ends just before", 1, 10, 11, 1, true},
		{"is its last", 1, 10, 10, 1, false},
		{"begins right behind it", 5, 10, 4, 1, false},
		{"begins with a gap", 5, 10, 3, 1, true},
		{"no point yet", 1, 10, 0, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := open(t, vfs.NewMem())
			defer f.close(t)
			f.floor = c.from - 1
			fill(t, f, c.from, c.to, 1)
			wiped, err := f.Align(c.index, c.term)
			if wiped != c.wiped || err != nil {
				t.Errorf("wiped %v, %v; want %v", wiped, err, c.wiped)
			}
			if c.wiped {
				wantBounds(t, f, 0, 0)
			} else {
				wantBounds(t, f, c.from, c.to)
			}
		})
	}
}

// Would catch a write that is acknowledged before it is on the disk: the power is cut after every single operation, and
// every acknowledged one must be there, whatever part of the unsynced data the disk kept.
func TestPowerCutAfterEveryWrite(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	mem := vfs.NewCrashableMem()
	f := open(t, mem)
	next, low, vote := uint64(1), uint64(1), uint64(0)
	terms := map[uint64]uint64{}
	for step := range 120 {
		term := uint64(step + 1)
		switch k := rng.IntN(10); {
		case k < 5 || next < 5:
			n := uint64(1 + rng.IntN(5))
			fill(t, f, next, next+n-1, term)
			for i := next; i < next+n; i++ {
				terms[i] = term
			}
			next += n
		case k < 7 && next-1 > f.floor+1:
			from := f.floor + 2 + rng.Uint64N(next-f.floor-2)
			if err := f.DeleteRange(from, next-1); err != nil {
				t.Fatal(err)
			}
			next = min(next, from)
		case k < 9:
			f.floor = max(f.floor, next/2)
			if err := f.CompactTo(f.floor); err != nil {
				t.Fatal(err)
			}
			low = max(low, f.floor)
		default:
			vote = term
			if err := f.SetUint64([]byte("vote"), vote); err != nil {
				t.Fatal(err)
			}
		}
		clone := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(3) * 50, RNG: rng})
		g := open(t, clone)
		wantBounds(t, g, low, next-1)
		for i := low; i < next; i++ {
			var e raft.Log
			if err := g.GetLog(i, &e); err != nil || e.Term != terms[i] {
				t.Fatalf("step %d: entry %d has term %d, %v; want %d", step, i, e.Term, err, terms[i])
			}
		}
		if v, err := g.GetUint64([]byte("vote")); v != vote || (err != nil) != (vote == 0) {
			t.Fatalf("step %d: vote %d, %v; want %d", step, v, err, vote)
		}
		g.close(t)
	}
	f.close(t)
}

// Would catch a full disk that is not reported, reported twice, or leaves a store that pretends to work; and
// acknowledged entries missing after it.
func TestFullDisk(t *testing.T) {
	mem := vfs.NewCrashableMem()
	var full errorfs.Toggle
	full.Injector = errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFileClose {
			return syscall.ENOSPC
		}
		return nil
	})
	f := open(t, errorfs.Wrap(mem, &full))
	fill(t, f, 1, 20, 1)
	full.On()
	if err := f.StoreLog(entry(21, 1)); err == nil {
		t.Fatal("an entry was acknowledged on a full disk")
	}
	if err := f.SetUint64([]byte("CurrentTerm"), 9); err == nil {
		t.Error("a term was acknowledged after the store failed")
	}
	full.Off()
	if err := f.StoreLog(entry(21, 1)); err == nil || f.Failed() == nil {
		t.Error("the store went on after a failed write")
	}
	if len(f.fatal) != 1 || !strings.Contains(f.fatal[0].Error(), syscall.ENOSPC.Error()) {
		t.Errorf("reported %v, want one error that names the full disk", f.fatal)
	}
	wantBounds(t, f, 1, 20)
	g := open(t, mem.CrashClone(vfs.CrashCloneCfg{}))
	defer g.close(t)
	wantBounds(t, g, 1, 20)
}

// Would catch a cache that serves an entry from before a truncation, or grows beyond its bounds.
func TestCacheAgainstDisk(t *testing.T) {
	f := open(t, vfs.NewMem())
	defer f.close(t)
	big := bytes.Repeat([]byte("x"), raftlog.MaxData)
	for i := uint64(1); i <= 80; i++ { // 40 MiB: more than the cache holds
		if err := f.StoreLog(&raft.Log{Index: i, Term: 1, Data: big}); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range []uint64{1, 40, 80} {
		var e raft.Log
		if err := f.GetLog(i, &e); err != nil || len(e.Data) != len(big) {
			t.Errorf("entry %d: %d bytes, %v", i, len(e.Data), err)
		}
	}
	if err := f.DeleteRange(70, 80); err != nil {
		t.Fatal(err)
	}
	fill(t, f, 70, 72, 2)
	var e raft.Log
	if err := f.GetLog(71, &e); err != nil || e.Term != 2 {
		t.Errorf("entry 71 has term %d, %v: from before the truncation", e.Term, err)
	}
	if err := f.GetLog(73, &e); err != raft.ErrLogNotFound { //nolint:errorlint // raft compares with ==
		t.Errorf("entry 73: %v", err)
	}
}

// Would catch two rooms of one database reading each other's keys.
func TestKeepsToItsPrefix(t *testing.T) {
	f := open(t, vfs.NewMem())
	defer f.close(t)
	for _, k := range []byte{raftlog.Prefix - 1, raftlog.Prefix + 1} {
		if err := f.db.Set([]byte{k, 'l', 0, 0, 0, 0, 0, 0, 0, 9}, []byte("other"), pebble.Sync); err != nil {
			t.Fatal(err)
		}
	}
	fill(t, f, 1, 3, 1)
	if err := f.Wipe(); err != nil {
		t.Fatal(err)
	}
	wantBounds(t, f, 0, 0)
	it, err := f.db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for it.First(); it.Valid(); it.Next() {
		n++
	}
	if err := it.Close(); err != nil || n != 2 {
		t.Errorf("%d keys left (%v), want the other rooms' 2", n, err)
	}
}
