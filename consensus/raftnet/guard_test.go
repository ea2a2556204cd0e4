//lint:file-ignore SA1019 raft still reads the deprecated identity fields of a request, so what stands in them is checked too

package raftnet

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

type fixedView struct {
	l    string
	t, a uint64
}

func (v fixedView) leader() string  { return v.l }
func (v fixedView) term() uint64    { return v.t }
func (v fixedView) applied() uint64 { return v.a }

func header(id string) raft.RPCHeader {
	return raft.RPCHeader{ProtocolVersion: 3, ID: []byte(id), Addr: []byte(id)}
}

// Would catch each rule of the guard missing: every row breaks exactly one, starting from a request that is allowed.
func TestGuard(t *testing.T) {
	config := []byte("roster")
	view := fixedView{l: "FRA", t: 5, a: 10}
	entry := func(i, term uint64, k raft.LogType, data string) *raft.Log {
		return &raft.Log{Index: i, Term: term, Type: k, Data: []byte(data)}
	}
	ae := func(change func(*raft.AppendEntriesRequest)) any {
		a := &raft.AppendEntriesRequest{
			RPCHeader: header("FRA"), Leader: []byte("FRA"), Term: 6, PrevLogEntry: 10, PrevLogTerm: 4, LeaderCommitIndex: 9,
			Entries: []*raft.Log{entry(11, 4, raft.LogCommand, "x"), entry(12, 6, raft.LogNoop, ""), entry(13, 6, raft.LogBarrier, "")},
		}
		change(a)
		return a
	}
	founding := func(change func(*raft.Log)) any {
		e := &raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: config}
		change(e)
		return &raft.AppendEntriesRequest{RPCHeader: header("FRA"), Leader: []byte("FRA"), Term: 6, Entries: []*raft.Log{e}}
	}
	vote := func(change func(*raft.RequestVoteRequest)) any {
		v := &raft.RequestVoteRequest{RPCHeader: header("FRA"), Candidate: []byte("FRA"), Term: 7, LastLogIndex: 9, LastLogTerm: 6}
		change(v)
		return v
	}
	snap := func(change func(*snapshotCall)) any {
		s := &snapshotCall{InstallSnapshotRequest: raft.InstallSnapshotRequest{
			RPCHeader: header("FRA"), SnapshotVersion: 1, Term: 6, Leader: []byte("FRA"), LastLogIndex: 11, LastLogTerm: 5,
			Configuration: config, ConfigurationIndex: 1,
		}}
		change(s)
		return s
	}
	for _, c := range []struct {
		name string
		req  any
		want refusal
	}{
		{"append", ae(func(*raft.AppendEntriesRequest) {}), allowed},
		{"other ID", ae(func(a *raft.AppendEntriesRequest) { a.ID = []byte("DEU") }), refusedIdentity},
		{"empty ID", ae(func(a *raft.AppendEntriesRequest) { a.ID = nil }), refusedIdentity},
		{"other address", ae(func(a *raft.AppendEntriesRequest) { a.Addr = []byte("DEU") }), refusedIdentity},
		{"other leader", ae(func(a *raft.AppendEntriesRequest) { a.Leader = []byte("DEU") }), refusedIdentity},
		{"old protocol", ae(func(a *raft.AppendEntriesRequest) { a.ProtocolVersion = 2 }), refusedVersion},
		{"term bomb", ae(func(a *raft.AppendEntriesRequest) { a.Term = 1<<64 - 1 }), refusedTerm},
		{"term ceiling", ae(func(a *raft.AppendEntriesRequest) { a.Term = maxTerm + 1 }), refusedTerm},
		{"term jump", ae(func(a *raft.AppendEntriesRequest) { a.Term = 5 + maxTermJump + 1 }), refusedTerm},
		{"term zero", ae(func(a *raft.AppendEntriesRequest) { a.Term, a.Entries, a.PrevLogTerm = 0, nil, 0 }), refusedTerm},
		{"index gap", ae(func(a *raft.AppendEntriesRequest) { a.Entries[1].Index = 13 }), refusedOrder},
		{"falling term", ae(func(a *raft.AppendEntriesRequest) { a.Entries[0].Term = 6; a.Entries[1].Term = 5 }), refusedOrder},
		{"term below the previous", ae(func(a *raft.AppendEntriesRequest) { a.Entries[0].Term = 3 }), refusedOrder},
		{"entry term above the leader's", ae(func(a *raft.AppendEntriesRequest) { a.Entries[2].Term = 7 }), refusedOrder},
		{"previous term above the leader's", ae(func(a *raft.AppendEntriesRequest) { a.PrevLogTerm, a.Entries = 7, nil }), refusedOrder},
		{"old AddPeer", ae(func(a *raft.AppendEntriesRequest) { a.Entries[0].Type = raft.LogAddPeerDeprecated }), refusedEntry},
		{"old RemovePeer", ae(func(a *raft.AppendEntriesRequest) { a.Entries[0].Type = raft.LogRemovePeerDeprecated }), refusedEntry},
		{"unknown type", ae(func(a *raft.AppendEntriesRequest) { a.Entries[0].Type = 77 }), refusedEntry},
		{"late configuration", ae(func(a *raft.AppendEntriesRequest) {
			a.Entries[0].Type, a.Entries[0].Data = raft.LogConfiguration, config
		}), refusedConfig},
		{"extensions", ae(func(a *raft.AppendEntriesRequest) { a.Entries[0].Extensions = []byte("x") }), refusedSize},
		{"leader's clock", ae(func(a *raft.AppendEntriesRequest) { a.Entries[0].AppendedAt = time.Unix(1, 0) }), refusedSize},
		{"large entry", ae(func(a *raft.AppendEntriesRequest) { a.Entries[0].Data = make([]byte, MaxEntry+1) }), refusedSize},
		{"noop with data", ae(func(a *raft.AppendEntriesRequest) { a.Entries[1].Data = []byte("x") }), refusedSize},
		{"founding", founding(func(*raft.Log) {}), allowed},
		{"founding by somebody else's roster", founding(func(e *raft.Log) { e.Data = []byte("other") }), refusedConfig},
		{"founding in another term", founding(func(e *raft.Log) { e.Term = 2 }), refusedConfig},
		{"founding is a command", founding(func(e *raft.Log) { e.Type = raft.LogCommand }), refusedConfig},
		{"vote", vote(func(*raft.RequestVoteRequest) {}), allowed},
		{"vote for another", vote(func(v *raft.RequestVoteRequest) { v.Candidate = []byte("DEU") }), refusedIdentity},
		{"vote with a log from the future", vote(func(v *raft.RequestVoteRequest) { v.LastLogTerm = 7 }), refusedTerm},
		{"pre-vote", &raft.RequestPreVoteRequest{RPCHeader: header("FRA"), Term: 7}, allowed},
		{"pre-vote for another", &raft.RequestPreVoteRequest{RPCHeader: header("DEU"), Term: 7}, refusedIdentity},
		{"timeout now from the leader", &raft.TimeoutNowRequest{RPCHeader: header("FRA")}, allowed},
		{"timeout now in another's name", &raft.TimeoutNowRequest{RPCHeader: header("DEU")}, refusedIdentity},
		{"snapshot", snap(func(*snapshotCall) {}), allowed},
		{"snapshot with another roster", snap(func(s *snapshotCall) { s.Configuration = []byte("other") }), refusedConfig},
		{"snapshot that goes back", snap(func(s *snapshotCall) { s.LastLogIndex = 10 }), refusedSnapshot},
		{"snapshot from the future", snap(func(s *snapshotCall) { s.LastLogTerm = 7 }), refusedSnapshot},
		{"snapshot of version 0", snap(func(s *snapshotCall) { s.SnapshotVersion = 0 }), refusedSnapshot},
		{"nonsense", "text", refusedFrame},
	} {
		g := &guard{config: config, counted: map[string]map[refusal]uint64{}}
		if got := g.request("FRA", c.req, view); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	g := &guard{config: config, counted: map[string]map[refusal]uint64{}}
	if got := g.request("DEU", &raft.TimeoutNowRequest{RPCHeader: header("DEU")}, view); got != refusedTimeout {
		t.Errorf("timeout now from a follower: %q", got)
	}
	v := &raft.RequestVoteRequest{RPCHeader: header("DEU"), Candidate: []byte("DEU"), Term: 7, LeadershipTransfer: true}
	if got := g.request("DEU", v, view); got != allowed || v.LeadershipTransfer || g.counted["DEU"][maskedTransfer] != 1 {
		t.Errorf("a transfer flag under a living leader was kept: %q %v", got, v)
	}
	v.LeadershipTransfer = true
	if g.request("DEU", v, fixedView{t: 5}); !v.LeadershipTransfer {
		t.Error("a transfer flag was taken away though there is no leader")
	}
}

