package treaty

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// ContentType says what kind of thing a signature is over; it is in every protected header, so that bytes signed as
// one thing can never be shown as another.
type ContentType string

// The signed things. A new encoding of one takes a new number and keeps the old.
const (
	TypeSeal         ContentType = "application/vnd.truceline.seal-v1+cbor"
	TypeIncident     ContentType = "application/vnd.truceline.incident-v1+cbor"
	TypeAttestation  ContentType = "application/vnd.truceline.attestation-v1+cbor"
	TypeRemark       ContentType = "application/vnd.truceline.remark-v1+cbor"
	TypeMisbehaviour ContentType = "application/vnd.truceline.misbehaviour-v1+cbor"
	TypeStatus       ContentType = "application/vnd.truceline.status-v1+cbor"
	TypeProposal     ContentType = "application/vnd.truceline.proposal-v1+cbor"
	TypeVote         ContentType = "application/vnd.truceline.vote-v1+cbor"
	TypeWish         ContentType = "application/vnd.truceline.wish-v1+cbor"
	TypeElection     ContentType = "application/vnd.truceline.election-v1+cbor"
	TypeHead         ContentType = "application/vnd.truceline.head-v1+cbor"
	TypeComplaint    ContentType = "application/vnd.truceline.complaint-v1+cbor"
	TypeAccord       ContentType = "application/vnd.truceline.accord-signature-v1+cbor"
)

// Header is the protected header of every signature but a C2SP cosignature: what, who, and under which accord.
type Header struct {
	Alg    int64       `cbor:"1,keyasint"` // -8, EdDSA (RFC 9053)
	Type   ContentType `cbor:"3,keyasint"`
	KeyID  []byte      `cbor:"4,keyasint"`
	Claims Claims      `cbor:"15,keyasint"` // CWT claims (RFC 9597)
	// Accord and Epoch are the network's identity, under private labels (RFC 9052: below -65536).
	Accord Hash   `cbor:"-65537,keyasint"`
	Epoch  uint32 `cbor:"-65538,keyasint"`
}

// Claims carries the issuer (RFC 8392 claim 1): the nation.
type Claims struct {
	Issuer Nation `cbor:"1,keyasint"`
}

const algEdDSA = -8

// maxHeader bounds the protected header: 90 fixed bytes, a content type under 64 and a nation.
const maxHeader = 256

// KeyID is the first 8 bytes of the SHA-256 of a public key.
func KeyID(public []byte) []byte {
	h := HashOf(public)
	return h[:8]
}

// Signed is a parsed COSE_Sign1 (RFC 9052 section 4.2). Parsing checks its form, not its signature.
type Signed struct {
	Header  Header
	Payload []byte
	Raw     []byte // as received: what is hashed and stored

	protected []byte
	sig       []byte
}

// ID is the SHA-256 of the signed bytes: a record's name everywhere.
func (s *Signed) ID() Hash { return HashOf(s.Raw) }

// tag18 is the encoding of CBOR tag 18, COSE_Sign1; 0x84 follows, an array of four.
const tag18 = 0xd2

// takeBytes reads one CBOR byte string in its shortest form from the front of b.
func takeBytes(b []byte) (s, rest []byte, ok bool) {
	if len(b) == 0 || b[0]>>5 != 2 {
		return nil, nil, false
	}
	var n, low, head uint64
	switch info := b[0] & 0x1f; {
	case info < 24:
		n, head = uint64(info), 1
	case info > 26:
		return nil, nil, false // over 4 GiB, or of indefinite length
	default:
		size := 1 << (info - 24)
		head = uint64(1 + size)
		if uint64(len(b)) < head {
			return nil, nil, false
		}
		for _, x := range b[1:head] {
			n = n<<8 | uint64(x)
		}
		low = []uint64{24, 1 << 8, 1 << 16}[info-24]
	}
	if n < low || n > uint64(len(b))-head {
		return nil, nil, false
	}
	return b[head : head+n : head+n], b[head+n:], true
}

// takeSign1 reads the array of a COSE_Sign1 in its one encoding: protected, an empty map, payload, signature. It is
// written out because it is on every path; a test holds it against the CBOR library.
func takeSign1(b []byte) (protected, payload, sig []byte, ok bool) {
	if len(b) == 0 || b[0] != 0x84 {
		return nil, nil, nil, false
	}
	if protected, b, ok = takeBytes(b[1:]); !ok || len(b) == 0 || b[0] != 0xa0 {
		return nil, nil, nil, false
	}
	if payload, b, ok = takeBytes(b[1:]); !ok {
		return nil, nil, nil, false
	}
	sig, b, ok = takeBytes(b)
	return protected, payload, sig, ok && len(b) == 0
}

// ParseSigned reads a COSE_Sign1 of at most limit bytes and checks that it is in its one encoding.
// Errors: ErrTooLarge, ErrMalformed.
func ParseSigned(raw []byte, limit int) (*Signed, error) { return parseSigned(raw, limit, nil) }

// ParseSigned is ParseSigned, quicker for what members of this network sign.
func (n *Network) ParseSigned(raw []byte, limit int) (*Signed, error) {
	return parseSigned(raw, limit, n.known)
}

