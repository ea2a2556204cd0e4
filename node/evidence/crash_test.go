package evidence

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// told is everything the store has said is on disk: what must still be there after any crash.
type told struct {
	records  map[uint64]treaty.Hash
	final    uint64
	batches  []treaty.Hash
	attested map[treaty.Hash]treaty.Hash
	pending  map[treaty.Hash]bool
	notes    int
	revealed map[treaty.Hash]bool
}

func newTold() *told {
	return &told{
		records: map[uint64]treaty.Hash{}, attested: map[treaty.Hash]treaty.Hash{}, pending: map[treaty.Hash]bool{},
		revealed: map[treaty.Hash]bool{},
	}
}

// steps are one of every durable operation; each changes told only after the store has returned.
func steps(s *Store, w *told) []func() error {
	record := func(r *treaty.Record, err error) error {
		if err == nil {
			w.records[r.Seq] = r.ID
			if r.Attestation != nil {
				w.attested[r.Attestation.Incident] = r.ID
				delete(w.pending, r.Attestation.Incident)
			}
		}
		return err
	}
	var own treaty.Hash
	review := func(i byte) func() error {
		return func() error {
			a := attestation(i, true, uint32(i))
			err := s.PutReview(a, 1)
			if err == nil {
				w.pending[a.Incident] = true
			}
			return err
		}
	}
	return []func() error{
		func() error { return record(s.NextRecord(remark("one"))) },
		func() (err error) {
			if own, err = s.PutOwn(batch(self, 5, 1)); err == nil {
				w.batches = append(w.batches, own)
			}
			return err
		},
		func() error { return record(s.NextRecord(remark("its seal"))) },
		func() error {
			err := s.Reveal(own)
			if err == nil {
				w.revealed[own] = true
			}
			return err
		},
		func() error {
			d, err := s.PutRevealed(treaty.Encode(batch("AUT", 5, 2)))
			if err == nil {
				w.batches, w.revealed[d] = append(w.batches, d), true
			}
			return err
		},
		review(1), review(2),
		func() error {
			return record(s.Approve(treaty.Hash{1, 1}, func(seq uint64, p *Pending) (*treaty.Record, error) {
				return attest(&p.Attestation)(seq)
			}))
		},
		func() error {
			err := s.Decline(treaty.Hash{2, 1}, "thunder", 1)
			if err == nil {
				delete(w.pending, treaty.Hash{2, 1})
				w.notes++
			}
			return err
		},
		func() error {
			err := s.MarkFinal(2)
			if err == nil {
				w.final = 2
			}
			return err
		},
		func() error { return record(s.NextRecord(attest(attestation(3, true, 30)))) },
		func() error {
			err := s.AddNote(Note{At: 1, Text: "seen"})
			if err == nil {
				w.notes++
			}
			return err
		},
	}
}

// check holds a reopened store against what was told.
func check(s *Store, w *told) error {
	var errs []error
	bad := func(f string, a ...any) { errs = append(errs, fmt.Errorf(f, a...)) }
	kept := map[uint64]treaty.Hash{}
	for r, err := range s.Outbox() {
		if err != nil {
			return err
		}
		kept[r.Seq] = r.ID
	}
	last, final := s.Last()
	for seq, id := range w.records {
		if seq > last {
			bad("record %d was handed out and its number would be used again (last %d)", seq, last)
		}
		if seq > max(final, w.final) && kept[seq] != id {
			bad("record %d was handed out and is not in the outbox", seq)
		}
	}
	for incident, id := range w.attested {
		if got, err := s.Attested(incident); err != nil || got != id {
			bad("attestation to %s is forgotten: %v %v", incident.Short(), got, err)
		}
		if _, err := s.Review(incident); !errors.Is(err, ErrNotFound) {
			bad("attested incident %s waits: %v", incident.Short(), err)
		}
	}
	for incident := range w.pending {
		_, err := s.Review(incident)
		_, signed := s.Attested(incident)
		if err != nil && signed != nil && w.notes == len(notesOf(s)) {
			bad("incident %s is neither waiting nor signed nor declined: %v", incident.Short(), err)
		}
		if err == nil && signed == nil {
			bad("incident %s is waiting and signed", incident.Short())
		}
	}
	for _, d := range w.batches {
		if _, err := s.Batch(d); err != nil {
			bad("batch lost: %v", err)
		}
		if _, err := s.Revealed(d); w.revealed[d] && err != nil {
			bad("revealed batch is hidden: %v", err)
		}
	}
	if n := len(notesOf(s)); n < w.notes {
		bad("%d notes of %d", n, w.notes)
	}
	return errors.Join(errs...)
}

func notesOf(s *Store) (out []*Note) {
	for n, err := range s.Notes() {
		if err == nil {
			out = append(out, n)
		}
	}
	return out
}

