package ledger

import (
	"fmt"
	"sync"

	"truceline/treaty"
)

// Leaf is one entry of the ledger.
type Leaf struct {
	Index uint64
	Entry []byte
	// Record is what the entry says; nil for a leaf that the tally derived.
	Record *treaty.Record
}

// Ledger is one node's log. Three kinds of goroutine use it:
//
//   - Raft's state machine calls Apply;
//   - the finality driver, one goroutine, calls Stage, Graft, SetCosigned, Done, Drop and Reset;
//   - anybody reads.
//
// Nobody waits for a disk under the lock: Stage takes views of the tentative layer under it (what they show never changes)
// and fills the batch outside. Reset replays under it, because there is nothing to serve meanwhile, and a certificate that
// seems to contradict the final layer is compared with it there.
type Ledger struct {
	cfg   Config
	store store

	mu sync.Mutex // held for a few microseconds a leaf; guards everything below

	// tent is owned by Apply, between Done, Reset and Graft's Done, which trim or replace it.
	tent *layer
	// stalled is why Apply takes nothing more; Reset clears it.
	stalled error

	// cert, finalSize and finalAt move in Done only: they say what is durable.
	cert      *treaty.Certificate
	finalSize uint64
	finalAt   instant
	// cosignedSize and cosignedNote move in the Done of SetCosigned.
	cosignedSize uint64
	cosignedNote []byte
	// staged is the certificate that waits for Done or Drop. While it is set, nobody replaces tent.
	staged *Staged
	// cosigning is the cosigned checkpoint that does.
	cosigning *Staged
}

// Open reads what is final and adds it up: the last certificate's signatures and root, the leaves since the last mark
// replayed through the tally, the cosigned checkpoint. An empty store opens as an empty ledger.
// Errors: ErrCorrupt, saying what and where; whatever the disk says.
func Open(cfg Config) (*Ledger, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	l := &Ledger{cfg: cfg.withDefaults()}
	l.store = store{db: l.cfg.DB, prefix: l.cfg.Prefix}
	if err := l.load(); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	return l, nil
}

// Apply takes one Raft entry: records in order, their signatures verified. It returns the leaves that this added.
// An entry at or below the certified index, or already applied, adds nothing. When the tentative layer is full, or the
// tally derives what cannot be an entry, this and all later entries add nothing and Stalled says why.
func (l *Ledger) Apply(index, term uint64, rs []*treaty.Record) []Leaf {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tent
	switch {
	case l.stalled != nil || index <= l.certified().Index:
		return nil
	case index <= t.last:
		l.cfg.Log.Error("ledger: Raft applied an entry twice, or another one in its place; if it is another, reset and reopen Raft",
			"index", index, "term", term, "applied", t.last)
		return nil
	}
	if n := t.end() - l.finalSize + uint64(len(rs)); n > l.cfg.MaxTentative || t.bytes > l.cfg.MaxTentativeBytes {
		l.stall(index, fmt.Errorf("%w: %d leaves, %d bytes without a certificate", ErrFull, n, t.bytes))
		return nil
	}
	from, out := t.end(), make([]Leaf, 0, len(rs))
	for _, r := range rs {
		var err error
		if out, _, err = t.take(r, out); err != nil {
			l.stall(index, err)
			return nil
		}
	}
	t.last = index
	if t.end() > from {
		t.bound(index, term)
	}
	return out
}

func (l *Ledger) stall(index uint64, err error) {
	l.stalled = fmt.Errorf("ledger takes no more entries from Raft index %d on: %w", index, err)
	l.cfg.Log.Error("ledger: stalled; wait for a certificate, then reset and reopen Raft there", "index", index, "err", err)
}

// Stalled says why Apply takes nothing more, nil if it does.
func (l *Ledger) Stalled() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stalled
}

// certified is the last certificate's checkpoint, zero at the start.
func (l *Ledger) certified() treaty.Checkpoint {
	if l.cert == nil {
		return treaty.Checkpoint{}
	}
	return l.cert.Checkpoint
}

// Frontier is everything applied: size and root, and the Raft entry that last changed the size. It is zero at the start.
func (l *Ledger) Frontier() treaty.Checkpoint {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.tent.bounds); n > 0 {
		if c, err := l.tent.checkpoint(n - 1); err == nil {
			return c
		}
	}
	return l.certified()
}

// LastIndex is the last Raft index that needs no applying any more.
func (l *Ledger) LastIndex() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tent.last
}

// Holds says whether exactly this checkpoint was applied: the same prefix, ending with the same Raft entry. It knows the
// certified checkpoint and those above it.
func (l *Ledger) Holds(c treaty.Checkpoint) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.instantAt(c)
	return ok
}

// TimeAt is the ledger time at a checkpoint that this node holds.
func (l *Ledger) TimeAt(c treaty.Checkpoint) (treaty.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.instantAt(c)
	return at.time, ok
}

func (l *Ledger) instantAt(c treaty.Checkpoint) (instant, bool) {
	if l.cert != nil && c == l.cert.Checkpoint {
		return l.finalAt, true
	}
	i, ok := l.tent.find(c)
	if !ok {
		return instant{}, false
	}
	return l.tent.times[i], true
}

// Boundaries are the checkpoints above the certified one, rising: one for each Raft entry that changed the size. Roots
// are computed on the first call that needs them, a few microseconds each. The caller must not change the slice.
func (l *Ledger) Boundaries() []treaty.Checkpoint {
	l.mu.Lock()
	defer l.mu.Unlock()
	bs, err := l.tent.boundaries()
	if err != nil {
		l.cfg.Log.Error("ledger: cannot compute roots; restart this node", "err", err)
	}
	return bs
}

// Certified is the last certificate, nil at the start. It must not be changed.
func (l *Ledger) Certified() *treaty.Certificate {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cert
}

// FinalLedgerTime is the ledger time at the last certificate.
func (l *Ledger) FinalLedgerTime() treaty.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.finalAt.time
}

// FinalClosed is the first window that was not closed for everybody at the last certificate: earlier ones may be revealed.
func (l *Ledger) FinalClosed() treaty.Window {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.finalAt.closed
}

// TentativeLedgerTime is the ledger time behind the last applied record.
func (l *Ledger) TentativeLedgerTime() treaty.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tent.machine.LedgerTime()
}

// With shows the tally behind the last applied record. fn runs under the ledger's lock: it must be short, must not call
// the ledger, and must neither change nor keep the machine (Clone it).
func (l *Ledger) With(fn func(live Machine, finalSize uint64)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fn(l.tent.machine, l.finalSize)
}

// Tentative is how much lies above the last certificate: slow down before it reaches Config.MaxTentative.
func (l *Ledger) Tentative() (leaves, bytes uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tent.end() - l.finalSize, l.tent.bytes
}

// Reset throws the tentative layer away: the tally stands at the last certificate again, and Raft's entries above its
// index are to be applied again. Errors: ErrBusy; ErrCorrupt, after which the ledger is as it was.
func (l *Ledger) Reset() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.staged != nil {
		return fmt.Errorf("reset: %w", ErrBusy)
	}
	t, err := l.rebuild()
	if err != nil {
		return fmt.Errorf("reset ledger: %w", err)
	}
	l.cfg.Log.Warn("ledger: tentative layer thrown away", "leaves", l.tent.end()-l.finalSize, "final", l.finalSize)
	l.tent, l.stalled = t, nil
	return nil
}
