package raftnet_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"

	"truceline/consensus/raftnet"
	"truceline/treaty"
)

// The rows of consensus.md table C.4 that need a network: a member that speaks raft's frames by hand.

// stream opens one from a liar's host.
func (n *node) stream(to *node, class string) network.Stream {
	n.c.t.Helper()
	s, err := n.host.NewStream(context.Background(), to.host.ID(), protocol.ID("/truceline/raft/"+class+"/1"))
	must(n.c.t, err)
	_ = s.SetReadDeadline(time.Now().Add(30 * time.Second))
	return s
}

// ask writes frames and reads one answer; nil when the stream was ended instead.
func ask(t *testing.T, s network.Stream, frames ...[]byte) []byte {
	t.Helper()
	for _, f := range frames {
		if _, err := s.Write(f); err != nil {
			return nil
		}
	}
	head := make([]byte, 5)
	if _, err := io.ReadFull(s, head); err != nil {
		return nil
	}
	body := make([]byte, binary.BigEndian.Uint32(head)-1)
	_, err := io.ReadFull(s, body)
	must(t, err)
	return append(head, body...)
}

// Would catch a follower or leader that obeys a member nobody elected, or one elected by fewer than q, in any term.
func TestRow01NoObedience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		defer c.close()
		l := c.leader()
		c.propose(l, 0, 3)
		c.agree(3, c.nodes...)
		liar := c.nodes[(l.i+1)%4]
		for _, victim := range []*node{l, c.nodes[(l.i+2)%4]} {
			term := victim.group.Term()
			few := c.elect(liar, term+1)
			few.Sigs = few.Sigs[:2]
			noTerm := &treaty.Election{Term: term + 1, Candidate: treaty.Nation(liar.id), Start: few.Start}
			lead := raftnet.Lead(c.fix.Signers[noTerm.Candidate], noTerm, 4, term)
			for name, frames := range map[string][][]byte{
				"a higher term":      {raftnet.ForgedAppend(liar.id, term+1)},
				"the same term":      {raftnet.ForgedAppend(liar.id, term)},
				"entries":            {lead},
				"fewer than q votes": {raftnet.Elected(few), lead},
				"another's votes":    {raftnet.Elected(c.elect(l, term+1)), lead},
				"a vote too old":     {raftnet.Elected(c.elect(liar, term+2)), lead},
			} {
				s := liar.stream(victim, "append")
				if b := ask(t, s, frames...); b != nil {
					t.Errorf("%s to %s: answered %x", name, victim.id, b)
				}
				_ = s.Reset()
			}
			if b := ask(t, liar.stream(victim, "vote"), raftnet.AskTimeout(liar.id)); b != nil {
				t.Errorf("timeout now to %s: answered", victim.id)
			}
			refused := victim.group.Refused()[liar.id]
			if refused["no-election-certificate"] != 6 || refused["timeout-now-not-from-leader"] != 1 {
				t.Errorf("%s refused %v", victim.id, refused)
			}
			if id, _ := victim.group.Leader(); id != l.id || victim.group.Term() != term {
				t.Errorf("%s follows %q in term %d, want %s in %d", victim.id, id, victim.group.Term(), l.id, term)
			}
		}
		c.propose(l, 3, 6)
		c.agree(6, c.nodes...)
	})
}

// Would catch a leader that raft's own majority made where q is more, terms that rise in elections that cannot be won, and
// elections that f silent nations can prevent.
func TestRow01QuorumElects(t *testing.T) {
	for _, n := range []int{4, 5, 6, 7} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, n)
				defer c.close()
				first := c.leader()
				f, q := c.fix.Net.F, c.fix.Net.Q
				rest := slices.DeleteFunc(slices.Clone(c.nodes), func(o *node) bool { return o == first })
				first.stop()
				for _, o := range rest[q-1:] { // q-1 are left, a majority of raft's for n of 5 and 7
					o.stop()
				}
				time.Sleep(time.Minute) // virtual
				terms := map[uint64]bool{}
				for _, o := range rest[:q-1] {
					if _, self := o.group.Leader(); self {
						t.Errorf("%s leads with %d of %d votes, q is %d", o.id, q-1, n, q)
					}
					terms[o.group.Term()] = true
				}
				if len(terms) > 2 {
					t.Errorf("terms %v after elections that nobody could win", terms)
				}
				for _, o := range rest[q-1 : n-f] {
					o.start()
				}
				l := c.leader()
				c.propose(l, 0, 3)
				c.agree(3, rest[:n-f]...)
				run, ok := l.group.Tenure()
				if !ok || run.Term != l.group.Term() || string(run.Candidate) != l.id {
					t.Errorf("%s leads term %d on the certificate %+v", l.id, l.group.Term(), run)
				}
			})
		})
	}
}

