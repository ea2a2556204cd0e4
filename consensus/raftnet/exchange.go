package raftnet

import (
	"context"
	"time"
)

// headCall is a head on its way to another member. Nothing answers it.
type headCall struct{ raw []byte }

// exchange shows the heads this node follows to one other member after the other: one every half heartbeat timeout, and
// nothing once everybody has seen the newest. A leader that shows two orders is found within a round of that.
func (t *Transport) exchange() {
	tick := time.NewTicker(t.heartbeat / 2)
	defer tick.Stop()
	var shown uint64 // the newest index passed on
	var next, left int
	for {
		select {
		case <-tick.C:
		case <-t.stop:
			return
		}
		raws, top, forged := t.orders.latest()
		if forged != "" {
			t.guard.note(forged, refusedHead)
		}
		if top != shown {
			shown, left = top, len(t.others)
		}
		if left == 0 || len(raws) == 0 {
			continue
		}
		left--
		next = (next + 1) % len(t.others)
		to := t.others[next]
		if ses := t.session.Load(); ses == nil || ses.leader() == to || ses.leader() == t.self {
			continue
		}
		for _, raw := range raws {
			ctx, cancel := context.WithTimeout(context.Background(), t.heartbeat)
			err := t.to[to].links[classVote].send(ctx, &call{req: &headCall{raw}, silent: true}, true)
			cancel()
			if err != nil {
				break
			}
		}
	}
}
