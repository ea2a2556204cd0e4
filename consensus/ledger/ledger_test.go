package ledger

import (
	"errors"
	"fmt"
	"math/rand"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// Any order of applying, certifying, resetting, grafting and reopening must leave the same roots, leaves, times and
// lookups as a plain slice hashed from scratch. Catches edges that are cut wrong, marks that are not where they say,
// leaves lost or doubled between the layers.
func TestAgainstTwin(t *testing.T) {
	f := treatytest.New(4)
	for seed := range int64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			h := newHistory(f, seed)
			rng := rand.New(rand.NewSource(1000 + seed))
			n := newNode(t, f, vfs.NewMem())
			next := 0 // the entry of h to apply next
			certified := func() uint64 {
				if c := n.Certified(); c != nil {
					return c.Checkpoint.Index
				}
				return 0
			}
			rewind := func() { // what Raft does when it is reopened: everything again from the start of its log
				next = 0
			}
			for range 120 {
				index := uint64(0)
				switch op := rng.Intn(10); {
				case op < 5:
					for range 1 + rng.Intn(4) {
						if next == len(h.entries) {
							h.grow(t, 1)
						}
						n.apply(h.entries[next])
						next++
					}
				case op < 8:
					if bs := n.Boundaries(); len(bs) > 0 {
						n.certify(bs[rng.Intn(len(bs))])
						if size := n.FinalSize(); rng.Intn(2) == 0 && size > n.CosignedSize() {
							n.cosign(n.Certified().Checkpoint)
						}
					}
				case op == 8 && rng.Intn(2) == 0:
					if err := n.Reset(); err != nil {
						t.Fatal(err)
					}
					rewind()
				case op == 8:
					n.reopen()
					rewind()
				default: // a certificate far ahead
					h.grow(t, 1+rng.Intn(6))
					ahead := h.boundaries(n.FinalSize(), 1<<60)
					if len(ahead) == 0 {
						continue
					}
					c := ahead[rng.Intn(len(ahead))].checkpoint
					cert := certify(t, f, n.height()+1+uint64(rng.Intn(3)), c)
					n.settle(func(b *pebble.Batch) (*Staged, error) {
						return n.Graft(b, cert, peer(h.leaves[n.FinalSize():c.Size]))
					})
					rewind()
				}
				if next > 0 {
					index = h.entries[next-1].index
				}
				n.check(h, max(index, certified()))
				if last := n.LastIndex(); last != max(index, certified()) {
					t.Fatalf("last index %d, applied %d, certified %d", last, index, certified())
				}
			}
		})
	}
}

// The hashes pushed one by one are those of x/mod; Apply returns the leaves in order, derived ones behind their record,
// and nothing for a repeat or for what is certified.
func TestApplyReturnsLeaves(t *testing.T) {
	f := treatytest.New(4)
	h := newHistory(f, 1)
	h.grow(t, 30)
	n := newNode(t, f, vfs.NewMem())
	var all []Leaf
	for _, e := range h.entries {
		all = append(all, n.Apply(e.index, e.term, e.records)...)
		if again := n.Apply(e.index, e.term, e.records); again != nil {
			t.Fatalf("Raft entry %d applied twice gave %d leaves", e.index, len(again))
		}
	}
	if len(all) != len(h.leaves) {
		t.Fatalf("%d leaves, want %d", len(all), len(h.leaves))
	}
	derived := 0
	for i, lf := range all {
		if lf.Index != uint64(i) || string(lf.Entry) != string(h.leaves[i]) {
			t.Fatalf("leaf %d has index %d, or other bytes than the twin's", i, lf.Index)
		}
		if lf.Record == nil {
			derived++
		} else if string(lf.Record.Raw()) != string(lf.Entry) {
			t.Fatalf("leaf %d carries another record", i)
		}
	}
	if derived == 0 {
		t.Fatal("nothing was derived: the test proves nothing")
	}
	n.certify(n.Frontier())
	if got := n.Apply(h.entries[0].index, 1, h.entries[0].records); got != nil || n.LastIndex() != h.entries[29].index {
		t.Fatalf("a certified entry gave %d leaves", len(got))
	}
}

