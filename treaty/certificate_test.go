package treaty_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// Would catch a certificate that stands on fewer nations than it says: every one of these must be refused.
func TestCertificateRefusals(t *testing.T) {
	for n := 4; n <= 7; n++ {
		f := treatytest.New(n)
		other := treatytest.NewWith(n, func(a *treaty.Accord) { a.Policy.OneModalityNations = 4 })
		cp := treaty.Checkpoint{Size: 9, Root: h("root"), Index: 4, Term: 1}
		q := f.Net.Q
		for k := q; k <= n; k++ {
			for _, step := range []treaty.Step{treaty.StepPrepare, treaty.StepCommit} {
				if err := f.Net.VerifyCertificate(certificate(f, step, cp, k)); err != nil {
					t.Errorf("n=%d: %s by %d: %v", n, step, k, err)
				}
			}
		}
		prepare := certificate(f, treaty.StepPrepare, cp, q)
		for _, c := range []struct {
			name   string
			change func(c *treaty.Certificate)
			want   error
		}{
			{"one below quorum", func(c *treaty.Certificate) { c.Sigs = c.Sigs[:q-1] }, treaty.ErrNoQuorum},
			{"no signatures", func(c *treaty.Certificate) { c.Sigs = nil }, treaty.ErrNoQuorum},
			{"one nation twice", func(c *treaty.Certificate) { c.Sigs[1] = c.Sigs[0] }, treaty.ErrMalformed},
			{"wrong order", func(c *treaty.Certificate) { c.Sigs[0], c.Sigs[1] = c.Sigs[1], c.Sigs[0] }, treaty.ErrMalformed},
			{"a prepare among commits", func(c *treaty.Certificate) { c.Sigs[1].Sig = prepare.Sigs[1].Sig }, treaty.ErrBadSignature},
			{"commits shown as prepares", func(c *treaty.Certificate) { c.Step = treaty.StepPrepare }, treaty.ErrMalformed},
			{"the same, without what they rest on", func(c *treaty.Certificate) {
				c.Step = treaty.StepPrepare
				for i := range c.Sigs {
					c.Sigs[i].Prepared = treaty.Hash{}
				}
			}, treaty.ErrBadSignature},
			{"a commit that rests on nothing", func(c *treaty.Certificate) { c.Sigs[0].Prepared = treaty.Hash{} }, treaty.ErrMalformed},
			{"another prepare certificate", func(c *treaty.Certificate) { c.Sigs[0].Prepared = h("other") }, treaty.ErrBadSignature},
			{"a foreign nation", func(c *treaty.Certificate) { c.Sigs[q-1].Nation = "ZZZ" }, treaty.ErrUnknownNation},
			{"signed as somebody else", func(c *treaty.Certificate) { c.Sigs[0].Sig = c.Sigs[1].Sig }, treaty.ErrBadSignature},
			{"another round", func(c *treaty.Certificate) { c.Round++ }, treaty.ErrBadSignature},
			{"another height", func(c *treaty.Certificate) { c.Height++ }, treaty.ErrBadSignature},
			{"another size", func(c *treaty.Certificate) { c.Checkpoint.Size++ }, treaty.ErrBadSignature},
			{"another root", func(c *treaty.Certificate) { c.Checkpoint.Root = h("r") }, treaty.ErrBadSignature},
			{"another index", func(c *treaty.Certificate) { c.Checkpoint.Index++ }, treaty.ErrBadSignature},
			{"another term", func(c *treaty.Certificate) { c.Checkpoint.Term++ }, treaty.ErrBadSignature},
			{"no height", func(c *treaty.Certificate) { c.Height = 0 }, treaty.ErrMalformed},
			{"no step", func(c *treaty.Certificate) { c.Step = 0 }, treaty.ErrMalformed},
			{"step 3", func(c *treaty.Certificate) { c.Step = 3 }, treaty.ErrMalformed},
			{"short signature", func(c *treaty.Certificate) { c.Sigs[0].Sig = c.Sigs[0].Sig[:63] }, treaty.ErrMalformed},
			{"another accord", func(c *treaty.Certificate) { *c = *certificate(other, treaty.StepCommit, cp, q) }, treaty.ErrBadSignature},
			{"one vote of another accord", func(c *treaty.Certificate) {
				c.Sigs[0] = certificate(other, treaty.StepCommit, cp, q).Sigs[0]
			}, treaty.ErrBadSignature},
			{"more than the roster", func(c *treaty.Certificate) { c.Sigs = make([]treaty.VoteSig, n+1) }, treaty.ErrMalformed},
		} {
			bad := certificate(f, treaty.StepCommit, cp, q)
			c.change(bad)
			if err := f.Net.VerifyCertificate(bad); !errors.Is(err, c.want) {
				t.Errorf("n=%d, %s: %v, want %v", n, c.name, err, c.want)
			}
		}
		// Every flipped bit of every signature.
		for i := range q {
			bad := certificate(f, treaty.StepCommit, cp, q)
			bad.Sigs[i].Sig[7*i%64] ^= 1
			if err := f.Net.VerifyCertificate(bad); !errors.Is(err, treaty.ErrBadSignature) {
				t.Errorf("n=%d, signature %d damaged: %v", n, i, err)
			}
		}
	}
	if err := treatytest.New(4).Net.VerifyCertificate(nil); !errors.Is(err, treaty.ErrNoQuorum) {
		t.Errorf("no certificate: %v", err)
	}
}

