package sensorio

import (
	"context"
	"sync"

	"truceline/sensorio/rawlog"
)

// queue holds what a source has read and the raw log has not yet. It is bounded by messages and by bytes; a single
// message always fits into an empty queue. Safe for concurrent use.
type queue struct {
	messages, bytes int // bounds

	mu     sync.Mutex
	items  []queued
	size   int
	closed bool
	moved  chan struct{} // closed and replaced when anything changes
}

type queued struct {
	raw Raw
	ack Ack
}

func newQueue(messages, bytes int) *queue {
	return &queue{messages: messages, bytes: bytes, moved: make(chan struct{})}
}

func (q *queue) signal() {
	close(q.moved)
	q.moved = make(chan struct{})
}

// offer puts all items in, or none when they do not fit.
func (q *queue) offer(items ...queued) bool {
	size := 0
	for _, it := range items {
		size += len(it.raw.Bytes)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	full := len(q.items)+len(items) > q.messages || q.size+size > q.bytes
	if q.closed || full && len(q.items) > 0 {
		return false
	}
	q.items = append(q.items, items...)
	q.size += size
	q.signal()
	return true
}

// put waits for room.
func (q *queue) put(ctx context.Context, it queued) error {
	for {
		q.mu.Lock()
		moved := q.moved
		q.mu.Unlock()
		if q.offer(it) {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// maxTake bounds the messages of one append to the raw log: one write and one fsync for all of them.
const maxTake = 256

// take waits for messages and removes up to maxTake of them and rawlog.MaxRaw bytes. It returns none when the queue is
// closed and empty.
func (q *queue) take(ctx context.Context) ([]queued, error) {
	for {
		q.mu.Lock()
		if n := len(q.items); n > 0 {
			k, size := 0, 0
			for k < min(n, maxTake) && (k == 0 || size+len(q.items[k].raw.Bytes) <= rawlog.MaxRaw) {
				size += len(q.items[k].raw.Bytes)
				k++
			}
			out := append([]queued(nil), q.items[:k]...)
			q.items = append(q.items[:0], q.items[k:]...)
			clear(q.items[len(q.items):n])
			q.size -= size
			q.signal()
			q.mu.Unlock()
			return out, nil
		}
		if q.closed {
			q.mu.Unlock()
			return nil, nil
		}
		moved := q.moved
		q.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// drain closes the queue and returns what is left.
func (q *queue) drain() []queued {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := q.items
	q.items, q.size = nil, 0
	if !q.closed {
		q.closed = true
		q.signal()
	}
	return out
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items)
}
