package evidence

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"truceline/treaty"
)

// Sign makes our record of one number; it is called once for each number and must not keep what it makes to itself.
type Sign func(seq uint64) (*treaty.Record, error)

// decodeOwn holds stored bytes against the number they are stored under.
func (s *Store) decodeOwn(seq uint64, raw []byte) (*treaty.Record, error) {
	r, err := treaty.ParseRecord(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: own record %d: %w", ErrCorrupt, seq, err)
	}
	if r.Nation != s.nation || r.Seq != seq {
		return nil, fmt.Errorf("%w: own record %d is number %d of %s", ErrCorrupt, seq, r.Seq, r.Nation)
	}
	return r, nil
}

// Last is the highest number ever signed, Final the highest known to be final.
func (s *Store) Last() (last, final uint64) {
	s.sign.Lock()
	defer s.sign.Unlock()
	return s.numbers.Last, s.numbers.Final
}

// after is the numbers once a record is written down.
func (n numbers) after(r *treaty.Record) numbers {
	n.Last = r.Seq
	if r.Seal != nil {
		n.Sealed = max(n.Sealed, r.Seal.Window)
	}
	return n
}

// Sealed is the latest window of which this nation ever wrote a seal down, 0 for none: none up to it is sealed again.
func (s *Store) Sealed() treaty.Window {
	s.sign.Lock()
	defer s.sign.Unlock()
	return s.numbers.Sealed
}

// NextRecord signs our next record. Order: sign in memory; then number, bytes, and for an attestation what it binds us
// to and its leaving the review queue, in one synced write; only then is the record returned, so nothing leaves that a restart would not know of.
// After a failed write the store refuses to sign until it is opened again.
//
// An attestation to an incident that has ours, or one that calls a breach over a detection on which we called one in
// another case, is refused with ErrAttested, and its number is not used.
func (s *Store) NextRecord(sign Sign) (*treaty.Record, error) { return s.next(sign, nil) }

// next is NextRecord behind a condition that is checked under the same lock.
func (s *Store) next(sign Sign, may func() error) (*treaty.Record, error) {
	s.sign.Lock()
	defer s.sign.Unlock()
	if may != nil {
		if err := may(); err != nil {
			return nil, err
		}
	}
	seq := s.numbers.Last + 1
	r, err := sign(seq)
	if err != nil {
		return nil, fmt.Errorf("own record %d: %w", seq, err)
	}
	if r.Seq != seq {
		return nil, fmt.Errorf("own record %d: the signed record says %d", seq, r.Seq)
	}
	if err := s.keep(r); err != nil {
		return nil, err
	}
	return r, nil
}

// Keep writes down an own record that was made elsewhere: one that came back from a peer or the ledger after our disk
// lost it. The same bytes again are harmless; other bytes under a number that is taken are ErrDoubleSign. Order: as in
// NextRecord. A number beyond the last one means that this store is older than what our key has signed: it is said
// loudly, and the numbers in between are never used.
func (s *Store) Keep(r *treaty.Record) error {
	s.sign.Lock()
	defer s.sign.Unlock()
	if r.Seq > s.numbers.Last+1 {
		s.log.Error("our key has signed records that this store does not know: it was restored from a backup, or another "+
			"node runs with our key; find out which", "last_here", s.numbers.Last, "seen", r.Seq)
	}
	return s.keep(r)
}

// keep is the one place where own records are written. s.sign is held.
func (s *Store) keep(r *treaty.Record) error {
	fail := func(err error) error { return fmt.Errorf("own record %d: %w", r.Seq, err) }
	if s.broken != nil {
		return fail(fmt.Errorf("an earlier write failed, so what is on disk is not known; restart the node: %w", s.broken))
	}
	if r.Nation != s.nation {
		return fail(fmt.Errorf("it is %s's", r.Nation))
	}
	if r.Seq <= s.numbers.Last {
		return s.same(r)
	}
	w := s.db.NewBatch()
	defer w.Close()
	n := s.numbers.after(r)
	waited, err := s.bind(w, r)
	if err = errors.Join(err,
		w.Set(key(kindOutbox, be64(r.Seq)), r.Raw(), nil),
		w.Set(key(kindNumbers), treaty.Encode(n), nil),
	); err != nil {
		return fail(err)
	}
	s.broken = errors.New("write did not finish") // also true if the database ends this goroutine
	if err := w.Commit(pebble.Sync); err != nil {
		s.broken = err
		return fail(err)
	}
	s.broken = nil
	s.numbers = n
	if waited {
		s.waits--
	}
	return nil
}

// same accepts an own record again if it is the one we hold.
func (s *Store) same(r *treaty.Record) error {
	raw, err := s.get(key(kindOutbox, be64(r.Seq)))
	switch {
	case errors.Is(err, ErrNotFound):
		return fmt.Errorf("%w: own record %d: the number is used and its record final or unknown", ErrDoubleSign, r.Seq)
	case err != nil:
		return fmt.Errorf("own record %d: %w", r.Seq, err)
	case !bytes.Equal(raw, r.Raw()):
		return fmt.Errorf("%w: own record %d: another one is on disk", ErrDoubleSign, r.Seq)
	}
	return nil
}

// bind adds to w what an attestation binds us to, or refuses it. waited: it takes the incident out of the review queue.
func (s *Store) bind(w *pebble.Batch, r *treaty.Record) (waited bool, err error) {
	if r.Attestation == nil {
		return false, nil
	}
	incident := r.Attestation.Incident
	if err := s.free(r.Attestation); err != nil {
		return false, err
	}
	if waited, err = s.has(key(kindReview, incident[:])); err != nil {
		return false, err
	}
	errs := []error{
		w.Set(key(kindAttested, incident[:]), r.ID[:], nil),
		w.Delete(key(kindReview, incident[:]), nil),
	}
	if r.Attestation.Assessment.Finding == treaty.Breach {
		first := s.first(incident)
		for ref := range r.Attestation.Assessment.Cites.All() {
			errs = append(errs, w.Set(key(kindCited, ref.Seal[:], be32(ref.Index)), first[:], nil))
		}
	}
	return waited, errors.Join(errs...)
}