// A certificate that the ledger cannot take is refused with the reason that decides what the node does next. Taking a
// contradicting one, or mistaking it for a missing prefix, would hide that more than f nations lied.
func TestStageRefuses(t *testing.T) {
	f := treatytest.New(4)
	h := newHistory(f, 2)
	h.grow(t, 12)
	n := newNode(t, f, vfs.NewMem())
	n.apply(h.entries...)
	bs := n.Boundaries()
	mid, top := bs[len(bs)/2], bs[len(bs)-1]
	first := n.certify(bs[1])
	n.certify(mid)

	with := func(c treaty.Checkpoint, change func(*treaty.Checkpoint)) treaty.Checkpoint { change(&c); return c }
	badRoot := func(c *treaty.Checkpoint) { c.Root[3] ^= 1 }
	prepare := certify(t, f, 3, top)
	prepare.Step = treaty.StepPrepare
	for _, c := range []struct {
		name string
		cert *treaty.Certificate
		want error
	}{
		{"none", nil, treaty.ErrMalformed},
		{"prepare certificate", prepare, treaty.ErrMalformed},
		{"again", n.Certified(), ErrOld},
		{"earlier", first, ErrOld},
		{"earlier height, later size", certify(t, f, 1, top), ErrConflict},
		{"same size, other root", certify(t, f, 3, with(mid, badRoot)), ErrConflict},
		{"same size, other place", certify(t, f, 3, with(mid, func(c *treaty.Checkpoint) { c.Term++ })), ErrConflict},
		{"same height, other root", certify(t, f, 2, with(mid, badRoot)), ErrConflict},
		{"smaller size, other root", certify(t, f, 3, with(bs[0], badRoot)), ErrConflict},
		{"later height, smaller size", certify(t, f, 3, bs[0]), ErrConflict},
		{"other root above", certify(t, f, 3, with(top, badRoot)), ErrNotHeld},
		{"other term above", certify(t, f, 3, with(top, func(c *treaty.Checkpoint) { c.Term++ })), ErrNotHeld},
		{"between boundaries", certify(t, f, 3, with(top, func(c *treaty.Checkpoint) { c.Size += 7 })), ErrNotHeld},
	} {
		b := n.db.NewBatch()
		if _, err := n.Stage(b, c.cert); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if !b.Empty() {
			t.Errorf("%s: refused, and the batch is not empty", c.name)
		}
		b.Close()
	}
	// One at a time: Done of the second would otherwise run before that of the first.
	b := n.db.NewBatch()
	defer b.Close()
	s, err := n.Stage(b, certify(t, f, 3, top))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Stage(b, certify(t, f, 3, top)); !errors.Is(err, ErrBusy) {
		t.Errorf("second stage: %v", err)
	}
	if err := n.Reset(); !errors.Is(err, ErrBusy) {
		t.Errorf("reset while staged: %v", err)
	}
	s.Drop()
	s.Done() // without effect after Drop
	if n.FinalSize() != mid.Size {
		t.Error("a dropped certificate became final")
	}
	n.certify(top)
	n.certify(top) // a heartbeat: the next height says the same
	if n.height() != 4 || n.FinalSize() != top.Size {
		t.Errorf("height %d, size %d", n.height(), n.FinalSize())
	}
	n.reopen()
	if c, err := n.CertificateAt(1); err != nil || c.Digest() != first.Digest() {
		t.Errorf("certificate of height 1: %v", err)
	}
	if _, err := n.CertificateAt(9); !errors.Is(err, ErrNotFound) {
		t.Errorf("certificate of height 9: %v", err)
	}
}

// When nobody certifies, memory must stay bounded, and the node must be told rather than go on with a hole in its log.
func TestTentativeIsBounded(t *testing.T) {
	f := treatytest.New(4)
	h := newHistory(f, 3)
	h.grow(t, 40)
	n := newNode(t, f, vfs.NewMem())
	n.cfg = func(c *Config) { c.MaxTentative = 20 }
	n.open()
	n.apply(h.entries...)
	if err := n.Stalled(); !errors.Is(err, ErrFull) {
		t.Fatalf("stalled: %v", err)
	}
	if leaves, _ := n.Tentative(); leaves == 0 || leaves > 30 {
		t.Fatalf("%d tentative leaves with a bound of 20", leaves)
	}
	stopped := n.LastIndex()
	n.check(h, stopped) // what it took is whole
	n.certify(n.Frontier())
	if n.Apply(h.entries[39].index, 1, h.entries[39].records); n.LastIndex() != stopped {
		t.Fatal("it went on behind a hole")
	}
	for range 10 {
		if err := n.Reset(); err != nil {
			t.Fatal(err)
		}
		n.apply(h.entries...)
		if c := n.Frontier(); c.Size > n.FinalSize() {
			n.certify(c)
		}
	}
	if n.Stalled() != nil {
		if err := n.Reset(); err != nil {
			t.Fatal(err)
		}
	}
	n.check(h, h.entries[39].index)
	if n.FinalSize() != uint64(len(h.leaves)) {
		t.Fatalf("final %d of %d", n.FinalSize(), len(h.leaves))
	}
}

// A tally that derives what no tile can carry must stop the ledger before such an entry gets a root.
func TestOversizeDerivedLeafStalls(t *testing.T) {
	f := treatytest.New(4)
	h := newHistory(f, 4)
	h.grow(t, 20)
	n := newNode(t, f, vfs.NewMem())
	n.cfg = func(c *Config) {
		c.New = func() Machine {
			m := newCounter(f.Net)
			m.derive = func(uint64, []byte) []byte { return make([]byte, treaty.MaxRecord+1) }
			return m
		}
	}
	n.open()
	n.apply(h.entries...)
	if err := n.Stalled(); !errors.Is(err, treaty.ErrTooLarge) {
		t.Fatalf("stalled: %v", err)
	}
	if bs := n.Boundaries(); bs[len(bs)-1].Size > 5 {
		t.Fatal("a boundary behind the oversize leaf")
	}
}