// Would catch a lone liar deposing a leader at will, a straggler that is never believed, and liars raising the term
// beyond what an honest member says.
func TestClaims(t *testing.T) {
	now := time.Unix(0, 0)
	c := newClaims(1, time.Second)
	deposed := 0
	for range 2 * 3600 { // two hours of a liar answering every second
		now = now.Add(time.Second)
		if c.judge("LIE", 5, 1<<39, now, false) > 5 {
			deposed++
		}
	}
	if deposed < 1 || deposed > 12 {
		t.Errorf("a lone liar deposed the leader %d times in two hours, want a handful", deposed)
	}
	c = newClaims(1, time.Second)
	got, waited := uint64(0), 0
	for ; got <= 5 && waited < 100; waited++ {
		now = now.Add(time.Second)
		got = c.judge("EST", 5, 6, now, false)
	}
	if got != 6 || waited > 5 {
		t.Errorf("an honest straggler was believed as %d after %d s", got, waited)
	}
	c = newClaims(1, time.Second)
	for range 100 { // heartbeats must not use up the belief that the next append needs
		now = now.Add(time.Second)
		if got := c.judge("EST", 5, 6, now, true); got != 5 {
			t.Fatal("a heartbeat's answer was believed")
		}
	}
	if got := c.judge("EST", 5, 6, now, false); got != 6 {
		t.Errorf("a claim heard for 100 s was believed as %d", got)
	}
	c = newClaims(1, time.Second)
	if got := c.judge("LIE", 5, 1<<39, now, false); got != 5 {
		t.Errorf("believed one claim at once: %d", got)
	}
	if got := c.judge("EST", 5, 7, now, false); got != 7 {
		t.Errorf("of two claims, 2^39 and 7, believed %d, want 7", got)
	}
	if got := c.judge("LIE", 5, 1<<39, now, false); got != 7 {
		t.Errorf("a liar among two raised the term to %d, want 7", got)
	}
	if got := c.judge("LIE", 5, 1<<64-1, now, false); got != 5 {
		t.Errorf("a term above the ceiling was believed as %d", got)
	}
}

// Would catch the counters growing without bound under strangers.
func TestRefusedIsBounded(t *testing.T) {
	g := &guard{counted: map[string]map[refusal]uint64{}}
	for i := range 10_000 {
		g.note(string(rune('a'+i%26))+string(rune(i)), refusedStranger)
	}
	if n := len(g.counted); n > maxMembers+maxStrangers+1 {
		t.Errorf("%d names are counted", n)
	}
}
