package treaty_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// said makes the statements of one nation that the tests below pair up.
type said struct {
	f *treatytest.Fixture
	k treaty.Nation
}

func (s said) vote(height, round uint64, step treaty.Step, root, prepared string) []byte {
	v := treaty.Vote{Height: height, Round: round, Step: step, Checkpoint: treaty.Checkpoint{Size: 9, Root: h(root), Index: 4, Term: 1}}
	if prepared != "" {
		v.Prepared = h(prepared)
	}
	return must(s.f.Signers[s.k].SignVote(v))
}

func (s said) head(term uint64, start string, index uint64, chain string) []byte {
	return must(s.f.Signers[s.k].SignHead(treaty.Head{Term: term, Start: h(start), Index: index, Chain: h(chain)}))
}

func (s said) record(seq uint64, b treaty.Body) []byte {
	return must(s.f.Signers[s.k].SignRecord(seq, at, b)).Raw()
}

func (s said) attest(seq uint64, incident string, likelihood treaty.PPM, reviewed bool) []byte {
	a := fullAssessment()
	a.Likelihood = likelihood
	return s.record(seq, &treaty.Attestation{Incident: h(incident), Assessment: a, Reviewed: reviewed})
}

func (s said) seal(seq uint64, w treaty.Window, digest, prev string) []byte {
	return s.record(seq, &treaty.Seal{Window: w, Digest: h(digest), Count: 3, Prev: h(prev)})
}

// Would catch a contradiction that goes unproven, a pair that an honest nation may sign taken for one, and a nation
// convicted by what another signed.
func TestCheckMisbehaviour(t *testing.T) {
	f := treatytest.New(4)
	bel, cze := said{f, "BEL"}, said{f, "CZE"}
	foreign := said{treatytest.NewWith(4, func(a *treaty.Accord) { a.Name = "Another" }), "BEL"}
	prepare, commit := treaty.StepPrepare, treaty.StepCommit
	forged := bytes.Clone(bel.vote(3, 1, prepare, "y", ""))
	forged[len(forged)-1] ^= 1
	for _, c := range []struct {
		name string
		kind treaty.MisbehaviourKind
		a, b []byte
		want error // nil: convicts BEL
	}{
		{"two prepares", treaty.TwoVotes, bel.vote(3, 1, prepare, "x", ""), bel.vote(3, 1, prepare, "y", ""), nil},
		{"two commits", treaty.TwoVotes, bel.vote(3, 1, commit, "x", "p"), bel.vote(3, 1, commit, "y", "q"), nil},
		{"commits of one checkpoint, other proofs", treaty.TwoVotes, bel.vote(3, 1, commit, "x", "p"), bel.vote(3, 1, commit, "x", "q"), treaty.ErrNoConflict},
		{"votes of two rounds", treaty.TwoVotes, bel.vote(3, 1, prepare, "x", ""), bel.vote(3, 2, prepare, "y", ""), treaty.ErrNoConflict},
		{"votes of two heights", treaty.TwoVotes, bel.vote(3, 1, prepare, "x", ""), bel.vote(4, 1, prepare, "y", ""), treaty.ErrNoConflict},
		{"a prepare and a commit", treaty.TwoVotes, bel.vote(3, 1, prepare, "x", ""), bel.vote(3, 1, commit, "y", "p"), treaty.ErrNoConflict},
		{"votes of two nations", treaty.TwoVotes, bel.vote(3, 1, prepare, "x", ""), cze.vote(3, 1, prepare, "y", ""), treaty.ErrNoConflict},
		{"votes of another", treaty.TwoVotes, cze.vote(3, 1, prepare, "x", ""), cze.vote(3, 1, prepare, "y", ""), treaty.ErrNoConflict},
		{"a forged vote", treaty.TwoVotes, bel.vote(3, 1, prepare, "x", ""), forged, treaty.ErrBadSignature},
		{"a vote under another accord", treaty.TwoVotes, bel.vote(3, 1, prepare, "x", ""), foreign.vote(3, 1, prepare, "y", ""), treaty.ErrWrongAccord},
		{"votes as records", treaty.TwoRecords, bel.vote(3, 1, prepare, "x", ""), bel.vote(3, 1, prepare, "y", ""), treaty.ErrMalformed},
		{"two heads", treaty.TwoHeads, bel.head(7, "s", 18, "x"), bel.head(7, "s", 18, "y"), nil},
		{"heads of two runs", treaty.TwoHeads, bel.head(7, "s", 18, "x"), bel.head(7, "r", 18, "y"), treaty.ErrNoConflict},
		{"heads of two places", treaty.TwoHeads, bel.head(7, "s", 18, "x"), bel.head(7, "s", 19, "y"), treaty.ErrNoConflict},
		{"heads as votes", treaty.TwoVotes, bel.head(7, "s", 18, "x"), bel.head(7, "s", 18, "y"), treaty.ErrMalformed},
		{"two attestations", treaty.TwoAttestations, bel.attest(3, "i", 900_000, false), bel.attest(8, "i", 900_001, false), nil},
		{"one, reviewed later", treaty.TwoAttestations, bel.attest(3, "i", 900_000, false), bel.attest(8, "i", 900_000, true), treaty.ErrNoConflict},
		{"of two incidents", treaty.TwoAttestations, bel.attest(3, "i", 900_000, false), bel.attest(8, "j", 900_001, false), treaty.ErrNoConflict},
		{"seals as attestations", treaty.TwoAttestations, bel.seal(3, 5, "x", "p"), bel.seal(4, 5, "y", "p"), treaty.ErrNoConflict},
		{"two seals", treaty.TwoSeals, bel.seal(3, 5, "x", "p"), bel.seal(4, 5, "y", "q"), nil},
		{"a seal and silence", treaty.TwoSeals, bel.seal(3, 5, "x", "p"), bel.record(4, &treaty.Seal{Window: 5}), nil},
		{"one seal, chained anew", treaty.TwoSeals, bel.seal(3, 5, "x", "p"), bel.seal(4, 5, "x", "q"), treaty.ErrNoConflict},
		{"seals of two windows", treaty.TwoSeals, bel.seal(3, 5, "x", "p"), bel.seal(4, 6, "y", "p"), treaty.ErrNoConflict},
		{"two records", treaty.TwoRecords, bel.seal(3, 5, "x", "p"), bel.attest(3, "i", 900_000, false), nil},
		{"records of two numbers", treaty.TwoRecords, bel.seal(3, 5, "x", "p"), bel.seal(4, 5, "y", "p"), treaty.ErrNoConflict},
	} {
		m, err := treaty.NewMisbehaviour("BEL", c.kind, c.a, c.b)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		p, err := f.Net.CheckMisbehaviour(m)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if err == nil && (p.About.IsZero() || !strings.Contains(p.Text, "BEL is recorded as having signed two different")) {
			t.Errorf("%s: proven %+v", c.name, p)
		}
	}
}

