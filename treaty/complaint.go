package treaty

import (
	"fmt"
	"time"
)

// Grievance is what a complaint is about.
type Grievance uint8

// The grievances.
const (
	// GrievanceRecord: a record that the leader was handed is not in the order.
	GrievanceRecord Grievance = 1
	// GrievanceProgress: finality does not move though there is something to finalise.
	GrievanceProgress Grievance = 2
	// GrievanceTenure: the leader's tenure has reached its cap. Said by the leader itself it is its resignation.
	GrievanceTenure Grievance = 3
)

func (g Grievance) String() string {
	return names{"", "record left out", "no progress", "tenure"}.text(uint8(g))
}

// Complaint is a nation's word that a leader of the order should go. One complaint proves nothing and moves nobody; it
// takes q of them (consensus/depose).
type Complaint struct {
	// Term is the leader's Raft term.
	Term   uint64 `cbor:"1,keyasint"`
	Leader Nation `cbor:"2,keyasint"`
	// About is the grievance, and Record the record that GrievanceRecord is about.
	About  Grievance `cbor:"3,keyasint"`
	Record Hash      `cbor:"4,keyasint,omitzero"`
	// Waited is for how long its author has waited, in milliseconds; 0 when it only joins others.
	Waited uint64 `cbor:"5,keyasint"`
}

// maxWaited bounds Waited: a year, in milliseconds.
const maxWaited = uint64(366 * 24 * time.Hour / time.Millisecond)

// Check bounds a complaint.
func (c *Complaint) Check() error {
	if c.Term == 0 || c.Term > maxRound || !c.Leader.Valid() || c.Waited > maxWaited ||
		c.About < GrievanceRecord || c.About > GrievanceTenure || (c.About == GrievanceRecord) == c.Record.IsZero() {
		return fmt.Errorf("%w: complaint about %q in term %d", ErrMalformed, c.Leader, c.Term)
	}
	return nil
}

// SignComplaint signs a complaint.
func (s *Signer) SignComplaint(c Complaint) ([]byte, error) { return s.Sign(TypeComplaint, Encode(c)) }

// ParseComplaint reads a signed complaint strictly; Network.Verify checks its signature. Errors: ErrMalformed, ErrTooLarge.
func ParseComplaint(raw []byte) (s *Signed, c Complaint, err error) {
	if s, err = ParseSigned(raw, MaxComplaint); err != nil {
		return nil, c, err
	}
	if s.Header.Type != TypeComplaint {
		return nil, c, fmt.Errorf("%w: %q is no complaint", ErrMalformed, s.Header.Type)
	}
	if err = Decode(s.Payload, MaxComplaint, &c); err == nil {
		err = c.Check()
	}
	if err != nil {
		return nil, Complaint{}, fmt.Errorf("complaint: %w", err)
	}
	return s, c, nil
}