// free says whether we may still attest so. A breach that we called on a case we may call again on an incident that
// amends it: only one verdict stands in a case, and without us it might be the wrong one. Errors: ErrAttested.
func (s *Store) free(a *treaty.Attestation) error {
	if id, err := s.Attested(a.Incident); err == nil {
		return fmt.Errorf("%w: incident %s, with record %s", ErrAttested, a.Incident.Short(), id.Short())
	} else if !errors.Is(err, ErrNotFound) {
		return err
	}
	if a.Assessment.Finding != treaty.Breach {
		return nil
	}
	first := s.first(a.Incident)
	for ref := range a.Assessment.Cites.All() {
		other, err := s.spent(first, ref)
		if err != nil {
			return err
		}
		if !other.IsZero() {
			return fmt.Errorf("%w: detection %d of seal %s counts for a breach in incident %s", ErrAttested, ref.Index,
				ref.Seal.Short(), other.Short())
		}
	}
	return nil
}

// spent is the incident of another case than the one that first began, in which we called a breach over a detection; zero
// if there is none.
func (s *Store) spent(first treaty.Hash, ref treaty.Ref) (treaty.Hash, error) {
	other, err := s.BreachOn(ref)
	// A store of an earlier release holds the incident itself, which may be one that amends.
	if errors.Is(err, ErrNotFound) || err == nil && (other == first || s.first(other) == first) {
		return treaty.Hash{}, nil
	}
	return other, err
}

// Unspent is what is left of citations for an incident without those that carry our BREACH in another case: a report of
// "artillery" may fit two shots of a salvo, and counts for the first.
func (s *Store) Unspent(incident treaty.Hash, cites treaty.Cites) (treaty.Cites, error) {
	first := s.first(incident)
	var left []treaty.Ref
	for ref := range cites.All() {
		other, err := s.spent(first, ref)
		if err != nil {
			return nil, err
		}
		if other.IsZero() {
			left = append(left, ref)
		}
	}
	return treaty.NewCites(left), nil
}

// Attested is the record id of our attestation to an incident. Errors: ErrNotFound.
func (s *Store) Attested(incident treaty.Hash) (treaty.Hash, error) {
	return s.hash(key(kindAttested, incident[:]))
}

// BreachOn is the first incident of the case in which we called a breach over a detection. Errors: ErrNotFound.
func (s *Store) BreachOn(r treaty.Ref) (treaty.Hash, error) {
	return s.hash(key(kindCited, r.Seal[:], be32(r.Index)))
}

func (s *Store) hash(k []byte) (treaty.Hash, error) {
	v, err := s.get(k)
	if err != nil {
		return treaty.Hash{}, err
	}
	if len(v) != 32 {
		return treaty.Hash{}, fmt.Errorf("%w: %d bytes under key %q where a digest belongs", ErrCorrupt, len(v), k[:2])
	}
	return treaty.Hash(v), nil
}

// Outbox is every own record not known to be final, by number: what must be sent again. It ends with the first error.
func (s *Store) Outbox() iter.Seq2[*treaty.Record, error] {
	return func(yield func(*treaty.Record, error) bool) {
		err := s.each(kindOutbox, nil, func(k, v []byte) (bool, error) {
			if len(k) != 8 {
				return false, fmt.Errorf("%w: outbox key %x", ErrCorrupt, k)
			}
			r, err := s.decodeOwn(binary.BigEndian.Uint64(k), bytes.Clone(v))
			return err == nil && yield(r, nil), err
		})
		if err != nil {
			yield(nil, fmt.Errorf("outbox: %w", err))
		}
	}
}

// maxSingly is how many records MarkFinal deletes one by one.
const maxSingly = 4096

// MarkFinal forgets the bytes of own records up to seq: the ledger holds them. Order: not synced, because a crash only
// brings records back that are sent once more; but a number beyond the last one we know (see Keep) is synced.
func (s *Store) MarkFinal(seq uint64) error {
	s.sign.Lock()
	defer s.sign.Unlock()
	if seq <= s.numbers.Final {
		return nil
	}
	if s.broken != nil {
		return fmt.Errorf("mark own record %d final: an earlier write failed; restart the node: %w", seq, s.broken)
	}
	n := numbers{Last: max(s.numbers.Last, seq), Final: seq, Sealed: s.numbers.Sealed}
	how := pebble.NoSync
	if seq > s.numbers.Last {
		how = pebble.Sync
		s.log.Error("the ledger holds records of ours that this store does not know: it was restored from a backup, or "+
			"another node runs with our key; find out which", "last_here", s.numbers.Last, "final", seq)
	}
	w := s.db.NewBatch()
	defer w.Close()
	// One by one while they are few: a range deletion makes every read of the memtable sort its range deletions anew.
	var errs []error
	if from := s.numbers.Final + 1; seq-from < maxSingly {
		for k := from; k <= seq; k++ {
			errs = append(errs, w.Delete(key(kindOutbox, be64(k)), nil))
		}
	} else {
		errs = append(errs, w.DeleteRange(key(kindOutbox), key(kindOutbox, be64(seq+1)), nil))
	}
	if err := errors.Join(
		errors.Join(errs...),
		w.Set(key(kindNumbers), treaty.Encode(n), nil),
		w.Commit(how),
	); err != nil {
		return fmt.Errorf("mark own record %d final: %w", seq, err)
	}
	s.numbers = n
	return nil
}
