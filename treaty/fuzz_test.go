package treaty_test

import (
	"bytes"
	"testing"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// seedWith adds every golden vector: what is legal for one decoder is a good start for breaking another.
func seedWith(f *testing.F) {
	for _, v := range vectors(f) {
		if v.rule != "" {
			f.Add(v.data)
		}
	}
}

// Would catch a panic on a peer's bytes, or two encodings of one record.
func FuzzParseRecord(f *testing.F) {
	seedWith(f)
	net := treatytest.New(4).Net
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := treaty.ParseRecord(b)
		if err != nil {
			return
		}
		if !bytes.Equal(r.Raw(), b) || r.ID != treaty.HashOf(b) {
			t.Fatal("the record is not its bytes")
		}
		n := 0
		for _, set := range []bool{r.Seal != nil, r.Incident != nil, r.Attestation != nil, r.Remark != nil, r.Misbehaviour != nil} {
			if set {
				n++
			}
		}
		if n != 1 {
			t.Fatalf("%d bodies", n)
		}
		one, all := net.Verify(r.Signed), net.VerifyAll([]*treaty.Signed{r.Signed, r.Signed, r.Signed, r.Signed})
		for _, e := range all {
			if (e == nil) != (one == nil) {
				t.Fatalf("alone %v, in a batch %v", one, e)
			}
		}
	})
}

// Would catch a panic on a revealed batch, or two encodings of one.
func FuzzDecodeBatch(f *testing.F) {
	seedWith(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if x, err := treaty.DecodeBatch(b); err == nil && !bytes.Equal(treaty.Encode(x), b) {
			t.Fatal("a second encoding was accepted")
		}
	})
}

// Would catch a panic on an accord, an accord that cannot be run although it was accepted, or one that its own file
// format cannot hold.
func FuzzDecodeAccord(f *testing.F) {
	seedWith(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := treaty.DecodeAccord(b)
		if err != nil {
			return
		}
		if !bytes.Equal(treaty.Encode(a), b) {
			t.Fatal("a second encoding was accepted")
		}
		back, err := treaty.ParseAccordYAML(treaty.FormatAccordYAML(a), nil)
		if err != nil || back.Digest() != a.Digest() {
			t.Fatalf("through its file: %v", err)
		}
		if net, err := treaty.NewNetwork(a); err == nil {
			net.Policy()
		}
	})
}

// Would catch a panic on a ledger entry that claims to be a verdict.
func FuzzParseVerdict(f *testing.F) {
	seedWith(f)
	net := treatytest.New(4).Net
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := net.ParseVerdict(b)
		p, accord, epoch, peekErr := treaty.PeekVerdict(b)
		if err == nil && (peekErr != nil || accord != net.Digest || epoch != 1 || p.Summary != v.Summary) {
			t.Fatalf("parsed, but peeked %v", peekErr)
		}
		if err == nil && (!treaty.IsVerdict(b) || !bytes.Equal(net.VerdictEntry(v), b)) {
			t.Fatal("a second encoding was accepted")
		}
	})
}

// Would catch a panic on a certificate, or one accepted that was not made with the nations' keys.
func FuzzDecodeCertificate(f *testing.F) {
	seedWith(f)
	net := treatytest.New(4).Net
	legal := map[treaty.Checkpoint]bool{}
	for _, v := range vectors(f) {
		if v.rule == "certificate" {
			legal[must(treaty.DecodeCertificate(v.data)).Checkpoint] = true
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := treaty.DecodeCertificate(b)
		if err != nil {
			return
		}
		if !bytes.Equal(treaty.Encode(c), b) {
			t.Fatal("a second encoding was accepted")
		}
		if net.VerifyCertificate(c) == nil && !legal[c.Checkpoint] {
			t.Fatal("forged")
		}
	})
}

// Would catch a panic on a leader's election certificate or head, two encodings of one, or one that nobody signed.
func FuzzDecodeElection(f *testing.F) {
	seedWith(f)
	fix := treatytest.New(4)
	signed := fix.Net.Nations()[:3]
	legal := election(fix, len(signed)).Vote()
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := treaty.DecodeElection(b); err == nil {
			if !bytes.Equal(treaty.Encode(e), b) {
				t.Fatal("a second encoding was accepted")
			}
			if fix.Net.VerifyElection(e) == nil && e.Vote() != legal {
				t.Fatal("forged")
			}
		}
		if s, _, err := treaty.ParseHead(b); err == nil && !bytes.Equal(s.Raw, b) {
			t.Fatal("the head is not its bytes")
		}
		if _, err := fix.Net.CheckHeads(b, b); err == nil {
			t.Fatal("one head convicts")
		}
	})
}

// Would catch a panic on an observer's files, or a proof of something that nobody signed.
func FuzzVerifyEntry(f *testing.F) {
	var entry, proof, policy []byte
	for _, v := range vectors(f) {
		switch v.name {
		case "verdict-entry":
			entry = v.data
		case "proof.text":
			proof = v.data
		case "policy.text":
			policy = v.data
		}
	}
	f.Add(entry, proof, policy, true)
	f.Add(entry, proof, policy, false)
	f.Add([]byte("x"), []byte("c2sp.org/tlog-proof@v1\nindex 0\n\n"), []byte("quorum none\n"), false)
	f.Fuzz(func(t *testing.T, e, p, pol []byte, ours bool) {
		if ours {
			pol = policy
		}
		if _, _, err := treaty.VerifyEntry(e, p, pol); err == nil && ours && !bytes.Equal(e, entry) {
			t.Fatalf("forged: %q", e)
		}
	})
}
