package raftnet

import (
	"bytes"
	"context"
	"sync"

	"github.com/hashicorp/raft"
)

// Proposal is an entry on its way.
type Proposal struct {
	term uint64
	done chan struct{}
	err  error
	// Index is where the entry stands in the log, once Wait has returned nil.
	Index uint64
}

// Wait returns when this node's Applier has taken the entry, or nobody can say whether it will (ErrLost).
func (p *Proposal) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// proposals are the entries proposed here and not yet applied, by the address of their first byte: on the leader raft
// applies the very slice it was given. Raft's own futures are not used, because some are never answered when raft
// stops, and whoever waits would wait for ever.
type proposals struct {
	mu    sync.Mutex
	limit int
	by    map[*byte]*Proposal
}

func (ps *proposals) init(limit int) { ps.limit, ps.by = limit, map[*byte]*Proposal{} }

func (ps *proposals) add(data []byte, term uint64) (*Proposal, error) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if len(ps.by) >= ps.limit {
		return nil, ErrBusy
	}
	p := &Proposal{term: term, done: make(chan struct{})}
	ps.by[&data[0]] = p
	return p, nil
}

// applied resolves those among the entries.
func (ps *proposals) applied(ls []*raft.Log) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if len(ps.by) == 0 {
		return
	}
	for _, l := range ls {
		if len(l.Data) == 0 {
			continue
		}
		if p := ps.by[&l.Data[0]]; p != nil {
			delete(ps.by, &l.Data[0])
			p.Index = l.Index
			close(p.done)
		}
	}
}

// lead fails what was proposed in another leadership than the one that holds now.
func (ps *proposals) lead(leading bool, term uint64) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for k, p := range ps.by {
		if !leading || p.term != term {
			delete(ps.by, k)
			p.err = ErrLost
			close(p.done)
		}
	}
}

// Propose gives the leader's raft one entry to order. It returns at once unless raft is more than 512 entries behind.
// ErrNotLeader, ErrBusy and ErrTooLarge mean it was not taken.
func (g *Group) Propose(data []byte) (*Proposal, error) {
	if len(data) == 0 || len(data) > MaxEntry {
		return nil, ErrTooLarge
	}
	r := g.raft.Load()
	if r == nil || r.State() != raft.Leader {
		return nil, ErrNotLeader
	}
	// Followers take so much above the certified point and no more. Half of it leaves room for what is on its way.
	if r.LastIndex() > g.cfg.Certified()+maxAhead/2 {
		return nil, ErrBusy
	}
	term := r.CurrentTerm()
	data = bytes.Clone(data) // raft keeps it, and its address names the proposal
	p, err := g.proposals.add(data, term)
	if err != nil {
		return nil, err
	}
	r.Apply(data, 0)
	// Leadership may have been lost before the entry was noted, and the watcher been told already.
	if r.State() != raft.Leader || r.CurrentTerm() != term {
		g.proposals.lead(r.State() == raft.Leader, r.CurrentTerm())
	}
	return p, nil
}

// watchers are told of the leader.
type watchers struct {
	mu     sync.Mutex
	fns    []func(string, bool)
	leader string
	self   bool
}

func (w *watchers) add(fn func(string, bool)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fns = append(w.fns, fn)
	fn(w.leader, w.self)
}

func (w *watchers) tell(leader string, self bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if leader == w.leader && self == w.self {
		return
	}
	w.leader, w.self = leader, self
	for _, fn := range w.fns {
		fn(leader, self)
	}
}
