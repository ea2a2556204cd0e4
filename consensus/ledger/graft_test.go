package ledger

import (
	"bytes"
	"errors"
	"iter"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// A peer lies about entries in every way there is. The ledger must refuse them, stay as it was, and take the honest
// entries from the next peer. Catches belief in the root alone (a forged record in a certified tree is impossible, but a
// tally that came out different is not) and belief in the entries alone.
func TestGraftRefuses(t *testing.T) {
	f := treatytest.New(4)
	h := newHistory(f, 11)
	h.grow(t, 30)
	n := newNode(t, f, vfs.NewMem())
	n.apply(h.entries[:10]...)
	n.certify(n.Boundaries()[1])
	n.apply(h.entries[10:13]...)
	from := n.FinalSize()
	top := h.boundaries(0, 1<<60)
	c := top[len(top)-1].checkpoint
	cert := certify(t, f, 9, c)
	honest := h.leaves[from:c.Size]
	derived := -1
	for i, e := range honest {
		if treaty.IsVerdict(e) && i+1 < len(honest) {
			derived = i
			break
		}
	}
	record := derived + 1
	for treaty.IsVerdict(honest[record]) {
		record++
	}
	// A record of the right nation and number, but not signed by it.
	forged := func(e []byte) []byte {
		e = bytes.Clone(e)
		e[len(e)-1] ^= 1
		return e
	}
	replaced := func(i int, e []byte) [][]byte {
		out := append([][]byte(nil), honest...)
		out[i] = e
		return out
	}
	without := func(i int) [][]byte { return append(append([][]byte(nil), honest[:i]...), honest[i+1:]...) }
	swapped := replaced(derived, honest[record])
	swapped[record] = honest[derived]
	badRoot := *cert
	badRoot.Checkpoint.Root[0] ^= 1
	before := n.Frontier()
	for _, c := range []struct {
		name    string
		cert    *treaty.Certificate
		entries [][]byte
		want    error
	}{
		{"forged signature", cert, replaced(record, forged(honest[record])), treaty.ErrBadSignature},
		{"wrong derived leaf", cert, replaced(derived, append(bytes.Clone(honest[derived]), 'x')), ErrMismatch},
		{"missing derived leaf", cert, without(derived), ErrMismatch},
		{"missing record", cert, without(record), ErrMismatch},
		{"swapped", cert, swapped, ErrMismatch},
		{"repeated record", cert, replaced(record, honest[derived-1]), ErrMismatch},
		{"rubbish", cert, replaced(record, []byte{0xd2, 0x84, 0xff}), ErrMismatch},
		{"empty entry", cert, replaced(record, nil), ErrMismatch},
		{"oversize entry", cert, replaced(record, make([]byte, treaty.MaxRecord+1)), treaty.ErrTooLarge},
		{"too few", cert, honest[:len(honest)-1], ErrMismatch},
		{"none", cert, nil, ErrMismatch},
		{"too many", cert, append(append([][]byte(nil), honest...), honest[0]), ErrMismatch},
		{"certificate without quorum", &treaty.Certificate{Height: 9, Step: treaty.StepCommit, Checkpoint: cert.Checkpoint, Sigs: cert.Sigs[:1]}, honest, treaty.ErrNoQuorum},
		{"certificate changed", &badRoot, honest, treaty.ErrBadSignature},
		{"properly signed wrong root", certify(t, f, 9, badRoot.Checkpoint), honest, ErrMismatch},
	} {
		b := n.db.NewBatch()
		if _, err := n.Graft(b, c.cert, peer(c.entries)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		b.Close()
		if n.FinalSize() != from || n.Frontier() != before {
			t.Fatalf("%s: the ledger moved", c.name)
		}
	}
	broken := errors.New("stream broken")
	b := n.db.NewBatch()
	_, err := n.Graft(b, cert, func(yield func([]byte, error) bool) { _ = yield(honest[0], nil) && yield(nil, broken) })
	if !errors.Is(err, broken) {
		t.Errorf("broken stream: %v", err)
	}
	b.Close()
	n.check(h, h.entries[12].index)
	n.settle(func(b *pebble.Batch) (*Staged, error) {
		s, err := n.Graft(b, cert, peer(honest))
		if n.FinalSize() != from || n.Frontier() != before {
			t.Error("the ledger moved before Done")
		}
		return s, err
	})
	n.check(h, h.entries[29].index)
	n.reopen()
	n.check(h, c.Index)
}

// A tally that comes out different from the certified one must not follow: its own derived leaf differs.
func TestGraftComparesDerivedLeaves(t *testing.T) {
	f := treatytest.New(4)
	h := newHistory(f, 12)
	h.grow(t, 20)
	n := newNode(t, f, vfs.NewMem())
	n.cfg = func(c *Config) {
		c.New = func() Machine {
			m := newCounter(f.Net)
			m.derive = func(_ uint64, leaf []byte) []byte { return append(leaf, '!') }
			return m
		}
	}
	n.open()
	top := h.boundaries(0, 1<<60)
	c := top[len(top)-1].checkpoint
	b := n.db.NewBatch()
	defer b.Close()
	if _, err := n.Graft(b, certify(t, f, 1, c), peer(h.leaves)); !errors.Is(err, ErrMismatch) {
		t.Fatalf("took leaves that its tally does not derive: %v", err)
	}
}

// A newcomer that lacks everything takes certificate after certificate, and one too large for its memory is refused
// with the way out. More than one group of entries goes through.
func TestGraftFromNothing(t *testing.T) {
	f := treatytest.New(4)
	h := newHistory(f, 13)
	h.grow(t, 260)
	n := newNode(t, f, vfs.NewMem())
	top := h.boundaries(0, 1<<60)
	last := top[len(top)-1].checkpoint
	if last.Size < 2*replayGroup {
		t.Fatalf("only %d leaves", last.Size)
	}
	n.cfg = func(c *Config) { c.MaxTentative = last.Size - 1 }
	n.open()
	b := n.db.NewBatch()
	if _, err := n.Graft(b, certify(t, f, 1, last), peer(h.leaves)); !errors.Is(err, ErrFull) {
		t.Errorf("all at once: %v", err)
	}
	b.Close()
	for i, step := 0, len(top)/2; i < len(top); i, step = i+step, 2 { // one of several groups, then small ones
		c := top[min(i+step, len(top))-1].checkpoint
		cert := certify(t, f, n.height()+1, c)
		n.settle(func(b *pebble.Batch) (*Staged, error) {
			return n.Graft(b, cert, reusing(h.leaves[n.FinalSize():c.Size]))
		})
	}
	n.check(h, last.Index)
	raw, ok, err := n.store.get(n.store.key(kindMark))
	if err != nil || !ok {
		t.Fatal("no tally state stored on the way: every restart would replay everything", err)
	}
	if size, _, err := decodeMark(raw); err != nil || size+100 < last.Size {
		t.Fatalf("the tally state is of size %d of %d, %v", size, last.Size, err)
	}
	n.reopen()
	n.check(h, last.Index)
}

// reusing is a peer whose stream keeps one buffer, as readers from a network do.
func reusing(leaves [][]byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		buf := make([]byte, 0, treaty.MaxRecord)
		for _, e := range leaves {
			buf = append(buf[:0], e...)
			if !yield(buf, nil) {
				return
			}
			clear(buf)
		}
	}
}

// What a peer sends must end with the certificate's last leaf, also when that leaf is derived and so is known without it;
// and a peer that goes on sending must be stopped at the first entry too many.
func TestGraftEndsAtTheCertificate(t *testing.T) {
	f := treatytest.New(4)
	h := newHistory(f, 14)
	h.grow(t, 60)
	n := newNode(t, f, vfs.NewMem())
	var c treaty.Checkpoint
	for _, e := range h.boundaries(0, 1<<60) {
		if treaty.IsVerdict(h.leaves[e.size-1]) {
			c = e.checkpoint
			break
		}
	}
	if c.Size == 0 {
		t.Fatal("no certificate ends with a derived leaf: choose another seed")
	}
	cert := certify(t, f, 1, c)
	b := n.db.NewBatch()
	defer b.Close()
	if _, err := n.Graft(b, cert, peer(h.leaves[:c.Size-1])); !errors.Is(err, ErrMismatch) {
		t.Errorf("without the last derived leaf: %v", err)
	}
	read := uint64(0)
	_, err := n.Graft(b, cert, func(yield func([]byte, error) bool) {
		for _, e := range h.leaves {
			read++
			if !yield(e, nil) {
				return
			}
		}
	})
	if !errors.Is(err, ErrMismatch) || read != c.Size+1 {
		t.Errorf("read %d entries for a certificate of %d: %v", read, c.Size, err)
	}
}