// Would catch a leader made by votes that a liar granted and did not sign.
func TestRow01UnsignedVote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		defer c.close()
		c.leader()
		liar := c.nodes[3]
		liar.stop()
		c.nodes[2].stop() // two are left; with the liar's vote they would be q
		liar.host.SetStreamHandler("/truceline/raft/vote/1", func(s network.Stream) {
			defer func() { _ = s.Reset() }()
			for {
				head := make([]byte, 5)
				if _, err := io.ReadFull(s, head); err != nil {
					return
				}
				body := make([]byte, binary.BigEndian.Uint32(head)-1)
				if _, err := io.ReadFull(s, body); err != nil {
					return
				}
				if _, err := s.Write(raftnet.Granting(append(head, body...))); err != nil {
					return
				}
			}
		})
		time.Sleep(30 * time.Second) // virtual
		seen := uint64(0)
		for _, n := range c.nodes[:2] {
			if _, self := n.group.Leader(); self {
				t.Errorf("%s leads on a vote that was not signed", n.id)
			}
			seen += n.group.Refused()[liar.id]["vote-signature"]
		}
		if seen == 0 {
			t.Error("the liar was never asked, or not counted")
		}
		liar.host.RemoveStreamHandler("/truceline/raft/vote/1")
		c.nodes[2].start()
		c.propose(c.leader(), 0, 3)
	})
}

// Would catch a node that signs for two candidates, or two runs of one, in a term; also after a restart.
func TestRow10VoteOnceAcrossRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		defer c.close()
		c.leader()
		voter, a, b := c.nodes[0], c.nodes[1], c.nodes[2]
		for _, o := range c.nodes[1:] {
			o.stop()
		}
		time.Sleep(20 * time.Second) // virtual; the voter has no leader any more
		last := voter.group.LastIndex()
		term := voter.group.Term() + 1
		granted := func(from *node, term uint64, run string) bool {
			start := treaty.HashOf([]byte(run))
			s := from.stream(voter, "vote")
			defer func() { _ = s.Reset() }()
			reply := ask(t, s, raftnet.AskVote(from.id, term, start, last+5, term-1, false))
			if reply == nil {
				t.Fatal("no answer")
			}
			ok, sig := raftnet.GrantedBy(reply)
			v := treaty.ElectionVote{Term: term, Candidate: treaty.Nation(from.id), Start: start}
			if err := c.fix.Net.VerifyElectionSig(v, treaty.ElectionSig{Nation: treaty.Nation(voter.id), Sig: sig}); ok != (err == nil) {
				t.Errorf("granted %v: %v", ok, err)
			}
			return ok
		}
		for i := range 2 {
			if !granted(a, term, "one") {
				t.Errorf("restart %d: refused, or did not repeat, its vote", i)
			}
			if granted(b, term, "one") || granted(a, term, "two") {
				t.Errorf("restart %d: voted twice in term %d", i, term)
			}
			voter.stop()
			voter.start()
		}
		if !granted(a, term+1, "two") {
			t.Error("refused the next term")
		}
	})
}

