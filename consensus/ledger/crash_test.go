package ledger

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// The power fails at each step between Stage, commit and Done, with any part of what was not synced lost. The ledger must
// open at the certificate before or the one after, with everything of it; after a synced commit at the one after only.
// Catches a final pointer in another batch than its leaves, and a Done before the sync.
func TestCrashAtEveryStep(t *testing.T) {
	f := treatytest.New(4)
	h := newHistory(f, 7)
	h.grow(t, 60)
	disk := vfs.NewCrashableMem()
	n := newNode(t, f, disk)
	rng := rand.New(rand.NewPCG(7, 7))
	seenOld, seenNew := 0, 0
	crash := func(step string, older, newer *treaty.Certificate) {
		t.Helper()
		for _, lost := range []int{0, 30, 100} {
			c := newNode(t, f, disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: lost, RNG: rng}))
			switch got := c.height(); {
			case older != nil && got == older.Height || older == nil && got == 0:
				seenOld++
				if step == "synced" || step == "done" {
					t.Fatalf("%s: certificate %d is gone", step, newer.Height)
				}
			case got == newer.Height:
				seenNew++
				if step == "staged" {
					t.Fatalf("certificate %d is there before it was committed", newer.Height)
				}
				if c.FinalSize() != newer.Checkpoint.Size {
					t.Fatalf("%s: height %d with %d leaves", step, got, c.FinalSize())
				}
			default:
				t.Fatalf("%s: opened at height %d, neither before nor after %d", step, got, newer.Height)
			}
			// From wherever it is, the same Raft log leads to the same place.
			last := h.entries[len(h.entries)-1]
			c.apply(h.entries...)
			c.check(h, last.index)
			if err := c.db.Close(); err != nil {
				t.Fatal(err)
			}
			c.db = openDB(t, vfs.NewMem()) // for the cleanup
		}
	}
	var last *treaty.Certificate
	for i, e := range h.entries {
		n.apply(e)
		if i%6 != 5 || len(n.Boundaries()) == 0 {
			continue
		}
		cert := certify(t, f, n.height()+1, n.Frontier())
		b := n.db.NewBatch()
		var s *Staged
		var err error
		if i%12 == 5 {
			s, err = n.Stage(b, cert)
		} else {
			s, err = n.Graft(b, cert, peer(h.leaves[n.FinalSize():cert.Checkpoint.Size]))
		}
		if err != nil {
			t.Fatal(err)
		}
		crash("staged", last, cert)
		if i%12 == 5 { // first without sync: the crash may keep it or lose it, whole
			if err := b.Commit(pebble.NoSync); err != nil {
				t.Fatal(err)
			}
			crash("committed", last, cert)
			if err := n.db.LogData(nil, pebble.Sync); err != nil {
				t.Fatal(err)
			}
		} else if err := b.Commit(pebble.Sync); err != nil {
			t.Fatal(err)
		}
		crash("synced", last, cert)
		s.Done()
		crash("done", last, cert)
		b.Close()
		last = cert
	}
	if seenOld == 0 || seenNew == 0 {
		t.Fatalf("opened %d times at the old and %d times at the new certificate: the test proves nothing", seenOld, seenNew)
	}
}

// The power fails around a cosigned checkpoint: it is there or not, and never without the leaves it covers.
func TestCrashAroundCosigned(t *testing.T) {
	f := treatytest.New(4)
	h := newHistory(f, 8)
	h.grow(t, 10)
	disk := vfs.NewCrashableMem()
	n := newNode(t, f, disk)
	n.apply(h.entries...)
	n.certify(n.Frontier())
	c := n.Certified().Checkpoint
	note := cosign(t, f, c)
	b := n.db.NewBatch()
	defer b.Close()
	s, err := n.SetCosigned(b, c.Size, note)
	if err != nil {
		t.Fatal(err)
	}
	after := func(lost int) uint64 {
		return newNode(t, f, disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: lost, RNG: rand.New(rand.NewPCG(1, 1))})).CosignedSize()
	}
	if got := after(100); got != 0 || n.CosignedSize() != 0 {
		t.Fatalf("cosigned %d on disk and %d in memory before the commit", got, n.CosignedSize())
	}
	if err := b.Commit(pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if n.CosignedSize() != 0 {
		t.Fatal("cosigned before Done")
	}
	s.Done()
	if got := after(100); got != c.Size || n.CosignedSize() != c.Size {
		t.Fatalf("cosigned %d on disk and %d in memory after the commit, want %d", got, n.CosignedSize(), c.Size)
	}
}

