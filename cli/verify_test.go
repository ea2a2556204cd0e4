package cli_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"truceline/cli"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// Would catch any byte of the three files that is not looked at: a file could be changed on its way and still be
// believed. Only the accord's name in the policy's first line, which is for people, is bound to nothing.
func TestVerifyEveryByte(t *testing.T) {
	p := newProven(t, 4)
	files := [][]byte{p.entry, p.proof(0), p.policy}
	names := []string{"entry", "proof", "policy"}
	if _, err := cli.Verify(files[0], files[1], files[2], false); err != nil {
		t.Fatal(err)
	}
	title := len("# Truceline policy (C2SP tlog-policy): ")
	flips := []byte{0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80}
	if testing.Short() {
		flips = flips[:2]
	}
	n := 0
	for f := range files {
		for i := range files[f] {
			if f == 2 && i >= title && i < title+len(p.fix.Net.Accord.Name) {
				continue
			}
			for _, bit := range flips {
				bad := [][]byte{files[0], files[1], files[2]}
				bad[f] = bytes.Clone(files[f])
				bad[f][i] ^= bit
				n++
				if v, err := cli.Verify(bad[0], bad[1], bad[2], false); err == nil {
					t.Errorf("%s: byte %d (%q) as %q: still verified, %d signers", names[f], i, files[f][i], bad[f][i], v.Signers)
				}
			}
		}
	}
	t.Logf("%d changed files, none verified", n)
}

// Would catch a verdict that a minority could make: q nations are enough, one fewer never, for n where 2f+1 is wrong too.
func TestVerifyQuorum(t *testing.T) {
	for n := 4; n <= 9; n++ {
		p := newProven(t, n)
		q := treaty.Quorum(n)
		v, err := cli.Verify(p.entry, p.proof(q), p.policy, false)
		if err != nil || v.Signers != q || v.Witnesses != n {
			t.Errorf("n = %d, %d signers: %+v, %v", n, q, v, err)
		}
		// The lines of all but q-1 nations are cut out of a good proof.
		short := string(p.proof(q))
		last := strings.LastIndex(strings.TrimSuffix(short, "\n"), "\n") + 1
		if _, err := cli.Verify(p.entry, []byte(short[:last]), p.policy, false); err == nil {
			t.Errorf("n = %d: verified with %d signers", n, q-1)
		}
	}
}

// Would catch a policy that demands less than the accord, or that belongs to another accord, passing for the network's.
func TestVerifyPolicy(t *testing.T) {
	p := newProven(t, 4)
	weak := []byte(strings.Replace(string(p.policy), "group guarantors 3", "group guarantors 1", 1))
	if _, err := cli.Verify(p.entry, p.proof(0), weak, false); err == nil {
		t.Error("a policy of one nation verified")
	}
	if v, err := cli.Verify(p.entry, p.proof(0), weak, true); err != nil || v.Signers != 4 {
		t.Errorf("an observer's own policy: %v", err)
	}
	other := treatytest.NewWith(4, func(a *treaty.Accord) { a.Policy.Resilience = 2 })
	if _, err := cli.Verify(p.entry, p.proof(0), other.Net.Policy(), false); !errors.Is(err, treaty.ErrNotFinal) {
		t.Errorf("the same nations' policy of another accord: %v", err)
	}
	// Same keys, same origin, another accord: only the log key, made from the accord's digest, tells them apart.
	own := []byte(strings.ReplaceAll(string(p.policy), p.fix.Net.Digest.String(), other.Net.Digest.String()))
	if _, err := cli.Verify(p.entry, p.proof(0), own, false); err == nil {
		t.Error("a policy that names another accord verified")
	}
}
