package observe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"

	"truceline/treaty"
)

// The index finds verdicts and the records about an incident in the ledger. It is made from the ledger and can be
// thrown away: its keys lie under their own prefix, and what it has read is written with it.
//
//	o c                          -> next ledger index to read
//	o v <index>                  -> verdict at that ledger index
//	o s <verdict id>             -> id of the verdict that supersedes it
//	o j <incident id> <index>    -> verdict on that incident
//	o a <incident id> <index>    -> attestation or remark about that incident
//	o m <index>                  -> misbehaviour at that ledger index: what it proves, in words
//	o p <nation> <kind> <place>  -> ledger index of the misbehaviour that proves it first
//
// Verdicts lie apart from what nations say about an incident: however much a nation says, it hides no verdict.
const (
	prefix        = 'o'
	kindCursor    = 'c'
	kindVerdict   = 'v'
	kindSupersede = 's'
	kindJudged    = 'j'
	kindAbout     = 'a'

	kindMisbehaviour = 'm'
	kindPlace        = 'p'
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

// cursor is the next ledger index to read. An index that has read more than there is belongs to a ledger that is no
// more: it is thrown away.
func (s *Server) cursor() (uint64, error) {
	raw, err := s.get(key(kindCursor))
	if err != nil || len(raw) != 8 {
		return 0, err
	}
	next := binary.BigEndian.Uint64(raw)
	if next <= s.cfg.Ledger.CosignedSize() {
		return next, nil
	}
	s.cfg.Log.Warn("the observers' index is ahead of the ledger; making it anew", slog.Uint64("index", next))
	return 0, s.cfg.DB.DeleteRange([]byte{prefix}, []byte{prefix + 1}, pebble.NoSync)
}

// catchUp indexes what is FINAL and not indexed, batch by batch, and wakes the streams after each.
func (s *Server) catchUp(ctx context.Context) error {
	for {
		next, size := s.indexed.Load(), s.cfg.Ledger.CosignedSize()
		if next >= size || ctx.Err() != nil {
			return nil
		}
		to := min(size, next+maxCatchUp)
		if err := s.indexBatch(next, to); err != nil {
			return fmt.Errorf("index entries [%d, %d): %w", next, to, err)
		}
		s.indexed.Store(to)
		s.streams.wake()
	}
}

func (s *Server) indexBatch(next, to uint64) (err error) {
	b := s.cfg.DB.NewIndexedBatch()
	defer func() { err = errors.Join(err, b.Close()) }()
	entries, failed := s.cfg.Ledger.Entries(next, to)
	for i, e := range entries {
		if err := s.indexEntry(b, i, e); err != nil {
			return err
		}
	}
	if err := failed(); err != nil {
		return err
	}
	if err := b.Set(key(kindCursor), be64(to), nil); err != nil {
		return err
	}
	// Not synced: after a power cut the same entries are indexed again.
	if err := b.Commit(pebble.NoSync); err != nil || !s.proven {
		return err
	}
	s.proven = false
	return s.loadNotices()
}

func (s *Server) indexEntry(b *pebble.Batch, i uint64, e []byte) error {
	if treaty.IsVerdict(e) {
		v, err := s.cfg.Net.ParseVerdict(e)
		if err != nil {
			return fmt.Errorf("ledger entry %d: %w", i, err)
		}
		id := treaty.HashOf(e)
		if !v.Amends.IsZero() {
			if err := b.Set(key(kindSupersede, v.Amends[:]), id[:], nil); err != nil {
				return err
			}
		}
		return errors.Join(b.Set(key(kindVerdict, be64(i)), nil, nil), b.Set(key(kindJudged, v.Incident[:], be64(i)), nil, nil))
	}
	switch treaty.PeekType(e) {
	case treaty.TypeAttestation, treaty.TypeRemark, treaty.TypeMisbehaviour, "": // "": its header is not in the usual form
	default:
		return nil // most of the ledger says nothing about an incident
	}
	r, err := s.cfg.Net.ParseRecord(e)
	if err != nil {
		return fmt.Errorf("ledger entry %d: %w", i, err)
	}
	about := treaty.Hash{}
	switch {
	case r.Attestation != nil:
		about = r.Attestation.Incident
	case r.Remark != nil:
		about = r.Remark.About
	case r.Misbehaviour != nil:
		return s.indexMisbehaviour(b, i, r)
	}
	if about.IsZero() {
		return nil
	}
	return b.Set(key(kindAbout, about[:], be64(i)), nil, nil)
}

// before lists up to limit ledger indexes of one kind below at, newest first.
func (s *Server) before(kind byte, at uint64, limit int) (out []uint64, err error) {
	it, err := s.cfg.DB.NewIter(&pebble.IterOptions{LowerBound: key(kind), UpperBound: key(kind, be64(at))})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.Last(); ok && len(out) < limit; ok = it.Prev() {
		out = append(out, binary.BigEndian.Uint64(it.Key()[2:]))
	}
	return out, it.Error()
}

// rising lists up to limit ledger indexes in [from, to) under a prefix, oldest first.
func (s *Server) rising(under []byte, from, to uint64, limit int) (out []uint64, err error) {
	lower, upper := append(under[:len(under):len(under)], be64(from)...), append(under[:len(under):len(under)], be64(to)...)
	it, err := s.cfg.DB.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok && len(out) < limit; ok = it.Next() {
		out = append(out, binary.BigEndian.Uint64(it.Key()[len(under):]))
	}
	return out, it.Error()
}
