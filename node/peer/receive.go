package peer

import (
	"bufio"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// bodyPatience is how long the rest of a begun frame may take.
const bodyPatience = 60 * time.Second

// maxWaiting bounds the streams of one class that wait for the reader of an older one to finish.
const maxWaiting = 2

// inbound is the one stream a peer may have in one class. A newer stream takes the place of the older: the peer has
// lost it, or restarted.
type inbound struct {
	slot chan struct{} // held by the one that reads

	mu      sync.Mutex
	current network.Stream
	waiting int
}

// claim makes s the current stream and waits for its predecessor's reader. It returns false if s must go.
func (in *inbound) claim(ctx context.Context, s network.Stream) bool {
	in.mu.Lock()
	if in.waiting >= maxWaiting {
		in.mu.Unlock()
		return false
	}
	in.waiting++
	if in.current != nil {
		_ = in.current.Reset() // already broken, or now
	}
	in.current = s
	in.mu.Unlock()

	ok := false
	select {
	case in.slot <- struct{}{}:
		ok = true
	case <-ctx.Done():
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.waiting--
	if ok && in.current != s {
		<-in.slot
		ok = false
	}
	return ok
}

// release lets the next stream read.
func (in *inbound) release(s network.Stream) {
	in.mu.Lock()
	if in.current == s {
		in.current = nil
	}
	in.mu.Unlock()
	<-in.slot
}

// drop ends the current stream.
func (in *inbound) drop() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.current != nil {
		_ = in.current.Reset() // its reader finds out
	}
}

// receive reads one class's stream from a peer until it ends.
func (m *Mesh) receive(c Class, s network.Stream) {
	defer func() { _ = s.Reset() }() // however it ends, nothing of it is left open
	l := m.links[m.roster.nation[s.Conn().RemotePeer()]]
	if l == nil || l.barred() || !m.enter() {
		return
	}
	defer m.wg.Done()
	stop := context.AfterFunc(m.ctx, func() { _ = s.Reset() })
	defer stop()
	in := l.in[c]
	if !in.claim(m.ctx, s) {
		return
	}
	defer in.release(s)

	r := bufio.NewReaderSize(s, 16<<10)
	limit := func(kind uint8) int {
		if kind != uint8(c) {
			return -1
		}
		return rules[c].limit
	}
	for m.ctx.Err() == nil {
		_, size, err := readHeader(r, limit)
		if errors.Is(err, errFrame) {
			m.Violation(l.nation, c.String()+" stream: "+err.Error())
			return
		}
		if err != nil {
			return
		}
		late := size > r.Buffered()
		if late {
			_ = s.SetReadDeadline(time.Now().Add(bodyPatience))
		}
		msg, err := readBody(r, size)
		if err != nil {
			return
		}
		if late {
			_ = s.SetReadDeadline(time.Time{})
		}
		m.metrics.received.WithLabelValues(c.String()).Inc()
		m.metrics.receivedBytes.WithLabelValues(c.String()).Add(float64(frameHeader + size))
		m.cfg.Handler(l.nation, c, msg)
	}
}
