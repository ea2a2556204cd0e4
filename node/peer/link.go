package peer

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"truceline/treaty"
)

// How connections are kept.
const (
	firstBackoff = 250 * time.Millisecond
	maxBackoff   = 15 * time.Second
	// passiveWait: of two nations the one that comes first in the roster dials, and the other only when that has not
	// worked for so long; otherwise both would dial at once and keep two connections.
	passiveWait = 2 * time.Second
	pingEvery   = 20 * time.Second
	// deadPings is how many unanswered pings in a row end a connection that still calls itself connected.
	deadPings = 3
)

// link is everything about one other nation.
type link struct {
	m      *Mesh
	nation treaty.Nation
	id     peer.ID
	addrs  []ma.Multiaddr
	queues map[Class]*queue // immutable map
	in     map[Class]*inbound
	calls  chan struct{} // one token for each call we make of it
	served chan struct{} // one token for each call of its that we answer

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when up changes
	status  PeerStatus
	up      bool
	// recent are the times of the last violations, for dropping.
	recent []time.Time
}

func newLink(m *Mesh, n treaty.Nation) *link {
	l := &link{
		m: m, nation: n, id: m.roster.id[n], queues: map[Class]*queue{}, in: map[Class]*inbound{},
		calls: make(chan struct{}, maxCalls), served: make(chan struct{}, 2*maxCalls), changed: make(chan struct{}),
	}
	l.status = PeerStatus{Nation: n, Peer: l.id.String()}
	for _, c := range Classes {
		l.queues[c] = newQueue(rules[c])
		l.in[c] = &inbound{slot: make(chan struct{}, 1)}
	}
	for _, a := range m.cfg.Peers[n] {
		l.addrs = append(l.addrs, ma.StringCast(a)) // Validate has parsed it
	}
	return l
}

// connChanged reads the state of the connection from the host.
func (l *link) connChanged() {
	conns := l.m.cfg.Host.Network().ConnsToPeer(l.id)
	l.mu.Lock()
	defer l.mu.Unlock()
	up := len(conns) > 0
	if up {
		l.status.Address = conns[0].RemoteMultiaddr().String()
		l.status.Transport = "quic"
		if isTCP(conns[0].RemoteMultiaddr()) {
			l.status.Transport = "tcp"
		}
	}
	if up == l.up {
		return
	}
	l.up = up
	l.status.Connected, l.status.Since = up, time.Now()
	if !up {
		l.status.Address, l.status.Transport, l.status.RTT = "", "", 0
	}
	l.m.metrics.connected.WithLabelValues(string(l.nation)).Set(b2f(up))
	l.m.cfg.Log.Info("peer connection changed", "peer", l.nation, "connected", up, "addr", l.status.Address)
	close(l.changed)
	l.changed = make(chan struct{})
}

// state is whether there is a connection, and a channel that is closed when that changes.
func (l *link) state() (up bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up, l.changed
}

// await waits until there is a connection; false when the mesh closes.
func (l *link) await() bool {
	for {
		up, changed := l.state()
		if up {
			return l.m.ctx.Err() == nil
		}
		select {
		case <-changed:
		case <-l.m.ctx.Done():
			return false
		}
	}
}

// keepConnected dials whenever there is no connection, and measures the round trip while there is one.
func (l *link) keepConnected() {
	ctx := l.m.ctx
	l.m.cfg.Host.Peerstore().AddAddrs(l.id, l.addrs, peerstore.PermanentAddrTTL)
	failed, missed := 0, 0
	for ctx.Err() == nil {
		up, changed := l.state()
		wait := jitter(pingEvery)
		if !up {
			wait = l.pause(failed)
		} else if l.rttUnknown() {
			wait = jitter(time.Second)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-changed:
			timer.Stop()
			failed, missed = 0, 0
			continue
		case <-ctx.Done():
			timer.Stop()
			return
		}
		switch {
		case up && l.ping():
			missed = 0
		case up:
			if missed++; missed >= deadPings {
				l.failed("connected, but answers nothing; connection closed to try a new one")
				_ = l.m.cfg.Host.Network().ClosePeer(l.id) // the connection is given up either way
			}
		case len(l.addrs) > 0:
			if l.dial() {
				failed = 0
			} else {
				failed++
			}
		}
	}
}

// pause is how long to wait before the next dial: nothing at first, then doubling with jitter, so that nodes that lost
// each other at one moment do not all come back at one moment.
func (l *link) pause(failed int) time.Duration {
	d := time.Duration(0)
	if failed > 0 {
		d = jitter(min(maxBackoff, firstBackoff<<min(failed-1, 10)))
	}
	if l.m.cfg.Nation > l.nation {
		d += passiveWait
	}
	return d
}