// Would catch a snapshot that no certificate vouches for, or an older one, being restored, kept, or costing the good one.
func TestRow18And20BadSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		defer c.close()
		l := c.leader()
		c.propose(l, 0, 5)
		c.agree(5, c.nodes...)
		floor := c.certify(l, c.nodes...)
		good := c.nodes[0].cert
		liar, victim := c.nodes[(l.i+1)%4], c.nodes[(l.i+2)%4]
		term := victim.group.Term() + 1
		config := raft.EncodeConfiguration(raftnet.Roster(c.members()))
		for name, f := range map[string][]byte{
			"poison":    raftnet.Install(liar.id, term, floor+10, 2, config, []byte("poison")),
			"rollback":  raftnet.Install(liar.id, term, floor-2, 2, config, good.data),
			"roster":    raftnet.Install(liar.id, term, floor+10, 2, []byte("other"), good.data),
			"elsewhere": raftnet.Install(liar.id, term, floor+10, 2, config, good.data),
		} {
			s := liar.stream(victim, "snapshot")
			if b := ask(t, s, raftnet.Elected(c.elect(liar, term)), f); b != nil {
				t.Errorf("%s: answered %x", name, b)
			}
			_ = s.Reset()
		}
		if victim.restores != 0 || victim.cert.index != floor || victim.group.Term() >= term {
			t.Errorf("restored %d times, certified %d, term %d", victim.restores, victim.cert.index, victim.group.Term())
		}
		victim.stop()
		victim.start()
		c.propose(c.leader(), 5, 8)
		c.agree(8, c.nodes...)
	})
}

// Would catch a snapshot that comes in drops and holds up the node meanwhile, or for ever.
func TestRow19SlowSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		defer c.close()
		l := c.leader()
		liar, victim := c.nodes[(l.i+1)%4], c.nodes[(l.i+2)%4]
		term := victim.group.Term() + 1
		s := liar.stream(victim, "snapshot")
		f := raftnet.Install(liar.id, term, 99, 2, raft.EncodeConfiguration(raftnet.Roster(c.members())), make([]byte, 4000))
		_, err := s.Write(append(raftnet.Elected(c.elect(liar, term)), f[:50]...))
		must(t, err)
		c.propose(l, 0, 5)
		c.agree(5, c.nodes...)
		began := time.Now()
		for i := range f[50:] { // a byte a second
			time.Sleep(time.Second) // virtual
			if _, err := s.Write(f[50+i : 51+i]); err != nil {
				break
			}
		}
		if d := time.Since(began); d > 15*time.Second {
			t.Errorf("a slow snapshot was read for %v", d)
		}
		c.propose(l, 5, 8)
		c.agree(8, c.nodes...)
	})
}

// Would catch a leader, elected with the help of liars, that shows two followers two orders and leaves no evidence; and
// evidence that does not convict it.
func TestRow26TwoOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		defer c.close()
		l := c.leader()
		c.propose(l, 0, 3)
		c.agree(3, c.nodes...)
		liar := c.nodes[(l.i+1)%4]
		c.liar = liar.id
		a, b := c.nodes[(l.i+2)%4], c.nodes[(l.i+3)%4]
		e := c.elect(liar, l.group.Term()+1)
		var prev raft.Log
		must(t, a.store.GetLog(a.group.LastIndex(), &prev))
		for victim, order := range map[*node]string{a: "one order", b: "another"} {
			f := raftnet.Lead(c.fix.Signers[e.Candidate], e, prev.Index, prev.Term, order)
			if ask(t, liar.stream(victim, "append"), raftnet.Elected(e), f) == nil {
				t.Fatalf("%s refused a leader in good form: %v", victim.id, victim.group.Refused())
			}
		}
		time.Sleep(10 * a.group.ExchangeEvery()) // virtual
		found := 0
		for _, o := range []*node{a, b} {
			o.mu.Lock()
			found += len(o.conflicts)
			o.mu.Unlock()
		}
		if found == 0 {
			t.Fatal("nobody noticed")
		}
		// Another leads now. The two orders stand side by side in term and index, which raft cannot see: a certificate
		// decides, and who holds the other one re-opens (node).
		c.propose(c.leader(), 3, 5)
	})
}

// Would catch a member that exhausts a node with streams: the newest of a class replaces the one before.
func TestRow27Streams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		defer c.close()
		l := c.leader()
		liar, victim := c.nodes[(l.i+1)%4], c.nodes[(l.i+2)%4]
		for range 50 {
			_, err := liar.stream(victim, "append").Write([]byte{0})
			must(t, err)
		}
		time.Sleep(time.Second) // virtual
		open := 0
		for _, conn := range victim.host.Network().ConnsToPeer(liar.host.ID()) {
			for _, s := range conn.GetStreams() {
				if s.Protocol() == "/truceline/raft/append/1" && s.Stat().Direction == network.DirInbound {
					open++
				}
			}
		}
		if open > 1 {
			t.Errorf("%d streams of one class by one member are open", open)
		}
		c.propose(l, 0, 3)
		c.agree(3, c.nodes...)
	})
}
