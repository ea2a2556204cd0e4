//lint:file-ignore SA1019 raft still reads the deprecated identity fields of a request, so what stands in them is checked too

package raftnet

import (
	"bytes"
	"sync"

	"github.com/hashicorp/raft"
)

// guard.go is where a peer's request is judged before raft sees it. hashicorp/raft believes its peers: a self-declared
// sender, an index gap, an unknown entry type or a malformed configuration makes it obey, or panic at every start.
//
// Checked here now: identity, protocol version, term ceiling and jump, entry types, order, terms and sizes, the one
// configuration, commit index against what raft could know, leadership transfer, snapshots. The frame decoder has
// already bounded every size, and entries have no index, extensions or clock on the wire at all.
// To come here (consensus.md C.4): vote certificates (1), election restriction (6), transfer tokens (7), budgets (16),
// signed heads (26), snapshot rate (21). Answers are judged in terms.go.

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
	// maskedTransfer and maskedTerm are counted, but what the peer sent is only corrected, not refused.
	maskedTransfer refusal = "transfer-flag-ignored"
	maskedTerm     refusal = "term-claim-not-believed"
)

const (
	// maxTerm is the ceiling of terms: an election every second for 30,000 years.
	maxTerm = 1 << 40
	// maxTermJump is how far a request's term may lie beyond ours. A node that was away for a year of one election a
	// minute is 525,600 behind; a liar needs a million steps to the ceiling, not one. Vote certificates will close this.
	maxTermJump = 1 << 20
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
	config []byte // the roster, as raft encodes it

	mu      sync.Mutex
	counted map[string]map[refusal]uint64
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

// request judges one request from a member. It may correct the request (a transfer flag) instead of refusing it.
func (g *guard) request(from string, req any, v view) refusal {
	switch r := req.(type) {
	case *raft.AppendEntriesRequest:
		if why := g.sender(from, r.RPCHeader, r.Leader, r.Term, v); why != allowed {
			return why
		}
		return g.entries(r)
	case *raft.RequestVoteRequest:
		if why := g.sender(from, r.RPCHeader, r.Candidate, r.Term, v); why != allowed {
			return why
		}
		if r.LastLogTerm >= r.Term {
			return refusedTerm
		}
		// The flag makes voters forget that they have a leader. Without a token signed by that leader it is worth
		// nothing while we have one.
		if l := v.leader(); r.LeadershipTransfer && l != "" && l != from {
			r.LeadershipTransfer = false
			g.note(from, maskedTransfer)
		}
		return allowed
	case *raft.RequestPreVoteRequest:
		if r.LastLogTerm >= r.Term {
			return refusedTerm
		}
		return g.sender(from, r.RPCHeader, r.ID, r.Term, v)
	case *raft.TimeoutNowRequest:
		if why := g.sender(from, r.RPCHeader, r.ID, 1, v); why != allowed {
			return why
		}
		if v.leader() != from {
			return refusedTimeout
		}
		return allowed
	case *snapshotCall:
		if why := g.sender(from, r.RPCHeader, r.Leader, r.Term, v); why != allowed {
			return why
		}
		switch {
		case !bytes.Equal(r.Configuration, g.config) || r.ConfigurationIndex != 1:
			return refusedConfig
		case r.SnapshotVersion != 1 || r.LastLogIndex == 0 || r.LastLogTerm == 0 || r.LastLogTerm > r.Term:
			return refusedSnapshot
		case r.LastLogIndex <= v.applied():
			return refusedSnapshot // it would take the state machine back
		}
		return allowed
	default:
		return refusedFrame
	}
}

// sender checks that the request speaks in the name of the stream's peer, and its term.
func (g *guard) sender(from string, h raft.RPCHeader, named []byte, term uint64, v view) refusal {
	switch {
	case from == "" || string(h.ID) != from || string(h.Addr) != from || string(named) != from:
		return refusedIdentity
	case h.ProtocolVersion != raft.ProtocolVersionMax:
		return refusedVersion
	case term == 0 || term > maxTerm || term > v.term()+maxTermJump:
		return refusedTerm
	}
	return allowed
}

// entries checks what raft would store, or panic on.
func (g *guard) entries(a *raft.AppendEntriesRequest) refusal {
	if len(a.Entries) > maxAppendEntries {
		return refusedSize
	}
	if a.PrevLogTerm > a.Term || (a.PrevLogEntry == 0) != (a.PrevLogTerm == 0) || a.PrevLogEntry >= 1<<62 {
		return refusedOrder
	}
	term := a.PrevLogTerm
	for i, e := range a.Entries {
		switch {
		case e.Index != a.PrevLogEntry+1+uint64(i) || e.Term == 0 || e.Term < term || e.Term > a.Term:
			return refusedOrder
		case len(e.Data) > MaxEntry || len(e.Extensions) > 0 || !e.AppendedAt.IsZero():
			return refusedSize
		}
		switch e.Type {
		case raft.LogCommand, raft.LogNoop, raft.LogBarrier:
			if e.Index == 1 {
				return refusedConfig // entry 1 is the founding
			}
			if e.Type != raft.LogCommand && len(e.Data) > 0 {
				return refusedSize
			}
		case raft.LogConfiguration:
			if e.Index != 1 || e.Term != 1 || !bytes.Equal(e.Data, g.config) {
				return refusedConfig
			}
		default:
			return refusedEntry
		}
		term = e.Term
	}
	return allowed
}
