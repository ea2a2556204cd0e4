package peer

import "sync"

// queue is the bounded outgoing queue to one peer for one class. Putting never blocks.
type queue struct {
	rule classRule
	wake chan struct{} // one token: there may be something to take

	mu      sync.Mutex
	msgs    [][]byte
	bytes   int
	dropped uint64
}

func newQueue(r classRule) *queue { return &queue{rule: r, wake: make(chan struct{}, 1)} }

// put adds a message. It returns whether msg was taken, and how many messages were given up (older ones, or msg).
func (q *queue) put(msg []byte) (taken bool, lost int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	full := func() bool { return len(q.msgs) >= q.rule.maxCount || q.bytes+len(msg) > q.rule.maxBytes }
	if full() && !q.rule.dropOldest {
		q.dropped++
		return false, 1
	}
	for full() && len(q.msgs) > 0 {
		q.bytes -= len(q.msgs[0])
		q.msgs[0] = nil
		q.msgs = q.msgs[1:]
		lost++
	}
	q.dropped += uint64(lost)
	q.msgs = append(q.msgs, msg)
	q.bytes += len(msg)
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return true, lost
}

// take removes what fits into one write: at least one message if there is any.
func (q *queue) take() [][]byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, size := 0, 0
	for n < len(q.msgs) && (n == 0 || size+len(q.msgs[n]) <= q.rule.flush) {
		size += len(q.msgs[n])
		n++
	}
	out := q.msgs[:n:n]
	q.msgs = q.msgs[n:]
	if len(q.msgs) == 0 {
		q.msgs = nil
	}
	q.bytes -= size
	return out
}

// lose counts messages that were taken and could not be written.
func (q *queue) lose(n int) {
	q.mu.Lock()
	q.dropped += uint64(n)
	q.mu.Unlock()
}

// state is the queue's length and losses, for Status.
func (q *queue) state() (queued int, dropped uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.msgs), q.dropped
}
