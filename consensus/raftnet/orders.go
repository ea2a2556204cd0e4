package raftnet

import (
	"slices"
	"sync"

	"github.com/hashicorp/raft"

	"truceline/treaty"
)

// orders keeps what leaders have signed: the evidence should one of them have led two ways. Signatures are looked at
// only when two heads contradict each other, or once before a head is passed on: the good path pays for hashes.
type orders struct {
	net      *treaty.Network
	conflict func(a, b []byte) // may be nil

	mu sync.Mutex
	// now is the leader this node follows, before the one before it: a leader that lied is gone soon.
	now, before *watch
	heard       map[string][]heldHead // of other members, not yet compared
	told        map[treaty.ElectionVote]bool
}

// watch is what one leader's run has signed.
type watch struct {
	run     treaty.ElectionVote
	last    uint64      // the last of its entries that went by here; 0 for none yet
	chain   treaty.Hash // there
	lied    bool        // it is not obeyed any more
	forged  bool        // because a signature of its was wrong: what it sent convinces nobody
	checked uint64      // highest index whose signature was found right
	held    map[uint64]heldHead
	steps   []uint64 // the indexes in held, oldest first
}

func newWatch(run treaty.ElectionVote) *watch { return &watch{run: run, held: map[uint64]heldHead{}} }

// heldHead is a signed head.
type heldHead struct {
	treaty.Head
	raw []byte
}

const (
	keepHeads = 64 // held
	keepHeard = 8  // of each member
	keepTold  = 64
)

func newOrders(net *treaty.Network, conflict func(a, b []byte)) *orders {
	none := newWatch(treaty.ElectionVote{})
	return &orders{
		net: net, conflict: conflict, now: none, before: none, heard: map[string][]heldHead{}, told: map[treaty.ElectionVote]bool{},
	}
}

// follow judges an AppendEntries of a leader that showed its certificate. One that lied, in whatever it signed or did not
// sign, is not obeyed any more in that term, not even its heartbeats: raft then elects another. C.4 row 26.
func (o *orders) follow(run treaty.ElectionVote, a *appendCall) refusal {
	o.mu.Lock()
	defer o.mu.Unlock()
	es, before, beforeTerm := own(&a.AppendEntriesRequest)
	if run != o.now.run && len(es) > 0 {
		switch {
		case run.Term < o.now.run.Term:
			return allowed // of a leader that is gone: raft's answer tells it so
		case run.Term == o.now.run.Term:
			return refusedElection // two certificates for one term: more than f nations lie
		}
		o.before, o.now = o.now, newWatch(run)
	}
	if w := o.now; run == w.run {
		w.lied = w.lied || !w.fits(a, es, before, beforeTerm)
		if w.lied {
			return refusedHead
		}
	}
	return allowed
}

// fits says whether a leader has signed what it sends, and it continues what it sent before.
func (w *watch) fits(a *appendCall, es []*raft.Log, before, beforeTerm uint64) bool {
	if len(es) == 0 {
		return len(a.heads) == 0
	}
	first := beforeTerm != a.Term
	if first != a.prev.IsZero() {
		return false
	}
	if h, ok := w.held[before]; !first && (w.last == before && w.chain != a.prev || ok && h.Chain != a.prev) {
		return false // not what it showed this node before
	}
	var news []heldHead
	chain, rest := a.prev, a.heads
	for i, e := range es {
		chain = chainOn(chain, e)
		if e.Index%headStride != 0 && i < len(es)-1 {
			continue
		}
		if len(rest) == 0 {
			return false
		}
		s, h, err := treaty.ParseHead(rest[0])
		want := treaty.Head{Term: w.run.Term, Start: w.run.Start, Index: e.Index, Chain: chain}
		if err != nil || s.Header.Claims.Issuer != w.run.Candidate || h != want {
			return false
		}
		if held, ok := w.held[e.Index]; ok && held.Chain != chain {
			return false
		}
		news, rest = append(news, heldHead{h, rest[0]}), rest[1:]
	}
	if len(rest) > 0 {
		return false
	}
	for _, h := range news {
		w.keep(h)
	}
	if i := es[len(es)-1].Index; i >= w.last {
		w.last, w.chain = i, chain
	}
	return true
}

// keep holds a head and gives up the oldest of the others: first of those between multiples of headStride.
func (w *watch) keep(h heldHead) {
	if _, ok := w.held[h.Index]; ok {
		return
	}
	h.raw = slices.Clone(h.raw) // it points into the frame, entries and all
	w.held[h.Index] = h
	w.steps = append(w.steps, h.Index)
	if len(w.steps) <= keepHeads {
		return
	}
	gone := slices.IndexFunc(w.steps[:keepHeads/2], func(i uint64) bool { return i%headStride != 0 })
	gone = max(gone, 0)
	delete(w.held, w.steps[gone])
	w.steps = slices.Delete(w.steps, gone, gone+1)
}

// hear takes a head that another member follows.
func (o *orders) hear(from string, raw []byte) refusal {
	_, h, err := treaty.ParseHead(raw)
	if err != nil {
		return refusedFrame
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if h.Term < o.before.run.Term {
		return allowed // of a leader that is long gone: nothing to compare it with
	}
	list := append(o.heard[from], heldHead{h, slices.Clone(raw)})
	if len(list) > keepHeard {
		list = list[1:]
	}
	o.heard[from] = list
	return o.compare(from)
}

// compare holds what a member sent against what this node holds. It returns a refusal when the member made it up.
func (o *orders) compare(from string) (why refusal) {
	o.heard[from] = slices.DeleteFunc(o.heard[from], func(h heldHead) bool {
		for _, w := range []*watch{o.now, o.before} {
			mine, ok := w.held[h.Index]
			if !ok || h.Term != w.run.Term {
				continue
			}
			if !mine.Contradicts(h.Head) {
				return true
			}
			switch _, err := o.net.CheckHeads(mine.raw, h.raw); {
			case err == nil:
				w.lied = true
				o.tell(w.run, mine.raw, h.raw)
			case !o.genuine(mine):
				w.lied, w.forged = true, true
			default:
				why = refusedHead
			}
			return true
		}
		return h.Term < o.before.run.Term
	})
	return why
}

// tell hands evidence on, once for each leader's run.
func (o *orders) tell(run treaty.ElectionVote, a, b []byte) {
	if o.told[run] || len(o.told) >= keepTold {
		return
	}
	o.told[run] = true
	if o.conflict != nil {
		o.conflict(a, b)
	}
}

func (o *orders) genuine(h heldHead) bool {
	s, err := treaty.ParseSigned(h.raw, treaty.MaxHead)
	return err == nil && o.net.Verify(s) == nil
}

// latest are the heads worth passing on: of both leaders the newest, and the newest at a multiple of headStride. Their
// signatures are checked first; a leader that does not sign is refused from then on, and named in forged.
func (o *orders) latest() (raws [][]byte, top uint64, forged string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for from := range o.heard {
		_ = o.compare(from) // what was ahead of this node when it came
	}
	for _, w := range []*watch{o.before, o.now} {
		if w.forged || len(w.steps) == 0 {
			continue
		}
		top = slices.Max(w.steps)
		at := []uint64{top}
		for _, k := range slices.Backward(w.steps) {
			if k%headStride == 0 && k != top {
				at = append(at, k)
				break
			}
		}
		for _, k := range at {
			if k > w.checked && !o.genuine(w.held[k]) {
				w.lied, w.forged, forged = true, true, string(w.run.Candidate)
				break
			}
			raws = append(raws, w.held[k].raw)
		}
		w.checked = top
	}
	return raws, top, forged
}
