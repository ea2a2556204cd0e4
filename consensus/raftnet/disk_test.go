package raftnet_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"truceline/consensus/raftnet"
)

// Would catch a full disk that takes the process down (raft panics when it cannot keep its term), hangs Close, goes
// unreported, or loses what was acknowledged.
func TestFullDiskStopsTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 5)
		defer c.close()
		l := c.leader()
		c.propose(l, 0, 5)
		c.agree(5, c.nodes...)
		sick := c.nodes[(l.i+1)%5]
		sick.full.On()
		c.propose(l, 5, 8) // the other four do not need it
		l.stop()           // an election: the sick node is asked for a vote in a term it cannot keep
		time.Sleep(20 * time.Second)
		sick.mu.Lock()
		store, inRaft := sick.fatal, sick.raftFatal
		sick.mu.Unlock()
		if store == nil || inRaft == nil {
			t.Errorf("reported by the store: %v; by raft: %v", store, inRaft)
		}
		clone := sick.fs.CrashClone(vfs.CrashCloneCfg{})
		sick.stop()
		sick.full.Off()
		sick.fs, sick.fatal, sick.raftFatal = clone, nil, nil
		sick.start()
		l.start()
		c.leader()
		c.agree(8, c.nodes...)
		c.propose(c.leader(), 8, 10)
		c.agree(10, c.nodes...)
	})
}

// Would catch an AppendEntries that does not fit in a frame being refused for ever: raft counts entries, not bytes.
func TestLargeEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		defer c.close()
		l := c.leader()
		lag := c.nodes[(l.i+1)%4]
		lag.stop()
		var ps []*raftnet.Proposal
		for range 24 { // 12 MiB: three frames
			p, err := l.group.Propose(make([]byte, raftnet.MaxEntry))
			must(t, err)
			ps = append(ps, p)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for _, p := range ps {
			must(t, p.Wait(ctx))
		}
		lag.start()
		c.agree(24, c.nodes...)
		if _, err := l.group.Propose(make([]byte, raftnet.MaxEntry+1)); !errors.Is(err, raftnet.ErrTooLarge) {
			t.Errorf("an oversized entry: %v", err)
		}
	})
}
