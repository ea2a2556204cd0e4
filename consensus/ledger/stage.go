package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/mod/sumdb/tlog"

	"truceline/treaty"
)

// Staged is something that lies in a batch and waits for it to be durable. Call exactly one of Done, after the batch was
// committed with Sync, and Drop, when it was not. Both may be called again without effect.
type Staged struct {
	// From and To are the leaves that Done makes final (for SetCosigned: observable).
	From, To uint64

	l *Ledger
	// settle moves the pointers in memory, under the lock.
	settle func()
}

// Done moves the pointers in memory to what is durable now: the leaves leave the tentative layer. It touches no disk
// and cannot fail.
func (s *Staged) Done() { s.end(true) }

// Drop forgets a batch that was not committed.
func (s *Staged) Drop() { s.end(false) }

func (s *Staged) end(durable bool) {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	if s.settle == nil {
		return
	}
	if durable {
		s.settle()
	}
	s.settle = nil
	if s.l.staged == s {
		s.l.staged = nil
	}
	if s.l.cosigning == s {
		s.l.cosigning = nil
	}
}

// reserve makes s the one staged certificate, after checking what the certificate claims against what is final.
func (l *Ledger) reserve(s *Staged, cert *treaty.Certificate) error {
	if cert == nil || cert.Step != treaty.StepCommit || cert.Checkpoint.Size == 0 {
		return fmt.Errorf("%w: not a commit certificate", treaty.ErrMalformed)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.staged != nil {
		return ErrBusy
	}
	c, have := cert.Checkpoint, l.certified()
	old := l.cert != nil && cert.Height <= l.cert.Height
	if c.Size <= have.Size && c != have {
		root, err := tlog.TreeHash(int64(c.Size), l.store)
		switch {
		case err != nil:
			return err
		case treaty.Hash(root) != c.Root, c.Size == have.Size && c != have:
			return fmt.Errorf("%w: height %d says %d leaves with root %s at index %d, term %d; here they have root %s, certified at "+
				"height %d for index %d, term %d", ErrConflict, cert.Height, c.Size, c.Root.Short(), c.Index, c.Term,
				treaty.Hash(root).Short(), l.cert.Height, have.Index, have.Term)
		case !old && c.Size < have.Size:
			return fmt.Errorf("%w: height %d goes back from %d leaves to %d", ErrConflict, cert.Height, have.Size, c.Size)
		}
	} else if old && c != have {
		return fmt.Errorf("%w: height %d has %d leaves, and height %d already %d", ErrConflict, cert.Height, c.Size, l.cert.Height, have.Size)
	}
	if old {
		return fmt.Errorf("%w: height %d, the last is %d", ErrOld, cert.Height, l.cert.Height)
	}
	s.l, s.From, s.To = l, l.finalSize, c.Size
	l.staged = s
	return nil
}

// Stage adds to a batch everything that a verified certificate makes final: leaves, hashes, ids, the certificate, the
// final pointer, and a mark if one is due. The caller may add its own keys, commits with Sync, and calls Done.
// Errors: ErrNotHeld (fetch and Graft), ErrOld, ErrConflict, ErrBusy. On an error the batch is to be thrown away.
func (l *Ledger) Stage(b *pebble.Batch, cert *treaty.Certificate) (*Staged, error) {
	s := new(Staged)
	if err := l.reserve(s, cert); err != nil {
		return nil, fmt.Errorf("stage certificate: %w", err)
	}
	c := cert.Checkpoint
	l.mu.Lock()
	t := l.tent
	at, ok := l.instantAt(c)
	l.mu.Unlock()
	err := error(nil)
	if ok {
		err = l.write(b, s, t, cert, at)
	} else {
		err = fmt.Errorf("%w: height %d, size %d, root %s at index %d, term %d", ErrNotHeld, cert.Height, c.Size, c.Root.Short(), c.Index, c.Term)
	}
	if err != nil {
		s.release()
		return nil, fmt.Errorf("stage certificate: %w", err)
	}
	return s, nil
}

func (s *Staged) release() {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	if s.l.staged == s {
		s.l.staged = nil
	}
}

// Graft stages a certificate whose prefix this node lacks. entries are those from the final size up to the certificate's,
// from a peer: untrusted. They are replayed on the last certified state, signatures checked by Config.Verify, each derived
// leaf compared, and believed only if they end in the certified root. Nothing of the tentative layer is used; Done
// replaces it, and Raft is then to be reopened at the certificate's index. Until Done the layer stays as it is.
// Errors: ErrMismatch and treaty's (ask another peer), ErrFull (graft an earlier certificate first), ErrOld,
// ErrConflict, ErrBusy. On an error the batch is to be thrown away.
func (l *Ledger) Graft(b *pebble.Batch, cert *treaty.Certificate, entries iter.Seq2[[]byte, error]) (*Staged, error) {
	s := new(Staged)
	if err := l.checkCertificate(cert); err != nil { // seldom called, so it need not rely on its caller
		return nil, fmt.Errorf("graft: %w", err)
	}
	if err := l.reserve(s, cert); err != nil {
		return nil, fmt.Errorf("graft: %w", err)
	}
	if err := l.graft(b, s, cert, entries); err != nil {
		s.release()
		return nil, fmt.Errorf("graft certificate of height %d: %w", cert.Height, err)
	}
	return s, nil
}

func (l *Ledger) graft(b *pebble.Batch, s *Staged, cert *treaty.Certificate, entries iter.Seq2[[]byte, error]) error {
	c := cert.Checkpoint
	if n := c.Size - l.finalSize; n > l.cfg.MaxTentative {
		return fmt.Errorf("%w: %d leaves at once, at most %d; graft an earlier certificate first", ErrFull, n, l.cfg.MaxTentative)
	}
	t, err := l.base()
	if err != nil {
		return err
	}
	if err := t.replay(limited(entries, c.Size-l.finalSize), l.cfg.Verify); err != nil {
		if errors.Is(err, ErrFull) {
			return err
		}
		return fmt.Errorf("%w: %w", ErrMismatch, err)
	}
	if t.end() != c.Size {
		return fmt.Errorf("%w: they end at %d, the certificate at %d", ErrMismatch, t.end(), c.Size)
	}
	root, err := t.root(c.Size)
	if err != nil {
		return err
	}
	if root != c.Root {
		return fmt.Errorf("%w: root %s at size %d, the certificate says %s", ErrMismatch, root.Short(), c.Size, c.Root.Short())
	}
	t.last = c.Index
	t.bound(c.Index, c.Term)
	if err := l.write(b, s, t, cert, instantOf(t.machine)); err != nil {
		return err
	}
	settle := s.settle
	s.settle = func() {
		l.cfg.Log.Warn("ledger: grafted; the tentative layer is thrown away, reopen Raft at the certificate",
			"height", cert.Height, "from", s.From, "to", s.To, "index", c.Index, "dropped", l.tent.end()-l.finalSize)
		l.tent, l.stalled = t, nil
		settle()
	}
	return nil
}

// base is a layer of its own that stands at the last certificate: a copy when nothing tentative is in the way, which is
// so while catching up, else rebuilt.
func (l *Ledger) base() (*layer, error) {
	l.mu.Lock()
	if l.tent.end() > l.finalSize || l.stalled != nil {
		l.mu.Unlock()
		return l.rebuild()
	}
	defer l.mu.Unlock()
	t, err := newLayer(&l.cfg, l.tent.machine.Clone(), l.finalSize, l.tent)
	if err != nil {
		return nil, err
	}
	t.marked = l.tent.marked
	return t, nil
}

// errSurplus ends a peer's stream that sends more than was asked for.
var errSurplus = errors.New("more entries than the certificate covers")

func limited(entries iter.Seq2[[]byte, error], n uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for e, err := range entries {
			if err == nil && n == 0 {
				err = errSurplus
			}
			if !yield(e, err) || err != nil {
				return
			}
			n--
		}
	}
}

