package ledger

import (
	"bytes"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/mod/sumdb/tlog"

	"truceline/treaty"
)

// auditEvery is how many entries lie between two calls of progress.
const auditEvery = 1 << 14

// Audit goes through the whole final layer: every entry is hashed again and compared with the stored hashes and with the
// index by id, and every certificate and cosigned checkpoint with the root at its size. Open looks only at what it needs
// and at the last leaves; this finds a bit that went bad years ago. It takes a few microseconds an entry, disturbs nobody,
// and stands on the final size it started with. progress may be nil.
// Errors: ErrCorrupt, saying what and where; whatever progress returns.
func (l *Ledger) Audit(progress func(done, total uint64) error) error {
	size := l.FinalSize()
	t, err := newLayer(&l.cfg, nil, 0, l.store)
	if err != nil {
		return err
	}
	for e, err := range l.store.entries(0, size) {
		n := t.end()
		if err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		if n%auditEvery == 0 {
			if err := t.trim(n); err != nil {
				return err
			}
			if progress != nil {
				if err := progress(n, size); err != nil {
					return err
				}
			}
		}
		if err := l.auditEntry(t, n, bytes.Clone(e)); err != nil {
			return fmt.Errorf("audit: %w", err)
		}
	}
	if progress != nil {
		if err := progress(size, size); err != nil {
			return err
		}
	}
	if err := l.auditCertificates(size); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// auditEntry hashes one entry and compares what it completes with what is stored.
func (l *Ledger) auditEntry(t *layer, n uint64, e []byte) error {
	id := treaty.HashOf(e)
	if err := t.push(e, id); err != nil {
		return fmt.Errorf("%w: entry %d: %w", ErrCorrupt, n, err)
	}
	stored, _, err := l.store.get(l.store.numbered(kindHashes, n))
	if err != nil {
		return err
	}
	for level, h := range t.hashes.view(t.hashes.end()-uint64(completed(n)), t.hashes.end()) {
		if got, err := decodeHash(n, level, stored); err != nil || got != h {
			return fmt.Errorf("%w: entry %d does not hash to what is stored for it at level %d (%v)", ErrCorrupt, n, level, err)
		}
	}
	at, ok, err := l.store.get(l.store.idKey(id))
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%w: entry %d is not in the index", ErrCorrupt, n)
	}
	if other, err := decodeNumber("index", at); err != nil || other < n {
		return fmt.Errorf("%w: entry %d is in the index as %d (%v)", ErrCorrupt, n, other, err)
	}
	return nil
}

// auditCertificates holds every certificate and cosigned checkpoint up to a size against the tree.
func (l *Ledger) auditCertificates(size uint64) error {
	it, err := l.store.db.NewIter(&pebble.IterOptions{LowerBound: l.store.key(kindCertificate), UpperBound: l.store.key(kindCertificate + 1)})
	if err != nil {
		return err
	}
	defer it.Close() // read only: what matters is it.Error below
	last := uint64(0)
	for ok := it.First(); ok; ok = it.Next() {
		height, err := decodeNumber("height", it.Key()[2:])
		if err != nil {
			return err
		}
		c, err := l.store.certificate(height)
		if err != nil {
			return err
		}
		if c.Checkpoint.Size > size {
			break // certified since the audit began
		}
		if err := l.checkCertificate(c); err != nil {
			return fmt.Errorf("%w: certificate of height %d: %w", ErrCorrupt, height, err)
		}
		root, err := tlog.TreeHash(int64(c.Checkpoint.Size), l.store)
		if err != nil {
			return err
		}
		if treaty.Hash(root) != c.Checkpoint.Root || c.Checkpoint.Size < last {
			return fmt.Errorf("%w: certificate of height %d says %d leaves with root %s; before it there were %d, and their root is %s",
				ErrCorrupt, height, c.Checkpoint.Size, c.Checkpoint.Root.Short(), last, treaty.Hash(root).Short())
		}
		last = c.Checkpoint.Size
	}
	if err := it.Error(); err != nil {
		return err
	}
	return l.auditNotes(size)
}

func (l *Ledger) auditNotes(size uint64) error {
	it, err := l.store.db.NewIter(&pebble.IterOptions{LowerBound: l.store.key(kindNote), UpperBound: l.store.numbered(kindNote, size+1)})
	if err != nil {
		return err
	}
	defer it.Close() // read only: what matters is it.Error below
	for ok := it.First(); ok; ok = it.Next() {
		at, err := decodeNumber("cosigned size", it.Key()[2:])
		if err != nil {
			return err
		}
		if err := l.checkNote(at, size, it.Value()); err != nil {
			return fmt.Errorf("%w: cosigned checkpoint of size %d: %w", ErrCorrupt, at, err)
		}
	}
	return it.Error()
}
