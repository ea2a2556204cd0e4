//lint:file-ignore SA1019 raft still reads the deprecated identity fields of a request, so what stands in them is checked too

package raftnet

import (
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"truceline/treaty"
)

// guard.go is where a peer's request is judged before raft sees it. hashicorp/raft believes its peers: a self-declared
// sender, an index gap, an unknown entry type or a malformed configuration makes it obey, or panic at every start.
//
// What can be done to raft, row by row (consensus.md C.4), and where it is answered:
//
//	 1 unelected leader         election below: q signed votes on the stream first; poll.go, ballots.go gather them
//	 2 commit index lie         harmless: "committed" means ORDERED, and only certificates make anything FINAL
//	 3 overwritten suffix       never what is certified (raftlog.DeleteRange); above it stores.go mutes the Applier
//	 4 term jump                election and standing below: a certificate, or small steps, or f+1 members
//	 5 term in an answer        terms.go
//	 6 made-up last log         standing below bounds it; harmless beyond: finality does not ask who leads
//	 7 transfer flag            request below: never believed under a living leader that is not shut out
//	 8 TimeoutNow               request below: from the certified leader of the term only, once an election timeout
//	 9 sender in a header       sender below: all three names are the stream's peer, the version is 3
//	10 two votes in a term      ballots.go: an own synced record
//	11 malformed configuration  entries.go: byte for byte the accord's roster, as entry 1, or nothing
//	12 AddPeer, RemovePeer      entries.go
//	13 unknown entry type       entries.go
//	14 gap, repeat, disorder    codec.go: entries have no index on the wire; entries.go
//	15 entry term               entries.go: from the previous entry's to the leader's, never falling
//	16 floods                   entries.go: sizes, numbers, maxAhead above the certified point; a Noop only begins a term, no
//	                            Barriers, extensions or clocks; budget.go: bytes a second
//	17 membership               as 11: there is no other configuration
//	18 snapshot goes back, lies entries.go: ahead of what is applied, the roster, a certificate of that very entry
//	19 slow snapshot            one frame of 8 KiB, read whole and in time before raft hears of it (serve.go)
//	20 refused ones evict good  raftlog.Snapshots stores nothing but the last certificate
//	21 snapshot after snapshot  budget.go: one an election timeout, each further than the last
//	22 snapshot of unfinal      fsm.Snapshot refuses; raftlog compacts up to the certified point only
//	23 lying acknowledgement    harmless: moves ORDERED only
//	24 last-log hint            nudge.go: follower.wentBack
//	25 zombie leader            depose.go: q nations shut it out (consensus/depose says when)
//	26 two orders               tenure.go signs heads, orders.go holds and compares them, exchange.go shows them around
//	27 streams                  serve.go: members only, one stream of a class each; node/peer limits the rest
//	28 decoder                  codec.go: every size before its bytes, fuzzed
//
// A request that is refused ends its stream and is counted by member and reason; Group.Refused goes to the status page.

// refusal is why a peer's frame was refused: the reason it is counted under. The empty one means "not refused".
type refusal string

const (
	allowed         refusal = ""
	refusedStranger refusal = "not-a-member"
	refusedFrame    refusal = "malformed-frame"
	refusedClass    refusal = "wrong-stream-class"
	refusedIdentity refusal = "identity"
	refusedVersion  refusal = "protocol-version"
	refusedTerm     refusal = "term-out-of-range"
	refusedEntry    refusal = "entry-type"
	refusedOrder    refusal = "entry-order"
	refusedSize     refusal = "entry-size"
	refusedConfig   refusal = "configuration"
	refusedTimeout  refusal = "timeout-now-not-from-leader"
	refusedSnapshot refusal = "snapshot"
	refusedElection refusal = "no-election-certificate"
	refusedVote     refusal = "vote-signature"
	refusedHead     refusal = "head-signature-or-chain"
	// delayed ones are answered "busy": an honest peer tries again.
	delayedAhead    refusal = "too-far-above-the-certified-point"
	delayedSnapshot refusal = "snapshot-too-soon"
	delayedBudget   refusal = "more-bytes-than-its-budget"
	delayedShut     refusal = "deposed"
	// masked ones are counted, but what the peer sent is only corrected, not refused.
	maskedTransfer refusal = "transfer-flag-ignored"
	maskedTerm     refusal = "term-claim-not-believed"
	maskedBack     refusal = "asks-again-for-acknowledged-entries"
)

const (
	// maxTerm is the ceiling of terms: an election every second for 30,000 years.
	maxTerm = 1 << 40
	// maxTermJump is how far a candidate's term may lie beyond ours, or beyond what f+1 members ask for. Terms rise by one
	// for each election that q nations would vote in; a node that was away comes back with a leader's certificate.
	maxTermJump = 1 << 10
	// maxAhead is how many entries may stand above the certified point. Finality is a fraction of a second behind.
	maxAhead = 1 << 16
)

// view is what the guard knows of this node's raft.
type view interface {
	// leader is the one this node follows now, "" for none.
	leader() string
	term() uint64
	// applied is the highest index raft has handed to the state machine.
	applied() uint64
}

// guard judges requests.
type guard struct {
	config    []byte // the roster, as raft encodes it
	net       *treaty.Network
	certified func() uint64
	accept    func(index, term uint64, data []byte) error
	pace      time.Duration // between two snapshots, and two TimeoutNow

	mu       sync.Mutex
	counted  map[string]map[refusal]uint64
	verified map[string]treaty.ElectionVote // the latest certificate of each member
	asked    map[string]uint64              // the term each member last stood in
	snapshot time.Time                      // when the last one was let through
	timeout  time.Time                      // the same for TimeoutNow
	budgets  map[string]*budget             // of each member
	shut     map[string]time.Time           // deposed leaders, and until when
}

