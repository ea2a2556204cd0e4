package ledger

import (
	"bytes"
	"fmt"
	"iter"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/mod/sumdb/tlog"

	"truceline/treaty"
)

// load reads and checks the final layer (Open).
func (l *Ledger) load() error {
	raw, ok, err := l.store.get(l.store.key(kindFinal))
	if err != nil {
		return err
	}
	if !ok {
		if err := l.store.checkEmpty(); err != nil {
			return err
		}
		l.tent, err = newLayer(&l.cfg, l.cfg.New(), 0, l.store)
		return err
	}
	final, err := decodeFinal(raw)
	if err != nil {
		return err
	}
	cert, err := l.store.certificate(final.Height)
	if err != nil {
		return err
	}
	if err := l.checkCertificate(cert); err != nil {
		return fmt.Errorf("%w: last certificate, height %d: %w", ErrCorrupt, cert.Height, err)
	}
	l.cert, l.finalSize, l.finalAt = cert, cert.Checkpoint.Size, instant{time: final.Time}
	if l.tent, err = l.rebuild(); err != nil {
		return err
	}
	l.finalAt = instantOf(l.tent.machine)
	if _, more, err := l.store.get(l.store.numbered(kindEntry, l.finalSize)); err != nil || more {
		return fmt.Errorf("%w: there is an entry %d behind the certified size (%v)", ErrCorrupt, l.finalSize, err)
	}
	return l.loadCosigned()
}

// checkEmpty refuses a store that has something of a ledger and no final pointer.
func (s store) checkEmpty() error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{s.prefix}, UpperBound: []byte{s.prefix + 1}})
	if err != nil {
		return err
	}
	if it.First() {
		err = fmt.Errorf("%w: key %q and no final pointer", ErrCorrupt, it.Key())
	}
	if cerr := it.Close(); err == nil {
		err = cerr
	}
	return err
}

func (l *Ledger) checkCertificate(c *treaty.Certificate) error {
	if c == nil || c.Step != treaty.StepCommit {
		return fmt.Errorf("%w: not a commit certificate", treaty.ErrMalformed)
	}
	return l.cfg.Net.VerifyCertificate(c)
}

// rebuild makes the layer that stands exactly at the last certificate: from the last mark, or from the start, by
// replaying the entries since. It changes nothing of l, and reads only cert, finalSize and finalAt, which stand still
// as long as the driver does nothing else.
func (l *Ledger) rebuild() (*layer, error) {
	size, m, err := l.loadMark()
	if err != nil {
		return nil, err
	}
	t, err := newLayer(&l.cfg, m, size, l.store)
	if err != nil {
		return nil, err
	}
	if err := t.replay(l.store.entries(size, l.finalSize), nil); err != nil {
		return nil, fmt.Errorf("%w: replay of [%d, %d): %w", ErrCorrupt, size, l.finalSize, err)
	}
	c := l.certified()
	if t.end() != l.finalSize {
		return nil, fmt.Errorf("%w: replay of [%d, %d) ends at %d", ErrCorrupt, size, l.finalSize, t.end())
	}
	if root, err := t.root(l.finalSize); err != nil || c.Size > 0 && root != c.Root {
		return nil, fmt.Errorf("%w: root at %d is %s, the certificate says %s (%v)", ErrCorrupt, c.Size, root.Short(), c.Root.Short(), err)
	}
	if now := m.LedgerTime(); c.Size > 0 && now != l.finalAt.time {
		return nil, fmt.Errorf("%w: ledger time at %d is %s, it was %s when it was certified", ErrCorrupt, c.Size, now, l.finalAt.time)
	}
	// What the replayed leaves were hashed to is what is stored for them: else a proof would come out wrong later.
	if root, err := tlog.TreeHash(int64(l.finalSize), l.store); err != nil || c.Size > 0 && treaty.Hash(root) != c.Root {
		return nil, fmt.Errorf("%w: the stored hashes of %d leaves do not make the certified root (%v)", ErrCorrupt, c.Size, err)
	}
	t.last = c.Index
	return t, t.trim(l.finalSize)
}

// loadMark reads the last tally state, or makes the first one.
func (l *Ledger) loadMark() (uint64, Machine, error) {
	raw, ok, err := l.store.get(l.store.key(kindMark))
	if err != nil {
		return 0, nil, err
	}
	if !ok {
		return 0, l.cfg.New(), nil
	}
	size, state, err := decodeMark(raw)
	if err != nil {
		return 0, nil, err
	}
	if size > l.finalSize {
		return 0, nil, fmt.Errorf("%w: the tally state is of size %d, the last certificate of %d", ErrCorrupt, size, l.finalSize)
	}
	m, err := l.cfg.Load(state)
	if err != nil {
		// The sum was right, so these are the bytes that were written: an older program's. The entries say it all again.
		l.cfg.Log.Warn("ledger: this program cannot read the stored tally state; replaying every entry", "size", size, "err", err)
		return 0, l.cfg.New(), nil
	}
	return size, m, nil
}

// replayGroup is how many entries are parsed and verified together: enough for a batch of signatures, 16 MiB at most.
const replayGroup = 256

