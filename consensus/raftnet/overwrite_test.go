package raftnet_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"github.com/libp2p/go-libp2p/core/protocol"

	"truceline/consensus/raftnet"
)

// Would catch a node whose state machine silently keeps entries that its log has lost: a lying
// member that f helpers had elected overwrites an applied entry, the Applier must get nothing more until Reopen, the node must be told,
// and afterwards it must hold what the others hold. What is certified must not move at all.
func TestRow03Overwritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		defer c.close()
		l := c.leader()
		c.propose(l, 0, 5)
		c.agree(5, c.nodes...)
		floor := c.certify(l, c.nodes...)
		c.propose(l, 5, 8)
		c.agree(8, c.nodes...)
		liar, victim := c.nodes[(l.i+1)%4], c.nodes[(l.i+2)%4]
		var prev raft.Log
		for _, at := range []uint64{floor, floor + 2} {
			must(t, victim.store.GetLog(at-1, &prev))
			s, err := liar.host.NewStream(context.Background(), victim.host.ID(), protocol.ID("/truceline/raft/append/1"))
			must(t, err)
			e := c.elect(liar, victim.group.Term()+10) // a term in which the others, who did not help, elect nobody
			_, err = s.Write(raftnet.Elected(e))
			must(t, err)
			_, err = s.Write(raftnet.Lead(c.fix.Signers[e.Candidate], e, prev.Index, prev.Term, "forged"))
			must(t, err)
			_ = s.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := s.Read(make([]byte, 23)); err != nil {
				t.Fatal(err)
			}
			_ = s.Reset()
			if at == floor && (victim.group.Overwritten() || len(victim.truncated) > 0) {
				t.Fatal("a certified entry was overwritten")
			}
		}
		if !victim.group.Overwritten() || len(victim.truncated) != 1 || victim.truncated[0] != floor+2 {
			t.Fatalf("overwritten %v, told %v; want from %d", victim.group.Overwritten(), victim.truncated, floor+2)
		}
		// Nothing keeps the victim, whose log now looks newest, from being elected and spreading the forged entry over
		// what is not certified. So every node does what a real one does: it re-opens when it was overwritten.
		for range 60 {
			for _, n := range c.nodes {
				if n.group.Overwritten() {
					must(t, n.group.Reopen(context.Background(), func() error { return nil }))
				}
			}
			time.Sleep(time.Second) // virtual
		}
		c.propose(c.leader(), 8, 10)
		c.agree(7, c.nodes...)
		for _, n := range c.nodes {
			if es := n.have(); len(es) < 5 || string(es[4].Data) != "entry 4" {
				t.Errorf("%s lost what was certified", n.id)
			}
		}
	})
}
