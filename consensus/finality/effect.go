package finality

import (
	"fmt"

	"truceline/treaty"
)

// Effect is something the driver must do, in the order given. Exactly one field is set.
type Effect struct {
	// Persist must be durable before any later effect is carried out: write before you speak.
	Persist *State
	// Say must be signed and sent. A vote or wish of our own is also stepped back into the machine, after it is durable.
	Say *Say
	// Certified is a new certificate. The driver makes it durable together with the ledger up to its checkpoint and with
	// the record of what will be cosigned, then calls Settled; until then the machine works on no further height. When
	// the ledger does not hold the prefix, the driver fetches it first.
	Certified *treaty.Certificate
	// Cosigned is q cosignatures of one certified checkpoint.
	Cosigned []*treaty.Cosignature
	// Equivocation is two signed votes of one nation for one height, round and step.
	Equivocation *Equivocation
}

// Say is one thing to sign and send; exactly one of the statements is set. To is empty for everybody.
type Say struct {
	To          treaty.Nation
	Status      *treaty.Status
	Proposal    *treaty.Proposal
	Vote        *treaty.Vote
	Wish        *treaty.Wish
	Certificate *treaty.Certificate // passed on, not signed
	Cosignature *treaty.Cosignature // our own, made by the driver, sent again
}

// Equivocation is evidence that a nation voted twice.
type Equivocation struct {
	Nation treaty.Nation
	A, B   Vote
}

// State is what a nation must remember across a crash, so that it never says two different things. It is one record,
// replaced atomically and synced.
type State struct {
	Height uint64 `cbor:"1,keyasint"`
	// Round is the highest round this nation has entered or wished for; it votes in no earlier one.
	Round uint64 `cbor:"2,keyasint"`
	// Prepared and Committed are its last votes at this height.
	Prepared  *Cast `cbor:"3,keyasint,omitempty"`
	Committed *Cast `cbor:"4,keyasint,omitempty"`
	// Lock is the highest prepare certificate it has seen at this height.
	Lock *treaty.Certificate `cbor:"5,keyasint,omitempty"`
}

// Cast is a vote given.
type Cast struct {
	Round      uint64            `cbor:"1,keyasint"`
	Checkpoint treaty.Checkpoint `cbor:"2,keyasint"`
	Prepared   treaty.Hash       `cbor:"3,keyasint,omitzero"`
}

// Encode is the state's stored form.
func (s *State) Encode() []byte { return treaty.Encode(s) }

// DecodeState reads a stored state back. An error means the store cannot be trusted: the node must not vote.
func DecodeState(b []byte) (*State, error) {
	s := new(State)
	if err := treaty.Decode(b, treaty.MaxCertificate+1024, s); err != nil {
		return nil, fmt.Errorf("what this node has voted cannot be read, so it must not vote: %w", err)
	}
	return s, nil
}
