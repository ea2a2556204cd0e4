package treaty_test

import (
	"bytes"
	"errors"
	"testing"

	"truceline/treaty"
	"truceline/treaty/treatytest"

	"github.com/veraison/go-cose"
	"golang.org/x/mod/sumdb/tlog"
)

// A quorum that is wrong for n != 3f+1 lets two quorums share only liars.
func TestQuorumIntersects(t *testing.T) {
	for n := treaty.MinNations; n <= treaty.MaxNations; n++ {
		f, q := treaty.Faulty(n), treaty.Quorum(n)
		if 2*q-n < f+1 {
			t.Errorf("n=%d: two quorums of %d share %d nations, need %d", n, q, 2*q-n, f+1)
		}
		if q > n-f {
			t.Errorf("n=%d: quorum %d is out of reach of the %d honest", n, q, n-f)
		}
	}
}

// A record must verify under its own network only, by our code and by a COSE library that nobody here wrote.
func TestRecordSignature(t *testing.T) {
	f := treatytest.New(5)
	r, err := f.Signers["BEL"].SignRecord(7, treatytest.Founded, &treaty.Remark{Text: "seen and noted"})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Net.Verify(r.Signed); err != nil {
		t.Fatal(err)
	}
	var msg cose.Sign1Message
	if err := msg.UnmarshalCBOR(r.Raw()); err != nil {
		t.Fatalf("go-cose cannot read it: %v", err)
	}
	v, err := cose.NewVerifier(cose.AlgorithmEdDSA, f.Keys["BEL"].Treaty.Public())
	if err != nil {
		t.Fatal(err)
	}
	if err := msg.Verify(nil, v); err != nil {
		t.Errorf("go-cose: %v", err)
	}
	other := treatytest.New(6)
	if err := other.Net.Verify(r.Signed); !errors.Is(err, treaty.ErrWrongAccord) {
		t.Errorf("under another accord: %v", err)
	}
	for i := range r.Raw() {
		bad := bytes.Clone(r.Raw())
		bad[i] ^= 1
		p, err := treaty.ParseRecord(bad)
		if err == nil {
			err = f.Net.Verify(p.Signed)
		}
		if err == nil {
			t.Fatalf("byte %d flipped, and it still verifies", i)
		}
	}
}

// The observer's three files must verify, and not with one nation fewer, a flipped byte, or another policy.
func TestVerifyEntry(t *testing.T) {
	f := treatytest.New(7)
	entry := f.Net.VerdictEntry(&treaty.Verdict{Outcome: treaty.NoBreach, Class: treaty.ClassThunder, Confidence: 1, Summary: "x"})
	root := treaty.Hash(tlog.RecordHash(entry))
	var cosigs []*treaty.Cosignature
	for _, k := range f.Net.Nations()[:f.Net.Q] {
		c, err := f.Net.Cosign(k, f.Keys[k].Cosign, treaty.Checkpoint{Size: 1, Root: root}, 1_700_000_000)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Net.VerifyCosignature(c); err != nil {
			t.Fatal(err)
		}
		cosigs = append(cosigs, c)
	}
	if _, err := f.Net.CheckpointNote(cosigs[1:]); !errors.Is(err, treaty.ErrNoQuorum) {
		t.Errorf("one nation fewer: %v", err)
	}
	checkpoint, err := f.Net.CheckpointNote(cosigs)
	if err != nil {
		t.Fatal(err)
	}
	proof := treaty.FormatProof(0, nil, checkpoint)
	policy := f.Net.Policy()
	size, index, err := treaty.VerifyEntry(entry, proof, policy)
	if err != nil || size != 1 || index != 0 {
		t.Fatalf("size %d, index %d, %v", size, index, err)
	}
	for i := range entry {
		bad := bytes.Clone(entry)
		bad[i] ^= 1
		if _, _, err := treaty.VerifyEntry(bad, proof, policy); err == nil {
			t.Fatalf("entry byte %d flipped", i)
		}
	}
	for i := range proof {
		bad := bytes.Clone(proof)
		bad[i] ^= 1
		if _, _, err := treaty.VerifyEntry(entry, bad, policy); err == nil {
			t.Fatalf("proof byte %d (%q) flipped, and it still verifies", i, proof[i])
		}
	}
	if _, _, err := treaty.VerifyEntry(entry, proof, treatytest.New(6).Net.Policy()); err == nil {
		t.Error("another network's policy accepted it")
	}
	lines := bytes.SplitAfter(bytes.TrimSuffix(proof, []byte("\n")), []byte("\n"))
	short := bytes.Join(lines[:len(lines)-1], nil)
	if _, _, err := treaty.VerifyEntry(entry, short, policy); !errors.Is(err, treaty.ErrNotFinal) {
		t.Errorf("below quorum: %v", err)
	}
}