func newGuard(c *Config) *guard {
	return &guard{
		config: raft.EncodeConfiguration(c.roster()), net: c.Net, certified: c.Certified, accept: c.Accept, pace: c.Timing.Election,
		counted: map[string]map[refusal]uint64{}, verified: map[string]treaty.ElectionVote{}, asked: map[string]uint64{},
		budgets: map[string]*budget{}, shut: map[string]time.Time{},
	}
}

// maxStrangers bounds the peers outside of the roster that are counted by name.
const maxStrangers = 64

// note counts a refusal.
func (g *guard) note(who string, why refusal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.counted[who]
	if m == nil {
		if len(g.counted) >= maxMembers+maxStrangers {
			who = "others"
			m = g.counted[who]
		}
		if m == nil {
			m = map[refusal]uint64{}
			g.counted[who] = m
		}
	}
	m[why]++
}

// election takes the certificate of a leader's term on its stream; what follows on that stream is of this run. Each is
// verified once, on however many streams it is shown. C.4 row 1.
func (g *guard) election(by *speaker, body []byte, elected func(treaty.ElectionVote)) refusal {
	e, err := treaty.DecodeElection(body)
	if err != nil || string(e.Candidate) != by.id || e.Term <= by.run.Term {
		return refusedElection
	}
	g.mu.Lock()
	known := g.verified[by.id] == e.Vote()
	g.mu.Unlock()
	if !known {
		if err := g.net.VerifyElection(e); err != nil {
			return refusedElection
		}
		g.mu.Lock()
		g.verified[by.id] = e.Vote()
		g.mu.Unlock()
		elected(e.Vote())
	}
	by.run = e.Vote()
	return allowed
}

// request judges one request from a member. It may correct the request (a transfer flag) instead of refusing it.
func (g *guard) request(by *speaker, req any, v view) refusal {
	from := by.id
	switch r := req.(type) {
	case *appendCall:
		if why := g.leading(by, r.RPCHeader, r.Leader, r.Term); why != allowed {
			return why
		}
		if why := g.entries(&r.AppendEntriesRequest); why != allowed {
			return why
		}
		bytes := 0
		for _, e := range r.Entries {
			bytes += len(e.Data)
		}
		if !g.spend(from, bytes) {
			return delayedBudget
		}
		return allowed
	case *voteCall:
		if why := g.standing(from, r.RPCHeader, r.Candidate, r.Term, r.LastLogTerm, v); why != allowed {
			return why
		}
		// The flag makes voters forget that they have a leader. Here it is for the successor of a deposed one. C.4 row 7.
		if l := v.leader(); r.LeadershipTransfer && l != "" && l != from && !g.shutOut(l) {
			r.LeadershipTransfer = false
			g.note(from, maskedTransfer)
		}
		return allowed
	case *raft.RequestPreVoteRequest:
		return g.standing(from, r.RPCHeader, r.ID, r.Term, r.LastLogTerm, v)
	case *raft.TimeoutNowRequest: // C.4 row 8
		if why := g.sender(from, r.RPCHeader, r.ID, 1); why != allowed {
			return why
		}
		if by.run.Term == 0 || by.run.Term != v.term() || v.leader() != from || !g.after(&g.timeout) {
			return refusedTimeout
		}
		return allowed
	case *snapshotCall:
		if why := g.leading(by, r.RPCHeader, r.Leader, r.Term); why != allowed {
			return why
		}
		return g.certificate(r, v)
	default:
		return refusedFrame
	}
}

// sender checks that the request speaks in the name of the stream's peer, and that its term is one. C.4 rows 4 and 9.
func (g *guard) sender(from string, h raft.RPCHeader, named []byte, term uint64) refusal {
	switch {
	case from == "" || string(h.ID) != from || string(h.Addr) != from || string(named) != from:
		return refusedIdentity
	case h.ProtocolVersion != raft.ProtocolVersionMax:
		return refusedVersion
	case term == 0 || term > maxTerm:
		return refusedTerm
	}
	return allowed
}

// leading checks that a leader's request comes from a leader: elected by q in this very term. C.4 rows 1 and 4.
func (g *guard) leading(by *speaker, h raft.RPCHeader, named []byte, term uint64) refusal {
	if why := g.sender(by.id, h, named, term); why != allowed {
		return why
	}
	if by.run.Term != term {
		return refusedElection
	}
	return allowed
}

// standing checks a candidate's request. Its term comes without a certificate, so it may be a little ahead of ours only,
// or of what f+1 members stand in, of whom one is honest. C.4 rows 4 and 6.
func (g *guard) standing(from string, h raft.RPCHeader, named []byte, term, lastLogTerm uint64, v view) refusal {
	if why := g.sender(from, h, named, term); why != allowed {
		return why
	}
	if lastLogTerm >= term {
		return refusedTerm
	}
	limit := v.term()
	g.mu.Lock()
	g.asked[from] = term
	if len(g.asked) > g.net.F {
		terms := make([]uint64, 0, len(g.asked))
		for _, t := range g.asked {
			terms = append(terms, t)
		}
		slices.Sort(terms)
		limit = max(limit, terms[len(terms)-1-g.net.F])
	}
	g.mu.Unlock()
	if term > limit+maxTermJump {
		return refusedTerm
	}
	return allowed
}
