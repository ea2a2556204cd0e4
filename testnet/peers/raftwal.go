package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

// raftWAL is hashicorp/raft with raft-wal over raft's own TCP transport: order and crash tolerance, nothing else. Nobody
// verifies a signature and one lying member breaks it, so it is the floor that our finality stands on, not a rival.
type raftWAL struct {
	all    []*raft.Raft
	trans  []*raft.NetworkTransport
	logs   []*wal.WAL
	leader *raft.Raft
}

// nothing is a state machine that does nothing.
type nothing struct{}

func (nothing) Apply(*raft.Log) any                 { return nil }
func (nothing) Snapshot() (raft.FSMSnapshot, error) { return nothing{}, nil }
func (nothing) Restore(r io.ReadCloser) error       { return r.Close() }
func (nothing) Persist(s raft.SnapshotSink) error   { return s.Close() }
func (nothing) Release()                            {}

func startRaft(_ context.Context, n int, dir string) (_ system, err error) {
	r := &raftWAL{}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	var servers []raft.Server
	for i := range n {
		t, err := raft.NewTCPTransport("127.0.0.1:0", nil, 4, 10*time.Second, io.Discard)
		if err != nil {
			return nil, err
		}
		r.trans = append(r.trans, t)
		servers = append(servers, raft.Server{ID: raft.ServerID(fmt.Sprint(i)), Address: t.LocalAddr()})
	}
	beat := 500 * time.Millisecond * time.Duration(1+n/8)
	for i := range n {
		at := filepath.Join(dir, fmt.Sprint(i))
		if err := os.MkdirAll(at, 0o755); err != nil {
			return nil, err
		}
		store, err := wal.Open(at) // log and stable store; every StoreLogs is synced
		if err != nil {
			return nil, fmt.Errorf("open raft-wal: %w", err)
		}
		r.logs = append(r.logs, store)
		k := raft.DefaultConfig()
		k.LocalID = servers[i].ID
		k.Logger = hclog.NewNullLogger()
		k.HeartbeatTimeout, k.ElectionTimeout, k.LeaderLeaseTimeout = beat, beat, beat/2
		k.MaxAppendEntries, k.BatchApplyCh = 512, true
		k.NoLegacyTelemetry = true
		snaps := raft.NewInmemSnapshotStore()
		if err := raft.BootstrapCluster(k, store, store, snaps, r.trans[i], raft.Configuration{Servers: servers}); err != nil {
			return nil, err
		}
		x, err := raft.NewRaft(k, nothing{}, store, store, snaps, r.trans[i])
		if err != nil {
			return nil, err
		}
		r.all = append(r.all, x)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		for _, x := range r.all {
			if x.State() == raft.Leader && x.VerifyLeader().Error() == nil {
				r.leader = x
				return r, nil
			}
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("raft elected nobody within a minute")
		}
	}
}

func (r *raftWAL) submit(context.Context, int, uint64) error {
	return r.leader.Apply(make([]byte, entryBytes), 10*time.Second).Error()
}

func (r *raftWAL) nodes() int { return len(r.all) }

func (r *raftWAL) close() {
	for _, x := range r.all {
		_ = x.Shutdown().Error()
	}
	for _, t := range r.trans {
		_ = t.Close()
	}
	for _, l := range r.logs {
		_ = l.Close()
	}
}
