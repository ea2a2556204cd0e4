//lint:file-ignore SA1019 raft still reads the deprecated identity fields of a request, so what stands in them is checked too

package raftnet

import (
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// The rows of consensus.md table C.4 that one request can try. Each test starts from a request that is allowed and breaks
// one rule. rows_net_test.go has those that need a network; rows 2, 23 and 25 need no guard, guard.go says why.

var (
	fix   = treatytest.New(4)
	start = treaty.HashOf([]byte("a run"))
)

const roster = "roster"

func testGuard() *guard {
	g := newGuard(&Config{
		Net: fix.Net, Timing: DefaultTiming(), Certified: func() uint64 { return 10 },
		Accept: func(_, _ uint64, data []byte) error {
			if string(data) != "certificate" {
				return errors.New("no certificate")
			}
			return nil
		},
	})
	g.config = []byte(roster)
	return g
}

// bel is BEL's stream, after it showed that it leads term 6.
func bel() *speaker {
	return &speaker{"BEL", treaty.ElectionVote{Term: 6, Candidate: "BEL", Start: start}}
}

// seen is a follower of BEL in term 6 that has applied 10 entries.
var seen = fixedView{l: "BEL", t: 6, a: 10}

func entry(i, term uint64, k raft.LogType, data string) *raft.Log {
	return &raft.Log{Index: i, Term: term, Type: k, Data: []byte(data)}
}

type appends = raft.AppendEntriesRequest

func ae(change func(*appends)) *appendCall {
	a := &appendCall{AppendEntriesRequest: appends{
		RPCHeader: header("BEL"), Leader: []byte("BEL"), Term: 6, PrevLogEntry: 10, PrevLogTerm: 4, LeaderCommitIndex: 9,
		Entries: []*raft.Log{entry(11, 4, raft.LogCommand, "x"), entry(12, 6, raft.LogNoop, ""), entry(13, 6, raft.LogCommand, "y")},
	}}
	change(&a.AppendEntriesRequest)
	return a
}

func founding(change func(*raft.Log)) *appendCall {
	e := &raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: []byte(roster)}
	change(e)
	return &appendCall{AppendEntriesRequest: appends{RPCHeader: header("BEL"), Leader: []byte("BEL"), Term: 6, Entries: []*raft.Log{e}}}
}

func vote(change func(*raft.RequestVoteRequest)) *voteCall {
	v := &voteCall{raft.RequestVoteRequest{
		RPCHeader: header("BEL"), Candidate: []byte("BEL"), Term: 7, LastLogIndex: 9, LastLogTerm: 6,
	}, start}
	change(&v.RequestVoteRequest)
	return v
}

func preVote(change func(*raft.RequestPreVoteRequest)) *raft.RequestPreVoteRequest {
	v := &raft.RequestPreVoteRequest{RPCHeader: header("BEL"), Term: 7, LastLogIndex: 9, LastLogTerm: 6}
	change(v)
	return v
}

func snap(change func(*snapshotCall)) *snapshotCall {
	s := &snapshotCall{raft.InstallSnapshotRequest{
		RPCHeader: header("BEL"), SnapshotVersion: 1, Term: 6, Leader: []byte("BEL"), LastLogIndex: 11, LastLogTerm: 5,
		Configuration: []byte(roster), ConfigurationIndex: 1,
	}, []byte("certificate")}
	change(s)
	return s
}

// tried is one request and what the guard must say of it.
type tried struct {
	name string
	req  any
	want refusal
}

