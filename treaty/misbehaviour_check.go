package treaty

import (
	"bytes"
	"fmt"
)

// Proven is what two statements prove.
type Proven struct {
	// About names the place at which the nation contradicted itself: of one kind and nation there is one About a place,
	// however many pairs of statements there are.
	About Hash
	// Text says it in neutral words, for people.
	Text string
}

// CheckMisbehaviour says whether the statements convict the accused: both are signed by it under this accord, and no
// node that keeps the rules makes both. It is a pure function of the record and the accord. Identical repeats, and
// other signatures over the same words, contradict nothing.
// Errors: ErrMalformed, ErrTooLarge, ErrWrongAccord, ErrUnknownNation, ErrBadSignature, ErrNoConflict.
func (n *Network) CheckMisbehaviour(m *Misbehaviour) (Proven, error) {
	if err := m.Check(); err != nil {
		return Proven{}, err
	}
	var signed [2]*Signed
	var p Proven
	var err error
	switch m.Kind {
	case TwoVotes:
		signed, p, err = m.votes()
	case TwoHeads:
		signed, p, err = m.heads()
	default:
		signed, p, err = m.records()
	}
	if err != nil {
		return Proven{}, err
	}
	for _, s := range signed {
		if k := s.Header.Claims.Issuer; k != m.Accused {
			return Proven{}, fmt.Errorf("%w: a statement of %s does not convict %s", ErrNoConflict, k, m.Accused)
		}
		if err := n.Verify(s); err != nil {
			return Proven{}, err
		}
	}
	return p, nil
}

// proven names a place by its kind and what tells it from others of that kind.
func (m *Misbehaviour) proven(place any, format string, args ...any) Proven {
	about := HashOf(Encode(struct {
		_     struct{} `cbor:",toarray"`
		Kind  MisbehaviourKind
		Place any
	}{Kind: m.Kind, Place: place}))
	return Proven{about, fmt.Sprintf("%s is recorded as having signed two different ", m.Accused) + fmt.Sprintf(format, args...)}
}

func (m *Misbehaviour) innocent() error {
	return fmt.Errorf("%w: both %s may be honest", ErrNoConflict, m.Kind)
}

// parseVote reads a signed vote strictly.
func parseVote(raw []byte) (*Signed, Vote, error) {
	var v Vote
	s, err := ParseSigned(raw, MaxStatements)
	if err != nil {
		return nil, v, err
	}
	if s.Header.Type != TypeVote {
		return nil, v, fmt.Errorf("%w: %q is no vote", ErrMalformed, s.Header.Type)
	}
	if err := Decode(s.Payload, MaxHead, &v); err != nil {
		return nil, v, fmt.Errorf("vote: %w", err)
	}
	return s, v, v.Check()
}

// votes: an honest nation writes each vote down before it says it, and gives one a height, round and step. The prepare
// certificate that a commit names is left out of account: it says which signatures arrived first, not what was decided.
func (m *Misbehaviour) votes() (signed [2]*Signed, p Proven, err error) {
	var v [2]Vote
	for i, raw := range m.Statements {
		if signed[i], v[i], err = parseVote(raw); err != nil {
			return signed, p, err
		}
	}
	if v[0].Height != v[1].Height || v[0].Round != v[1].Round || v[0].Step != v[1].Step || v[0].Checkpoint == v[1].Checkpoint {
		return signed, p, m.innocent()
	}
	return signed, m.proven([3]uint64{v[0].Height, v[0].Round, uint64(v[0].Step)}, "%s votes for height %d, round %d",
		v[0].Step, v[0].Height, v[0].Round), nil
}

// heads: one conviction a term and run is enough, at whatever index the orders part.
func (m *Misbehaviour) heads() (signed [2]*Signed, p Proven, err error) {
	var h [2]Head
	for i, raw := range m.Statements {
		if signed[i], h[i], err = ParseHead(raw); err != nil {
			return signed, p, err
		}
	}
	if !h[0].Contradicts(h[1]) {
		return signed, p, m.innocent()
	}
	place := struct {
		_     struct{} `cbor:",toarray"`
		Term  uint64
		Start Hash
	}{Term: h[0].Term, Start: h[0].Start}
	return signed, m.proven(place, "orders as leader of term %d", h[0].Term), nil
}

// records: an honest nation writes each record's number down before the record leaves, attests to an incident once, and
// seals a window once (node/evidence).
func (m *Misbehaviour) records() (signed [2]*Signed, p Proven, err error) {
	var r [2]*Record
	for i, raw := range m.Statements {
		if r[i], err = ParseRecord(raw); err != nil {
			return signed, p, err
		}
		signed[i] = r[i].Signed
	}
	a, b := r[0], r[1]
	switch {
	case m.Kind == TwoAttestations && a.Attestation != nil && b.Attestation != nil:
		x, y := a.Attestation, b.Attestation
		if x.Incident == y.Incident && !bytes.Equal(Encode(&x.Assessment), Encode(&y.Assessment)) {
			return signed, m.proven(x.Incident, "assessments of incident %s", x.Incident), nil
		}
	case m.Kind == TwoSeals && a.Seal != nil && b.Seal != nil:
		x, y := a.Seal, b.Seal
		if x.Window == y.Window && (x.Digest != y.Digest || x.Count != y.Count) {
			return signed, m.proven(uint64(x.Window), "seals of window %d", uint64(x.Window)), nil
		}
	case m.Kind == TwoRecords && a.Seq == b.Seq:
		if a.Type() != b.Type() || !bytes.Equal(a.Signed.Payload, b.Signed.Payload) {
			return signed, m.proven(a.Seq, "records of number %d", a.Seq), nil
		}
	}
	return signed, p, m.innocent()
}

// VoteMessage makes the signed bytes of a vote again out of what a certificate keeps of it, so that it can be shown as
// a statement. Whether they verify is for Verify to say. Nil for a stranger.
func (n *Network) VoteMessage(v Vote, sig VoteSig) []byte {
	protected := n.headers[sig.Nation][TypeVote]
	if protected == nil {
		return nil
	}
	return assemble(protected, Encode(v), sig.Sig)
}
