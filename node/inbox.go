package node

import (
	"context"

	"truceline/treaty"
)

type inboxMessage struct {
	from treaty.Nation
	raw  []byte
}

// inbox holds finality frames that wait for the finalizer, in a lane for each peer: who floods fills its own lane and
// waits, and the others' frames are taken in turn with its.
type inbox struct {
	at    map[treaty.Nation]int
	lanes []chan inboxMessage
	next  int           // the lane that is looked at first; owned by the reader
	ready chan struct{} // something waits
}

// laneLen bounds what one peer may have waiting: some five heights of an honest nation.
const laneLen = 32

func newInbox(ks []treaty.Nation) *inbox {
	b := &inbox{at: make(map[treaty.Nation]int, len(ks)), ready: make(chan struct{}, 1)}
	for i, k := range ks {
		b.at[k] = i
		b.lanes = append(b.lanes, make(chan inboxMessage, laneLen))
	}
	return b
}

// put adds a frame; while its lane is full its sender waits. What comes from outside the roster is dropped.
func (b *inbox) put(ctx context.Context, from treaty.Nation, raw []byte) {
	i, ok := b.at[from]
	if !ok {
		return
	}
	select {
	case b.lanes[i] <- inboxMessage{from, raw}:
		b.signal()
	case <-ctx.Done():
	}
}

func (b *inbox) signal() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// take returns up to limit frames, one of each lane in turn, each lane's in its order.
func (b *inbox) take(limit int) (out []inboxMessage) {
	empty := 0
	for empty < len(b.lanes) && len(out) < limit {
		select {
		case m := <-b.lanes[b.next]:
			out = append(out, m)
			empty = 0
		default:
			empty++
		}
		b.next = (b.next + 1) % len(b.lanes)
	}
	if empty < len(b.lanes) {
		b.signal()
	}
	return out
}
