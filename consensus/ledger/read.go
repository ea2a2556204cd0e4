package ledger

import (
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/mod/sumdb/tlog"

	"truceline/treaty"
)

// FinalSize is the size at the last certificate.
func (l *Ledger) FinalSize() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.finalSize
}

// CosignedSize is the size that observers may see: the largest under a cosigned checkpoint, 0 if there is none.
func (l *Ledger) CosignedSize() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cosignedSize
}

// Cosigned is the last cosigned checkpoint. The note must not be changed.
func (l *Ledger) Cosigned() (size uint64, note []byte, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cosignedSize, l.cosignedNote, l.cosignedSize > 0
}

// CosignedAt is the cosigned checkpoint of one size. Errors: ErrNotFound.
func (l *Ledger) CosignedAt(size uint64) ([]byte, error) {
	if size > l.CosignedSize() {
		return nil, fmt.Errorf("%w: cosigned checkpoint of size %d", ErrNotFound, size)
	}
	note, ok, err := l.store.get(l.store.numbered(kindNote, size))
	if err == nil && !ok {
		err = fmt.Errorf("%w: cosigned checkpoint of size %d", ErrNotFound, size)
	}
	return note, err
}

// CertificateAt is the certificate of one height. Heights that this node skipped by a Graft are not there.
// Errors: ErrNotFound.
func (l *Ledger) CertificateAt(height uint64) (*treaty.Certificate, error) {
	if c := l.Certified(); c == nil || height > c.Height {
		return nil, fmt.Errorf("%w: certificate of height %d", ErrNotFound, height)
	}
	return l.store.certificate(height)
}

// CertificateUpTo is the last certificate of at most that many leaves: what a peer that lacks the prefix should graft
// next, when the last one is more than it can take at once. Errors: ErrNotFound.
func (l *Ledger) CertificateUpTo(size uint64) (*treaty.Certificate, error) {
	last := l.Certified()
	if last == nil {
		return nil, fmt.Errorf("%w: no certificate yet", ErrNotFound)
	}
	if last.Checkpoint.Size <= size {
		return last, nil
	}
	it, err := l.store.db.NewIter(&pebble.IterOptions{LowerBound: l.store.key(kindCertificate), UpperBound: l.store.key(kindCertificate + 1)})
	if err != nil {
		return nil, err
	}
	defer it.Close() // read only: an error shows as a certificate that is not found
	// Sizes rise with heights, and heights have gaps where this node grafted: search by height, read what is next.
	at := func(height uint64) (*treaty.Certificate, error) {
		if !it.SeekGE(l.store.numbered(kindCertificate, height)) {
			return nil, errors.Join(ErrNotFound, it.Error())
		}
		next, err := decodeNumber("height", it.Key()[2:])
		if err != nil {
			return nil, err
		}
		return l.store.certificate(next)
	}
	var best *treaty.Certificate
	for lo, hi := uint64(0), last.Height; lo < hi; { // the first height whose next certificate is too large lies in [lo, hi]
		mid := lo + (hi-lo)/2
		c, err := at(mid)
		if err != nil {
			return nil, err
		}
		if c.Checkpoint.Size > size {
			hi = mid
		} else {
			best, lo = c, c.Height+1
		}
	}
	if best == nil {
		return nil, fmt.Errorf("%w: no certificate of at most %d leaves", ErrNotFound, size)
	}
	return best, nil
}

// Entry is the entry at an index below the final size. Errors: ErrNotFinal.
func (l *Ledger) Entry(i uint64) ([]byte, error) {
	if size := l.FinalSize(); i >= size {
		return nil, fmt.Errorf("%w: entry %d, the final size is %d", ErrNotFinal, i, size)
	}
	e, ok, err := l.store.get(l.store.numbered(kindEntry, i))
	if err == nil && !ok {
		err = fmt.Errorf("%w: entry %d is missing", ErrCorrupt, i)
	}
	return e, err
}

// Entries are the entries from up to, not including, to, with their indexes. An entry is valid until the next one is
// asked for. Ask the function for an error when the loop is over. Errors: ErrNotFinal, ErrCorrupt.
func (l *Ledger) Entries(from, to uint64) (iter.Seq2[uint64, []byte], func() error) {
	var failed error
	seq := func(yield func(uint64, []byte) bool) {
		failed = nil
		if size := l.FinalSize(); from > to || to > size {
			failed = fmt.Errorf("%w: entries [%d, %d), the final size is %d", ErrNotFinal, from, to, size)
			return
		}
		i := from
		for e, err := range l.store.entries(from, to) {
			if err != nil {
				failed = err
				return
			}
			if !yield(i, e) {
				return
			}
			i++
		}
	}
	return seq, func() error { return failed }
}

// Find looks an entry up by the SHA-256 of its bytes. final says whether it is certified; an entry that is not may yet
// go away, and Find does not know it then. To an observer only what lies below CosignedSize is FINAL.
func (l *Ledger) Find(id treaty.Hash) (index uint64, final, ok bool) {
	l.mu.Lock()
	i, tentative := l.tent.ids[id]
	size := l.finalSize
	l.mu.Unlock()
	raw, found, err := l.store.get(l.store.idKey(id))
	if err == nil && found {
		if at, err := decodeNumber("index", raw); err == nil && at < size {
			return at, true, true
		}
	} else if err != nil {
		l.cfg.Log.Error("ledger: cannot look up an entry", "id", id, "err", err)
	}
	return i, false, tentative
}

// observable refuses sizes that are not under a cosigned checkpoint.
func (l *Ledger) observable(what string, size uint64) error {
	if have := l.CosignedSize(); size == 0 || size > have {
		return fmt.Errorf("%w: %s at size %d, the cosigned size is %d", ErrNotFinal, what, size, have)
	}
	return nil
}

// ProveRecord is the inclusion proof of an entry in the tree of a size, at most the cosigned one. Errors: ErrNotFinal.
func (l *Ledger) ProveRecord(index, size uint64) (tlog.RecordProof, error) {
	if err := l.observable("inclusion proof", size); err != nil {
		return nil, err
	}
	if index >= size {
		return nil, fmt.Errorf("%w: entry %d is not in a tree of %d", ErrNotFinal, index, size)
	}
	return tlog.ProveRecord(int64(size), int64(index), l.store)
}

// ProveTree is the consistency proof between two sizes, at most the cosigned one. Errors: ErrNotFinal.
func (l *Ledger) ProveTree(older, newer uint64) (tlog.TreeProof, error) {
	if err := l.observable("consistency proof", newer); err != nil {
		return nil, err
	}
	if older == 0 || older > newer {
		return nil, fmt.Errorf("%w: no consistency proof from %d to %d", ErrNotFinal, older, newer)
	}
	return tlog.ProveTree(int64(newer), int64(older), l.store)
}

// RootAt is the root at a size that is final. Errors: ErrNotFinal.
func (l *Ledger) RootAt(size uint64) (treaty.Hash, error) {
	if have := l.FinalSize(); size > have {
		return treaty.Hash{}, fmt.Errorf("%w: root at %d, the final size is %d", ErrNotFinal, size, have)
	}
	h, err := tlog.TreeHash(int64(size), l.store)
	return treaty.Hash(h), err
}