func parseSigned(raw []byte, limit int, known map[string]Header) (*Signed, error) {
	if len(raw) > limit {
		return nil, fmt.Errorf("%w: signed message of %d bytes, at most %d", ErrTooLarge, len(raw), limit)
	}
	if len(raw) < 2 || raw[0] != tag18 {
		return nil, fmt.Errorf("%w: not a COSE_Sign1 (RFC 9052: CBOR tag 18)", ErrMalformed)
	}
	protected, payload, sig, ok := takeSign1(raw[1:])
	if !ok {
		return nil, fmt.Errorf("%w: COSE_Sign1: not the one encoding of protected header, empty map, payload, signature", ErrMalformed)
	}
	s := &Signed{Raw: raw, Payload: payload, protected: protected, sig: sig}
	if h, ok := known[string(protected)]; ok {
		s.Header = h
	} else if err := Decode(protected, maxHeader, &s.Header); err != nil {
		return nil, fmt.Errorf("COSE_Sign1 protected header: %w", err)
	}
	switch h := s.Header; {
	case h.Alg != algEdDSA:
		return nil, fmt.Errorf("%w: COSE algorithm %d, want -8 (EdDSA)", ErrMalformed, h.Alg)
	case !h.Claims.Issuer.Valid():
		return nil, fmt.Errorf("%w: issuer %q is no nation", ErrMalformed, h.Claims.Issuer)
	case len(h.KeyID) != 8:
		return nil, fmt.Errorf("%w: key id of %d bytes", ErrMalformed, len(h.KeyID))
	case len(s.sig) != ed25519.SignatureSize:
		return nil, fmt.Errorf("%w: signature of %d bytes", ErrMalformed, len(s.sig))
	}
	return s, nil
}

// toBeSigned is the Sig_structure of RFC 9052 section 4.4 with empty external data.
func toBeSigned(protected, payload []byte) []byte {
	b := make([]byte, 0, 32+len(protected)+len(payload))
	b = append(b, 0x84, 0x6a)
	b = append(b, "Signature1"...)
	b = appendBytes(b, protected)
	b = append(b, 0x40)
	return appendBytes(b, payload)
}

// appendBytes appends a CBOR byte string.
func appendBytes(b, s []byte) []byte {
	switch n := len(s); {
	case n < 24:
		b = append(b, 0x40|byte(n))
	case n < 1<<8:
		b = append(b, 0x58, byte(n))
	case n < 1<<16:
		b = append(b, 0x59, byte(n>>8), byte(n))
	default:
		b = append(b, 0x5a, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(b, s...)
}

// Signer signs as one nation under one accord. Key may sit in hardware; it signs Ed25519 over whole messages.
type Signer struct {
	Nation Nation
	Accord Hash
	Epoch  uint32
	Key    crypto.Signer
}

// NewSigner makes a signer for one nation of a network. The key must be the nation's treaty key in the roster.
func NewSigner(net *Network, nation Nation, key crypto.Signer) (*Signer, error) {
	m, ok := net.Member(nation)
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrUnknownNation, nation)
	}
	pub, ok := key.Public().(ed25519.PublicKey)
	if !ok || !bytes.Equal(pub, m.treaty) {
		return nil, fmt.Errorf("%w: this treaty key is not the one the accord lists for %s; use the key folder that "+
			"was made for accord %s", ErrUnknownNation, nation, net.Digest.Short())
	}
	return &Signer{Nation: nation, Accord: net.Digest, Epoch: net.Accord.Epoch, Key: key}, nil
}

func header(t ContentType, nation Nation, accord Hash, epoch uint32, public []byte) []byte {
	return Encode(Header{
		Alg: algEdDSA, Type: t, KeyID: KeyID(public), Claims: Claims{Issuer: nation}, Accord: accord, Epoch: epoch,
	})
}

// sign makes the signature alone.
func (s *Signer) sign(t ContentType, payload []byte) (protected, sig []byte, err error) {
	pub, ok := s.Key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, nil, fmt.Errorf("treaty key of %s is not Ed25519", s.Nation)
	}
	protected = header(t, s.Nation, s.Accord, s.Epoch, pub)
	sig, err = s.Key.Sign(nil, toBeSigned(protected, payload), crypto.Hash(0))
	if err != nil {
		return nil, nil, fmt.Errorf("sign as %s: %w", s.Nation, err)
	}
	return protected, sig, nil
}

// Sign makes the COSE_Sign1 of a payload.
func (s *Signer) Sign(t ContentType, payload []byte) ([]byte, error) {
	protected, sig, err := s.sign(t, payload)
	if err != nil {
		return nil, err
	}
	return assemble(protected, payload, sig), nil
}

// assemble is Encode(coseSign1) behind tag 18, written out because it is on every path.
func assemble(protected, payload, sig []byte) []byte {
	b := make([]byte, 0, 16+len(protected)+len(payload)+len(sig))
	b = append(b, tag18, 0x84)
	b = appendBytes(b, protected)
	b = append(b, 0xa0)
	b = appendBytes(b, payload)
	return appendBytes(b, sig)
}

// rawMessage is an already encoded part of a value.
type rawMessage = cbor.RawMessage
