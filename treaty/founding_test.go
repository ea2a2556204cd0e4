package treaty_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// found makes a founding document signed by the given nations.
func found(t testing.TB, f *treatytest.Fixture, by ...treaty.Nation) *treaty.Founding {
	t.Helper()
	d, err := treaty.NewFounding(f.Net.Accord)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range by {
		sig, err := treaty.SignAccord(f.Net.Accord, k, f.Keys[k].Treaty)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Merge(sig); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// Would catch a network that runs although a member never agreed to it, or a ceremony that depends on the order in
// which signatures arrive.
func TestFoundingCeremony(t *testing.T) {
	f := treatytest.New(5)
	ns := f.Net.Nations()
	partial := found(t, f, ns[4], ns[0], ns[2])
	_, err := treaty.VerifyFounding(partial.Encode())
	if !errors.Is(err, treaty.ErrIncomplete) || !strings.Contains(err.Error(), "2 of 5 missing: BEL, DNK") {
		t.Errorf("two missing: %v", err)
	}
	// What another drafter gathered, with one nation in both.
	other := found(t, f, ns[3], ns[1], ns[0])
	if err := partial.Merge(other.Signatures...); err != nil {
		t.Fatal(err)
	}
	full := partial.Encode()
	if !bytes.Equal(full, found(t, f, ns...).Encode()) {
		t.Error("the document depends on the order of signing")
	}
	net, err := treaty.VerifyFounding(full)
	if err != nil {
		t.Fatal(err)
	}
	if net.Digest != f.Net.Digest || net.Q != 4 {
		t.Errorf("network %s, quorum %d", net.Digest.Short(), net.Q)
	}
	for i := range full {
		bad := bytes.Clone(full)
		bad[i] ^= 1
		if _, err := treaty.VerifyFounding(bad); err == nil {
			t.Fatalf("byte %d flipped, and it still founds a network", i)
		}
	}
}

// Would catch a signature of another accord, by a stranger, of another kind, or twice, that counts towards founding.
func TestFoundingRefusals(t *testing.T) {
	f := treatytest.New(4)
	ns := f.Net.Nations()
	other := treatytest.NewWith(4, func(a *treaty.Accord) { a.Policy.OneModalityNations = 4 })
	sign := func(f *treatytest.Fixture, k treaty.Nation) []byte {
		sig, err := treaty.SignAccord(f.Net.Accord, k, f.Keys[k].Treaty)
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	remark, err := f.Signers[ns[0]].SignRecord(1, treatytest.Founded, &treaty.Remark{Text: "I sign"})
	if err != nil {
		t.Fatal(err)
	}
	stranger := treatytest.New(5)
	foreign := &treaty.Signer{Nation: "EST", Accord: f.Net.Digest, Epoch: 1, Key: stranger.Keys["EST"].Treaty}
	strange, err := foreign.Sign(treaty.TypeAccord, treaty.Encode(struct {
		Accord treaty.Hash `cbor:"1,keyasint"`
	}{f.Net.Digest}))
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := f.Signers[ns[0]].Sign(treaty.TypeAccord, treaty.Encode(struct {
		Accord treaty.Hash `cbor:"1,keyasint"`
	}{other.Net.Digest}))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		sig  []byte
		want error
	}{
		{"another accord", sign(other, ns[0]), treaty.ErrWrongAccord},
		{"header of this accord, digest of another", wrong, treaty.ErrWrongAccord},
		{"a record", remark.Raw(), treaty.ErrMalformed},
		{"a stranger", strange, treaty.ErrUnknownNation},
		{"nothing", nil, treaty.ErrMalformed},
		{"too long", make([]byte, 600), treaty.ErrTooLarge},
	} {
		d := found(t, f, ns[1])
		before := d.Encode()
		if err := d.Merge(sign(f, ns[2]), c.sig); !errors.Is(err, c.want) || !strings.Contains(err.Error(), "signature file 2") {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if !bytes.Equal(before, d.Encode()) {
			t.Errorf("%s: a refused merge changed the document", c.name)
		}
		d.Signatures = append(d.Signatures, c.sig)
		if _, err := treaty.VerifyFounding(d.Encode()); !errors.Is(err, c.want) {
			t.Errorf("%s, put in by hand: %v, want %v", c.name, err, c.want)
		}
	}
	twice := found(t, f, ns...)
	twice.Signatures[1] = twice.Signatures[0]
	if _, err := treaty.VerifyFounding(twice.Encode()); !errors.Is(err, treaty.ErrMalformed) {
		t.Errorf("one nation twice: %v", err)
	}
	if _, err := treaty.SignAccord(f.Net.Accord, ns[0], f.Keys[ns[1]].Treaty); !errors.Is(err, treaty.ErrUnknownNation) {
		t.Errorf("somebody else's key: %v", err)
	}
	if _, err := treaty.SignAccord(f.Net.Accord, ns[0], f.Keys[ns[0]].Cosign); !errors.Is(err, treaty.ErrUnknownNation) {
		t.Errorf("the key of another role: %v", err)
	}
}

// Would catch a fingerprint that leaves out part of the digest: the part left out can be chosen by a forger.
func TestFingerprint(t *testing.T) {
	var h treaty.Hash
	copy(h[:], "\x7f\x00\x00\x01\x3f\x54\xdc\xc1")
	lines := strings.Split(h.Fingerprint(), "\n")
	if len(lines) != 4 || lines[0] != "7f00 0001 3f54 dcc1" {
		t.Errorf("fingerprint %q", lines)
	}
	// The examples of the proquint paper: 127.0.0.1 and 63.84.220.193.
	if got := strings.Split(h.Spoken(), "\n"); len(got) != 4 || got[0] != "lusab babad gutih tugad" {
		t.Errorf("spoken %q", got)
	}
	for bit := range 256 {
		o := h
		o[bit/8] ^= 1 << (bit % 8)
		if o.Fingerprint() == h.Fingerprint() || o.Spoken() == h.Spoken() {
			t.Errorf("bit %d is not in the fingerprint", bit)
		}
	}
}

// Would catch a decoder that crashes or accepts two encodings of one document.
func FuzzFounding(f *testing.F) {
	x := treatytest.New(4)
	f.Add(found(f, x).Encode())
	f.Add(found(f, x, x.Net.Nations()...).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := treaty.DecodeFounding(b)
		if err != nil {
			return
		}
		if !bytes.Equal(d.Encode(), b) {
			t.Fatal("a second encoding was accepted")
		}
		if net, err := treaty.VerifyFounding(b); err == nil && len(d.Signatures) != net.N {
			t.Fatal("founded without every member")
		}
	})
}