// TestPowerCut cuts the power at every write to the disk, losing any part of what was not synced. It would catch every
// durable step that returns before its bytes are safe, or that leaves half of itself behind.
func TestPowerCut(t *testing.T) {
	cuts := 0
	for cut := int64(0); ; cut++ {
		mem := vfs.NewCrashableMem()
		var crashed *vfs.MemFS
		var at *told
		var writes atomic.Int64
		var armed atomic.Bool
		var now atomic.Pointer[told] // what had been told before the step under way
		var mu sync.Mutex
		w := newTold()
		now.Store(w.copy())
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			switch op.Kind {
			case errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
			default:
				return nil
			}
			if !armed.Load() || writes.Add(1)-1 != cut {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			at = now.Load()
			crashed = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: int(cut*37) % 101, RNG: rand.New(rand.NewPCG(uint64(cut), 1))})
			return nil
		}))
		db := openDB(t, fs)
		s, err := Open(config(db))
		if err != nil {
			t.Fatal(err)
		}
		armed.Store(true)
		for i, step := range steps(s, w) {
			if err := step(); err != nil {
				t.Fatalf("step %d: %v", i, err)
			}
			now.Store(w.copy())
		}
		armed.Store(false)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if crashed == nil {
			break
		}
		cuts++
		again := open(t, crashed)
		if err := check(again, at); err != nil {
			t.Errorf("power cut at write %d: %v", cut, err)
		}
		if err := works(again); err != nil {
			t.Errorf("power cut at write %d: the store does not go on: %v", cut, err)
		}
	}
	if cuts < 20 {
		t.Fatalf("only %d cuts: the writes are not seen", cuts)
	}
}

func (w *told) copy() *told {
	c := *w
	c.records, c.attested, c.pending, c.revealed = clone(w.records), clone(w.attested), clone(w.pending), clone(w.revealed)
	c.batches = slices.Clone(w.batches)
	return &c
}

func clone[K comparable, V any](m map[K]V) map[K]V {
	out := make(map[K]V, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// works signs one more record.
func works(s *Store) error {
	last, _ := s.Last()
	r, err := s.NextRecord(remark("afterwards"))
	if err == nil && r.Seq != last+1 {
		err = fmt.Errorf("number %d after %d", r.Seq, last)
	}
	return err
}

// TestFullDisk fills the disk at every durable step. It would catch a step that calls itself done on a full disk, a
// store that goes on signing after one, and one that does not open again once there is room.
func TestFullDisk(t *testing.T) {
	const all = 12
	for full := range all {
		mem := vfs.NewCrashableMem()
		on := &atomic.Bool{}
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if on.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				return syscall.ENOSPC
			}
			return nil
		}))
		w := newTold()
		db := openDB(t, fs)
		s, err := Open(config(db))
		if err != nil {
			t.Fatal(err)
		}
		list := steps(s, w)
		if len(list) != all {
			t.Fatalf("%d steps", len(list))
		}
		for i, step := range list[:full] {
			if err := step(); err != nil {
				t.Fatalf("step %d: %v", i, err)
			}
		}
		on.Store(true)
		err = guarded(list[full])
		synced := full != 9 // MarkFinal may be lost
		if synced && err == nil {
			t.Errorf("step %d calls itself done on a full disk", full)
		}
		if synced && err != nil && !strings.Contains(err.Error(), "no space left") {
			t.Errorf("step %d does not say why: %v", full, err)
		}
		if err := guarded(func() error { _, err := s.NextRecord(remark("more")); return err }); err == nil {
			t.Errorf("after step %d failed a record was signed", full)
		}
		// The node ends here, as Pebble demands; there is room again.
		again := open(t, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 0}))
		if err := check(again, w); err != nil {
			t.Errorf("full disk at step %d: %v", full, err)
		}
		if err := works(again); err != nil {
			t.Errorf("full disk at step %d: %v", full, err)
		}
	}
}

// guarded turns the end of the process, as Pebble has it on a failed log write, into an error.
func guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			msg, ok := r.(fatal)
			if !ok {
				panic(r)
			}
			err = errors.New(string(msg))
		}
	}()
	return f()
}

// FuzzStored would catch a decoder of stored values that panics, or that takes bytes it would not write.
func FuzzStored(f *testing.F) {
	r, err := remark("x")(1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(treaty.Encode(numbers{Last: 3, Final: 2}))
	f.Add(treaty.Encode(schema{Version: 1, Nation: self, Accord: fix.Net.Digest}))
	f.Add(treaty.Encode(sealValue{Window: 4}))
	f.Add(treaty.Encode(&Pending{Attestation: *attestation(1, true, 1), At: 1}))
	f.Add(treaty.Encode(&Note{At: 1, Text: "x"}))
	f.Add(treaty.Encode(batch("AUT", 1, 1)))
	f.Add(r.Raw())
	s := &Store{nation: self, net: fix.Net}
	same := func(t *testing.T, b []byte, v any) {
		if string(treaty.Encode(v)) != string(b) {
			t.Fatalf("%x read as %T %+v", b, v, v)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := decodeNumbers(b); err == nil {
			same(t, b, v)
		}
		if v, err := decodeSchema(b); err == nil {
			same(t, b, v)
		}
		if v, err := decodeSeal(b); err == nil {
			same(t, b, v)
		}
		if v, err := decodePending(b); err == nil {
			same(t, b, v)
		}
		if v, err := decodeNote(b); err == nil {
			same(t, b, v)
		}
		if v, err := s.decodeBatch(treaty.HashOf(b), b); err == nil {
			same(t, b, v)
		}
		if v, err := s.decodeOwn(1, b); err == nil && string(v.Raw()) != string(b) {
			t.Fatal("a record changed")
		}
		splitWindowKey(b)
	})
}

// BenchmarkNextRecord prints what writing before speaking costs on this disk.
func BenchmarkNextRecord(b *testing.B) {
	db, err := pebble.Open(b.TempDir(), &pebble.Options{Logger: fatalLog{}})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	s, err := Open(config(db))
	if err != nil {
		b.Fatal(err)
	}
	seal := func(seq uint64) (*treaty.Record, error) {
		return fix.Signers[self].SignRecord(seq, treatytest.Founded, &treaty.Seal{Window: treaty.Window(seq)})
	}
	for b.Loop() {
		if _, err := s.NextRecord(seal); err != nil {
			b.Fatal(err)
		}
	}
}