// Would catch a batch verification that answers otherwise than one by one, or puts the blame on the wrong message.
func TestVerifyAllIsVerify(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	f, other := treatytest.New(7), treatytest.NewWith(7, func(a *treaty.Accord) { a.Policy.OneModalityNations = 4 })
	stranger := treatytest.New(8).Keys["HUN"].Treaty
	ns := f.Net.Nations()
	signed := func(s *treaty.Signer) *treaty.Signed {
		return must(s.SignRecord(1+r.Uint64N(9), treatytest.Founded, &treaty.Remark{Text: fmt.Sprint(r.Uint64())})).Signed
	}
	damage := func(s *treaty.Signed, back int) *treaty.Signed {
		raw := bytes.Clone(s.Raw)
		raw[len(raw)-back] ^= 1 << r.IntN(8)
		d, err := treaty.ParseSigned(raw, treaty.MaxRecord)
		if err != nil {
			return s
		}
		return d
	}
	for range 60 {
		msgs := make([]*treaty.Signed, r.IntN(24))
		bad := r.IntN(3) // none, few, many
		for i := range msgs {
			k := ns[r.IntN(len(ns))]
			good := signed(f.Signers[k])
			msgs[i] = good
			if r.IntN(6) >= 2*bad {
				continue
			}
			switch r.IntN(6) {
			case 0:
				msgs[i] = signed(other.Signers[k])
			case 1:
				msgs[i] = damage(good, 1+r.IntN(32)) // S
			case 2:
				msgs[i] = damage(good, 33+r.IntN(32)) // R
			case 3:
				msgs[i] = damage(good, 68) // the text
			case 4:
				msgs[i] = signed(&treaty.Signer{Nation: "HUN", Accord: f.Net.Digest, Epoch: 1, Key: stranger})
			case 5:
				msgs[i] = signed(&treaty.Signer{Nation: k, Accord: f.Net.Digest, Epoch: 1, Key: stranger})
			}
		}
		errs := f.Net.VerifyAll(msgs)
		if len(errs) != len(msgs) {
			t.Fatalf("%d answers to %d messages", len(errs), len(msgs))
		}
		for i, s := range msgs {
			if one := f.Net.Verify(s); fmt.Sprint(one) != fmt.Sprint(errs[i]) {
				t.Errorf("message %d of %d: alone %v, in a batch %v", i, len(msgs), one, errs[i])
			}
		}
	}
}

// Would catch cites that depend on the order in which detections were found, or that a decoder takes in another form.
func TestCites(t *testing.T) {
	refs := slices.Collect(fullCites().All())
	for range 20 {
		rand.Shuffle(len(refs), func(i, j int) { refs[i], refs[j] = refs[j], refs[i] })
		c := treaty.NewCites(append(refs, refs[0]))
		if !bytes.Equal(treaty.Encode(c), treaty.Encode(fullCites())) || c.Check() != nil || c.Len() != 3 {
			t.Fatalf("%v", c)
		}
	}
	for name, change := range map[string]func(c treaty.Cites) treaty.Cites{
		"none":            func(c treaty.Cites) treaty.Cites { return nil },
		"seals swapped":   func(c treaty.Cites) treaty.Cites { c[0], c[1] = c[1], c[0]; return c },
		"seal twice":      func(c treaty.Cites) treaty.Cites { c[1].Seal = c[0].Seal; return c },
		"index twice":     func(c treaty.Cites) treaty.Cites { c[0].Indexes = []uint32{7, 7}; return c },
		"indexes swapped": func(c treaty.Cites) treaty.Cites { c[0].Indexes = []uint32{300, 7}; return c },
		"no indexes":      func(c treaty.Cites) treaty.Cites { c[0].Indexes = nil; return c },
		"index too large": func(c treaty.Cites) treaty.Cites { c[0].Indexes = []uint32{treaty.MaxDetections}; return c },
		"too many seals":  func(c treaty.Cites) treaty.Cites { return make(treaty.Cites, treaty.MaxCitedSeals+1) },
	} {
		if err := change(fullCites()).Check(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
