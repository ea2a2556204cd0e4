package treaty

import (
	"bytes"
	"fmt"
)

// MisbehaviourKind is how a nation contradicted itself. Each kind is a pair of signed statements that no node which
// keeps the rules ever makes, whatever its peers do and wherever it crashes (docs/TRUST.md).
type MisbehaviourKind uint8

// The kinds. Numbers are in signed bytes: add at the end only.
const (
	// TwoVotes are two finality votes of one height, round and step for different checkpoints.
	TwoVotes MisbehaviourKind = iota + 1
	// TwoAttestations are two different assessments of one incident.
	TwoAttestations
	// TwoSeals are seals of one window that commit to different batches.
	TwoSeals
	// TwoHeads are two orders that a leader signed for one index of one term and run.
	TwoHeads
	// TwoRecords are different records of one number.
	TwoRecords
	// Censorship is reserved: what convicts of it are complaints, which do not exist yet. It is refused.
	Censorship
)

var misbehaviourNames = names{"", "votes", "attestations", "seals", "heads", "records", "censorship"}

func (k MisbehaviourKind) String() string { return misbehaviourNames.text(uint8(k)) }

// Valid says whether a record of this kind may stand: the reserved one may not.
func (k MisbehaviourKind) Valid() bool                  { return k >= TwoVotes && k <= TwoRecords }
func (k MisbehaviourKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
func (k *MisbehaviourKind) UnmarshalText(b []byte) error {
	v, err := misbehaviourNames.parse("kind of misbehaviour", b)
	*k = MisbehaviourKind(v)
	return err
}

// Misbehaviour is a record that convicts a nation by its own signatures. Whoever reports it says nothing of its own:
// Network.CheckMisbehaviour needs the statements and the accord alone.
type Misbehaviour struct {
	Accused Nation           `cbor:"1,keyasint" json:"accused"`
	Kind    MisbehaviourKind `cbor:"2,keyasint" json:"kind"`
	// Statements are the two signed messages as their author made them, in rising order of their bytes.
	Statements [][]byte `cbor:"3,keyasint" json:"statements"`
}

// NewMisbehaviour puts two statements into their one order. A pair that does not fit a record is ErrTooLarge.
func NewMisbehaviour(accused Nation, kind MisbehaviourKind, a, b []byte) (*Misbehaviour, error) {
	if bytes.Compare(a, b) > 0 {
		a, b = b, a
	}
	m := &Misbehaviour{Accused: accused, Kind: kind, Statements: [][]byte{a, b}}
	return m, m.Check()
}

// Check bounds a misbehaviour; whether it is one is for Network.CheckMisbehaviour to say.
func (m *Misbehaviour) Check() error {
	if !m.Accused.Valid() {
		return fmt.Errorf("%w: misbehaviour of nation %q", ErrMalformed, m.Accused)
	}
	if !m.Kind.Valid() {
		return fmt.Errorf("%w: misbehaviour of kind %s", ErrMalformed, m.Kind)
	}
	if len(m.Statements) != 2 {
		return fmt.Errorf("%w: misbehaviour of %d statements, it takes two", ErrMalformed, len(m.Statements))
	}
	a, b := m.Statements[0], m.Statements[1]
	if len(a)+len(b) > MaxStatements {
		return fmt.Errorf("%w: statements of %d bytes, at most %d", ErrTooLarge, len(a)+len(b), MaxStatements)
	}
	if len(a) == 0 || bytes.Compare(a, b) >= 0 {
		return fmt.Errorf("%w: statements are not in rising order", ErrMalformed)
	}
	return nil
}