// The disk is full from some write of the log on, at each write there is. Whatever was said to be durable must be there
// afterwards, and the store must open. Catches a Done that does not wait for its batch.
func TestDiskFull(t *testing.T) {
	f := treatytest.New(4)
	h := newHistory(f, 9)
	h.grow(t, 12)
	for room := 0; ; room++ {
		disk := vfs.NewCrashableMem()
		said, refused := untilFull(t, f, h, disk, room)
		after := newNode(t, f, disk.CrashClone(vfs.CrashCloneCfg{}))
		if got := after.height(); got < said || got > said+1 {
			t.Fatalf("room for %d writes: height %d was done, %d is there", room, said, got)
		}
		after.apply(h.entries...)
		after.check(h, h.entries[len(h.entries)-1].index)
		if !refused {
			if room < 3 {
				t.Fatalf("only %d writes were tried", room)
			}
			return
		}
	}
}

// untilFull runs the driver's loop until the disk is full; said is the last height that was done.
func untilFull(t *testing.T, f *treatytest.Fixture, h *history, disk vfs.FS, room int) (said uint64, refused bool) {
	t.Helper()
	var counting atomic.Bool
	var used atomic.Int64
	full := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !counting.Load() || op.Kind.ReadOrWrite() != errorfs.OpIsWrite || !strings.HasSuffix(op.Path, ".log") {
			return nil
		}
		if used.Add(1) <= int64(room) {
			return nil
		}
		return errorfs.ErrInjected
	}))
	defer func() {
		if r := recover(); r != nil { // quiet.Fatalf: pebble ends the program when it cannot write its log
			if !strings.Contains(fmt.Sprint(r), "injected") {
				panic(r)
			}
			refused = true
		}
	}()
	db := openDB(t, full)
	l, err := Open(config(f, db))
	if err != nil {
		t.Fatal(err)
	}
	counting.Store(true)
	for i, e := range h.entries {
		l.Apply(e.index, e.term, e.records)
		if i%4 != 3 || len(l.Boundaries()) == 0 {
			continue
		}
		cert := certify(t, f, said+1, l.Frontier())
		b := db.NewBatch()
		s, err := l.Stage(b, cert)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Commit(pebble.Sync); err != nil {
			s.Drop()
			return said, true
		}
		s.Done()
		said = cert.Height
	}
	counting.Store(false)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return said, false
}

// Between commit and Done the leaves are on disk and not yet final: nobody may be told that they are.
func TestNothingIsFinalBeforeDone(t *testing.T) {
	f := treatytest.New(4)
	h := newHistory(f, 10)
	h.grow(t, 10)
	for _, graft := range []bool{false, true} {
		n := newNode(t, f, vfs.NewMem())
		if !graft {
			n.apply(h.entries...)
		}
		top := h.boundaries(0, 1<<60)
		cert := certify(t, f, 1, top[len(top)-1].checkpoint)
		b := n.db.NewBatch()
		var s *Staged
		var err error
		if graft {
			s, err = n.Graft(b, cert, peer(h.leaves))
		} else {
			s, err = n.Stage(b, cert)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Commit(pebble.Sync); err != nil {
			t.Fatal(err)
		}
		if _, final, ok := n.Find(treaty.HashOf(h.leaves[0])); final || ok == graft {
			t.Errorf("graft %v: found %v, final %v before Done", graft, ok, final)
		}
		if _, err := n.Entry(0); !errors.Is(err, ErrNotFinal) || n.Certified() != nil {
			t.Errorf("graft %v: entry 0 before Done: %v", graft, err)
		}
		s.Done()
		b.Close()
		if _, final, ok := n.Find(treaty.HashOf(h.leaves[0])); !final || !ok {
			t.Errorf("graft %v: not final after Done", graft)
		}
	}
}
