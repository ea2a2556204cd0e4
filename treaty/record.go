package treaty

import (
	"crypto/ed25519"
	"fmt"
)

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

	Seal         *Seal
	Incident     *Incident
	Attestation  *Attestation
	Remark       *Remark
	Misbehaviour *Misbehaviour
}

// Type is what kind of record r is.
func (r *Record) Type() ContentType { return r.Signed.Header.Type }

// Raw is the record's bytes: the ledger's entry.
func (r *Record) Raw() []byte { return r.Signed.Raw }

// Body is one of *Seal, *Incident, *Attestation, *Remark, *Misbehaviour.
type Body interface {
	Check() error
	recordType() ContentType
}

func (*Seal) recordType() ContentType         { return TypeSeal }
func (*Incident) recordType() ContentType     { return TypeIncident }
func (*Attestation) recordType() ContentType  { return TypeAttestation }
func (*Remark) recordType() ContentType       { return TypeRemark }
func (*Misbehaviour) recordType() ContentType { return TypeMisbehaviour }

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
	if seq == 0 || seq > 1<<62 || at <= 0 {
		return nil, fmt.Errorf("%w: record number %d at time %d", ErrMalformed, seq, int64(at))
	}
	payload := Encode(recordPayload{Seq: seq, Time: at, Body: Encode(body)})
	if len(payload) > MaxPayload {
		return nil, fmt.Errorf("%w: record payload of %d bytes, at most %d", ErrTooLarge, len(payload), MaxPayload)
	}
	protected, sig, err := s.sign(body.recordType(), payload)
	if err != nil {
		return nil, err
	}
	raw := assemble(protected, payload, sig)
	r := &Record{
		Signed: &Signed{
			Header: Header{
				Alg: algEdDSA, Type: body.recordType(), KeyID: KeyID(s.Key.Public().(ed25519.PublicKey)),
				Claims: Claims{Issuer: s.Nation}, Accord: s.Accord, Epoch: s.Epoch,
			},
			Payload: payload, Raw: raw, protected: protected, sig: sig,
		},
		ID: HashOf(raw), Nation: s.Nation, Seq: seq, Time: at,
	}
	switch b := body.(type) {
	case *Seal:
		r.Seal = b
	case *Incident:
		r.Incident = b
	case *Attestation:
		r.Attestation = b
	case *Remark:
		r.Remark = b
	case *Misbehaviour:
		r.Misbehaviour = b
	}
	return r, nil
}

// ParseRecord reads a record strictly and checks its shape and bounds; its signature is checked by
// Network.VerifyRecords. It never panics, whatever the bytes.
func ParseRecord(raw []byte) (*Record, error) { return parseRecord(raw, nil) }

// ParseRecord is ParseRecord, quicker for what members of this network sign.
func (n *Network) ParseRecord(raw []byte) (*Record, error) { return parseRecord(raw, n.known) }

func parseRecord(raw []byte, known map[string]Header) (*Record, error) {
	s, err := parseSigned(raw, MaxRecord, known)
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
	case TypeMisbehaviour:
		r.Misbehaviour = new(Misbehaviour)
		body = r.Misbehaviour
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

// PeekType reads the content type of a record that was parsed before, such as a ledger entry, without parsing it again:
// in the one encoding it always stands at the same place. Empty for anything else.
func PeekType(entry []byte) ContentType {
	// d2 84, a byte string of under 256 bytes (58 n), a map of six (a6), 01 27 (alg EdDSA), 03, text of under 256 (78 n).
	const at = 2 + 2 + 1 + 2 + 1
	if len(entry) < at+2 || entry[0] != tag18 || entry[2] != 0x58 || entry[at-1] != 0x03 || entry[at] != 0x78 {
		return ""
	}
	n := int(entry[at+1])
	if len(entry) < at+2+n {
		return ""
	}
	return ContentType(entry[at+2 : at+2+n])
}
