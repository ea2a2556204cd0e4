package treaty_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"reflect"
	"strings"
	"testing"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// Would catch a key file that other tools cannot read, that loses its role, or that is accepted after damage.
func TestKeyFile(t *testing.T) {
	f := treatytest.New(4)
	k := &treaty.KeyFile{Nation: "BEL", Role: treaty.RoleCosign, Private: f.Keys["BEL"].Cosign}
	text := k.Encode()
	back, err := treaty.ParseKeyFile(text, "BEL", treaty.RoleCosign)
	if err != nil || !reflect.DeepEqual(k, back) {
		t.Fatalf("%v\n%s", err, text)
	}
	block, rest := pem.Decode(text)
	std, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil || len(rest) > 0 || !k.Private.Equal(std.(ed25519.PrivateKey)) {
		t.Errorf("crypto/x509 reads %v, %v", std, err)
	}
	if der, err := x509.MarshalPKCS8PrivateKey(k.Private); err != nil || !bytes.Equal(der, block.Bytes) {
		t.Errorf("crypto/x509 writes other bytes: %v", err)
	}
	for _, c := range []struct {
		nation treaty.Nation
		role   treaty.KeyRole
	}{{"AUT", treaty.RoleCosign}, {"BEL", treaty.RoleTreaty}} {
		if _, err := treaty.ParseKeyFile(text, c.nation, c.role); err == nil || !strings.Contains(err.Error(), "cosign key of BEL, not") {
			t.Errorf("as %s's %s key: %v", c.nation, c.role, err)
		}
	}
	for i := range text {
		bad := bytes.Clone(text)
		bad[i] ^= 1
		if got, err := treaty.ParseKeyFile(bad, "BEL", treaty.RoleCosign); err == nil && got.Private.Equal(k.Private) {
			t.Errorf("byte %d (%q) changed, and nobody noticed", i, text[i])
		} else if err != nil && strings.Contains(err.Error(), string(text[len(text)-60:len(text)-40])) {
			t.Errorf("the error quotes the key: %v", err)
		}
	}
	if _, err := treaty.ParseKeyFile(make([]byte, treaty.MaxKeyFile+1), "BEL", treaty.RoleCosign); !errors.Is(err, treaty.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
}

func card(t testing.TB, k treaty.Nation) *treaty.Card {
	t.Helper()
	f := treatytest.New(7)
	c, err := treaty.MakeCard(k, "Nation: "+string(k), f.Keys[k].Treaty, f.Keys[k].Cosign, f.Keys[k].Node)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Would catch a card whose keys can be exchanged on its way to the drafter.
func TestCard(t *testing.T) {
	c := card(t, "CZE")
	text := c.Encode()
	back, err := treaty.ParseCard(text)
	if err != nil || !reflect.DeepEqual(c, back) {
		t.Fatalf("%v\n%s", err, text)
	}
	other := card(t, "DNK")
	for _, x := range []struct {
		name   string
		change func(*treaty.Card)
		want   error
	}{
		{"another node key", func(c *treaty.Card) { c.Member.Keys[2] = other.Member.Keys[2] }, treaty.ErrBadSignature},
		{"another treaty key", func(c *treaty.Card) { c.Member.Keys[0] = other.Member.Keys[0] }, treaty.ErrBadSignature},
		{"another nation", func(c *treaty.Card) { c.Member.Nation = "DNK" }, treaty.ErrBadSignature},
		{"another name", func(c *treaty.Card) { c.Member.Name = "Denmark" }, treaty.ErrBadSignature},
		{"another signature", func(c *treaty.Card) { c.Signature = other.Signature }, treaty.ErrBadSignature},
		{"no signature", func(c *treaty.Card) { c.Signature = nil }, treaty.ErrBadSignature},
		{"no node key", func(c *treaty.Card) { c.Member.Keys = c.Member.Keys[:2] }, treaty.ErrMalformed},
		{"one key in two roles", func(c *treaty.Card) { c.Member.Keys[2].Public = c.Member.Keys[1].Public }, treaty.ErrMalformed},
		{"two lines", func(c *treaty.Card) { c.Member.Name = "a\nb" }, treaty.ErrMalformed},
	} {
		bad := card(t, "CZE")
		x.change(bad)
		if _, err := treaty.ParseCard(bad.Encode()); !errors.Is(err, x.want) {
			t.Errorf("%s: %v, want %v", x.name, err, x.want)
		}
	}
	if _, err := treaty.ParseCard(append(text, "extra: 1\n"...)); err == nil || !strings.Contains(err.Error(), "extra") {
		t.Errorf("unknown field: %v", err)
	}
	keys := treatytest.New(4).Keys["AUT"]
	if _, err := treaty.MakeCard("AUT", "Austria", keys.Treaty, keys.Treaty, keys.Node); err == nil {
		t.Error("one key in two roles made a card")
	}
}

// Would catch a parser of files from outside that crashes, or a card that means two things.
func FuzzKeyFiles(f *testing.F) {
	f.Add(card(f, "AUT").Encode())
	f.Add((&treaty.KeyFile{Nation: "BEL", Role: treaty.RoleNode, Private: treatytest.New(4).Keys["BEL"].Node}).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := treaty.ParseCard(b); err == nil {
			if again, err := treaty.ParseCard(c.Encode()); err != nil || !reflect.DeepEqual(c, again) {
				t.Fatalf("card written again: %v", err)
			}
		}
		if k, err := treaty.ParseKeyFile(b, "BEL", treaty.RoleNode); err == nil && !bytes.Equal(k.Encode(), b) {
			t.Fatal("a second form of a key file was accepted")
		}
	})
}
