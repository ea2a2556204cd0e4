package evidence

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"truceline/treaty"
)

// NextRecords signs our next n records and writes them down together: one sync for all. sign is called with each number
// in turn; what it refuses uses no number. Attestations bind us and go one by one, through NextRecord.
//
// It returns the records and, at the same places, the errors; the last result is fatal as in NextRecord.
func (s *Store) NextRecords(n int, sign func(i int, seq uint64) (*treaty.Record, error)) ([]*treaty.Record, []error, error) {
	s.sign.Lock()
	defer s.sign.Unlock()
	if s.broken != nil {
		return nil, nil, fmt.Errorf("own records: an earlier write failed, so what is on disk is not known; restart the node: %w", s.broken)
	}
	rs, errs := make([]*treaty.Record, n), make([]error, n)
	w := s.db.NewBatch()
	defer func() { _ = w.Close() }()
	next := s.numbers
	for i := range n {
		r, err := sign(i, next.Last+1)
		switch {
		case err != nil:
		case r.Nation != s.nation || r.Seq != next.Last+1:
			err = fmt.Errorf("own record %d: the signed record is %s's %d", next.Last+1, r.Nation, r.Seq)
		case r.Attestation != nil:
			err = fmt.Errorf("own record %d: attestations are signed one by one", r.Seq)
		default:
			err = w.Set(key(kindOutbox, be64(r.Seq)), r.Raw(), nil)
		}
		if err != nil {
			errs[i] = err
			continue
		}
		rs[i] = r
		next = next.after(r)
	}
	if next.Last == s.numbers.Last {
		return rs, errs, nil
	}
	if err := w.Set(key(kindNumbers), treaty.Encode(next), nil); err != nil {
		return nil, nil, fmt.Errorf("own records: %w", err)
	}
	s.broken = errors.New("write did not finish") // also true if the database ends this goroutine
	if err := w.Commit(pebble.Sync); err != nil {
		s.broken = err
		return nil, nil, fmt.Errorf("own records %d to %d: %w", s.numbers.Last+1, next.Last, err)
	}
	s.broken = nil
	s.numbers = next
	return rs, errs, nil
}