// replay runs entries through the tally: each is the next derived leaf, byte for byte, or a record that is taken.
// verify, if not nil, checks the records' signatures first; then nothing is forgotten on the way. Without it (our own
// entries) the layer is trimmed as it goes.
func (t *layer) replay(entries iter.Seq2[[]byte, error], verify func([]*treaty.Record) error) error {
	next := t.end() // the next entry to come; below end() while derived leaves are outstanding
	var group [][]byte
	flush := func() error {
		recs := make([]*treaty.Record, len(group))
		var signed []*treaty.Record
		for i, e := range group {
			if r, err := treaty.ParseRecord(e); err == nil { // else it had better be a derived leaf
				recs[i], signed = r, append(signed, r)
			}
		}
		if verify != nil && len(signed) > 0 {
			if err := verify(signed); err != nil {
				return fmt.Errorf("records of entries %d to %d: %w", next, next+uint64(len(group)), err)
			}
		}
		for i, e := range group {
			if next < t.end() {
				if own := t.leaves.at(next).entry; !bytes.Equal(own, e) {
					return fmt.Errorf("entry %d: %d bytes that are not the leaf the tally derives there (%d bytes)", next, len(e), len(own))
				}
				next++
				continue
			}
			if recs[i] == nil {
				return fmt.Errorf("entry %d: neither a record nor a leaf that the tally derives there", next)
			}
			_, taken, err := t.take(recs[i], nil)
			if err != nil {
				return fmt.Errorf("entry %d: %w", next, err)
			}
			if !taken {
				return fmt.Errorf("entry %d: the tally does not take record %s of %s", next, recs[i].ID.Short(), recs[i].Nation)
			}
			next++
		}
		group = group[:0]
		if verify == nil {
			return t.trim(next)
		}
		if t.end()-t.base > t.cfg.MaxTentative || t.bytes > t.cfg.MaxTentativeBytes {
			return fmt.Errorf("%w: more than %d leaves or %d bytes at once; graft an earlier certificate first", ErrFull,
				t.cfg.MaxTentative, t.cfg.MaxTentativeBytes)
		}
		return nil
	}
	for e, err := range entries {
		if err != nil {
			return err
		}
		if len(e) > treaty.MaxRecord {
			return fmt.Errorf("entry %d: %w: %d bytes", next+uint64(len(group)), treaty.ErrTooLarge, len(e))
		}
		if group = append(group, bytes.Clone(e)); len(group) == replayGroup {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	if next < t.end() {
		return fmt.Errorf("the entries end at %d, and the tally derives %d more leaves there", next, t.end()-next)
	}
	return nil
}

// entries reads entries [from, to) and fails on the first that is missing.
func (s store) entries(from, to uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if from >= to {
			return
		}
		it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: s.numbered(kindEntry, from), UpperBound: s.numbered(kindEntry, to)})
		if err != nil {
			yield(nil, fmt.Errorf("ledger: read entries: %w", err))
			return
		}
		defer it.Close() // read only: what matters is it.Error below
		next := from
		for ok := it.First(); ok; ok = it.Next() {
			if !bytes.Equal(it.Key(), s.numbered(kindEntry, next)) {
				break
			}
			v, err := it.ValueAndErr()
			if err != nil {
				yield(nil, fmt.Errorf("ledger: read entry %d: %w", next, err))
				return
			}
			if !yield(v, nil) {
				return
			}
			next++
		}
		if err := it.Error(); err != nil {
			yield(nil, fmt.Errorf("ledger: read entry %d: %w", next, err))
		} else if next < to {
			yield(nil, fmt.Errorf("%w: entry %d of %d is missing", ErrCorrupt, next, to))
		}
	}
}

// loadCosigned reads and checks the last cosigned checkpoint.
func (l *Ledger) loadCosigned() error {
	raw, ok, err := l.store.get(l.store.key(kindCosigned))
	if err != nil || !ok {
		return err
	}
	size, err := decodeNumber("cosigned size", raw)
	if err != nil {
		return err
	}
	note, ok, err := l.store.get(l.store.numbered(kindNote, size))
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%w: no cosigned checkpoint stored for size %d", ErrCorrupt, size)
	}
	if err := l.checkNote(size, l.finalSize, note); err != nil {
		return fmt.Errorf("%w: cosigned checkpoint: %w", ErrCorrupt, err)
	}
	l.cosignedSize, l.cosignedNote = size, note
	return nil
}

// checkNote holds a checkpoint note to the final tree. It checks no signatures: who joined them has.
func (l *Ledger) checkNote(size, final uint64, note []byte) error {
	if size == 0 || size > final {
		return fmt.Errorf("%w: checkpoint of size %d, the last certificate is of size %d", ErrNotFinal, size, final)
	}
	if len(note) > treaty.MaxCheckpointNote {
		return fmt.Errorf("%w: checkpoint note of %d bytes", treaty.ErrTooLarge, len(note))
	}
	root, err := tlog.TreeHash(int64(size), l.store)
	if err != nil {
		return err
	}
	text := l.cfg.Net.CheckpointText(treaty.Checkpoint{Size: size, Root: treaty.Hash(root)})
	if !strings.HasPrefix(string(note), text+"\n") {
		return fmt.Errorf("the note does not say size %d and root %s", size, treaty.Hash(root).Short())
	}
	return nil
}
