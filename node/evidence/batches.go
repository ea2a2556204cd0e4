package evidence

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"truceline/treaty"
)

// sealValue says which batch a seal commits to.
type sealValue struct {
	Digest treaty.Hash   `cbor:"1,keyasint"`
	Window treaty.Window `cbor:"2,keyasint"`
}

func decodeSeal(b []byte) (sealValue, error) {
	var v sealValue
	if err := treaty.Decode(b, 128, &v); err != nil {
		return v, fmt.Errorf("%w: seal: %w", ErrCorrupt, err)
	}
	return v, nil
}

// decodeBatch holds stored bytes against the digest they are stored under.
func (s *Store) decodeBatch(digest treaty.Hash, raw []byte) (*treaty.Batch, error) {
	if treaty.HashOf(raw) != digest {
		return nil, fmt.Errorf("%w: batch %s does not match its digest", ErrCorrupt, digest.Short())
	}
	b, err := treaty.DecodeBatch(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: batch %s: %w", ErrCorrupt, digest.Short(), err)
	}
	return b, nil
}

// PutOwn keeps our own batch, hidden until Reveal, and returns its digest. Order: batch and hiding mark in one synced
// write; only then may its seal be signed.
func (s *Store) PutOwn(b *treaty.Batch) (treaty.Hash, error) {
	if b.Nation != s.nation {
		return treaty.Hash{}, fmt.Errorf("keep own batch: it is %s's", b.Nation)
	}
	return s.put(treaty.Encode(b), true)
}

// PutRevealed keeps another nation's batch. The caller has compared its digest with a seal's. Order: synced, so that
// what an attestation of ours cites is never lost.
func (s *Store) PutRevealed(raw []byte) (treaty.Hash, error) { return s.put(raw, false) }

func (s *Store) put(raw []byte, own bool) (treaty.Hash, error) {
	digest := treaty.HashOf(raw)
	b, err := treaty.DecodeBatch(raw)
	if err != nil {
		return digest, fmt.Errorf("keep batch %s: %w", digest.Short(), err)
	}
	if b.Accord != s.net.Digest {
		return digest, fmt.Errorf("keep batch %s: %w: it names accord %s", digest.Short(), treaty.ErrWrongAccord, b.Accord.Short())
	}
	if _, ok := s.net.Member(b.Nation); !ok {
		return digest, fmt.Errorf("keep batch %s: %w: %s", digest.Short(), treaty.ErrUnknownNation, b.Nation)
	}
	if !own && b.Nation == s.nation {
		// Our own batch coming back from a peer: it must not lift the hiding mark, and needs none.
		if have, err := s.has(key(kindBatch, digest[:])); have || err != nil {
			return digest, err
		}
	}
	if own { // a repeat after a crash must not hide what is revealed
		if have, err := s.has(key(kindBatch, digest[:])); have || err != nil {
			return digest, err
		}
	}
	w := s.db.NewBatch()
	defer w.Close()
	errs := []error{
		w.Set(key(kindBatch, digest[:]), raw, nil),
		w.Set(key(kindByWindow, be64(uint64(b.Window)), []byte(b.Nation), digest[:]), nil, nil),
	}
	if own {
		errs = append(errs, w.Set(key(kindHidden, digest[:]), be64(uint64(b.Window)), nil))
	}
	if err := errors.Join(append(errs, w.Commit(pebble.Sync))...); err != nil {
		return digest, fmt.Errorf("keep batch %s: %w", digest.Short(), err)
	}
	return digest, nil
}

// Batch reads a batch, hidden or not: for our own use.
func (s *Store) Batch(digest treaty.Hash) (*treaty.Batch, error) {
	raw, err := s.get(key(kindBatch, digest[:]))
	if err != nil {
		return nil, fmt.Errorf("batch %s: %w", digest.Short(), err)
	}
	return s.decodeBatch(digest, raw)
}

// Revealed reads a batch's bytes for a peer that asks. An own batch that is hidden is ErrNotFound.
func (s *Store) Revealed(digest treaty.Hash) ([]byte, error) {
	hidden, err := s.has(key(kindHidden, digest[:]))
	if err != nil {
		return nil, fmt.Errorf("batch %s: %w", digest.Short(), err)
	}
	if hidden {
		return nil, fmt.Errorf("batch %s: %w", digest.Short(), ErrNotFound)
	}
	raw, err := s.get(key(kindBatch, digest[:]))
	if err != nil {
		return nil, fmt.Errorf("batch %s: %w", digest.Short(), err)
	}
	_, err = s.decodeBatch(digest, raw)
	return raw, err
}

// HasBatch says whether a batch is kept.
func (s *Store) HasBatch(digest treaty.Hash) (bool, error) { return s.has(key(kindBatch, digest[:])) }

// Reveal takes the hiding mark off an own batch; its window has passed in final ledger time. Order: synced before the
// first byte of it leaves, so a node that restarts knows what others may already hold. Repeats are harmless.
func (s *Store) Reveal(digest treaty.Hash) error {
	if err := s.db.Delete(key(kindHidden, digest[:]), pebble.Sync); err != nil {
		return fmt.Errorf("reveal batch %s: %w", digest.Short(), err)
	}
	return nil
}

