package raftnet

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/hashicorp/raft"

	"truceline/treaty"
)

// The chain of a leader is the hash over the entries it has ordered in its term. Every AppendEntries with such entries
// carries heads: the chain at its last entry, and where it passes a multiple of headStride the chain there, so that all
// followers hold heads of the same indexes and two orders cannot pass side by side unseen. C.4 row 26.
const (
	headStride = maxAppendEntries
	// maxHeads: an AppendEntries passes at most one multiple of headStride before its last entry.
	maxHeads = 2
	// maxChain bounds what a leader remembers of its chain: the log is compacted to some 10,000 entries below the certified
	// point, and a follower takes at most maxAhead above it.
	maxChain = 1 << 18
)

// chainOn is the chain one entry on.
func chainOn(prev treaty.Hash, e *raft.Log) treaty.Hash {
	var head [57]byte
	copy(head[:], prev[:])
	binary.BigEndian.PutUint64(head[32:], e.Index)
	binary.BigEndian.PutUint64(head[40:], e.Term)
	head[48] = byte(e.Type)
	binary.BigEndian.PutUint64(head[49:], uint64(len(e.Data)))
	d := sha256.New()
	d.Write(head[:])
	d.Write(e.Data)
	var h treaty.Hash
	d.Sum(h[:0])
	return h
}

// appendCall is an AppendEntries with its heads. prev is the chain before the first entry of the leader's own term, zero
// where that entry begins the term.
type appendCall struct {
	raft.AppendEntriesRequest
	prev  treaty.Hash
	heads [][]byte
}

// own finds the entries of the leader's own term, which are the last ones, and the entry before them.
func own(a *raft.AppendEntriesRequest) (es []*raft.Log, prev, prevTerm uint64) {
	i := len(a.Entries)
	for i > 0 && a.Entries[i-1].Term == a.Term {
		i--
	}
	if prev, prevTerm = a.PrevLogEntry, a.PrevLogTerm; i > 0 {
		prev, prevTerm = a.Entries[i-1].Index, a.Entries[i-1].Term
	}
	return a.Entries[i:], prev, prevTerm
}

// tenure is this node's leadership of one term: its certificate, and the chain of what it has ordered.
type tenure struct {
	vote   treaty.ElectionVote
	frame  []byte // the certificate, ready to be sent
	signer *treaty.Signer

	mu     sync.Mutex
	top    uint64        // the last index of the chain
	chain  []treaty.Hash // up to top
	signed map[uint64][]byte
}

func newTenure(signer *treaty.Signer, e *treaty.Election) *tenure {
	frame, err := endFrame(append(startFrame(nil), treaty.Encode(e)...), frameElection)
	if err != nil {
		panic(err) // treaty.MaxElection holds every nation's vote
	}
	return &tenure{vote: e.Vote(), frame: frame, signer: signer, signed: map[uint64][]byte{}}
}

// at is the chain at an index, if it is remembered.
func (t *tenure) at(i uint64) (treaty.Hash, bool) {
	if i > t.top || t.top-i >= uint64(len(t.chain)) {
		return treaty.Hash{}, false
	}
	return t.chain[len(t.chain)-1-int(t.top-i)], true
}

// cover signs the heads that an AppendEntries needs. What is sent first fixes the chain, so this node never signs two
// heads that contradict each other, whatever raft does.
func (t *tenure) cover(a *raft.AppendEntriesRequest) (*appendCall, error) {
	c := &appendCall{AppendEntriesRequest: *a}
	es, before, beforeTerm := own(a)
	if len(es) == 0 {
		return c, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if beforeTerm == a.Term {
		var ok bool
		if c.prev, ok = t.at(before); !ok {
			return nil, fmt.Errorf("entry %d is too far behind entry %d to be signed again", before, t.top)
		}
	}
	h := c.prev
	for _, e := range es {
		var ok bool
		if h, ok = t.link(h, e); !ok {
			return nil, fmt.Errorf("entry %d is too far from entry %d to be signed", e.Index, t.top)
		}
	}
	for _, e := range es {
		if e.Index%headStride != 0 && e != es[len(es)-1] {
			continue
		}
		raw, err := t.sign(e.Index)
		if err != nil {
			return nil, err
		}
		c.heads = append(c.heads, raw)
	}
	return c, nil
}

// link finds an entry's place in the chain, or adds the next entry to it.
func (t *tenure) link(prev treaty.Hash, e *raft.Log) (treaty.Hash, bool) {
	if known, ok := t.at(e.Index); ok {
		return known, true // hashed when it was first sent
	}
	if len(t.chain) > 0 && e.Index != t.top+1 {
		return treaty.Hash{}, false
	}
	if len(t.chain) >= maxChain {
		t.chain = append(t.chain[:0], t.chain[maxChain/2:]...)
	}
	t.chain, t.top = append(t.chain, chainOn(prev, e)), e.Index
	return t.chain[len(t.chain)-1], true
}

func (t *tenure) sign(i uint64) ([]byte, error) {
	if raw := t.signed[i]; raw != nil {
		return raw, nil
	}
	h, _ := t.at(i)
	raw, err := t.signer.SignHead(treaty.Head{Term: t.vote.Term, Start: t.vote.Start, Index: i, Chain: h})
	if err != nil {
		return nil, err
	}
	if len(t.signed) >= 256 {
		clear(t.signed)
	}
	t.signed[i] = raw
	return raw, nil
}
