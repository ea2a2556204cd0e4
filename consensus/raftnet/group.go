package raftnet

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"truceline/internal/hclogx"
)

var (
	// ErrNotLeader: the entry was not taken; another node may lead.
	ErrNotLeader = errors.New("not the leader")
	// ErrLost: nobody knows whether the entry will be ordered. Propose it again; records repeat harmlessly.
	ErrLost = errors.New("leadership lost or raft stopped before the entry was applied")
	// ErrBusy: too many proposals wait.
	ErrBusy = errors.New("too many proposals in flight")
	// ErrTooLarge: an entry has 1 to MaxEntry bytes.
	ErrTooLarge = errors.New("entry is empty or too large")
)

// Group is this node's part in ordering: raft, its transport, its state machine.
type Group struct {
	cfg Config
	t   *Transport

	change turn // held while starting and stopping
	closed bool
	raft   atomic.Pointer[raft.Raft]
	fsm    atomic.Pointer[fsm]
	stopFn func()

	proposals proposals
	watch     watchers
	fatalOnce sync.Once
}

// Open starts raft. On an empty log it writes the roster as entry 1, the same bytes on every node.
func Open(cfg Config) (*Group, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.MaxAppendEntries == 0 {
		cfg.MaxAppendEntries = 512
	}
	g := &Group{cfg: cfg, change: newTurn()}
	g.proposals.init(4 * cfg.MaxAppendEntries)
	b, err := newBallots(cfg.Signer, cfg.Stable)
	if err != nil {
		return nil, err
	}
	g.t = newTransport(&g.cfg, b)
	_ = g.change.take(context.Background())
	defer g.change.give()
	if err := g.start(); err != nil {
		g.t.close()
		return nil, err
	}
	return g, nil
}

// found writes what every node's log begins with, if there is nothing yet. raft.BootstrapCluster refuses once a term
// is kept, so after a wipe, or a power cut between its two writes, it would leave a node without a roster for good.
func (g *Group) found() error {
	last, err := g.cfg.Logs.LastIndex()
	if err != nil || last > 0 {
		return err
	}
	if snaps, err := g.cfg.Snapshots.List(); err != nil || len(snaps) > 0 {
		return err
	}
	term := []byte("CurrentTerm")
	if _, err := g.cfg.Stable.GetUint64(term); err != nil {
		if err.Error() != "not found" {
			return err
		}
		if err := g.cfg.Stable.SetUint64(term, 1); err != nil {
			return err
		}
	}
	return g.cfg.Logs.StoreLog(&raft.Log{
		Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(g.cfg.roster()),
	})
}

func (g *Group) raftConfig() *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(g.cfg.Self)
	c.HeartbeatTimeout, c.ElectionTimeout = g.cfg.Timing.Heartbeat, g.cfg.Timing.Election
	c.LeaderLeaseTimeout, c.CommitTimeout = g.cfg.Timing.Lease, g.cfg.Timing.Commit
	c.MaxAppendEntries = g.cfg.MaxAppendEntries
	c.BatchApplyCh = true
	c.ShutdownOnRemove = false
	// Raft's own snapshots are off: certified points are the only ones, and Store.CompactTo compacts.
	c.SnapshotThreshold = math.MaxUint64
	c.SnapshotInterval = 1000 * time.Hour
	c.TrailingLogs = math.MaxUint64
	c.NoLegacyTelemetry = true
	c.Logger = hclogx.New(g.cfg.Log)
	return c
}