func rows(t *testing.T, by *speaker, cases ...tried) {
	t.Helper()
	for _, c := range cases {
		if got := testGuard().request(by, c.req, seen); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// Would catch obedience to whoever says that it leads.
func TestRow01UnelectedLeader(t *testing.T) {
	noChange := func(*appends) {}
	rows(t, bel(), tried{"elected", ae(noChange), allowed}, tried{"nonsense", "text", refusedFrame})
	for name, by := range map[string]*speaker{
		"without a certificate":      {id: "BEL"},
		"elected in an earlier term": {"BEL", treaty.ElectionVote{Term: 5, Candidate: "BEL", Start: start}},
		"elected in a later term":    {"BEL", treaty.ElectionVote{Term: 7, Candidate: "BEL", Start: start}},
	} {
		rows(t, by, tried{name + ", entries", ae(noChange), refusedElection},
			tried{name + ", heartbeat", ae(func(a *appends) { a.Entries = nil }), refusedElection},
			tried{name + ", snapshot", snap(func(*snapshotCall) {}), refusedElection},
			tried{name + ", timeout now", &raft.TimeoutNowRequest{RPCHeader: header("BEL")}, refusedTimeout})
	}
	cert := func(q int, change func(*treaty.Election)) []byte {
		e := &treaty.Election{Term: 6, Candidate: "BEL", Start: start}
		for _, k := range fix.Net.Nations()[:q] {
			sig, err := fix.Signers[k].SignElection(e.Vote())
			if err != nil {
				t.Fatal(err)
			}
			e.Sigs = append(e.Sigs, sig)
		}
		change(e)
		return treaty.Encode(e)
	}
	same := func(*treaty.Election) {}
	for _, c := range []struct {
		name string
		by   *speaker
		body []byte
		want refusal
	}{
		{"q votes", &speaker{id: "BEL"}, cert(3, same), allowed},
		{"fewer", &speaker{id: "BEL"}, cert(2, same), refusedElection},
		{"for another", &speaker{id: "CZE"}, cert(3, same), refusedElection},
		{"another term written in", &speaker{id: "BEL"}, cert(3, func(e *treaty.Election) { e.Term = 7 }), refusedElection},
		{"an old one again", bel(), cert(3, same), refusedElection},
		{"no bytes", &speaker{id: "BEL"}, nil, refusedElection},
	} {
		told := 0
		g := testGuard()
		if got := g.election(c.by, c.body, func(treaty.ElectionVote) { told++ }); got != c.want || (told == 1) != (c.want == allowed) {
			t.Errorf("%s: %q, want %q; told %d times", c.name, got, c.want, told)
		}
		if c.want == allowed {
			if got := g.request(c.by, ae(noChange), seen); got != allowed {
				t.Errorf("%s: its entries: %q", c.name, got)
			}
			if g.election(&speaker{id: "BEL"}, c.body, func(treaty.ElectionVote) { told++ }) != allowed || told != 1 {
				t.Error("the same certificate on another stream was refused, or verified again")
			}
		}
	}
}

// Would catch a term moved by one member's word: to the end of all terms, or by more than a step.
func TestRow04TermBomb(t *testing.T) {
	at := func(term uint64) *speaker { return &speaker{"BEL", treaty.ElectionVote{Term: term}} }
	aeAt := func(term uint64) *appendCall {
		return ae(func(a *appends) { a.Term = term })
	}
	rows(t, at(math.MaxUint64), tried{"last term", aeAt(math.MaxUint64), refusedTerm})
	rows(t, at(maxTerm+1), tried{"above the ceiling", aeAt(maxTerm + 1), refusedTerm})
	rows(t, at(0), tried{"zero", ae(func(a *appends) { a.Term, a.Entries, a.PrevLogTerm = 0, nil, 0 }), refusedTerm})
	rows(t, at(1<<30), tried{"a year away, but with a certificate", aeAt(1 << 30), allowed})
	far := uint64(6 + maxTermJump + 1)
	voteAt := func(term uint64) *voteCall { return vote(func(v *raft.RequestVoteRequest) { v.Term = term }) }
	rows(t, bel(), tried{"vote", voteAt(7), allowed}, tried{"vote, a step", voteAt(far - 1), allowed},
		tried{"vote, too far", voteAt(far), refusedTerm}, tried{"vote, 2^64-1", voteAt(math.MaxUint64), refusedTerm},
		tried{"pre-vote, too far", preVote(func(v *raft.RequestPreVoteRequest) { v.Term = far }), refusedTerm})
	// The node was away: f+1 members stand in far terms. A liar among them cannot raise the limit beyond the honest one's.
	g := testGuard()
	if got := g.request(bel(), voteAt(1<<39), seen); got != refusedTerm {
		t.Errorf("one member alone: %q", got)
	}
	honest := vote(func(v *raft.RequestVoteRequest) {
		v.RPCHeader, v.Candidate, v.Term = header("CZE"), []byte("CZE"), 1<<20
	})
	if got := g.request(&speaker{id: "CZE"}, honest, seen); got != allowed {
		t.Errorf("the second of f+1: %q", got)
	}
	if got := g.request(bel(), voteAt(1<<39), seen); got != refusedTerm {
		t.Errorf("the liar beside an honest one: %q", got)
	}
}

// Would catch a candidate whose log claims to come from the future.
func TestRow06LastLog(t *testing.T) {
	rows(t, bel(), tried{"vote", vote(func(v *raft.RequestVoteRequest) { v.LastLogTerm = 7 }), refusedTerm},
		tried{"pre-vote", preVote(func(v *raft.RequestPreVoteRequest) { v.LastLogTerm = 7 }), refusedTerm})
}

// Would catch a transfer flag that makes voters forget the leader they have.
func TestRow07TransferFlag(t *testing.T) {
	v := vote(func(v *raft.RequestVoteRequest) {
		v.RPCHeader, v.Candidate, v.LeadershipTransfer = header("CZE"), []byte("CZE"), true
	})
	g := testGuard()
	if got := g.request(&speaker{id: "CZE"}, v, seen); got != allowed || v.LeadershipTransfer || g.counted["CZE"][maskedTransfer] != 1 {
		t.Errorf("a transfer flag under a living leader was kept: %q %v", got, v)
	}
	v.LeadershipTransfer = true
	if g.request(&speaker{id: "CZE"}, v, fixedView{t: 6}); !v.LeadershipTransfer {
		t.Error("a transfer flag was taken away though there is no leader")
	}
}

// Would catch an election started by anybody's TimeoutNow, or by a leader's again and again.
func TestRow08TimeoutNow(t *testing.T) {
	ask := func(name string) *raft.TimeoutNowRequest { return &raft.TimeoutNowRequest{RPCHeader: header(name)} }
	rows(t, bel(), tried{"leader", ask("BEL"), allowed}, tried{"in another's name", ask("CZE"), refusedIdentity})
	rows(t, &speaker{"CZE", treaty.ElectionVote{Term: 6, Candidate: "CZE"}}, tried{"not the leader", ask("CZE"), refusedTimeout})
	rows(t, &speaker{"BEL", treaty.ElectionVote{Term: 5}}, tried{"leader of another term", ask("BEL"), refusedTimeout})
	synctest.Test(t, func(t *testing.T) {
		g := testGuard()
		for i, want := range []refusal{allowed, refusedTimeout, allowed} {
			if got := g.request(bel(), ask("BEL"), seen); got != want {
				t.Errorf("number %d: %q, want %q", i, got, want)
			}
			time.Sleep(g.pace * 2 / 3) // virtual
		}
	})
}

// Would catch a request that speaks in another's name, or in none, or in an old version that skips the checks.
func TestRow09Identity(t *testing.T) {
	rows(t, bel(), tried{"other ID", ae(func(a *appends) { a.ID = []byte("CZE") }), refusedIdentity},
		tried{"empty ID", ae(func(a *appends) { a.ID = nil }), refusedIdentity},
		tried{"other address", ae(func(a *appends) { a.Addr = []byte("CZE") }), refusedIdentity},
		tried{"other leader", ae(func(a *appends) { a.Leader = []byte("CZE") }), refusedIdentity},
		tried{"old protocol", ae(func(a *appends) { a.ProtocolVersion = 2 }), refusedVersion},
		tried{"vote for another", vote(func(v *raft.RequestVoteRequest) { v.Candidate = []byte("CZE") }), refusedIdentity},
		tried{"pre-vote", preVote(func(*raft.RequestPreVoteRequest) {}), allowed},
		tried{"pre-vote for another", preVote(func(v *raft.RequestPreVoteRequest) { v.RPCHeader = header("CZE") }), refusedIdentity})
}

// Would catch a configuration that panics raft at every start, or is not the accord's roster; also row 17, membership.
func TestRow11And17Configuration(t *testing.T) {
	rows(t, bel(), tried{"founding", founding(func(*raft.Log) {}), allowed},
		tried{"garbage", founding(func(e *raft.Log) { e.Data = []byte{0xff} }), refusedConfig},
		tried{"another roster", founding(func(e *raft.Log) { e.Data = []byte("other") }), refusedConfig},
		tried{"in another term", founding(func(e *raft.Log) { e.Term = 2 }), refusedConfig},
		tried{"a command instead", founding(func(e *raft.Log) { e.Type = raft.LogCommand }), refusedConfig},
		tried{"later", ae(func(a *appends) { a.Entries[0].Type, a.Entries[0].Data = raft.LogConfiguration, []byte(roster) }), refusedConfig})
}

// Would catch an entry type that replaces the membership (row 12) or panics raft (row 13).
func TestRow12And13EntryTypes(t *testing.T) {
	for k := range 256 {
		want := refusedEntry
		switch raft.LogType(k) {
		case raft.LogCommand:
			want = allowed
		case raft.LogNoop:
			want = refusedSize // it is not the first of its term
		case raft.LogConfiguration:
			want = refusedConfig
		}
		rows(t, bel(), tried{raft.LogType(k).String(), ae(func(a *appends) { a.Entries[0].Type = raft.LogType(k) }), want})
	}
}

// Would catch a gap, on which raft panics.
func TestRow14EntryOrder(t *testing.T) {
	rows(t, bel(), tried{"gap", ae(func(a *appends) { a.Entries[1].Index = 13 }), refusedOrder},
		tried{"repeat", ae(func(a *appends) { a.Entries[1].Index = 11 }), refusedOrder},
		tried{"overflow", ae(func(a *appends) { a.PrevLogEntry = math.MaxUint64 - 1 }), refusedOrder},
		tried{"term before the first entry", ae(func(a *appends) { a.PrevLogEntry = 0 }), refusedOrder})
}

// Would catch entry terms that make this node refuse every honest candidate.
func TestRow15EntryTerm(t *testing.T) {
	rows(t, bel(), tried{"above the leader's", ae(func(a *appends) { a.Entries[2].Term = 7 }), refusedOrder},
		tried{"falling", ae(func(a *appends) { a.Entries[2].Term = 5 }), refusedOrder},
		tried{"below the previous", ae(func(a *appends) { a.Entries[0].Term = 3 }), refusedOrder},
		tried{"zero", ae(func(a *appends) { a.Entries[0].Term = 0 }), refusedOrder},
		tried{"previous above the leader's", ae(func(a *appends) { a.PrevLogTerm, a.Entries = 7, nil }), refusedOrder})
}

// Would catch a leader that fills the disk, or hides something beside the data.
func TestRow16Floods(t *testing.T) {
	many := func(n int) *appendCall {
		return ae(func(a *appends) {
			a.Entries = nil
			for i := range n {
				a.Entries = append(a.Entries, entry(11+uint64(i), 4, raft.LogCommand, "x"))
			}
		})
	}
	above := func(last uint64) *appendCall {
		return ae(func(a *appends) {
			a.PrevLogEntry = last - 1
			a.Entries = []*raft.Log{entry(last, 4, raft.LogCommand, "x")}
		})
	}
	rows(t, bel(), tried{"extensions", ae(func(a *appends) { a.Entries[0].Extensions = []byte("x") }), refusedSize},
		tried{"leader's clock", ae(func(a *appends) { a.Entries[0].AppendedAt = time.Unix(1, 0) }), refusedSize},
		tried{"large entry", ae(func(a *appends) { a.Entries[0].Data = make([]byte, MaxEntry+1) }), refusedSize},
		tried{"empty command", ae(func(a *appends) { a.Entries[0].Data = nil }), refusedSize},
		tried{"Noop with data", ae(func(a *appends) { a.Entries[1].Data = []byte("x") }), refusedSize},
		tried{"second Noop", ae(func(a *appends) { a.Entries[2].Type, a.Entries[2].Data = raft.LogNoop, nil }), refusedSize},
		tried{"term without a Noop", ae(func(a *appends) { a.Entries[1].Type, a.Entries[1].Data = raft.LogCommand, []byte("x") }), refusedSize},
		tried{"as many as fit", many(maxAppendEntries), allowed}, tried{"more", many(maxAppendEntries + 1), refusedSize},
		tried{"as far above the certified point as may be", above(10 + maxAhead), allowed},
		tried{"further", above(10 + maxAhead + 1), delayedAhead})
}

// Would catch a leader that sends large entries without end, and an honest one stopped by what another sent.
func TestRow16Budget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := testGuard()
		large := ae(func(a *appends) {
			a.Entries = []*raft.Log{entry(11, 4, raft.LogCommand, string(make([]byte, MaxEntry)))}
		})
		sent := func() (n int) {
			for n < 10_000 && g.request(bel(), large, seen) == allowed {
				n++
			}
			return n
		}
		if n := sent(); n != budgetBurst/MaxEntry {
			t.Errorf("%d large entries at once, want %d", n, budgetBurst/MaxEntry)
		}
		if got := g.request(bel(), large, seen); got != delayedBudget {
			t.Errorf("beyond the budget: %q", got)
		}
		if got := g.request(bel(), ae(func(a *appends) { a.Entries = nil }), seen); got != allowed {
			t.Errorf("a heartbeat beyond the budget: %q", got)
		}
		if !g.spend("CZE", budgetBurst) {
			t.Error("one leader's budget is spent by another")
		}
		time.Sleep(time.Second) // virtual
		if n := sent(); n != budgetRate/MaxEntry {
			t.Errorf("%d large entries in the next second, want %d", n, budgetRate/MaxEntry)
		}
		time.Sleep(24 * time.Hour) // virtual
		if n := sent(); n != budgetBurst/MaxEntry {
			t.Errorf("%d large entries a day later, want %d", n, budgetBurst/MaxEntry)
		}
	})
}