// Would catch one place with two names, by which one contradiction could be recorded again and again.
func TestMisbehaviourPlace(t *testing.T) {
	f := treatytest.New(4)
	bel := said{f, "BEL"}
	place := func(kind treaty.MisbehaviourKind, a, b []byte) treaty.Hash {
		return must(f.Net.CheckMisbehaviour(must(treaty.NewMisbehaviour("BEL", kind, a, b)))).About
	}
	x, y, z := bel.head(7, "s", 18, "x"), bel.head(7, "s", 18, "y"), bel.head(7, "s", 19, "z")
	same := place(treaty.TwoHeads, x, y)
	if place(treaty.TwoHeads, y, x) != same || place(treaty.TwoHeads, z, bel.head(7, "s", 19, "w")) != same {
		t.Error("one term and run has two places")
	}
	if place(treaty.TwoHeads, bel.head(8, "s", 18, "x"), bel.head(8, "s", 18, "y")) == same {
		t.Error("two terms have one place")
	}
	if place(treaty.TwoRecords, bel.seal(5, 5, "x", "p"), bel.seal(5, 5, "y", "p")) ==
		place(treaty.TwoSeals, bel.seal(5, 5, "x", "p"), bel.seal(5, 5, "y", "p")) {
		t.Error("two kinds have one place")
	}
}

