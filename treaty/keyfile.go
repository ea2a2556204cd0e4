package treaty

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	voi "github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
)

// KeyFile is one private key of a nation as it lies on disk: a few words for people, then PEM PKCS#8 as openssl and
// crypto/x509 read it. One file, one role. These are bytes only; internal/durable writes and reads them.
type KeyFile struct {
	Nation  Nation
	Role    KeyRole
	Private ed25519.PrivateKey
}

// MaxKeyFile bounds a private key file: three lines of words and a 48-byte PEM block.
const MaxKeyFile = 1024

// pkcs8Ed25519 is the DER that comes before the 32-byte seed (RFC 8410 section 7, example). It never varies, so there
// is no ASN.1 to parse.
var pkcs8Ed25519 = []byte{0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20}

const keyFileTitle = "Truceline private key. Secret: it never leaves this machine; a copy of it is a second node.\n"

// Encode is the file.
func (k *KeyFile) Encode() []byte {
	var b bytes.Buffer
	b.WriteString(keyFileTitle)
	fmt.Fprintf(&b, "nation: %s\nrole: %s\n", k.Nation, k.Role)
	b.Write(pem.EncodeToMemory(&pem.Block{
		Type: "PRIVATE KEY", Bytes: append(slices.Clone(pkcs8Ed25519), k.Private.Seed()...),
	}))
	return b.Bytes()
}

// ParseKeyFile reads a key file strictly: exactly what Encode writes, for the nation and role that the reader wants.
// The error never quotes the file.
func ParseKeyFile(b []byte, nation Nation, role KeyRole) (*KeyFile, error) {
	if len(b) > MaxKeyFile {
		return nil, fmt.Errorf("%w: key file of %d bytes, at most %d", ErrTooLarge, len(b), MaxKeyFile)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" || len(block.Headers) > 0 {
		return nil, fmt.Errorf("%w: no PEM private key in the key file", ErrMalformed)
	}
	seed, ok := bytes.CutPrefix(block.Bytes, pkcs8Ed25519)
	if !ok || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%w: the key file holds no Ed25519 key (PKCS#8, RFC 8410)", ErrMalformed)
	}
	k := &KeyFile{Private: ed25519.NewKeyFromSeed(seed)}
	for line := range strings.SplitSeq(string(b), "\n") {
		if v, ok := strings.CutPrefix(line, "nation: "); ok {
			k.Nation = Nation(v)
		}
		if v, ok := strings.CutPrefix(line, "role: "); ok {
			if err := k.Role.UnmarshalText([]byte(v)); err != nil {
				return nil, fmt.Errorf("%w: the key file names no role", ErrMalformed)
			}
		}
	}
	if !bytes.Equal(k.Encode(), b) {
		return nil, fmt.Errorf("%w: the key file is not as it was written; restore it from your copy", ErrMalformed)
	}
	if k.Nation != nation || k.Role != role {
		return nil, fmt.Errorf("%w: this file holds the %s key of %s, not the %s key of %s", ErrMalformed, k.Role, k.Nation, role, nation)
	}
	return k, nil
}

// TypeCard marks the signature of a card. A card comes before there is an accord: its header names none (a zero
// digest, epoch 0), so it can never be taken for anything signed under one.
const TypeCard ContentType = "application/vnd.truceline.card-v1+cbor"

// Card is what a nation sends to whoever drafts the accord: its public keys, signed with its treaty key. The signature
// shows that the card arrived whole and that its sender holds the treaty key; who that is, people establish, by
// reading the card's Fingerprint to each other.
type Card struct {
	Member    Member
	Signature []byte
}

// cardDoc is the file, YAML.
type cardDoc struct {
	docMember `yaml:",inline"`
	Signature docBytes `yaml:"signature"`
}

// MaxCard bounds a card: six keys, of which three have 1,752 base64 characters.
const MaxCard = 8 << 10

// MakeCard makes a nation's card from its three keys.
func MakeCard(nation Nation, name string, treaty, cosign, node crypto.Signer) (*Card, error) {
	c := &Card{Member: Member{Nation: nation, Name: name}}
	for _, k := range []struct {
		role KeyRole
		key  crypto.Signer
	}{{RoleTreaty, treaty}, {RoleCosign, cosign}, {RoleNode, node}} {
		pub, ok := k.key.Public().(ed25519.PublicKey)
		if !ok {
			return nil, fmt.Errorf("%w: the %s key is not Ed25519", ErrMalformed, k.role)
		}
		c.Member.Keys = append(c.Member.Keys, Key{Role: k.role, Kind: KindEd25519, Public: pub})
	}
	if err := c.Member.check(); err != nil {
		return nil, err
	}
	s := Signer{Nation: nation, Key: treaty}
	_, sig, err := s.sign(TypeCard, Encode(c.Member))
	c.Signature = sig
	return c, err
}

// check holds one member to the accord's rules, before there is an accord.
func (m Member) check() error {
	var p problems
	p.bad(!m.Nation.Valid(), "nation %q is not an ISO 3166-1 alpha-3 code", m.Nation)
	p.text("name", m.Name, 1, MaxName)
	p.keys(m, map[string]string{})
	return p.err("card")
}

// Encode is the card's file.
func (c *Card) Encode() []byte {
	return marshalYAML(cardDoc{docMember: docMemberOf(c.Member), Signature: c.Signature})
}

// Fingerprint is for comparing a card over the phone.
func (c *Card) Fingerprint() string { return HashOf(Encode(c.Member)).Fingerprint() }

// ParseCard reads a card and checks its signature. Errors: ErrMalformed, ErrTooLarge, ErrBadSignature.
func ParseCard(b []byte) (*Card, error) {
	var doc cardDoc
	found, err := decodeYAML(b, MaxCard, &doc)
	if err != nil {
		return nil, fmt.Errorf("card: %w", err)
	}
	if len(found) > 0 {
		return nil, fmt.Errorf("%w: card: %s", ErrMalformed, strings.Join(found, "; "))
	}
	c := &Card{Member: doc.member(), Signature: doc.Signature}
	if err := c.Member.check(); err != nil {
		return nil, err
	}
	pub := c.Member.key(RoleTreaty)
	signed := toBeSigned(header(TypeCard, c.Member.Nation, Hash{}, 0, pub), Encode(c.Member))
	if len(c.Signature) != ed25519.SignatureSize || !voi.VerifyWithOptions(voi.PublicKey(pub), signed, c.Signature, zip215) {
		return nil, fmt.Errorf("%w: card of %s: it was changed on its way; ask for it again", ErrBadSignature, c.Member.Nation)
	}
	return c, nil
}