// Hidden is the digests of own batches not yet revealed, with their windows.
func (s *Store) Hidden() (map[treaty.Hash]treaty.Window, error) {
	out := map[treaty.Hash]treaty.Window{}
	err := s.each(kindHidden, nil, func(k, v []byte) (bool, error) {
		if len(k) != 32 || len(v) != 8 {
			return false, fmt.Errorf("%w: hiding mark %x", ErrCorrupt, k)
		}
		out[treaty.Hash(k)] = treaty.Window(binary.BigEndian.Uint64(v))
		return true, nil
	})
	return out, err
}

// IndexSeal remembers which batch a seal in the ledger commits to. Order: none; it is not synced, because replaying the
// ledger repeats it.
func (s *Store) IndexSeal(seal, digest treaty.Hash, window treaty.Window) error {
	w := s.db.NewBatch()
	defer w.Close()
	if err := errors.Join(
		w.Set(key(kindSeal, seal[:]), treaty.Encode(sealValue{Digest: digest, Window: window}), nil),
		w.Set(key(kindSealTime, be64(uint64(window)), seal[:]), nil, nil),
		w.Commit(pebble.NoSync),
	); err != nil {
		return fmt.Errorf("index seal %s: %w", seal.Short(), err)
	}
	return nil
}

// SealDigest is the batch digest that a seal commits to.
func (s *Store) SealDigest(seal treaty.Hash) (treaty.Hash, error) {
	raw, err := s.get(key(kindSeal, seal[:]))
	if err != nil {
		return treaty.Hash{}, fmt.Errorf("seal %s: %w", seal.Short(), err)
	}
	v, err := decodeSeal(raw)
	return v.Digest, err
}

// Windows is every batch kept of the windows from..to, both included, hidden ones too, by window, nation and digest.
// It ends with the first error.
func (s *Store) Windows(from, to treaty.Window) iter.Seq2[*treaty.Batch, error] {
	return func(yield func(*treaty.Batch, error) bool) {
		err := s.each(kindByWindow, be64(uint64(from)), func(k, _ []byte) (bool, error) {
			window, nation, digest, err := splitWindowKey(k)
			if err != nil || window > to {
				return false, err
			}
			b, err := s.Batch(digest)
			if err == nil && (b.Window != window || b.Nation != nation) {
				err = fmt.Errorf("%w: batch %s is filed under window %d of %s", ErrCorrupt, digest.Short(), window, nation)
			}
			return err == nil && yield(b, nil), err
		})
		if err != nil {
			yield(nil, fmt.Errorf("batches of windows %d to %d: %w", from, to, err))
		}
	}
}

func splitWindowKey(k []byte) (treaty.Window, treaty.Nation, treaty.Hash, error) {
	if len(k) != 8+3+32 {
		return 0, "", treaty.Hash{}, fmt.Errorf("%w: window key %x", ErrCorrupt, k)
	}
	return treaty.Window(binary.BigEndian.Uint64(k)), treaty.Nation(k[8:11]), treaty.Hash(k[11:]), nil
}

// pruneStep bounds one deletion, so that pruning a long backlog holds up nobody.
const pruneStep = 1024

// Prune forgets batches and seals of windows before horizon, except own batches that are still hidden. It returns how
// many batches went. Order: none; what a crash brings back is pruned again.
func (s *Store) Prune(horizon treaty.Window) (int, error) {
	total := 0
	for {
		n, batches, err := s.pruneSome(horizon)
		total += batches
		if err != nil {
			return total, fmt.Errorf("prune before window %d: %w", horizon, err)
		}
		if n == 0 {
			return total, nil
		}
	}
}

func (s *Store) pruneSome(horizon treaty.Window) (n, batches int, err error) {
	w := s.db.NewBatch()
	defer w.Close()
	err = s.each(kindByWindow, nil, func(k, _ []byte) (bool, error) {
		window, _, digest, err := splitWindowKey(k)
		if err != nil || window >= horizon || n >= pruneStep {
			return false, err
		}
		hidden, err := s.has(key(kindHidden, digest[:]))
		if err != nil || hidden {
			return err == nil, err
		}
		n++
		batches++
		return true, errors.Join(w.Delete(key(kindBatch, digest[:]), nil), w.Delete(key(kindByWindow, k), nil))
	})
	if err != nil {
		return 0, 0, err
	}
	err = s.each(kindSealTime, nil, func(k, _ []byte) (bool, error) {
		if len(k) != 8+32 {
			return false, fmt.Errorf("%w: seal key %x", ErrCorrupt, k)
		}
		if treaty.Window(binary.BigEndian.Uint64(k)) >= horizon || n >= 2*pruneStep {
			return false, nil
		}
		n++
		return true, errors.Join(w.Delete(key(kindSeal, k[8:]), nil), w.Delete(key(kindSealTime, k), nil))
	})
	if err != nil || n == 0 {
		return 0, 0, err
	}
	return n, batches, w.Commit(pebble.NoSync)
}
