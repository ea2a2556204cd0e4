package raftnet

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// fsm hands committed entries to the Applier.
type fsm struct {
	to    Applier
	batch BatchApplier // nil if it does not want batches
	// before is told what has committed, before it is applied.
	before func(last *raft.Log)
	// after is told which entries the Applier has taken.
	after func(entries []*raft.Log)

	applied  atomic.Uint64 // highest index the Applier has taken or was restored to
	restored atomic.Uint64 // the index of the last Restore
	muted    atomic.Bool   // applied entries were overwritten: nothing more until Reopen
}

var (
	_ raft.FSM         = (*fsm)(nil)
	_ raft.BatchingFSM = (*fsm)(nil)
)

// Apply takes one entry.
func (f *fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch takes entries that committed together. Configurations are entry 1 only and mean nothing to the Applier.
func (f *fsm) ApplyBatch(ls []*raft.Log) []any {
	none := make([]any, len(ls))
	if f.muted.Load() || len(ls) == 0 {
		return none
	}
	f.before(ls[len(ls)-1])
	entries := make([]Entry, 0, len(ls))
	for _, l := range ls {
		if l.Type == raft.LogCommand {
			entries = append(entries, Entry{Index: l.Index, Term: l.Term, Data: l.Data})
		}
	}
	switch {
	case len(entries) == 0:
	case f.batch != nil:
		f.batch.ApplyBatch(entries)
	default:
		for _, e := range entries {
			f.to.Apply(e.Index, e.Term, e.Data)
		}
	}
	f.applied.Store(ls[len(ls)-1].Index)
	f.after(ls)
	return none
}

// Restore goes to a certified point.
func (f *fsm) Restore(r io.ReadCloser) error {
	defer r.Close()
	var index uint64
	if w, ok := r.(raft.ReadCloserWrapper); ok {
		if o, ok := w.WrappedReadCloser().(*openedSnapshot); ok {
			index = o.index
		}
	}
	if index == 0 {
		return errors.New("raft restore: the snapshot does not say its index")
	}
	b, err := io.ReadAll(io.LimitReader(r, MaxSnapshot+1))
	if err != nil || len(b) > MaxSnapshot {
		return fmt.Errorf("raft restore: %d bytes, the limit is %d: %w", len(b), MaxSnapshot, errors.Join(err, errFrame))
	}
	if err := f.to.Restore(b); err != nil {
		return fmt.Errorf("raft restore to entry %d: %w", index, err)
	}
	f.restored.Store(index)
	f.applied.Store(index)
	return nil
}

// Snapshot is never taken: snapshots are certified points, and raft's periodic ones are off. C.4 row 22.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	return nil, errors.New("raft takes no snapshots here: only certified points are kept")
}
