package raftnet

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"truceline/treaty"
)

const (
	// MaxEntry bounds the data of one entry: raft's own suggestion, which raft does not enforce.
	MaxEntry = 512 << 10
	// maxAppendEntries bounds the entries of one AppendEntries; raft's own ceiling.
	maxAppendEntries = 1024
	// maxMembers bounds the roster.
	maxMembers = 64
	// maxName bounds a member's ID on the wire.
	maxName = 32
)

// Member is one guarantor's node. ID is the nation's code; it is raft's server ID and address too.
type Member struct {
	ID   string
	Peer peer.ID
}

// Entry is one committed entry.
type Entry struct {
	Index, Term uint64
	Data        []byte
}

// Applier is the state machine. It is called from one goroutine, in order, and must not call Reopen or Close.
type Applier interface {
	// Apply takes one committed entry. It never fails: what is not valid is recorded as such.
	Apply(index, term uint64, data []byte)
	// Restore goes back (or forward) to the certified point these bytes describe, throwing everything else away.
	Restore(data []byte) error
}

// BatchApplier is an Applier that wants the entries that were committed together at once.
type BatchApplier interface {
	Applier
	ApplyBatch(entries []Entry)
}

// LogStore is a raft log without gaps.
type LogStore interface {
	raft.LogStore
	raft.MonotonicLogStore
}

// Timing are raft's timeouts.
type Timing struct {
	// Heartbeat: a follower that has heard nothing for one to two of these stands for election.
	Heartbeat time.Duration
	// Election: a candidate that has not won after one to two of these tries again.
	Election time.Duration
	// Lease: a leader that has not reached a majority for this long steps down.
	Lease time.Duration
	// Commit: an idle leader repeats its commit index this often. The nudge has told everybody already; this is for what
	// a broken stream swallowed, and it is most of what an idle network does.
	Commit time.Duration
}

// DefaultTiming fits a wide-area network and a slow disk.
func DefaultTiming() Timing {
	return Timing{Heartbeat: 3 * time.Second, Election: 3 * time.Second, Lease: 2 * time.Second, Commit: 500 * time.Millisecond}
}

// call is how long one remote procedure call may take: a slow disk must not look like a dead peer.
func (t Timing) call() time.Duration { return min(max(2*t.Heartbeat, 2*time.Second), 10*time.Second) }

// Config is what a Group needs.
type Config struct {
	Self    string
	Members []Member
	// Net is the accord's roster and quorum: the Members are its nations. Signer is this nation's treaty key.
	Net    *treaty.Network
	Signer *treaty.Signer
	// Host carries the streams. Its peerstore must hold the members' addresses.
	Host      host.Host
	Logs      LogStore
	Stable    raft.StableStore
	Snapshots raft.SnapshotStore
	Applier   Applier
	Log       *slog.Logger
	Timing    Timing
	// MaxAppendEntries is how many entries one AppendEntries carries; 0 means 512.
	MaxAppendEntries int
	// Certified is the entry that the last certificate ends with. Followers take at most 65,536 entries above it.
	Certified func() uint64
	// Accept checks what a leader calls a snapshot, before raft may touch it: a certificate of exactly that entry. It
	// keeps nothing.
	Accept func(index, term uint64, data []byte) error
	// Conflict is given two signed heads that convict a leader (treaty.Network.CheckHeads), once for each of its terms.
	// It runs on a stream's goroutine: note it and return. It may be nil.
	Conflict func(a, b []byte)
	// OnFatal is called once when raft cannot go on because its store failed. The node must stop. It runs on raft's
	// main goroutine: note it and return.
	OnFatal func(error)
}

// Validate reports every problem at once.
func (c *Config) Validate() error {
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New(what))
		}
	}
	need(c.Host != nil, "Host is missing")
	need(c.Logs != nil && c.Stable != nil && c.Snapshots != nil, "a store is missing (Logs, Stable, Snapshots)")
	need(c.Logs == nil || c.Logs.IsMonotonic(), "Logs must be monotonic")
	need(c.Applier != nil, "Applier is missing")
	need(c.Certified != nil && c.Accept != nil, "Certified or Accept is missing")
	need(c.Net != nil && c.Signer != nil, "Net or Signer is missing")
	if c.Net != nil && c.Signer != nil {
		need(string(c.Signer.Nation) == c.Self && c.Signer.Accord == c.Net.Digest, "Signer is not this member's under this accord")
		need(c.Net.N == len(c.Members), fmt.Sprintf("%d members, the accord has %d", len(c.Members), c.Net.N))
		for _, m := range c.Members {
			need(c.Net.Index(treaty.Nation(m.ID)) >= 0, fmt.Sprintf("member %s is not in the accord", m.ID))
		}
	}
	need(c.Log != nil, "Log is missing")
	need(c.OnFatal != nil, "OnFatal is missing")
	need(c.MaxAppendEntries >= 0 && c.MaxAppendEntries <= maxAppendEntries,
		fmt.Sprintf("MaxAppendEntries is %d: 1 to %d", c.MaxAppendEntries, maxAppendEntries))
	need(len(c.Members) > 0 && len(c.Members) <= maxMembers, fmt.Sprintf("%d members: 1 to %d", len(c.Members), maxMembers))
	ids, peers := map[string]bool{}, map[peer.ID]bool{}
	for _, m := range c.Members {
		need(m.ID != "" && len(m.ID) <= maxName, fmt.Sprintf("member ID %q: 1 to %d bytes", m.ID, maxName))
		need(m.Peer != "", fmt.Sprintf("member %s has no peer identity", m.ID))
		need(!ids[m.ID] && !peers[m.Peer], fmt.Sprintf("member %s is named twice, or its key is", m.ID))
		ids[m.ID], peers[m.Peer] = true, true
		if m.ID == c.Self && c.Host != nil {
			need(m.Peer == c.Host.ID(), fmt.Sprintf("the host's identity is not that of member %s: wrong node key", m.ID))
		}
	}
	need(ids[c.Self], fmt.Sprintf("self %q is not a member", c.Self))
	t := c.Timing
	need(t.Commit >= time.Millisecond && t.Lease >= 5*time.Millisecond && t.Lease <= t.Heartbeat && t.Heartbeat <= t.Election,
		fmt.Sprintf("timing %+v: want Commit >= 1 ms, 5 ms <= Lease <= Heartbeat <= Election", t))
	if len(errs) > 0 {
		return fmt.Errorf("raft group: %w", errors.Join(errs...))
	}
	return nil
}

// roster is the one configuration raft ever has here, in the accord's order, the same bytes on every node.
func (c *Config) roster() raft.Configuration {
	var r raft.Configuration
	for _, m := range c.Members {
		r.Servers = append(r.Servers, raft.Server{
			Suffrage: raft.Voter, ID: raft.ServerID(m.ID), Address: raft.ServerAddress(m.ID),
		})
	}
	return r
}

// Roster is the raft configuration of these members: what a snapshot store must say.
func Roster(members []Member) raft.Configuration { return (&Config{Members: members}).roster() }
