package evidence

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"truceline/treaty"
)

// MaxPending bounds the review queue: a duty officer who is this far behind needs help, not more to read.
const MaxPending = 10_000

// Pending is an attestation that waits for the duty officer.
type Pending struct {
	Attestation treaty.Attestation `cbor:"1,keyasint" json:"attestation"`
	At          treaty.Time        `cbor:"2,keyasint" json:"at"`
}

func decodePending(b []byte) (*Pending, error) {
	p := new(Pending)
	if err := treaty.Decode(b, treaty.MaxPayload+64, p); err != nil {
		return nil, fmt.Errorf("%w: review: %w", ErrCorrupt, err)
	}
	if err := p.Attestation.Check(); err != nil {
		return nil, fmt.Errorf("%w: review: %w", ErrCorrupt, err)
	}
	return p, nil
}

// PutReview queues an attestation for the duty officer; a newer one takes the place of an older one for the same
// incident. Errors: ErrAttested, ErrFull. Order: synced.
func (s *Store) PutReview(a *treaty.Attestation, at treaty.Time) error {
	s.sign.Lock()
	defer s.sign.Unlock()
	fail := func(err error) error { return fmt.Errorf("queue incident %s for review: %w", a.Incident.Short(), err) }
	if err := errors.Join(a.Check(), s.free(a)); err != nil {
		return fail(err)
	}
	k := key(kindReview, a.Incident[:])
	have, err := s.has(k)
	if err != nil {
		return fail(err)
	}
	if !have && s.waits >= MaxPending {
		return fail(fmt.Errorf("%w: %d attestations wait already; approve or decline some", ErrFull, s.waits))
	}
	if err := s.write(k, treaty.Encode(&Pending{Attestation: *a, At: at})); err != nil {
		return fail(err)
	}
	if !have {
		s.waits++
	}
	return nil
}

// Review is the attestation that waits for an incident. Errors: ErrNotFound.
func (s *Store) Review(incident treaty.Hash) (*Pending, error) {
	raw, err := s.get(key(kindReview, incident[:]))
	if err != nil {
		return nil, fmt.Errorf("review of incident %s: %w", incident.Short(), err)
	}
	return s.pairReview(incident, raw)
}

func (s *Store) pairReview(incident treaty.Hash, raw []byte) (*Pending, error) {
	p, err := decodePending(raw)
	if err == nil && p.Attestation.Incident != incident {
		err = fmt.Errorf("%w: review of incident %s is filed under %s", ErrCorrupt, p.Attestation.Incident.Short(), incident.Short())
	}
	return p, err
}

// Reviews is everything that waits, by incident id. It ends with the first error.
func (s *Store) Reviews() iter.Seq2[*Pending, error] {
	return func(yield func(*Pending, error) bool) {
		err := s.each(kindReview, nil, func(k, v []byte) (bool, error) {
			if len(k) != 32 {
				return false, fmt.Errorf("%w: review key %x", ErrCorrupt, k)
			}
			p, err := s.pairReview(treaty.Hash(k), v)
			return err == nil && yield(p, nil), err
		})
		if err != nil {
			yield(nil, fmt.Errorf("reviews: %w", err))
		}
	}
}

// Approve signs what the duty officer approved, or changed, for an incident in the queue. Order: as in NextRecord, with
// the removal from the queue in the same synced write: it is in the queue or signed, never both, never neither.
func (s *Store) Approve(incident treaty.Hash, sign func(seq uint64, p *Pending) (*treaty.Record, error)) (*treaty.Record, error) {
	var p *Pending
	r, err := s.next(func(seq uint64) (*treaty.Record, error) {
		r, err := sign(seq, p)
		if err == nil && (r.Attestation == nil || r.Attestation.Incident != incident) {
			err = errors.New("what was signed is no attestation to this incident")
		}
		return r, err
	}, func() (err error) { p, err = s.Review(incident); return err })
	if err != nil {
		return nil, fmt.Errorf("approve incident %s: %w", incident.Short(), err)
	}
	return r, nil
}

// Decline takes an attestation out of the queue; why is kept as a note. Order: both in one synced write.
func (s *Store) Decline(incident treaty.Hash, why string, at treaty.Time) error {
	s.sign.Lock()
	defer s.sign.Unlock()
	if _, err := s.Review(incident); err != nil {
		return err
	}
	err := s.addNote(Note{At: at, About: incident, Text: "declined: " + why}, func(w *pebble.Batch) error {
		return w.Delete(key(kindReview, incident[:]), nil)
	})
	if err != nil {
		return fmt.Errorf("decline incident %s: %w", incident.Short(), err)
	}
	s.waits--
	return nil
}

// Note is what an operator wrote down, for this node's own people. It is not signed and never sent.
type Note struct {
	At    treaty.Time `cbor:"1,keyasint" json:"at"`
	About treaty.Hash `cbor:"2,keyasint,omitzero" json:"about,omitzero"`
	Text  string      `cbor:"3,keyasint" json:"text"`
}

func decodeNote(b []byte) (*Note, error) {
	n := new(Note)
	if err := treaty.Decode(b, treaty.MaxText+128, n); err != nil {
		return nil, fmt.Errorf("%w: note: %w", ErrCorrupt, err)
	}
	return n, nil
}

// AddNote keeps a note. Order: synced.
func (s *Store) AddNote(n Note) error { return s.addNote(n, nil) }

func (s *Store) addNote(n Note, more func(w *pebble.Batch) error) error {
	if n.Text == "" || len(n.Text) > treaty.MaxText {
		return fmt.Errorf("note: a text has 1 to %d bytes, this has %d", treaty.MaxText, len(n.Text))
	}
	s.note.Lock()
	defer s.note.Unlock()
	it, err := s.scan(key(kindNote), key(kindNote+1))
	if err != nil {
		return err
	}
	number := uint64(1)
	if it.Last() {
		k := it.Key()
		if len(k) != 10 {
			return errors.Join(fmt.Errorf("%w: note key %x", ErrCorrupt, k), it.Close())
		}
		number = binary.BigEndian.Uint64(k[2:]) + 1
	}
	if err := it.Close(); err != nil {
		return fmt.Errorf("note: %w", err)
	}
	w := s.db.NewBatch()
	defer w.Close()
	err = w.Set(key(kindNote, be64(number)), treaty.Encode(&n), nil)
	if err == nil && more != nil {
		err = more(w)
	}
	if err == nil {
		err = w.Commit(pebble.Sync)
	}
	if err != nil {
		return fmt.Errorf("note: %w", err)
	}
	return nil
}

// Notes is every note in the order they were written. It ends with the first error.
func (s *Store) Notes() iter.Seq2[*Note, error] {
	return func(yield func(*Note, error) bool) {
		err := s.each(kindNote, nil, func(_, v []byte) (bool, error) {
			n, err := decodeNote(v)
			return err == nil && yield(n, nil), err
		})
		if err != nil {
			yield(nil, fmt.Errorf("notes: %w", err))
		}
	}
}
