package adversary

import (
	"bytes"
	"testing"

	"truceline/consensus/finality"
	"truceline/node"
	"truceline/node/peer"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

func self(f *treatytest.Fixture, i int) Self {
	k := f.Net.Nations()[i]
	return Self{Net: f.Net, Nation: k, Key: f.Keys[k].Treaty, Seed: 1}
}

// vote is a finality frame as a node sends it.
func vote(t *testing.T, f *treatytest.Fixture, i int) []byte {
	t.Helper()
	raw, err := f.Signers[f.Net.Nations()[i]].SignVote(treaty.Vote{
		Height: 3, Step: treaty.StepPrepare, Checkpoint: treaty.Checkpoint{Size: 5, Root: treaty.HashOf([]byte("root")), Index: 7, Term: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte{1}, raw...)
}

// An equivocator whose lies do not verify, or are not about the same step, would test nothing: honest nodes must see
// proof of misbehaviour in the two votes, and somebody must see both.
func TestEquivocatorConvictsItself(t *testing.T) {
	f := treatytest.New(4)
	e := NewEquivocator(self(f, 0))
	frame := vote(t, f, 0)
	kinds := map[string]int{}
	var lie []byte
	for _, k := range f.Net.Nations()[1:] {
		out := e.Out(k, peer.Votes, frame)
		switch {
		case len(out) == 2:
			kinds["both"]++
			lie = out[1]
		case bytes.Equal(out[0], frame):
			kinds["true"]++
		default:
			kinds["false"]++
		}
	}
	if kinds["both"] != 1 || kinds["true"] != 1 || kinds["false"] != 1 {
		t.Fatalf("of three nations: %v", kinds)
	}
	var said [2][]byte
	for i, fr := range [][]byte{frame, lie} {
		m, err := finality.Open(f.Net, fr[1:])
		if err != nil {
			t.Fatal(err)
		}
		said[i] = f.Net.VoteMessage(m.Vote.Vote, m.Vote.Sig)
	}
	m, err := treaty.NewMisbehaviour(e.Nation, treaty.TwoVotes, said[0], said[1])
	if err == nil {
		_, err = f.Net.CheckMisbehaviour(m)
	}
	if err != nil {
		t.Error(err)
	}
}

// Others' votes, and what is no vote, must pass unchanged: an adversary has its own key only.
func TestEquivocatorLeavesOthersAlone(t *testing.T) {
	f := treatytest.New(4)
	e := NewEquivocator(self(f, 0))
	for _, frame := range [][]byte{vote(t, f, 1), {1}, {1, 2, 3}, {}} {
		for _, k := range f.Net.Nations()[1:] {
			if out := e.Out(k, peer.Votes, frame); len(out) != 1 || !bytes.Equal(out[0], frame) {
				t.Errorf("%x became %x", frame, out)
			}
		}
	}
}

// Behaviours that are put together must all have their say.
func TestAll(t *testing.T) {
	f := treatytest.New(4)
	to := f.Net.Nations()[1]
	frame := vote(t, f, 0)
	for _, tc := range []struct {
		name   string
		all    All
		class  peer.Class
		frames int
		serve  bool
	}{
		{"nothing", nil, peer.Votes, 1, true},
		{"silent then equivocator", All{NewSilent(self(f, 0)), NewEquivocator(self(f, 0))}, peer.Votes, 0, false},
		{"withholder: votes", All{NewWithholder(self(f, 0), ""), NewPoisoner(self(f, 0))}, peer.Votes, 1, false},
		{"withholder: evidence", All{NewPoisoner(self(f, 0)), NewWithholder(self(f, 0), "")}, peer.Evidence, 0, false},
		{"withholder's friend", All{NewWithholder(self(f, 0), to)}, peer.Evidence, 1, true},
	} {
		if got := len(tc.all.Out(to, tc.class, frame)); got != tc.frames {
			t.Errorf("%s: %d frames, want %d", tc.name, got, tc.frames)
		}
		if got := tc.all.Serve(to); got != tc.serve {
			t.Errorf("%s: serves %t, want %t", tc.name, got, tc.serve)
		}
	}
	var _ node.Tamper = All{}
}

// A copycat's seal must carry the other's digest and its own window.
func TestCopycatCopies(t *testing.T) {
	f := treatytest.New(4)
	c := NewCopycat(self(f, 0))
	other := &treaty.Seal{Window: 9, Count: 2, Digest: treaty.HashOf([]byte("batch"))}
	r, err := f.Signers[f.Net.Nations()[1]].SignRecord(1, treatytest.Founded, other)
	if err != nil {
		t.Fatal(err)
	}
	if !c.In(f.Net.Nations()[1], peer.Records, r.Raw()) {
		t.Error("the record is not heard")
	}
	got := c.Author(&treaty.Seal{Window: 10}).(*treaty.Seal)
	if got.Window != 10 || got.Digest != other.Digest || got.Count != 2 || c.Copied() != 1 {
		t.Errorf("%+v", got)
	}
	if again := c.Author(&treaty.Seal{Window: 11}).(*treaty.Seal); !again.Digest.IsZero() {
		t.Errorf("copied twice: %+v", again)
	}
}