// Would catch a snapshot that takes the state back, changes the roster, or that no certificate vouches for.
func TestRow18Snapshot(t *testing.T) {
	rows(t, bel(), tried{"certified", snap(func(*snapshotCall) {}), allowed},
		tried{"goes back", snap(func(s *snapshotCall) { s.LastLogIndex = 10 }), refusedSnapshot},
		tried{"from the future", snap(func(s *snapshotCall) { s.LastLogTerm = 7 }), refusedSnapshot},
		tried{"of version 0", snap(func(s *snapshotCall) { s.SnapshotVersion = 0 }), refusedSnapshot},
		tried{"another roster", snap(func(s *snapshotCall) { s.Configuration = []byte("other") }), refusedConfig},
		tried{"a roster at another place", snap(func(s *snapshotCall) { s.ConfigurationIndex = 2 }), refusedConfig},
		tried{"not certified", snap(func(s *snapshotCall) { s.data = []byte("poison") }), refusedSnapshot})
}

// Would catch a leader that keeps a node busy with one snapshot after the other.
func TestRow21SnapshotChurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := testGuard()
		for i, want := range []refusal{allowed, delayedSnapshot, allowed, delayedSnapshot} {
			if got := g.request(bel(), snap(func(s *snapshotCall) { s.LastLogIndex += uint64(i) }), seen); got != want {
				t.Errorf("number %d: %q, want %q", i, got, want)
			}
			time.Sleep(g.pace * 2 / 3) // virtual
		}
	})
}

