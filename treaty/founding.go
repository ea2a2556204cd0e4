package treaty

import (
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrIncomplete: not every member has signed the accord. Ask those it names for their signature files and merge them.
var ErrIncomplete = errors.New("not signed by every member")

// consent is what a nation signs to found a network: the digest of the accord's canonical bytes. The header says it
// again, with the nation and the roster epoch.
type consent struct {
	Accord Hash `cbor:"1,keyasint"`
}

// SignAccord makes one nation's signature of an accord, a COSE_Sign1 of TypeAccord: a file that travels to whoever
// puts the founding document together. Nations sign alone and in any order; nobody waits for anybody.
//
// Before this is called the nation must have compared the accord's Fingerprint with the others, by voice.
func SignAccord(a *Accord, nation Nation, key crypto.Signer) ([]byte, error) {
	net, err := NewNetwork(a)
	if err != nil {
		return nil, err
	}
	s, err := NewSigner(net, nation, key)
	if err != nil {
		return nil, err
	}
	return s.Sign(TypeAccord, Encode(consent{Accord: net.Digest}))
}

// verifyConsent checks one signature of the network's accord and says whose it is.
func (n *Network) verifyConsent(raw []byte) (Nation, error) {
	s, err := ParseSigned(raw, maxConsent)
	if err != nil {
		return "", err
	}
	if s.Header.Type != TypeAccord {
		return "", fmt.Errorf("%w: %q is no signature of an accord", ErrMalformed, s.Header.Type)
	}
	var c consent
	if err := Decode(s.Payload, maxConsent, &c); err != nil {
		return "", err
	}
	if c.Accord != n.Digest {
		return "", fmt.Errorf("%w: %s signed accord %s, this is %s", ErrWrongAccord, s.Header.Claims.Issuer, c.Accord.Short(), n.Digest.Short())
	}
	return s.Header.Claims.Issuer, n.Verify(s)
}

// maxConsent bounds one signature of an accord: header (256), payload (36), signature (64), framing.
const maxConsent = 512

// Founding is the document that founds a network: the accord and every member's signature of it. A node starts from
// it and trusts nothing else.
type Founding struct {
	Accord     []byte   `cbor:"1,keyasint"` // canonical bytes
	Signatures [][]byte `cbor:"2,keyasint"` // COSE_Sign1 of TypeAccord, by nation, rising; fewer than all while it is gathered
}

// NewFounding begins a founding document that nobody has signed yet.
func NewFounding(a *Accord) (*Founding, error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	return &Founding{Accord: Encode(a), Signatures: [][]byte{}}, nil
}

// Encode is the document's one encoding.
func (f *Founding) Encode() []byte { return Encode(f) }

// DecodeFounding reads a founding document, complete or not, strictly. Open says what it is worth.
func DecodeFounding(b []byte) (*Founding, error) {
	f := new(Founding)
	if err := Decode(b, MaxFounding, f); err != nil {
		return nil, fmt.Errorf("founding document: %w", err)
	}
	return f, nil
}

// Open checks the accord and every signature that is there, and lists the members that have not signed. The network
// it returns must not be run while anybody is missing; VerifyFounding refuses it.
func (f *Founding) Open() (net *Network, missing []Nation, err error) {
	a, err := DecodeAccord(f.Accord)
	if err != nil {
		return nil, nil, fmt.Errorf("founding document: %w", err)
	}
	if net, err = NewNetwork(a); err != nil {
		return nil, nil, fmt.Errorf("founding document: %w", err)
	}
	var have []Nation
	for i, raw := range f.Signatures {
		k, err := net.verifyConsent(raw)
		if err != nil {
			return nil, nil, fmt.Errorf("founding document, signature %d: %w", i, err)
		}
		if i > 0 && have[i-1] >= k {
			return nil, nil, fmt.Errorf("%w: founding document: signatures are not in rising order at %s", ErrMalformed, k)
		}
		have = append(have, k)
	}
	return net, net.Missing(have), nil
}

// Merge adds signature files, in any order; one that is there already is passed over. Nothing is added when any of
// them is wrong: the error names it by its place in sigs.
func (f *Founding) Merge(sigs ...[]byte) error {
	net, missing, err := f.Open()
	if err != nil {
		return err
	}
	all := map[Nation][]byte{}
	for i, k := range slices.DeleteFunc(net.Nations(), func(k Nation) bool { return slices.Contains(missing, k) }) {
		all[k] = f.Signatures[i]
	}
	for i, raw := range sigs {
		k, err := net.verifyConsent(raw)
		if err != nil {
			return fmt.Errorf("signature file %d: %w", i+1, err)
		}
		if all[k] == nil {
			all[k] = slices.Clone(raw)
		}
	}
	f.Signatures = [][]byte{}
	for _, k := range net.Nations() {
		if all[k] != nil {
			f.Signatures = append(f.Signatures, all[k])
		}
	}
	return nil
}

// VerifyFounding reads a founding document and makes its network: every member's signature must be there and hold.
// Errors: ErrIncomplete, which names the missing; ErrMalformed, ErrTooLarge, ErrWrongAccord, ErrBadSignature.
func VerifyFounding(b []byte) (*Network, error) {
	f, err := DecodeFounding(b)
	if err != nil {
		return nil, err
	}
	net, missing, err := f.Open()
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		words := make([]string, len(missing))
		for i, k := range missing {
			words[i] = string(k)
		}
		return nil, fmt.Errorf("founding document of accord %s: %w: %d of %d missing: %s", net.Digest.Short(), ErrIncomplete,
			len(missing), net.N, strings.Join(words, ", "))
	}
	return net, nil
}

// Fingerprint is a digest in groups of four hexadecimal characters, four groups a line: for reading over the phone.
// All of it must be compared: whoever can make accords at will finds two that share any short part.
func (h Hash) Fingerprint() string {
	var b strings.Builder
	for i := 0; i < len(h); i += 2 {
		if i > 0 {
			b.WriteByte(" \n"[btoi(i%8 == 0)])
		}
		fmt.Fprintf(&b, "%04x", uint16(h[i])<<8|uint16(h[i+1]))
	}
	return b.String()
}

// Spoken is the same digest as sixteen words that can be said in any language: proquints (arXiv:0901.4016), one for
// each group of Fingerprint.
func (h Hash) Spoken() string {
	const consonants, vowels = "bdfghjklmnprstvz", "aiou"
	var b strings.Builder
	for i := 0; i < len(h); i += 2 {
		if i > 0 {
			b.WriteByte(" \n"[btoi(i%8 == 0)])
		}
		v := uint16(h[i])<<8 | uint16(h[i+1])
		b.Write([]byte{
			consonants[v>>12], vowels[v>>10&3], consonants[v>>6&15], vowels[v>>4&3], consonants[v&15],
		})
	}
	return b.String()
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
