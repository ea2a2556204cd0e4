package treaty

import "fmt"

// Head is how far a leader's order goes, signed by the leader with the entries it sends: who shows two followers two
// orders has signed the proof of it (consensus.md C.4 row 26).
type Head struct {
	// Term is the leader's Raft term.
	Term uint64 `cbor:"1,keyasint"`
	// Start is a random name of the run of the leader's process, the one its election certificate names. A node that
	// was restored from a backup may stand in a term again and order something else: that is no lie, and does not convict.
	Start Hash `cbor:"2,keyasint"`
	// Index is the Raft entry that Chain ends with.
	Index uint64 `cbor:"3,keyasint"`
	// Chain is the hash over every entry that the leader has ordered in this term, up to Index.
	Chain Hash `cbor:"4,keyasint"`
}

// Check bounds a head.
func (h *Head) Check() error {
	if h.Term == 0 || h.Term > maxRound || h.Index == 0 || h.Index > 1<<62 || h.Start.IsZero() || h.Chain.IsZero() {
		return fmt.Errorf("%w: head of index %d in term %d", ErrMalformed, h.Index, h.Term)
	}
	return nil
}

// Contradicts says whether no honest leader can have said both: it orders one thing at one place, once.
func (h *Head) Contradicts(o Head) bool {
	return h.Term == o.Term && h.Start == o.Start && h.Index == o.Index && h.Chain != o.Chain
}

// SignHead signs a head. An honest leader never signs two that contradict each other.
func (s *Signer) SignHead(h Head) ([]byte, error) { return s.Sign(TypeHead, Encode(h)) }

// ParseHead reads a signed head strictly; Network.Verify checks its signature. Errors: ErrMalformed, ErrTooLarge.
func ParseHead(raw []byte) (s *Signed, h Head, err error) {
	if s, err = ParseSigned(raw, MaxHead); err != nil {
		return nil, h, err
	}
	if s.Header.Type != TypeHead {
		return nil, h, fmt.Errorf("%w: %q is no head", ErrMalformed, s.Header.Type)
	}
	if err = Decode(s.Payload, MaxHead, &h); err == nil {
		err = h.Check()
	}
	if err != nil {
		return nil, Head{}, fmt.Errorf("head: %w", err)
	}
	return s, h, nil
}

// CheckHeads says whom two signed heads convict of having led two ways: both are its own, of one term and run, and put
// different orders at one index. It needs the accord only, so anybody can repeat it. An error means that they convict
// nobody: ErrMalformed, ErrTooLarge, ErrWrongAccord, ErrUnknownNation, ErrBadSignature, ErrNoConflict.
func (n *Network) CheckHeads(a, b []byte) (Nation, error) {
	sa, ha, err := ParseHead(a)
	if err != nil {
		return "", err
	}
	sb, hb, err := ParseHead(b)
	if err != nil {
		return "", err
	}
	leader := sa.Header.Claims.Issuer
	if other := sb.Header.Claims.Issuer; other != leader || !ha.Contradicts(hb) {
		return "", fmt.Errorf("%w: heads of %s (term %d, index %d) and %s (term %d, index %d)", ErrNoConflict,
			leader, ha.Term, ha.Index, other, hb.Term, hb.Index)
	}
	for _, s := range []*Signed{sa, sb} {
		if err := n.Verify(s); err != nil {
			return "", err
		}
	}
	return leader, nil
}
