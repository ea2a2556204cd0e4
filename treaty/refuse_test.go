package treaty_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// refusals are other ways to write the remark {2: "a"}, or things like it, that a lenient decoder takes. a10261 61 is
// the one encoding.
var refusals = []struct{ name, hex string }{
	{"integer key in long form", "a11802" + "6161"},
	{"text length in long form", "a102" + "780161"},
	{"map length in long form", "b80102" + "6161"},
	{"indefinite map", "bf026161ff"},
	{"indefinite text", "a1027f6161ff"},
	{"key twice", "a2026161026161"},
	{"key twice, other value", "a2026161026162"},
	{"keys not in rising order", "a202616101" + "5820" + strings.Repeat("11", 32)},
	{"half float", "a102f93c00"},
	{"float", "a102fa3f800000"},
	{"null", "a102f6"},
	{"null in an optional field", "a201f6026161"},
	{"null instead", "f6"},
	{"undefined", "a102f7"},
	{"true", "a102f5"},
	{"an unassigned simple value", "a102e0"},
	{"trailing byte", "a102616100"},
	{"trailing copy", "a1026161a1026161"},
	{"unknown field", "a20261610300"},
	{"text key", "a161326161"},
	{"text key beside", "a2026161613200"},
	{"tag on the value", "a102c06161"},
	{"tag on the key", "a1c0026161"},
	{"tag around", "d9d9f7a1026161"},
	{"big number", "a102c24101"},
	{"byte string for text", "a1024161"},
	{"array for the map", "816161"},
	{"array for the map, with a hole", "8240" + "6161"},
	{"invalid UTF-8", "a10261ff"},
	{"surrogate in UTF-8", "a10263eda080"},
	{"empty optional field written out", "a2015820" + strings.Repeat("00", 32) + "026161"},
	{"digest of 31 bytes", "a201581f" + strings.Repeat("11", 31) + "026161"},
	{"digest of 33 bytes", "a2015821" + strings.Repeat("11", 33) + "026161"},
	{"digest as an array", "a2019820" + strings.Repeat("11", 32) + "026161"},
	{"digest as text", "a2017820" + strings.Repeat("61", 32) + "026161"},
	{"required field missing", "a0"},
	{"cut short", "a10261"},
	{"length beyond the end", "a1027bffffffffffffffff61"},
	{"array length beyond the end", "9bffffffffffffffff"},
	{"nothing", ""},
}

// Would catch a second encoding of one value: two nations would hold different hashes of the same statement.
func TestRefusals(t *testing.T) {
	good := must(hex.DecodeString("a1026161"))
	if err := treaty.Decode(good, 100, new(treaty.Remark)); err != nil {
		t.Fatal(err)
	}
	s := treatytest.New(4).Signers["BEL"]
	record := func(body []byte) []byte {
		payload := append([]byte{0x83, 0x01, 0x1b, 0, 0, 0, 1, 0, 0, 0, 0}, body...)
		return must(s.Sign(treaty.TypeRemark, payload))
	}
	if _, err := treaty.ParseRecord(record(good)); err != nil {
		t.Fatalf("the good record: %v", err)
	}
	for _, c := range refusals {
		b := must(hex.DecodeString(c.hex))
		r := new(treaty.Remark)
		if err := treaty.Decode(b, 100, r); err == nil && r.Check() == nil {
			t.Errorf("%s: decoded as %+v", c.name, r)
		}
		// The same inside a record whose signature is right: a signature does not excuse it.
		if r, err := treaty.ParseRecord(record(b)); err == nil {
			t.Errorf("%s: record accepted, %+v", c.name, r.Remark)
		}
	}
}

