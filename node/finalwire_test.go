package node

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"truceline/consensus/finality"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// emptyLedger has applied nothing: the votes in these tests are handed to the driver, not asked of the machine.
type emptyLedger struct{}

func (emptyLedger) Frontier() treaty.Checkpoint        { return treaty.Checkpoint{} }
func (emptyLedger) Boundaries() []treaty.Checkpoint    { return nil }
func (emptyLedger) Holds(treaty.Checkpoint) bool       { return false }
func (emptyLedger) Objection(treaty.Checkpoint) string { return "" }

// The power fails at the moment a vote or a wish leaves. What is on the disk then must already say that it was given, or the
// nation could give another one after its restart. Catches a write after the send, and a write that is not synced.
func TestVoteIsDurableBeforeItLeaves(t *testing.T) {
	fix := treatytest.New(4)
	self := fix.Net.Nations()[0]
	fs := vfs.NewCrashableMem()
	db, err := pebble.Open("db", &pebble.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	m, err := finality.New(finality.Config{Net: fix.Net, Self: self, View: emptyLedger{}, Timeout: time.Second}, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := treaty.Checkpoint{Size: 3, Root: treaty.HashOf([]byte("root")), Index: 1, Term: 1}
	state := &finality.State{Height: 1, Round: 2, Prepared: &finality.Cast{Round: 2, Checkpoint: c}}
	sent := 0
	f := &finalizer{start: time.Now(), machine: m, cfg: finalizerConfig{
		Net: fix.Net, Nation: self, Signer: fix.Signers[self], DB: db, Log: slog.New(slog.DiscardHandler),
		Send: func(treaty.Nation, []byte) {
			sent++
			after, err := pebble.Open("db", &pebble.Options{FS: fs.CrashClone(vfs.CrashCloneCfg{})})
			if err != nil {
				t.Fatal(err)
			}
			defer after.Close()
			voted, err := load(after, keyVoted)
			if err != nil {
				t.Fatal(err)
			}
			if voted == nil {
				t.Fatal("the vote left before it was durable")
			}
			if s, err := finality.DecodeState(voted); err != nil || s.Round != 2 || s.Prepared == nil || s.Prepared.Checkpoint != c {
				t.Fatalf("after a power cut at this moment the nation remembers %+v (%v)", s, err)
			}
		},
	}}
	err = f.carry(context.Background(), []finality.Effect{
		{Persist: &finality.State{Height: 1, Round: 1}},
		{Persist: state},
		{Say: &finality.Say{Vote: &treaty.Vote{Height: 1, Round: 2, Step: treaty.StepPrepare, Checkpoint: c}}},
		{Say: &finality.Say{Wish: &treaty.Wish{Height: 1, Round: 2}}},
	})
	if err != nil || sent != 2 {
		t.Fatalf("sent %d messages, want 2: %v", sent, err)
	}
}

// A certificate that Raft delivers in place of a snapshot comes from a leader who may lie. One that does not hold must be
// refused before anything is asked for; a good one goes on to the finalizer. Catches a Restore that trusts the leader.
func TestRestoreRefusesBadCertificate(t *testing.T) {
	fix := treatytest.New(4)
	c := treaty.Checkpoint{Size: 3, Root: treaty.HashOf([]byte("root")), Index: 1, Term: 1}
	v := treaty.Vote{Height: 1, Step: treaty.StepCommit, Checkpoint: c, Prepared: treaty.HashOf([]byte("prepared"))}
	good := treaty.Certificate{Height: 1, Step: v.Step, Checkpoint: c}
	for _, k := range fix.Net.Nations()[:fix.Net.Q] {
		raw, err := fix.Signers[k].SignVote(v)
		if err != nil {
			t.Fatal(err)
		}
		msg, err := finality.Open(fix.Net, raw)
		if err != nil {
			t.Fatal(err)
		}
		good.Sigs = append(good.Sigs, msg.Vote.Sig)
	}
	log := slog.New(slog.DiscardHandler)
	db, err := pebble.Open("db", &pebble.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	n := &Node{db: db, log: log, cfg: Config{Net: fix.Net}}
	if err := n.openLedger(); err != nil {
		t.Fatal(err)
	}
	stopped, stop := context.WithCancel(context.Background())
	stop() // whoever is let through to the finalizer finds the node stopping
	o := &order{net: fix.Net, running: stopped, log: log, final: &finalizer{
		reached: make(chan reachRequest), cfg: finalizerConfig{Ledger: n.ledger},
	}}
	restore := func(c treaty.Certificate) error { return o.Restore(treaty.Encode(&c)) }

	if err := restore(good); !errors.Is(err, context.Canceled) {
		t.Fatalf("a good certificate was not handed on: %v", err)
	}
	short, other := good, good
	short.Sigs = good.Sigs[1:]
	other.Checkpoint.Root[0] ^= 1
	if err := restore(short); !errors.Is(err, treaty.ErrNoQuorum) {
		t.Errorf("too few signatures: %v", err)
	}
	if err := restore(other); !errors.Is(err, treaty.ErrBadSignature) {
		t.Errorf("signatures for something else: %v", err)
	}
	if err := o.Restore([]byte("no certificate")); !errors.Is(err, treaty.ErrMalformed) {
		t.Errorf("no certificate at all: %v", err)
	}
}
