package treaty_test

import (
	"fmt"
	"time"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// Seven nations: two may lie, five must agree.
func ExampleQuorum() {
	for _, n := range []int{4, 5, 6, 7, 35} {
		fmt.Println(n, treaty.Faulty(n), treaty.Quorum(n))
	}
	// Output:
	// 4 1 3
	// 5 1 4
	// 6 1 4
	// 7 2 5
	// 35 11 24
}

// An accord is what people agree on, read aloud and sign; nothing runs until all have.
func ExampleVerifyFounding() {
	f := treatytest.New(4)
	doc, _ := treaty.NewFounding(f.Net.Accord)
	for _, nation := range []treaty.Nation{"CZE", "AUT", "BEL"} {
		sig, _ := treaty.SignAccord(f.Net.Accord, nation, f.Keys[nation].Treaty)
		_ = doc.Merge(sig)
	}
	_, err := treaty.VerifyFounding(doc.Encode())
	fmt.Println(err)
	sig, _ := treaty.SignAccord(f.Net.Accord, "DNK", f.Keys["DNK"].Treaty)
	_ = doc.Merge(sig)
	net, err := treaty.VerifyFounding(doc.Encode())
	fmt.Println(net.Nations(), net.Q, err)
	// Output:
	// founding document of accord 9eef7acd95dc: not signed by every member: 1 of 4 missing: DNK
	// [AUT BEL CZE DNK] 3 <nil>
}

// A batch is committed to by its seal before anybody may see it.
func ExampleBatch() {
	f := treatytest.New(4)
	b := treaty.Batch{Accord: f.Net.Digest, Nation: "BEL", Window: 7, Salt: treaty.HashOf([]byte("random")), Detections: detections()[:1]}
	seal := treaty.Seal{Window: b.Window, Digest: b.Digest(), Count: uint32(len(b.Detections))}
	revealed := treaty.Encode(b)
	fmt.Println(treaty.HashOf(revealed) == seal.Digest, b.Window.End(2*time.Second))
	// Output: true 1970-01-01T00:00:16Z
}

// A record is anything signed that enters the ledger.
func ExampleSigner_SignRecord() {
	f := treatytest.New(4)
	r, _ := f.Signers["BEL"].SignRecord(1, treatytest.Founded, &treaty.Remark{Text: "Our station 7 is down for repair."})
	again, _ := treaty.ParseRecord(r.Raw())
	fmt.Println(again.Nation, again.Seq, again.Time, again.Remark.Text, f.Net.Verify(again.Signed))
	// Output: BEL 1 1999-12-31T00:00:00Z Our station 7 is down for repair. <nil>
}

// Likelihood is a number and a word; how good the grounds are is said apart from it.
func ExampleLikelihood() {
	fmt.Println(treaty.Likelihood(970_000), "-", treaty.ConfidenceModerate)
	// Output: almost certain - moderate
}

// A certificate is a quorum's commit votes of one round for one checkpoint.
func ExampleNetwork_VerifyCertificate() {
	f := treatytest.New(4)
	cp := treaty.Checkpoint{Size: 1, Root: treaty.HashOf([]byte("root")), Index: 1, Term: 1}
	fmt.Println(f.Net.VerifyCertificate(certificate(f, treaty.StepCommit, cp, 3)))
	fmt.Println(f.Net.VerifyCertificate(certificate(f, treaty.StepCommit, cp, 2)))
	// Output:
	// <nil>
	// no quorum: 2 signatures, need 3 of 4
}

// A fingerprint is compared by voice before anybody signs.
func ExampleHash_Fingerprint() {
	fmt.Println(treaty.HashOf(nil).Fingerprint())
	// Output:
	// e3b0 c442 98fc 1c14
	// 9afb f4c8 996f b924
	// 27ae 41e4 649b 934c
	// a495 991b 7852 b855
}