// The layer keeps few tally states however long finality takes, and the one that is stored is at or below the certificate.
func TestMarksAreBounded(t *testing.T) {
	f := treatytest.New(4)
	h := newHistory(f, 5)
	h.grow(t, 150)
	n := newNode(t, f, vfs.NewMem())
	n.cfg = func(c *Config) { c.MarkEvery = 2 }
	n.open()
	n.apply(h.entries...)
	if len(n.tent.marks) > maxMarks || len(n.tent.marks) < maxMarks/2 {
		t.Fatalf("%d marks in memory", len(n.tent.marks))
	}
	bs := n.Boundaries()
	n.certify(bs[len(bs)*2/3])
	raw, ok, err := n.store.get(n.store.key(kindMark))
	if err != nil || !ok {
		t.Fatal("no mark stored", err)
	}
	size, _, err := decodeMark(raw)
	if err != nil || size == 0 || size > n.FinalSize() {
		t.Fatalf("mark of size %d at final size %d, %v", size, n.FinalSize(), err)
	}
	n.reopen()
	n.apply(h.entries...)
	n.check(h, h.entries[149].index)
	n.certify(n.Frontier())
	if len(n.tent.marks) != 0 {
		t.Errorf("%d marks kept below the certificate", len(n.tent.marks))
	}

	n = newNode(t, f, vfs.NewMem())
	n.cfg = func(c *Config) { c.MarkEvery = uint64(len(h.leaves)) / 3 }
	n.open()
	n.apply(h.entries...)
	if got := len(n.tent.marks); got < 2 || got > 3 {
		t.Errorf("%d marks at a third of the leaves each", got)
	}
}

// The bound in bytes counts what is held now, not what ever was.
func TestTentativeBytesAreBounded(t *testing.T) {
	f := treatytest.New(4)
	h := newHistory(f, 6)
	h.grow(t, 60)
	n := newNode(t, f, vfs.NewMem())
	n.cfg = func(c *Config) { c.MaxTentativeBytes = 6000 }
	n.open()
	held := func() (sum uint64) {
		for _, leaf := range h.leaves[n.FinalSize():n.Frontier().Size] {
			sum += uint64(len(leaf))
		}
		return sum
	}
	for i, e := range h.entries {
		n.apply(e)
		if _, bytes := n.Tentative(); bytes != held() {
			t.Fatalf("%d bytes counted, %d held", bytes, held())
		}
		if bs := n.Boundaries(); i < 40 && len(bs) > 2 {
			n.certify(bs[len(bs)-2])
		}
	}
	if err := n.Stalled(); !errors.Is(err, ErrFull) {
		t.Errorf("stalled: %v", err)
	}
	if _, bytes := n.Tentative(); bytes > 6000+5*treaty.MaxRecord || n.LastIndex() <= h.entries[40].index {
		t.Errorf("%d bytes held at index %d", bytes, n.LastIndex())
	}
}

// Raft's goroutine, the finality driver and readers work at once, as in a node: under -race this finds a field that
// somebody touches without the lock; without it, a view that changes under its reader.
func TestConcurrentUse(t *testing.T) {
	f := treatytest.New(4)
	h := newHistory(f, 41)
	h.grow(t, 200)
	n := newNode(t, f, vfs.NewMem())
	n.cfg = func(c *Config) { c.MarkEvery = 3 }
	n.open()
	total := uint64(len(h.leaves))
	var wg sync.WaitGroup
	applied, final := make(chan struct{}, len(h.entries)), make(chan struct{})
	wg.Go(func() {
		defer close(applied)
		for _, e := range h.entries {
			n.apply(e)
			applied <- struct{}{}
		}
	})
	for range 2 {
		wg.Go(func() {
			for i := uint64(0); ; i++ {
				select {
				case <-final:
					return
				default:
				}
				for _, c := range n.Boundaries() {
					if c.Root.IsZero() {
						t.Error("a boundary without a root")
					}
				}
				if size := n.FinalSize(); size > 0 {
					if e, err := n.Entry(i % size); err != nil || string(e) != string(h.leaves[i%size]) {
						t.Errorf("entry %d: %v", i%size, err)
					}
				}
				n.Find(treaty.HashOf(h.leaves[i%total]))
				n.With(func(live Machine, size uint64) { _ = live.LedgerTime() })
				if size := n.CosignedSize(); size > 0 {
					if _, err := n.ProveRecord(i%size, size); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for range applied {
		bs := n.Boundaries()
		if len(bs) == 0 {
			continue
		}
		c := bs[len(bs)/2]
		n.certify(c)
		n.cosign(c)
	}
	if c := n.Frontier(); c.Size > n.FinalSize() {
		n.certify(c)
	}
	close(final)
	wg.Wait()
	n.check(h, h.entries[len(h.entries)-1].index)
	if n.FinalSize() != total {
		t.Fatalf("final %d of %d", n.FinalSize(), total)
	}
}
