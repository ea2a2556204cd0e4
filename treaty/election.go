package treaty

import (
	"crypto/rand"
	"fmt"

	voi "github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
)

// ElectionVote is a nation's signed vote for a Raft leader. Raft itself believes whoever says that it leads; here a
// leader shows q of these (consensus.md C.4 row 1). Safety does not rest on it: finality has its own votes.
type ElectionVote struct {
	// Term is the Raft term of the election.
	Term      uint64 `cbor:"1,keyasint"`
	Candidate Nation `cbor:"2,keyasint"`
	// Start is a random name of the run of the candidate's process. A nation votes for one run only, so a candidate
	// that was restored from a backup cannot lead in a term again.
	Start Hash `cbor:"3,keyasint"`
}

// Check bounds a vote.
func (v *ElectionVote) Check() error {
	if v.Term == 0 || v.Term > maxRound || !v.Candidate.Valid() || v.Start.IsZero() {
		return fmt.Errorf("%w: election vote for %q in term %d", ErrMalformed, v.Candidate, v.Term)
	}
	return nil
}

// ElectionSig is one nation's signature of an ElectionVote.
type ElectionSig struct {
	Nation Nation `cbor:"1,keyasint"`
	Sig    []byte `cbor:"2,keyasint"`
}

// Election is q nations' votes for one leader in one term: two for one term name the same leader while at most f nations
// lie, which Raft's own majority does not give (with 5 nations two liars' votes make two leaders).
type Election struct {
	Term      uint64        `cbor:"1,keyasint"`
	Candidate Nation        `cbor:"2,keyasint"`
	Start     Hash          `cbor:"3,keyasint"`
	Sigs      []ElectionSig `cbor:"4,keyasint"` // by nation, rising
}

// Vote is what everybody in the certificate has signed.
func (e *Election) Vote() ElectionVote {
	return ElectionVote{Term: e.Term, Candidate: e.Candidate, Start: e.Start}
}

// SignElection signs a vote for a leader. Write it down, synced, before the result leaves.
func (s *Signer) SignElection(v ElectionVote) (ElectionSig, error) {
	if err := v.Check(); err != nil {
		return ElectionSig{}, err
	}
	_, sig, err := s.sign(TypeElection, Encode(v))
	return ElectionSig{Nation: s.Nation, Sig: sig}, err
}

// VerifyElectionSig checks one nation's vote. Errors: ErrUnknownNation, ErrBadSignature.
func (n *Network) VerifyElectionSig(v ElectionVote, s ElectionSig) error {
	m, ok := n.Member(s.Nation)
	if !ok {
		return fmt.Errorf("%w: %s votes in an election", ErrUnknownNation, s.Nation)
	}
	if len(s.Sig) != voi.SignatureSize ||
		!voi.VerifyExpandedWithOptions(m.expanded, toBeSigned(n.headers[s.Nation][TypeElection], Encode(v)), s.Sig, zip215) {
		return fmt.Errorf("%w: election vote of %s", ErrBadSignature, s.Nation)
	}
	return nil
}

// DecodeElection reads an election certificate strictly; VerifyElection says whether it holds.
func DecodeElection(b []byte) (*Election, error) {
	e := new(Election)
	if err := Decode(b, MaxElection, e); err != nil {
		return nil, fmt.Errorf("election certificate: %w", err)
	}
	return e, nil
}

// VerifyElection checks that at least q distinct roster nations voted for exactly this.
// Errors: ErrMalformed, ErrNoQuorum, ErrUnknownNation, ErrBadSignature.
func (n *Network) VerifyElection(e *Election) error {
	if e == nil {
		return fmt.Errorf("%w: no election certificate", ErrNoQuorum)
	}
	v := e.Vote()
	if err := v.Check(); err != nil {
		return err
	}
	if _, ok := n.Member(e.Candidate); !ok {
		return fmt.Errorf("%w: %s was elected", ErrUnknownNation, e.Candidate)
	}
	if len(e.Sigs) > n.N {
		return fmt.Errorf("%w: %d signatures of %d nations", ErrMalformed, len(e.Sigs), n.N)
	}
	if len(e.Sigs) < n.Q {
		return fmt.Errorf("%w: %d votes for a leader, need %d of %d", ErrNoQuorum, len(e.Sigs), n.Q, n.N)
	}
	batch := voi.NewBatchVerifierWithCapacity(len(e.Sigs))
	payload := Encode(v)
	for i, s := range e.Sigs {
		if i > 0 && e.Sigs[i-1].Nation >= s.Nation {
			return fmt.Errorf("%w: election signatures are not in rising order", ErrMalformed)
		}
		m, ok := n.Member(s.Nation)
		if !ok {
			return fmt.Errorf("%w: %s votes in an election", ErrUnknownNation, s.Nation)
		}
		if len(s.Sig) != voi.SignatureSize {
			return fmt.Errorf("%w: signature of %d bytes", ErrMalformed, len(s.Sig))
		}
		batch.AddExpandedWithOptions(m.expanded, toBeSigned(n.headers[s.Nation][TypeElection], payload), s.Sig, zip215)
	}
	if ok, _ := batch.Verify(rand.Reader); !ok {
		return fmt.Errorf("%w: election of %s in term %d", ErrBadSignature, e.Candidate, e.Term)
	}
	return nil
}