// start opens a raft instance. g.change is held.
func (g *Group) start() error {
	if err := g.found(); err != nil {
		return fmt.Errorf("raft group: founding entry: %w", err)
	}
	ses := g.t.attach()
	m := &fsm{to: g.cfg.Applier}
	m.batch, _ = g.cfg.Applier.(BatchApplier)
	m.before = func(last *raft.Log) {
		if r := ses.raft.Load(); r != nil && r.State() == raft.Leader {
			g.t.committed(r.CurrentTerm(), last.Index)
		}
	}
	m.after = g.proposals.applied

	// On a goroutine of its own: where the store cannot keep the term, the wrapper ends it instead of letting raft panic.
	var r *raft.Raft
	err := errors.New("the store failed while raft was starting")
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("raft cannot start on this log: %v", p)
			}
		}()
		r, err = raft.NewRaft(g.raftConfig(), m, &logs{g.cfg.Logs, ses, m}, &stable{g.cfg.Stable, g.fatal},
			snapshots{g.cfg.Snapshots}, ses)
	}()
	<-finished
	if err != nil {
		_ = ses.Close()
		return fmt.Errorf("raft group: start: %w", err)
	}
	if m.applied.Load() == 0 {
		m.applied.Store(r.AppliedIndex())
	}
	ses.raft.Store(r)
	g.fsm.Store(m)
	g.raft.Store(r)

	events := make(chan raft.Observation, 1)
	obs := raft.NewObserver(events, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState:
			return true
		}
		return false
	})
	r.RegisterObserver(obs)
	quit, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		for {
			g.proposals.lead(r.State() == raft.Leader, r.CurrentTerm())
			g.watch.tell(leaderOf(r, g.cfg.Self))
			select {
			case <-events:
			case <-quit:
				return
			}
		}
	}()
	g.stopFn = func() {
		_ = ses.Close() // first, so that nothing raft waits for takes its full time
		_ = r.Shutdown().Error()
		r.DeregisterObserver(obs)
		close(quit)
		<-gone
		g.raft.Store(nil)
		g.proposals.lead(false, math.MaxUint64)
		g.watch.tell("", false)
	}
	return nil
}

func (g *Group) fatal(err error) {
	g.fatalOnce.Do(func() { g.cfg.OnFatal(err) })
}

// stop ends the raft instance, if one runs. g.change is held.
func (g *Group) stop() {
	if g.stopFn != nil {
		g.stopFn()
		g.stopFn = nil
	}
}

// Reopen stops raft, runs prepare (wipe or align the log, reset the tentative layer), and starts raft again on the same
// transport: raft restores from the latest certified point and applies what follows it. When prepare fails the group
// stays stopped and Reopen may be tried again. It must not be called from the Applier or a store's callback.
func (g *Group) Reopen(ctx context.Context, prepare func() error) error {
	if err := g.change.take(ctx); err != nil {
		return err
	}
	defer g.change.give()
	if g.closed {
		return errClosed
	}
	g.stop()
	if err := prepare(); err != nil {
		return fmt.Errorf("raft group: prepare to re-open: %w", err)
	}
	return g.start()
}

// Close stops raft and ends every stream. The stores stay open: they are the caller's.
func (g *Group) Close() error {
	_ = g.change.take(context.Background())
	defer g.change.give()
	if g.closed {
		return nil
	}
	g.closed = true
	g.stop()
	g.t.close()
	return nil
}

func leaderOf(r *raft.Raft, self string) (string, bool) {
	_, id := r.LeaderWithID()
	return string(id), string(id) == self && r.State() == raft.Leader
}

// Leader is the leader this node follows, "" for none; self says that it is this node.
func (g *Group) Leader() (id string, self bool) {
	if r := g.raft.Load(); r != nil {
		return leaderOf(r, g.cfg.Self)
	}
	return "", false
}

// WatchLeader has fn called with the leader now and after every change, from one goroutine. Changes in quick
// succession may be seen as one. fn must return soon.
func (g *Group) WatchLeader(fn func(id string, self bool)) { g.watch.add(fn) }

// Term is raft's current term, 0 while stopped.
func (g *Group) Term() uint64 {
	if r := g.raft.Load(); r != nil {
		return r.CurrentTerm()
	}
	return 0
}

// LastIndex is the highest index of the log or the certified point, 0 while stopped.
func (g *Group) LastIndex() uint64 {
	if r := g.raft.Load(); r != nil {
		return r.LastIndex()
	}
	return 0
}

// AppliedIndex is the highest index the Applier has taken or was restored to.
func (g *Group) AppliedIndex() uint64 {
	if m := g.fsm.Load(); m != nil {
		return m.applied.Load()
	}
	return 0
}

// Overwritten says that entries the Applier has taken were truncated: it gets nothing more until Reopen.
func (g *Group) Overwritten() bool {
	m := g.fsm.Load()
	return m != nil && m.muted.Load()
}

// Refused counts what peers sent and was refused, by member (or peer identity) and reason.
func (g *Group) Refused() map[string]map[string]uint64 { return g.t.Refused() }
