package treaty_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"testing"

	"truceline/treaty"
	"truceline/treaty/treatytest"

	voi "github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
)

// Ed25519 is verified under ZIP-215 for records and votes, and by the standard library for C2SP cosignatures. They
// differ only in signatures that no honest signer makes: ZIP-215 multiplies the equation by the cofactor 8 and takes
// points in any encoding, so that a batch answers as each signature alone would; the standard library does neither. A
// network in which some nodes used one rule and some the other could be split by one such signature. So:
//
//   - what nations count (records, votes, founding) is checked under ZIP-215 everywhere, alone and in batches;
//   - what observers' tools check (cosignatures) is checked here as they do, before it is joined to others;
//   - a key for which the two rules differ on every message (a point of small order) is refused in the accord.

// Would catch a roster key under which anybody can sign: it would give its vote to everyone. The test also shows that
// the difference between the rules is real, and not only in the comment above.
func TestSmallOrderKey(t *testing.T) {
	weak := make(ed25519.PublicKey, 32) // y = 0: a point of order 4
	sig := make([]byte, 64)
	sig[0] = 1 // R = the identity, S = 0: nobody's signature, of anything
	differs := 0
	for i := range 16 {
		msg := []byte(fmt.Sprint(i))
		if !voi.VerifyWithOptions(voi.PublicKey(weak), msg, sig, &voi.Options{Verify: voi.VerifyOptionsZIP_215}) {
			t.Fatalf("ZIP-215 refuses message %d", i)
		}
		if !ed25519.Verify(weak, msg, sig) {
			differs++
		}
	}
	if differs == 0 {
		t.Error("the standard library accepts them all: this test no longer shows a difference")
	}
	for role := range 3 {
		a := treatytest.Accord(4, func(a *treaty.Accord) {
			a.Members[1].Keys = slices.Clone(a.Members[1].Keys)
			a.Members[1].Keys[role].Public = weak
		})
		if err := a.Check(); !errors.Is(err, treaty.ErrMalformed) {
			t.Errorf("key %d of small order: %v", role, err)
		}
	}
	noPoint := treatytest.Accord(4, func(a *treaty.Accord) {
		a.Members[1].Keys = slices.Clone(a.Members[1].Keys)
		a.Members[1].Keys[0].Public = append([]byte{2}, make([]byte, 31)...) // y = 2 is on no point
	})
	if err := noPoint.Check(); !errors.Is(err, treaty.ErrMalformed) {
		t.Errorf("a key that is no point: %v", err)
	}
}

// Would catch a signature whose S is not reduced: it would be a second signature of the same statement, made by anyone.
func TestMalleableSignature(t *testing.T) {
	f := treatytest.New(4)
	raw := must(f.Signers["BEL"].SignRecord(1, treatytest.Founded, &treaty.Remark{Text: "a"})).Raw()
	order := []byte{ // L, the order of the group, little-endian (RFC 8032)
		0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
	}
	carry := 0
	for i, s := 0, raw[len(raw)-32:]; i < 32; i++ {
		carry += int(s[i]) + int(order[i])
		s[i] = byte(carry)
		carry >>= 8
	}
	s := must(treaty.ParseSigned(raw, treaty.MaxRecord))
	if err := f.Net.Verify(s); !errors.Is(err, treaty.ErrBadSignature) {
		t.Errorf("S + L alone: %v", err)
	}
	for _, err := range f.Net.VerifyAll([]*treaty.Signed{s, s, s, s}) {
		if !errors.Is(err, treaty.ErrBadSignature) {
			t.Errorf("S + L in a batch: %v", err)
		}
	}
}
