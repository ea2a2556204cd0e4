package finality

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

func signed(t testing.TB, fix *treatytest.Fixture, i int, typ treaty.ContentType, v any) []byte {
	t.Helper()
	raw, err := fix.Signers[fix.Net.Nations()[i]].Sign(typ, treaty.Encode(v))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// prepareCertificate is one that holds: q real prepares.
func prepareCertificate(t testing.TB, fix *treatytest.Fixture, height, round uint64, c treaty.Checkpoint) *treaty.Certificate {
	t.Helper()
	v := treaty.Vote{Height: height, Round: round, Step: treaty.StepPrepare, Checkpoint: c}
	cert := &treaty.Certificate{Height: height, Round: round, Step: v.Step, Checkpoint: c}
	for i := range fix.Net.Q {
		msg, err := Open(fix.Net, signed(t, fix, i, treaty.TypeVote, v))
		if err != nil {
			t.Fatal(err)
		}
		cert.Sigs = append(cert.Sigs, msg.Vote.Sig)
	}
	return cert
}

// Every message that is malformed, or whose inside does not hold, must be refused with an error that says which kind of
// wrong it is. Catches a check dropped from Parse, Finish or checkWish.
func TestOpenRefuses(t *testing.T) {
	fix := treatytest.New(4)
	c := point(2, false)
	good := prepareCertificate(t, fix, 1, 0, c)
	bent := func(f func(c *treaty.Certificate)) *treaty.Certificate {
		x := *good
		x.Sigs = append([]treaty.VoteSig(nil), good.Sigs...)
		f(&x)
		return &x
	}
	vote := treaty.Vote{Height: 1, Step: treaty.StepPrepare, Checkpoint: c}
	change := func(f func(v *treaty.Vote)) []byte {
		v := vote
		f(&v)
		return signed(t, fix, 0, treaty.TypeVote, v)
	}
	wish := func(c *treaty.Certificate) []byte {
		return signed(t, fix, 0, treaty.TypeWish, treaty.Wish{Height: 1, Round: 2, Prepared: c})
	}
	proposal := func(ws ...[]byte) []byte {
		return signed(t, fix, 0, treaty.TypeProposal, treaty.Proposal{Height: 1, Round: 2, Checkpoint: c, Wishes: ws})
	}
	flip := func(raw []byte) []byte {
		raw = bytes.Clone(raw)
		raw[len(raw)-1] ^= 1
		return raw
	}
	ok := signed(t, fix, 0, treaty.TypeVote, vote)
	stranger := treatytest.New(5)
	other := treatytest.NewWith(4, func(a *treaty.Accord) { a.Name = "Another line" })
	for _, k := range []struct {
		name string
		raw  []byte
		want error
	}{
		{"nothing", nil, treaty.ErrMalformed},
		{"not CBOR", []byte("hello"), treaty.ErrMalformed},
		{"cut short", ok[:len(ok)-1], treaty.ErrMalformed},
		{"a byte too many", append(bytes.Clone(ok), 0), treaty.ErrMalformed},
		{"too large", bytes.Repeat([]byte{0}, treaty.MaxVote+1), treaty.ErrTooLarge},
		{"a bad signature", flip(ok), treaty.ErrBadSignature},
		{"another kind of statement", signed(t, fix, 0, treaty.TypeVote, treaty.Status{Height: 1}), treaty.ErrMalformed},
		{"vote of no step", change(func(v *treaty.Vote) { v.Step = 0 }), treaty.ErrMalformed},
		{"vote of step 3", change(func(v *treaty.Vote) { v.Step = 3 }), treaty.ErrMalformed},
		{"vote at height 0", change(func(v *treaty.Vote) { v.Height = 0 }), treaty.ErrMalformed},
		{"vote in round 2^41", change(func(v *treaty.Vote) { v.Round = 1 << 41 }), treaty.ErrMalformed},
		{"vote for nothing", change(func(v *treaty.Vote) { v.Checkpoint.Size = 0 }), treaty.ErrMalformed},
		{"prepare that rests on something", change(func(v *treaty.Vote) { v.Prepared = c.Root }), treaty.ErrMalformed},
		{"commit that rests on nothing", change(func(v *treaty.Vote) { v.Step = treaty.StepCommit }), treaty.ErrMalformed},
		{"wish at height 0", signed(t, fix, 0, treaty.TypeWish, treaty.Wish{Round: 1}), treaty.ErrMalformed},
		{"wish for round 0", signed(t, fix, 0, treaty.TypeWish, treaty.Wish{Height: 1}), treaty.ErrMalformed},
		{"lock of another height", wish(prepareCertificate(t, fix, 2, 0, c)), treaty.ErrMalformed},
		{"lock of the wish's own round", wish(prepareCertificate(t, fix, 1, 2, c)), treaty.ErrMalformed},
		{"lock that is a commit certificate", wish(bent(func(c *treaty.Certificate) { c.Step = treaty.StepCommit })), treaty.ErrMalformed},
		{"lock short of a signature", wish(bent(func(c *treaty.Certificate) { c.Sigs = c.Sigs[1:] })), treaty.ErrNoQuorum},
		{"lock with one signature twice", wish(bent(func(c *treaty.Certificate) { c.Sigs[1] = c.Sigs[0] })), treaty.ErrMalformed},
		{"lock for something else", wish(bent(func(c *treaty.Certificate) { c.Checkpoint = point(3, false) })), treaty.ErrBadSignature},
		{"lock of another round", wish(bent(func(c *treaty.Certificate) { c.Round = 1 })), treaty.ErrBadSignature},
		{"proposal with a vote for a wish", proposal(ok), treaty.ErrMalformed},
		{"proposal with a bad wish", proposal(flip(wish(good))), treaty.ErrBadSignature},
		{"proposal with a wish whose lock is short", proposal(wish(bent(func(c *treaty.Certificate) { c.Sigs = c.Sigs[1:] }))), treaty.ErrNoQuorum},
		{"proposal with two wishes of one nation", proposal(wish(good), wish(nil)), treaty.ErrMalformed},
		{"proposal with a wish for another round", proposal(signed(t, fix, 1, treaty.TypeWish, treaty.Wish{Height: 1, Round: 3})), treaty.ErrMalformed},
		{"proposal with 41 wishes", proposal(make([][]byte, treaty.MaxNations+1)...), treaty.ErrTooLarge},
		{"vote of a stranger", signed(t, stranger, 4, treaty.TypeVote, vote), nil},
		{"vote under another accord", signed(t, other, 0, treaty.TypeVote, vote), nil},
		{"a record's type", signed(t, fix, 0, treaty.TypeRemark, vote), treaty.ErrMalformed},
	} {
		_, err := Open(fix.Net, k.raw)
		if err == nil || k.want != nil && !errors.Is(err, k.want) {
			t.Errorf("%s: got %v, want %v", k.name, err, k.want)
		}
	}
	second := signed(t, fix, 1, treaty.TypeWish, treaty.Wish{Height: 1, Round: 2, Prepared: good})
	for name, raw := range map[string][]byte{"vote": ok, "wish": wish(good), "wish without a lock": wish(nil), "proposal": proposal(wish(good), second)} {
		if _, err := Open(fix.Net, raw); err != nil {
			t.Errorf("a good %s is refused: %v", name, err)
		}
	}
}

// Wishes of another height hold by themselves; the machine must not take a proposal that rests on them.
func TestProposalWithWishesOfAnotherHeight(t *testing.T) {
	w, err := newWorld(4, time.Second, false)
	if err != nil {
		t.Fatal(err)
	}
	m := w.nodes[0].m
	p := &Proposal{Proposal: treaty.Proposal{Height: 1, Round: 1, Checkpoint: point(1, false)}}
	for _, s := range w.nodes[1:] {
		p.Opened = append(p.Opened, Wish{Wish: treaty.Wish{Height: 1, Round: 1}, From: s.nation})
	}
	if !m.justified(p) {
		t.Fatal("q wishes of its round justify a proposal")
	}
	p.Opened[2].Height = 2
	if m.justified(p) {
		t.Error("a wish of another height counts")
	}
	p.Opened[2] = p.Opened[1]
	if m.justified(p) {
		t.Error("a wish counts twice")
	}
}

// What a nation voted must come back exactly, and nothing but what was written may be taken for it: a node that cannot
// read its votes must not vote. Catches a lenient decoder.
func TestStateIsStrict(t *testing.T) {
	fix := treatytest.New(40) // the largest certificate there is
	c := point(2, false)
	s := &State{
		Height: 1, Round: 5, Prepared: &Cast{Round: 4, Checkpoint: c},
		Committed: &Cast{Round: 3, Checkpoint: c, Prepared: c.Root}, Lock: prepareCertificate(t, fix, 1, 3, c),
	}
	b := s.Encode()
	again, err := DecodeState(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again.Encode(), b) || again.Lock.Digest() != s.Lock.Digest() || *again.Prepared != *s.Prepared || *again.Committed != *s.Committed {
		t.Errorf("came back as %+v", again)
	}
	for cut := range b {
		if _, err := DecodeState(b[:cut]); err == nil {
			t.Fatalf("%d of %d bytes are taken for a state", cut, len(b))
		}
	}
	for name, bad := range map[string][]byte{"trailing byte": append(bytes.Clone(b), 0), "unknown field": {0xa1, 0x09, 0x01}, "field twice": {0xa2, 0x01, 0x01, 0x01, 0x01}, "long form": {0xa1, 0x01, 0x18, 0x01}} {
		if _, err := DecodeState(bad); err == nil || !strings.Contains(err.Error(), "must not vote") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A node whose store was rolled back behind its own votes must not start.
func TestNewRefusesRolledBackStore(t *testing.T) {
	fix := treatytest.New(4)
	cfg := Config{Net: fix.Net, Self: fix.Net.Nations()[0], View: &seat{}, Timeout: time.Second, State: &State{Height: 3, Round: 1}}
	if _, err := New(cfg, 0); err == nil || !strings.Contains(err.Error(), "rolled back") {
		t.Errorf("got %v", err)
	}
	if err := (Config{Self: "XXX"}).Validate(); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("Validate must report both problems, got: %v", err)
	}
}

// In every height each nation proposes once in n rounds, and over many heights each comes first about equally often.
// Catches an order by name, by leader, or one that some nation could bend.
func TestProposersTakeTurns(t *testing.T) {
	for _, n := range []int{4, 7, 35} {
		m := &Machine{cfg: Config{Net: treatytest.New(n).Net}}
		first := map[treaty.Nation]int{}
		heights := uint64(60 * n)
		for h := uint64(1); h <= heights; h++ {
			first[m.Proposer(h, 0)]++
			if h > 20 {
				continue
			}
			turn := map[treaty.Nation]bool{}
			for r := range uint64(n) {
				turn[m.Proposer(h, r)] = true
				if m.Proposer(h, r) != m.Proposer(h, r+uint64(n)) {
					t.Fatalf("n=%d height %d: the order changes after %d rounds", n, h, n)
				}
			}
			if len(turn) != n {
				t.Fatalf("n=%d height %d: %d nations propose in %d rounds", n, h, len(turn), n)
			}
		}
		for _, k := range m.cfg.Net.Nations() { // 60 expected, standard deviation under 8
			if c := first[k]; c < 25 || c > 95 {
				t.Errorf("n=%d: %s comes first at %d of %d heights", n, k, c, heights)
			}
		}
	}
}

// FuzzOpen gives Parse and Finish any bytes: they must not panic, and what they take must be what was signed.
func FuzzOpen(f *testing.F) {
	fix := treatytest.New(4)
	c := point(2, false)
	good := prepareCertificate(f, fix, 1, 0, c)
	w := signed(f, fix, 1, treaty.TypeWish, treaty.Wish{Height: 1, Round: 2, Prepared: good})
	for typ, v := range map[treaty.ContentType]any{
		treaty.TypeStatus: treaty.Status{Height: 1, Frontier: c}, treaty.TypeWish: treaty.Wish{Height: 1, Round: 2, Prepared: good},
		treaty.TypeVote:     treaty.Vote{Height: 1, Step: treaty.StepPrepare, Checkpoint: c},
		treaty.TypeProposal: treaty.Proposal{Height: 1, Round: 2, Checkpoint: c, Wishes: [][]byte{w, w}},
	} {
		f.Add(signed(f, fix, 0, typ, v))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := Parse(raw)
		if err != nil {
			return
		}
		msg, err := o.Finish(fix.Net)
		if err != nil {
			return
		}
		set := 0
		for _, is := range []bool{msg.Status != nil, msg.Proposal != nil, msg.Vote != nil, msg.Wish != nil} {
			if is {
				set++
			}
		}
		if set != 1 || msg.From == "" || fmt.Sprint(o.Height) != fmt.Sprint(heightOf(msg)) {
			t.Errorf("a message of %d kinds from %q at height %d", set, msg.From, o.Height)
		}
	})
}

// FuzzDecodeState gives the vote store any bytes: what is taken must encode to the same bytes again.
func FuzzDecodeState(f *testing.F) {
	f.Add((&State{Height: 1, Round: 2, Prepared: &Cast{Checkpoint: point(1, false)}}).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := DecodeState(b); err == nil && !bytes.Equal(s.Encode(), b) {
			t.Errorf("%x is taken for a state that encodes to %x", b, s.Encode())
		}
	})
}