// Would catch a signed message with room beside what is signed, or of another kind than its header says.
func TestRefusalsCOSE(t *testing.T) {
	f := treatytest.New(4)
	good := must(f.Signers["BEL"].SignRecord(1, treatytest.Founded, &treaty.Remark{Text: "a"})).Raw()
	s := must(treaty.ParseSigned(good, treaty.MaxRecord))
	payload := len(s.Payload)
	at := len(good) - 2 - 64 - payload - 1 - 1 // the unprotected header, before payload (1 + n) and signature (2 + 64)
	if good[at] != 0xa0 || payload > 23 {
		t.Fatalf("byte %d is %#x: the layout is not what this test expects", at, good[at])
	}
	splice := func(from, to int, with ...byte) []byte {
		return append(append(bytes.Clone(good[:from]), with...), good[to:]...)
	}
	for name, b := range map[string][]byte{
		"no tag":                     good[1:],
		"tag 17":                     splice(0, 1, 0xd1),
		"tag 18 in long form":        splice(0, 1, 0xd8, 0x12),
		"tag twice":                  splice(0, 0, 0xd2),
		"tag 61 (CWT) around":        splice(0, 0, 0xd8, 0x3d),
		"something unprotected":      splice(at, at+1, 0xa1, 0x01, 0x01),
		"null for unprotected":       splice(at, at+1, 0xf6),
		"array of five":              append(splice(1, 2, 0x85), 0x00),
		"indefinite array":           append(splice(1, 2, 0x9f), 0xff),
		"array length in long form":  splice(1, 2, 0x98, 0x04),
		"header length in long form": splice(2, 4, 0x59, 0x00, good[3]),
		"trailing byte":              append(bytes.Clone(good), 0),
		"payload missing (detached)": splice(at+1, at+2+payload, 0xf6),
	} {
		if _, err := treaty.ParseRecord(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, change := range map[string]func(h *treaty.Header){
		"another algorithm": func(h *treaty.Header) { h.Alg = -7 },
		"a vote's type":     func(h *treaty.Header) { h.Type = treaty.TypeVote },
		"a seal's type":     func(h *treaty.Header) { h.Type = treaty.TypeSeal },
		"an unknown type":   func(h *treaty.Header) { h.Type = "text/plain" },
		"a short key id":    func(h *treaty.Header) { h.KeyID = h.KeyID[:7] },
		"no issuer":         func(h *treaty.Header) { h.Claims.Issuer = "" },
		"lower case issuer": func(h *treaty.Header) { h.Claims.Issuer = "bel" },
	} {
		head := s.Header
		head.KeyID = bytes.Clone(head.KeyID)
		change(&head)
		b := treaty.Encode(struct {
			_ struct{} `cbor:",toarray"`
			P []byte
			U struct{}
			B []byte
			S []byte
		}{P: treaty.Encode(head), B: s.Payload, S: make([]byte, 64)})
		if _, err := treaty.ParseRecord(append([]byte{0xd2}, b...)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Would catch a limit that is checked after the work, or not at all.
func TestRefusalsTooLarge(t *testing.T) {
	f := treatytest.New(4)
	for name, err := range map[string]error{
		"record":      second(treaty.ParseRecord(make([]byte, treaty.MaxRecord+1))),
		"batch":       second(treaty.DecodeBatch(make([]byte, treaty.MaxBatch+1))),
		"accord":      second(treaty.DecodeAccord(make([]byte, treaty.MaxAccord+1))),
		"verdict":     second(f.Net.ParseVerdict(make([]byte, treaty.MaxRecord+1))),
		"certificate": second(treaty.DecodeCertificate(make([]byte, treaty.MaxCertificate+1))),
		"founding":    second(treaty.DecodeFounding(make([]byte, treaty.MaxFounding+1))),
		"card":        second(treaty.ParseCard(make([]byte, treaty.MaxCard+1))),
		"long remark": second(f.Signers["BEL"].SignRecord(1, 1, &treaty.Remark{Text: strings.Repeat("a", treaty.MaxText+1)})),
	} {
		if err == nil || !strings.Contains(err.Error(), treaty.ErrTooLarge.Error()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The largest legal things fit where they must go.
	if n := treaty.MaxNations; len(treatytest.New(n).Net.Policy()) > treaty.MaxPolicy {
		t.Errorf("the policy of %d nations has more than %d bytes", n, treaty.MaxPolicy)
	}
}

func second[T any](_ T, err error) error { return err }
