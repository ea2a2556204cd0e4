package raftnet_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/protocol"

	"truceline/consensus/raftnet"
)

// Would catch a transport that cannot elect, lose an entry, or tell followers of a commit only with the next
// AppendEntries: 10 ms one way, so a follower has it 40 ms after the proposal, and not CommitTimeout (200 ms) later.
func TestElectAndCommit(t *testing.T) {
	for _, n := range []int{4, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, n)
				defer c.close()
				l := c.leader()
				c.propose(l, 0, 20)
				c.agree(20, c.nodes...)
				start := time.Now()
				c.propose(l, 20, 21)
				if d := time.Since(start); d > 41*time.Millisecond {
					t.Errorf("committed after %v of virtual time, want 2 times one way and nearly nothing else", d)
				}
				time.Sleep(15 * time.Millisecond)
				for _, o := range c.nodes {
					if got := len(o.have()); got != 21 {
						t.Errorf("%s has %d entries 15 ms after the commit, want 21: the nudge did not come", o.id, got)
					}
				}
				follower := c.nodes[(l.i+1)%n]
				if _, err := follower.group.Propose([]byte("x")); !errors.Is(err, raftnet.ErrNotLeader) {
					t.Errorf("a follower took a proposal: %v", err)
				}
				for who, whys := range l.group.Refused() {
					t.Errorf("honest %s was refused: %v", who, whys)
				}
			})
		})
	}
}

// Would catch a cluster that does not replace a leader it cannot reach, an old leader that cannot come back, and a
// proposal whose waiter is never told.
func TestLeaderCutAndHeal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 5)
		defer c.close()
		old := c.leader()
		c.propose(old, 0, 5)
		c.cut[old.i].Store(true)
		p, err := old.group.Propose([]byte("never"))
		must(t, err)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := p.Wait(ctx); !errors.Is(err, raftnet.ErrLost) {
			t.Errorf("a leader that is cut off said %v, want ErrLost", err)
		}
		l := c.leader()
		if l == old {
			t.Fatal("the leader that is cut off still leads")
		}
		c.propose(l, 5, 10)
		c.cut[old.i].Store(false)
		c.agree(10, c.nodes...)
		for _, e := range old.have() {
			if string(e.Data) == "never" {
				t.Error("an entry that was never committed was applied")
			}
		}
	})
}

// Would catch an entry acknowledged and then lost in a power cut, of one node and of all of them at once.
func TestPowerCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		c := newCluster(t, 4)
		defer c.close()
		n := 0
		for round := range 6 {
			l := c.leader()
			c.propose(l, n, n+10)
			n += 10
			switch round % 3 {
			case 0:
				l.crash(rng)
				l.start()
			case 1:
				for _, o := range c.nodes {
					o.crash(rng)
				}
				for _, o := range c.nodes {
					o.start()
				}
			default:
				o := c.nodes[(l.i+1)%4]
				o.crash(rng)
				c.propose(c.leader(), n, n+5)
				n += 5
				o.start()
			}
			c.leader()
			c.agree(n, c.nodes...)
		}
	})
}

// Would catch the three ways a certified point stands in for a snapshot: a leader that cannot send it, or sends it for
// ever, to a follower behind its compacted log; a restart on a compacted log; a follower that ends up with other
// entries; and a follower restored from it that cannot restart.
func TestFarBehindFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		defer c.close()
		l := c.leader()
		lag := c.nodes[(l.i+1)%4]
		c.propose(l, 0, 5)
		c.agree(5, c.nodes...)
		lag.stop()
		l = c.leader()
		c.propose(l, 5, 50)
		var up []*node
		for _, n := range c.nodes {
			if n != lag {
				up = append(up, n)
			}
		}
		c.agree(50, up...)
		floor := c.certify(l, up...)
		for _, n := range up {
			must(t, n.store.CompactTo(floor))
		}
		c.propose(l, 50, 60)
		lag.start()
		c.agree(60, c.nodes...)
		if lag.restores != 1 {
			t.Errorf("the follower restored %d times, want once", lag.restores)
		}
		c.propose(c.leader(), 60, 65)

		for _, n := range []*node{lag, l} { // restart from what a snapshot left, and from a compacted log
			n.stop()
			n.start()
			if first, _ := n.store.FirstIndex(); first < floor {
				t.Errorf("%s: log begins at %d, compacted to %d", n.id, first, floor)
			}
		}
		c.leader()
		c.agree(65, c.nodes...)
		c.propose(c.leader(), 65, 70)
		c.agree(70, c.nodes...)
	})
}

// Would catch a Reopen that loses the cluster: wipe everything above the certified point, come back, get the rest again.
func TestReopenAtCertifiedPoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		defer c.close()
		l := c.leader()
		c.propose(l, 0, 10)
		c.agree(10, c.nodes...)
		c.certify(l, c.nodes...)
		c.propose(l, 10, 15)
		c.agree(15, c.nodes...)
		for _, n := range []*node{c.nodes[(l.i+1)%4], l} {
			must(t, n.group.Reopen(context.Background(), n.store.Wipe))
			c.leader()
			c.agree(15, c.nodes...)
			if n.restores == 0 {
				t.Errorf("%s was not restored from the certified point", n.id)
			}
		}
		c.propose(c.leader(), 15, 20)
		c.agree(20, c.nodes...)
		if err := l.group.Reopen(context.Background(), func() error { return errors.New("not now") }); err == nil {
			t.Error("a failed prepare was ignored")
		}
		if _, err := l.group.Propose([]byte("x")); !errors.Is(err, raftnet.ErrNotLeader) {
			t.Errorf("a stopped group took a proposal: %v", err)
		}
		must(t, l.group.Reopen(context.Background(), func() error { return nil }))
		c.leader()
		c.agree(20, c.nodes...)
	})
}

// Would catch frames being believed that speak in another member's name, or come from outside of the roster.
func TestForgedIdentityRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		defer c.close()
		l := c.leader()
		c.propose(l, 0, 3)
		liar, victim := c.nodes[(l.i+1)%4], c.nodes[(l.i+2)%4]
		term := victim.group.Term()
		s, err := liar.host.NewStream(context.Background(), victim.host.ID(), protocol.ID("/truceline/raft/append/1"))
		must(t, err)
		_, err = s.Write(raftnet.ForgedAppend(l.id, term+1))
		must(t, err)
		_ = s.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := s.Read(make([]byte, 1)); err == nil {
			t.Error("the forged frame was answered")
		}
		if got := victim.group.Refused()[liar.id]["identity"]; got != 1 {
			t.Errorf("refused %v, want one for identity by %s", victim.group.Refused(), liar.id)
		}
		if victim.group.Term() != term {
			t.Errorf("the forged frame moved the term from %d to %d", term, victim.group.Term())
		}
		c.propose(l, 3, 6)
		c.agree(6, c.nodes...)
	})
}
