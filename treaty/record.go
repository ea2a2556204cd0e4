package treaty

import "fmt"

// Record is anything signed that enters the ledger. Exactly one of the bodies is set.
//
// Each nation numbers its records 1, 2, 3, ...; the tally takes number k+1 only after k. So a record can enter once
// and only once whatever the order does, a leader cannot drop one from the middle, and replaying the order over any
// state changes nothing.
type Record struct {
	Signed *Signed
	ID     Hash
	Nation Nation
	Seq    uint64
	// Time is the author's clock when it signed; ledger time is made from it (design section 6).
	Time Time

	Seal        *Seal
	Incident    *Incident
	Attestation *Attestation
	Remark      *Remark
}

// Type is what kind of record r is.
func (r *Record) Type() ContentType { return r.Signed.Header.Type }

// Raw is the record's bytes: the ledger's entry.
func (r *Record) Raw() []byte { return r.Signed.Raw }

// Body is one of *Seal, *Incident, *Attestation, *Remark.
type Body interface {
	Check() error
	recordType() ContentType
}

func (*Seal) recordType() ContentType        { return TypeSeal }
func (*Incident) recordType() ContentType    { return TypeIncident }
func (*Attestation) recordType() ContentType { return TypeAttestation }
func (*Remark) recordType() ContentType      { return TypeRemark }

// recordPayload is what a record's signature covers, beside its header.
type recordPayload struct {
	_    struct{} `cbor:",toarray"`
	Seq  uint64
	Time Time
	Body rawMessage
}

// SignRecord makes a record. seq must be one more than the author's last record: write it down, synced, before the
// record leaves.
func (s *Signer) SignRecord(seq uint64, at Time, body Body) (*Record, error) {
	if err := body.Check(); err != nil {
		return nil, err
	}
	payload := Encode(recordPayload{Seq: seq, Time: at, Body: Encode(body)})
	if len(payload) > MaxPayload {
		return nil, fmt.Errorf("%w: record payload of %d bytes, at most %d", ErrTooLarge, len(payload), MaxPayload)
	}
	raw, err := s.Sign(body.recordType(), payload)
	if err != nil {
		return nil, err
	}
	return ParseRecord(raw)
}

// ParseRecord reads a record strictly and checks its shape and bounds; its signature is checked by
// Network.VerifyRecords. It never panics, whatever the bytes.
func ParseRecord(raw []byte) (*Record, error) {
	s, err := ParseSigned(raw, MaxRecord)
	if err != nil {
		return nil, err
	}
	var p recordPayload
	if err := Decode(s.Payload, MaxPayload, &p); err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	if p.Seq == 0 || p.Seq > 1<<62 || p.Time <= 0 {
		return nil, fmt.Errorf("%w: record number %d at time %d", ErrMalformed, p.Seq, int64(p.Time))
	}
	r := &Record{Signed: s, ID: HashOf(raw), Nation: s.Header.Claims.Issuer, Seq: p.Seq, Time: p.Time}
	var body Body
	switch s.Header.Type {
	case TypeSeal:
		r.Seal = new(Seal)
		body = r.Seal
	case TypeIncident:
		r.Incident = new(Incident)
		body = r.Incident
	case TypeAttestation:
		r.Attestation = new(Attestation)
		body = r.Attestation
	case TypeRemark:
		r.Remark = new(Remark)
		body = r.Remark
	default:
		return nil, fmt.Errorf("%w: %q is no record type", ErrMalformed, s.Header.Type)
	}
	if err := Decode(p.Body, MaxPayload, body); err != nil {
		return nil, fmt.Errorf("record body: %w", err)
	}
	if err := body.Check(); err != nil {
		return nil, fmt.Errorf("record body: %w", err)
	}
	return r, nil
}