// jitter is d give or take a half.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }

// dial tries every address once. libp2p's own back-off (5 s and more) is cleared: there is one dialler, and it waits.
func (l *link) dial() bool {
	ctx, cancel := context.WithTimeout(l.m.ctx, dialTimeout)
	defer cancel()
	if s, ok := l.m.cfg.Host.Network().(*swarm.Swarm); ok {
		s.Backoff().Clear(l.id)
	}
	l.mu.Lock()
	l.status.Dials++
	l.mu.Unlock()
	err := l.m.cfg.Host.Connect(ctx, peer.AddrInfo{ID: l.id, Addrs: l.addrs})
	if err == nil {
		l.connChanged()
		return true
	}
	if l.m.ctx.Err() == nil {
		l.failed("dial: " + err.Error())
	}
	return false
}

// failed keeps the last error for Status.
func (l *link) failed(reason string) {
	l.mu.Lock()
	same := l.status.LastError == reason
	l.status.LastError, l.status.LastErrorAt = reason, time.Now()
	l.mu.Unlock()
	if !same { // an unreachable peer is one line, not one every 15 s
		l.m.cfg.Log.Warn("peer trouble", "peer", l.nation, "error", reason)
	}
}

// rttUnknown says whether the connection has not been measured yet.
func (l *link) rttUnknown() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status.RTT == 0
}

// ping measures the round trip.
func (l *link) ping() bool {
	began := time.Now()
	if _, err := l.m.Call(l.m.ctx, l.nation, MethodPing, nil); err != nil {
		if l.m.ctx.Err() == nil {
			l.failed("ping: " + err.Error())
		}
		return false
	}
	rtt := time.Since(began)
	l.mu.Lock()
	l.status.RTT = rtt
	l.mu.Unlock()
	l.m.metrics.rtt.WithLabelValues(string(l.nation)).Set(rtt.Seconds())
	return true
}

// write carries one class's queue to the peer: whatever is queued goes out in one write, nothing waits for more.
func (l *link) write(c Class) {
	q, rule := l.queues[c], rules[c]
	var s network.Stream
	defer func() {
		if s != nil {
			_ = s.Reset() // the mesh closes: nothing is left to tell
		}
	}()
	var buf []byte
	for {
		select {
		case <-q.wake:
		case <-l.m.ctx.Done():
			return
		}
		for {
			if !l.await() {
				return
			}
			msgs := q.take()
			if len(msgs) == 0 {
				break
			}
			buf = buf[:0]
			for _, m := range msgs {
				buf = appendFrame(buf, uint8(c), m)
			}
			var ok bool
			if s, ok = l.deliver(s, c, buf); !ok {
				if l.m.ctx.Err() != nil {
					return
				}
				q.lose(len(msgs))
				l.m.metrics.dropped.WithLabelValues(c.String(), "write failed").Add(float64(len(msgs)))
				continue
			}
			l.m.metrics.sent.WithLabelValues(c.String()).Add(float64(len(msgs)))
			l.m.metrics.sentBytes.WithLabelValues(c.String()).Add(float64(len(buf)))
			if cap(buf) > 2*rule.flush { // one large batch does not keep its memory for good
				buf = nil
			}
		}
	}
}

// deliver writes buf, on a new stream if the old one is gone: a stream that died unnoticed costs one retry, and a peer
// that refuses costs a pause and the messages.
func (l *link) deliver(s network.Stream, c Class, buf []byte) (network.Stream, bool) {
	var err error
	for range 2 {
		if s == nil {
			ctx, cancel := context.WithTimeout(network.WithNoDial(l.m.ctx, "one dialler"), dialTimeout)
			s, err = l.m.cfg.Host.NewStream(ctx, l.id, l.m.protocol(c.String()))
			cancel()
		}
		if err == nil {
			open := s // s may be let go below while the call is on its way
			stop := context.AfterFunc(l.m.ctx, func() { _ = open.Reset() })
			_ = s.SetWriteDeadline(time.Now().Add(rules[c].patience)) // a stream without deadlines fails at its own pace
			_, err = s.Write(buf)
			stop()
			if err == nil {
				return s, true
			}
		}
		if s != nil {
			_ = s.Reset()
			s = nil
		}
		if l.m.ctx.Err() != nil {
			return nil, false
		}
		l.failed(c.String() + " stream: " + err.Error())
		err = nil
		if !l.await() {
			return nil, false
		}
	}
	select {
	case <-time.After(jitter(time.Second)):
	case <-l.m.ctx.Done():
	}
	return nil, false
}
