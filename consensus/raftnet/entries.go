package raftnet

import (
	"bytes"

	"github.com/hashicorp/raft"
)

// certificate judges what a leader calls a snapshot. C.4 rows 17, 18 and 21.
func (g *guard) certificate(r *snapshotCall, v view) refusal {
	switch {
	case !bytes.Equal(r.Configuration, g.config) || r.ConfigurationIndex != 1:
		return refusedConfig
	case r.SnapshotVersion != 1 || r.LastLogIndex == 0 || r.LastLogTerm == 0 || r.LastLogTerm > r.Term:
		return refusedSnapshot
	case r.LastLogIndex <= v.applied():
		return refusedSnapshot // it would take the state machine back
	case g.accept(r.LastLogIndex, r.LastLogTerm, r.data) != nil:
		return refusedSnapshot
	case !g.after(&g.snapshot):
		return delayedSnapshot
	}
	return allowed
}

// entries checks what raft would store, or panic on. C.4 rows 11 to 17.
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
		case raft.LogCommand, raft.LogNoop:
			if e.Index == 1 {
				return refusedConfig // entry 1 is the founding
			}
			if noop := e.Type == raft.LogNoop; noop != (len(e.Data) == 0) || noop != (e.Term > term) {
				return refusedSize // a leader begins its term with one Noop, and has no other use for it
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
	if n := len(a.Entries); n > 0 && a.PrevLogEntry+uint64(n) > g.certified()+maxAhead {
		return delayedAhead
	}
	return allowed
}