// write fills the batch from layer t, outside the lock: the views it takes never change.
func (l *Ledger) write(b *pebble.Batch, s *Staged, t *layer, cert *treaty.Certificate, at instant) error {
	l.mu.Lock()
	leaves := t.leaves.view(s.From, s.To)
	hashes := t.hashes.view(uint64(tlog.StoredHashCount(int64(s.From))), uint64(tlog.StoredHashCount(int64(s.To))))
	m, due := t.markAt(s.To)
	l.mu.Unlock()

	if err := l.store.putLeaves(b, s.From, leaves, hashes); err != nil {
		return err
	}
	if due {
		// m's machine is a clone that nobody else holds.
		if err := b.Set(l.store.key(kindMark), encodeMark(m.size, m.machine.Encode()), nil); err != nil {
			return err
		}
	}
	if err := b.Set(l.store.numbered(kindCertificate, cert.Height), treaty.Encode(cert), nil); err != nil {
		return err
	}
	if err := l.thin(b, cert.Height); err != nil {
		return err
	}
	final := treaty.Encode(finalPointer{Version: finalVersion, Height: cert.Height, Time: at.time})
	if err := b.Set(l.store.key(kindFinal), final, nil); err != nil {
		return err
	}
	s.settle = func() {
		if err := l.tent.trim(s.To); err != nil {
			// Cannot be: the root at s.To was computed from the same hashes. Say so, and let Open sort it out.
			l.stalled = err
			l.cfg.Log.Error("ledger: cannot move the edge; restart this node", "size", s.To, "err", err)
		}
		l.cert, l.finalSize, l.finalAt = cert, s.To, at
	}
	return nil
}