// Would catch a body that is out of bounds or out of its one form.
func TestRefusalsMisbehaviour(t *testing.T) {
	f := treatytest.New(4)
	bel := said{f, "BEL"}
	a, b := bel.head(7, "s", 18, "x"), bel.head(7, "s", 18, "y")
	good := must(treaty.NewMisbehaviour("BEL", treaty.TwoHeads, a, b))
	for name, change := range map[string]func(m *treaty.Misbehaviour){
		"nobody":         func(m *treaty.Misbehaviour) { m.Accused = "" },
		"no kind":        func(m *treaty.Misbehaviour) { m.Kind = 0 },
		"reserved":       func(m *treaty.Misbehaviour) { m.Kind = treaty.Censorship },
		"unknown":        func(m *treaty.Misbehaviour) { m.Kind = treaty.Censorship + 1 },
		"one statement":  func(m *treaty.Misbehaviour) { m.Statements = m.Statements[:1] },
		"three":          func(m *treaty.Misbehaviour) { m.Statements = append(m.Statements, m.Statements[1]) },
		"a repeat":       func(m *treaty.Misbehaviour) { m.Statements[1] = m.Statements[0] },
		"falling":        func(m *treaty.Misbehaviour) { m.Statements[0], m.Statements[1] = m.Statements[1], m.Statements[0] },
		"an empty one":   func(m *treaty.Misbehaviour) { m.Statements[0] = nil },
		"too large":      func(m *treaty.Misbehaviour) { m.Statements[1] = bytes.Repeat([]byte{0xff}, treaty.MaxStatements) },
		"another nation": func(m *treaty.Misbehaviour) { m.Accused = "CZE" },
		"a stranger":     func(m *treaty.Misbehaviour) { m.Accused = "ZZZ" },
	} {
		m := &treaty.Misbehaviour{Accused: good.Accused, Kind: good.Kind, Statements: [][]byte{good.Statements[0], good.Statements[1]}}
		change(m)
		if _, err := f.Net.CheckMisbehaviour(m); err == nil {
			t.Errorf("%s: convicted", name)
		}
	}
	// The largest legal pair fits a record.
	m := &treaty.Misbehaviour{Accused: "BEL", Kind: treaty.TwoRecords, Statements: [][]byte{{0}, bytes.Repeat([]byte{1}, treaty.MaxStatements-1)}}
	if r, err := f.Signers["CZE"].SignRecord(1<<62, 1<<62, m); err != nil || len(r.Raw()) > treaty.MaxRecord {
		t.Errorf("the largest pair: %v", err)
	}
}

// Would catch a vote that loses its signature on its way from a certificate into a record.
func TestVoteMessage(t *testing.T) {
	f := treatytest.New(4)
	raw := said{f, "BEL"}.vote(3, 1, treaty.StepCommit, "x", "p")
	v := treaty.Vote{
		Height: 3, Round: 1, Step: treaty.StepCommit, Prepared: h("p"),
		Checkpoint: treaty.Checkpoint{Size: 9, Root: h("x"), Index: 4, Term: 1},
	}
	sig := treaty.VoteSigOf(must(treaty.ParseSigned(raw, treaty.MaxVote)), v)
	if !bytes.Equal(f.Net.VoteMessage(v, sig), raw) {
		t.Error("the vote is not what was signed")
	}
	if sig.Nation = "ZZZ"; f.Net.VoteMessage(v, sig) != nil {
		t.Error("a stranger has a vote")
	}
}

// Would catch a panic on a record of misbehaviour, a second form of one, or a conviction of somebody whose signatures
// were not there to begin with: BEL's key signs everything that the fuzzer starts from, and it never contradicts itself.
func FuzzCheckMisbehaviour(f *testing.F) {
	seedWith(f)
	net := treatytest.New(4)
	bel, cze := said{net, "BEL"}, said{net, "CZE"}
	f.Add(treaty.Encode(must(treaty.NewMisbehaviour("BEL", treaty.TwoVotes, bel.vote(3, 1, 1, "x", ""), bel.vote(3, 2, 1, "x", "")))))
	f.Add(treaty.Encode(must(treaty.NewMisbehaviour("BEL", treaty.TwoSeals, bel.seal(3, 5, "x", "p"), cze.seal(3, 5, "y", "p")))))
	f.Add(treaty.Encode(must(treaty.NewMisbehaviour("CZE", treaty.TwoSeals, cze.seal(3, 5, "x", "p"), cze.seal(3, 5, "y", "p")))))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := new(treaty.Misbehaviour)
		if treaty.Decode(b, treaty.MaxPayload, m) != nil || m.Check() != nil {
			return
		}
		if !bytes.Equal(treaty.Encode(m), b) {
			t.Fatal("a second encoding was accepted")
		}
		if p, err := net.Net.CheckMisbehaviour(m); err == nil && m.Accused != "CZE" {
			t.Fatalf("%s is framed: %s", m.Accused, p.Text)
		}
	})
}
