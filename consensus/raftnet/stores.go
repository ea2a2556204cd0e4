package raftnet

import (
	"fmt"
	"io"
	"runtime"

	"github.com/hashicorp/raft"
)

// Raft's answer to some store errors is to panic. These wrappers know where, and stop raft instead.

// logs watches for truncations of what was applied.
type logs struct {
	LogStore
	ses *session
	fsm *fsm
}

// DeleteRange (C.4 row 3) notes when a new leader's log overwrites entries that were applied already. Raft never un-applies: from
// then on its state machine and its log are of different histories. The Applier gets nothing more until Reopen.
func (l *logs) DeleteRange(min, max uint64) error {
	last, err := l.LastIndex()
	if err != nil {
		return err
	}
	if max >= last && min <= l.ses.applied() && min > l.fsm.restored.Load() {
		l.fsm.muted.Store(true) // before the store speaks to the node
		if err := l.LogStore.DeleteRange(min, max); err != nil {
			l.fsm.muted.Store(false)
			return err
		}
		return nil
	}
	return l.LogStore.DeleteRange(min, max)
}

// stable ends the goroutine that cannot keep raft's term. Raft would panic and take the process with it; this way
// raft's main loop stops, its deferred functions run, and the node, which OnFatal tells, can stop in good order.
type stable struct {
	raft.StableStore
	fatal func(error)
}

// SetUint64 keeps a number, or ends the calling goroutine if it is raft's term and cannot be kept.
func (s *stable) SetUint64(key []byte, v uint64) error {
	err := s.StableStore.SetUint64(key, v)
	if err != nil && string(key) == "CurrentTerm" {
		s.fatal(fmt.Errorf("raft: cannot keep term %d: %w", v, err))
		runtime.Goexit()
	}
	return err
}

// snapshots lets the state machine know which index it is restored to: raft hands it bytes only.
type snapshots struct{ raft.SnapshotStore }

type openedSnapshot struct {
	io.ReadCloser
	index uint64
}

// Open remembers the index beside the reader.
func (s snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	m, r, err := s.SnapshotStore.Open(id)
	if err != nil {
		return nil, nil, err
	}
	return m, &openedSnapshot{r, m.Index}, nil
}