// Would catch raft making a snapshot of what is not final, which nobody could take back.
func TestRow22OwnSnapshot(t *testing.T) {
	if s, err := (&fsm{}).Snapshot(); err == nil {
		t.Errorf("a snapshot was taken: %v", s)
	}
	if c := (&Group{}).raftConfig(); c.SnapshotThreshold != math.MaxUint64 || c.TrailingLogs != math.MaxUint64 {
		t.Error("raft's own snapshots are on")
	}
}

// Would catch a follower that has its leader send the whole log again and again, and one that lost it being left behind.
func TestRow24LastLogHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &follower{t: &Transport{guard: testGuard(), heartbeat: time.Second}, id: "CZE", poke: make(chan struct{}, 1)}
		sent := &appends{Term: 6, PrevLogEntry: 100, PrevLogTerm: 6}
		no := func(last uint64) error {
			return f.wentBack(sent, &raft.AppendEntriesResponse{Term: 6, LastLog: last})
		}
		f.acknowledged(sent)
		if err := no(100); err != nil {
			t.Errorf("at what it has: %v", err)
		}
		if err := no(3); err != nil {
			t.Errorf("a log wiped once: %v", err)
		}
		f.acknowledged(sent)
		if err := no(3); !errors.Is(err, errBack) || f.t.guard.counted["CZE"][maskedBack] != 1 {
			t.Errorf("wiped at once again: %v", err)
		}
		time.Sleep(backEvery * time.Second) // virtual
		if err := no(3); err != nil {
			t.Errorf("wiped again later: %v", err)
		}
	})
}
