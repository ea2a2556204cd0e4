package observe

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"truceline/treaty"
)

// The index finds verdicts and the records about an incident in the ledger. It is made from the ledger and can be
// thrown away: its keys lie under their own prefix, and what it has read is written with it.
//
//	o c                          -> next ledger index to read
//	o v <index>                  -> verdict at that ledger index
//	o s <verdict id>             -> id of the verdict that supersedes it
//	o a <incident id> <index>    -> record or verdict about that incident
const (
	prefix        = 'o'
	kindCursor    = 'c'
	kindVerdict   = 'v'
	kindSupersede = 's'
	kindAbout     = 'a'
)

func key(kind byte, parts ...[]byte) []byte {
	k := []byte{prefix, kind}
	for _, p := range parts {
		k = append(k, p...)
	}
	return k
}

func be64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// get reads a value; nil when there is none.
func (s *Server) get(k []byte) ([]byte, error) {
	v, closer, err := s.cfg.DB.Get(k)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = closer.Close() }()
	return append([]byte{}, v...), nil
}

// maxCatchUp bounds the entries indexed in one batch.
const maxCatchUp = 4096

// catchUp indexes what is FINAL and not indexed, and returns the new verdicts' ledger indexes.
func (s *Server) catchUp() (fresh []uint64, err error) {
	raw, err := s.get(key(kindCursor))
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	var next uint64
	if len(raw) == 8 {
		next = binary.BigEndian.Uint64(raw)
	}
	size := s.cfg.Ledger.CosignedSize()
	for next < size {
		to := min(size, next+maxCatchUp)
		b := s.cfg.DB.NewBatch()
		entries, failed := s.cfg.Ledger.Entries(next, to)
		for i, e := range entries {
			isVerdict, err := s.indexEntry(b, i, e)
			if err != nil {
				return nil, errors.Join(err, b.Close())
			}
			if isVerdict {
				fresh = append(fresh, i)
			}
		}
		if err := failed(); err != nil {
			return nil, errors.Join(err, b.Close())
		}
		if err := b.Set(key(kindCursor), be64(to), nil); err != nil {
			return nil, errors.Join(err, b.Close())
		}
		// Not synced: after a power cut the same entries are indexed again.
		if err := b.Commit(pebble.NoSync); err != nil {
			return nil, fmt.Errorf("index: %w", err)
		}
		next = to
	}
	return fresh, nil
}

func (s *Server) indexEntry(b *pebble.Batch, i uint64, e []byte) (isVerdict bool, err error) {
	if treaty.IsVerdict(e) {
		v, err := s.cfg.Net.ParseVerdict(e)
		if err != nil {
			return false, fmt.Errorf("ledger entry %d: %w", i, err)
		}
		id := treaty.HashOf(e)
		if !v.Amends.IsZero() {
			if err := b.Set(key(kindSupersede, v.Amends[:]), id[:], nil); err != nil {
				return false, err
			}
		}
		return true, errors.Join(b.Set(key(kindVerdict, be64(i)), nil, nil), b.Set(key(kindAbout, v.Incident[:], be64(i)), nil, nil))
	}
	r, err := treaty.ParseRecord(e)
	if err != nil {
		return false, fmt.Errorf("ledger entry %d: %w", i, err)
	}
	about := treaty.Hash{}
	switch {
	case r.Incident != nil:
		about = r.ID
	case r.Attestation != nil:
		about = r.Attestation.Incident
	case r.Remark != nil:
		about = r.Remark.About
	}
	if about.IsZero() {
		return false, nil
	}
	return false, b.Set(key(kindAbout, about[:], be64(i)), nil, nil)
}

// verdictsBefore lists up to limit ledger indexes of verdicts below before, newest first.
func (s *Server) verdictsBefore(before uint64, limit int) (out []uint64, err error) {
	it, err := s.cfg.DB.NewIter(&pebble.IterOptions{LowerBound: key(kindVerdict), UpperBound: key(kindVerdict, be64(before))})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.Last(); ok && len(out) < limit; ok = it.Prev() {
		out = append(out, binary.BigEndian.Uint64(it.Key()[2:]))
	}
	return out, it.Error()
}

// about lists up to limit ledger indexes of what concerns an incident, oldest first.
func (s *Server) about(incident treaty.Hash, limit int) (out []uint64, err error) {
	it, err := s.cfg.DB.NewIter(&pebble.IterOptions{
		LowerBound: key(kindAbout, incident[:]), UpperBound: key(kindAbout, incident[:], be64(1<<63)),
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok && len(out) < limit; ok = it.Next() {
		out = append(out, binary.BigEndian.Uint64(it.Key()[2+len(incident):]))
	}
	return out, it.Error()
}
