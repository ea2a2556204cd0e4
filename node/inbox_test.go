package node

import (
	"context"
	"testing"

	"truceline/treaty"
)

// A peer that floods must neither push out nor hold up another's frame, and must itself wait.
func TestInboxIsFair(t *testing.T) {
	b := newInbox([]treaty.Nation{"XAA", "XAB", "XAC"})
	ctx, stop := context.WithCancel(context.Background())
	for i := range laneLen {
		b.put(ctx, "XAA", []byte{byte(i)})
	}
	waits := make(chan struct{})
	go func() { b.put(ctx, "XAA", []byte{laneLen}); close(waits) }()
	b.put(ctx, "XAC", []byte{100})
	b.put(ctx, "XAC", []byte{101})
	b.put(ctx, "ZZZ", []byte{200}) // not of the roster
	<-b.ready
	got := b.take(4)
	if len(got) != 4 || got[0].raw[0] != 0 || got[1].raw[0] != 100 || got[2].raw[0] != 1 || got[3].raw[0] != 101 {
		t.Fatalf("taken %v", got)
	}
	<-waits // room was made
	<-b.ready
	next := byte(2)
	for {
		more := b.take(8)
		for _, m := range more {
			if m.from != "XAA" || m.raw[0] != next {
				t.Fatalf("got %v where XAA's frame %d must be", m, next)
			}
			next++
		}
		if len(more) < 8 {
			break
		}
	}
	if next != laneLen+1 {
		t.Fatalf("%d frames of XAA, sent %d", next, laneLen+1)
	}
	for range laneLen {
		b.put(ctx, "XAB", nil)
	}
	stop()
	b.put(ctx, "XAB", nil) // full, and the node stops: put returns
}