// keepCertificates is how many of the latest certificates, and the cosigned checkpoints of their sizes, are all kept; of
// older ones every keepCertificates-th stays. Only the latest matter for safety; the others serve newcomers that catch
// up in steps. At several a second all of them would be gigabytes a day.
const keepCertificates = 1024

// thin forgets the certificate that falls out of the latest ones.
func (l *Ledger) thin(b *pebble.Batch, height uint64) error {
	if height <= keepCertificates || (height-keepCertificates)%keepCertificates == 0 {
		return nil
	}
	old, err := l.store.certificate(height - keepCertificates)
	if errors.Is(err, ErrNotFound) {
		return nil // this node caught up beyond it
	}
	if err != nil {
		return err
	}
	if err := b.Delete(l.store.numbered(kindCertificate, old.Height), nil); err != nil {
		return err
	}
	if old.Checkpoint.Size == l.cosignedSize {
		return nil // cosigning is far behind: this note is still the one that observers are shown
	}
	return b.Delete(l.store.numbered(kindNote, old.Checkpoint.Size), nil)
}

// SetCosigned adds to a batch the cosigned checkpoint of a final size: a note that holds q verified cosignatures. From
// its Done on, observers may see and prove everything below it. Errors: ErrOld at or below the last size, ErrNotFinal,
// ErrBusy (one at a time, so that on disk too the size only ever grows).
func (l *Ledger) SetCosigned(b *pebble.Batch, size uint64, note []byte) (*Staged, error) {
	if l.busyCosigning() {
		return nil, fmt.Errorf("set cosigned checkpoint: %w", ErrBusy)
	}
	if size <= l.cosignedSize { // this goroutine alone moves it, and finalSize
		return nil, fmt.Errorf("set cosigned checkpoint: %w: size %d, the last is %d", ErrOld, size, l.cosignedSize)
	}
	if err := l.checkNote(size, l.finalSize, note); err != nil {
		return nil, fmt.Errorf("set cosigned checkpoint: %w", err)
	}
	if err := b.Set(l.store.numbered(kindNote, size), note, nil); err != nil {
		return nil, err
	}
	if err := b.Set(l.store.key(kindCosigned), binary.BigEndian.AppendUint64(nil, size), nil); err != nil {
		return nil, err
	}
	s := &Staged{l: l, From: l.cosignedSize, To: size}
	s.settle = func() { l.cosignedSize, l.cosignedNote = size, note }
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cosigning = s
	return s, nil
}

func (l *Ledger) busyCosigning() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cosigning != nil
}
