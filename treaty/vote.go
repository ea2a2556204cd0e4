package treaty

import (
	"crypto/rand"
	"fmt"

	voi "github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
)

// Checkpoint is a size and root of the ledger, and the place in the order at which the ledger has that size.
// Observers see size and root (C2SP tlog-checkpoint); nations also agree on the place, so that every node can go on
// from a certificate alone.
type Checkpoint struct {
	Size uint64 `cbor:"1,keyasint" json:"size"`
	Root Hash   `cbor:"2,keyasint" json:"root"`
	// Index and Term are the Raft entry that made the ledger this size.
	Index uint64 `cbor:"3,keyasint" json:"index"`
	Term  uint64 `cbor:"4,keyasint" json:"term"`
}

// Step is the round of voting.
type Step uint8

// The steps.
const (
	StepPrepare Step = 1
	StepCommit  Step = 2
)

func (s Step) String() string { return names{"", "prepare", "commit"}.text(uint8(s)) }

// Vote is a prepare or commit for one checkpoint in one round.
type Vote struct {
	Height     uint64     `cbor:"1,keyasint"`
	Round      uint64     `cbor:"2,keyasint"`
	Step       Step       `cbor:"3,keyasint"`
	Checkpoint Checkpoint `cbor:"4,keyasint"`
	// Prepared is the digest of the prepare certificate that a commit rests on; zero in a prepare. It makes blame
	// possible: a nation that votes against what it had seen certified has signed the proof (BFT Protocol Forensics).
	Prepared Hash `cbor:"5,keyasint,omitzero"`
}

// VoteSig is one nation's signature in a certificate.
type VoteSig struct {
	Nation   Nation `cbor:"1,keyasint"`
	Prepared Hash   `cbor:"2,keyasint,omitzero"`
	Sig      []byte `cbor:"3,keyasint"`
}

// Certificate is q votes of one round and step for one checkpoint. With StepPrepare it is a prepare certificate: what
// a nation locks on. With StepCommit it is the nations' agreement.
type Certificate struct {
	Height     uint64     `cbor:"1,keyasint"`
	Round      uint64     `cbor:"2,keyasint"`
	Step       Step       `cbor:"3,keyasint"`
	Checkpoint Checkpoint `cbor:"4,keyasint"`
	Sigs       []VoteSig  `cbor:"5,keyasint"` // by nation, rising
}

// Digest names a certificate.
func (c *Certificate) Digest() Hash { return HashOf(Encode(c)) }

// maxRound bounds heights and rounds: far beyond 15 years of several certificates a second.
const maxRound = 1 << 40

func checkPlace(height, round uint64, c Checkpoint) error {
	if height == 0 || height > maxRound || round > maxRound {
		return fmt.Errorf("%w: height %d, round %d", ErrMalformed, height, round)
	}
	if c.Size == 0 || c.Size > 1<<62 || c.Index > 1<<62 || c.Term > maxRound {
		return fmt.Errorf("%w: checkpoint of size %d at index %d, term %d", ErrMalformed, c.Size, c.Index, c.Term)
	}
	return nil
}

// Check bounds a vote.
func (v *Vote) Check() error {
	if v.Step != StepPrepare && v.Step != StepCommit || (v.Step == StepCommit) == v.Prepared.IsZero() {
		return fmt.Errorf("%w: vote of step %d", ErrMalformed, v.Step)
	}
	return checkPlace(v.Height, v.Round, v.Checkpoint)
}

// SignVote signs a vote. Write it down, synced, before the result leaves.
func (s *Signer) SignVote(v Vote) ([]byte, error) { return s.Sign(TypeVote, Encode(v)) }

// VoteSigOf takes the signature out of a verified vote message.
func VoteSigOf(s *Signed, v Vote) VoteSig {
	return VoteSig{Nation: s.Header.Claims.Issuer, Prepared: v.Prepared, Sig: s.sig}
}

// DecodeCertificate reads a certificate; VerifyCertificate says whether it holds.
func DecodeCertificate(b []byte) (*Certificate, error) {
	c := new(Certificate)
	if err := Decode(b, MaxCertificate, c); err != nil {
		return nil, err
	}
	return c, nil
}

// VerifyCertificate checks that at least q distinct roster nations signed exactly this.
// Errors: ErrMalformed, ErrNoQuorum, ErrUnknownNation, ErrBadSignature.
func (n *Network) VerifyCertificate(c *Certificate) error {
	if c == nil {
		return fmt.Errorf("%w: no certificate", ErrNoQuorum)
	}
	if err := checkPlace(c.Height, c.Round, c.Checkpoint); err != nil {
		return err
	}
	if len(c.Sigs) > n.N {
		return fmt.Errorf("%w: %d signatures of %d nations", ErrMalformed, len(c.Sigs), n.N)
	}
	if len(c.Sigs) < n.Q {
		return fmt.Errorf("%w: %d signatures, need %d of %d", ErrNoQuorum, len(c.Sigs), n.Q, n.N)
	}
	batch := voi.NewBatchVerifierWithCapacity(len(c.Sigs))
	for i, s := range c.Sigs {
		if i > 0 && c.Sigs[i-1].Nation >= s.Nation {
			return fmt.Errorf("%w: certificate signatures are not in rising order", ErrMalformed)
		}
		m, ok := n.Member(s.Nation)
		if !ok {
			return fmt.Errorf("%w: %s in a certificate", ErrUnknownNation, s.Nation)
		}
		v := Vote{Height: c.Height, Round: c.Round, Step: c.Step, Checkpoint: c.Checkpoint, Prepared: s.Prepared}
		if err := v.Check(); err != nil {
			return err
		}
		if len(s.Sig) != voi.SignatureSize {
			return fmt.Errorf("%w: signature of %d bytes", ErrMalformed, len(s.Sig))
		}
		batch.AddExpandedWithOptions(m.expanded, toBeSigned(n.headers[s.Nation][TypeVote], Encode(v)), s.Sig, zip215)
	}
	if ok, each := batch.Verify(rand.Reader); !ok {
		for i, good := range each {
			if !good {
				return fmt.Errorf("%w: %s of %s in a certificate", ErrBadSignature, c.Step, c.Sigs[i].Nation)
			}
		}
		return fmt.Errorf("%w: certificate", ErrBadSignature)
	}
	return nil
}

// Status says how far a nation is: what it has applied and what it holds a certificate for.
type Status struct {
	Height    uint64     `cbor:"1,keyasint"` // the height it works on: last certificate's height + 1
	Frontier  Checkpoint `cbor:"2,keyasint"` // everything it has applied
	Certified Checkpoint `cbor:"3,keyasint"` // the last certificate's checkpoint; zero size at the start
}

// Wish asks for a round and carries the highest prepare certificate its signer has seen at this height.
type Wish struct {
	Height   uint64       `cbor:"1,keyasint"`
	Round    uint64       `cbor:"2,keyasint"`
	Prepared *Certificate `cbor:"3,keyasint,omitempty"`
}

// Proposal names the checkpoint to agree on. In round 0 it stands alone; in later rounds it carries the q signed wishes
// that opened the round, and proposes what the highest prepare certificate among them names, if there is one.
type Proposal struct {
	Height     uint64     `cbor:"1,keyasint"`
	Round      uint64     `cbor:"2,keyasint"`
	Checkpoint Checkpoint `cbor:"3,keyasint"`
	Wishes     [][]byte   `cbor:"4,keyasint,omitempty"` // COSE_Sign1 of Wish
}
