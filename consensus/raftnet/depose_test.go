package raftnet_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Would catch a deposed leader that keeps the order, a successor that waits for timers though it was started, one that is
// not started at all, and a deposed leader that does not come back as a follower.
func TestRow25Deposition(t *testing.T) {
	for _, n := range []int{4, 7} {
		for _, started := range []bool{true, false} {
			var took []time.Duration
			for range 3 {
				synctest.Test(t, func(t *testing.T) {
					c := newCluster(t, n)
					defer c.close()
					old := c.leader()
					c.propose(old, 0, 10)
					c.agree(10, c.nodes...)
					rest := slices.DeleteFunc(slices.Clone(c.nodes), func(x *node) bool { return x == old })
					term, began := old.group.Term(), time.Now()
					for _, x := range rest {
						x.group.Quarantine(old.id, began.Add(time.Minute))
					}
					if started {
						must(t, rest[0].group.StartElection())
					}
					var l *node
					for l == nil {
						time.Sleep(time.Millisecond)
						for _, x := range rest {
							if _, self := x.group.Leader(); self {
								l = x
							}
						}
					}
					c.propose(l, 10, 11)
					took = append(took, time.Since(began))
					if started && l != rest[0] {
						t.Errorf("%s leads; %s was started", l.id, rest[0].id)
					}
					if now := l.group.Term(); now > term+2 {
						t.Errorf("the term went from %d to %d", term, now)
					}
					c.agree(11, c.nodes...) // the deposed one follows
					time.Sleep(70 * time.Second)
					if again := c.leader(); again != l {
						t.Errorf("%s leads after the sentence; %s did", again.id, l.id)
					}
				})
			}
			slices.Sort(took)
			limit := 4 * time.Second // four heartbeat timeouts
			if started {
				limit = 150 * time.Millisecond
			}
			t.Logf("n = %d, successor started %v: leader deposed to first record ordered: median %s, max %s", n, started, took[1], took[2])
			if took[1] > limit {
				t.Errorf("median %s, stated %s", took[1], limit)
			}
		}
	}
}

// Would catch f members that depose a leader by shutting it out, and come back with a term that does.
func TestRow25FewShutOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		defer c.close()
		l := c.leader()
		term := l.group.Term()
		one := c.nodes[(l.i+1)%4]
		one.group.Quarantine(l.id, time.Now().Add(time.Minute))
		_ = one.group.StartElection()
		time.Sleep(20 * time.Second)
		if _, self := l.group.Leader(); !self || l.group.Term() != term {
			t.Errorf("one of four took the order from its leader: term %d to %d", term, l.group.Term())
		}
		one.group.Quarantine(l.id, time.Time{})
		c.propose(l, 0, 5)
		c.agree(5, c.leader(), one)
	})
}

// Would catch a group that takes an election while it is stopped.
func TestStartElectionStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		defer c.close()
		c.leader()
		must(t, c.nodes[0].group.Reopen(context.Background(), func() error {
			if err := c.nodes[0].group.StartElection(); err == nil {
				t.Error("no raft runs and an election was started")
			}
			return nil
		}))
	})
}
