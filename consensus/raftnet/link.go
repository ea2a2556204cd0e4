package raftnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
)

// call is one request on its way. done is called exactly once, if send returned nil, and must not block.
type call struct {
	req  any
	data []byte
	kind frameType
	at   time.Time
	// silent says that nothing answers it; done is not called then.
	silent bool
	done   func(reply any, err error)
}

// link keeps one outgoing stream to one member for one class, opened when needed. Answers come in the order of the
// calls. Any fault resets the stream and fails every call on it; the next call opens a new one.
type link struct {
	t     *Transport
	to    Member
	class class

	turn  turn // held while opening and writing
	out   *outStream
	until time.Time // no dialling before this
	buf   []byte
}

// turn is a lock that may be held while waiting for the network: whoever waits for it can give up, and in a synctest
// bubble time goes on meanwhile, which it does not for a sync.Mutex.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) give() { <-t }

// maxKeep is the largest write buffer kept between calls.
const maxKeep = 256 << 10

// send writes the call. It opens a stream only if open is set.
func (l *link) send(ctx context.Context, c *call, open bool) error {
	if err := l.turn.take(ctx); err != nil {
		return err
	}
	defer l.turn.give()
	if l.out == nil || l.out.isDead() {
		l.out = nil
		if !open {
			return errors.New("no stream")
		}
		if err := l.open(ctx); err != nil {
			return err
		}
	}
	run, req, err := l.entitle(c.req)
	if err != nil {
		return err
	}
	b, err := encodeRequest(l.buf, req, c.data)
	if err != nil {
		return err
	}
	if l.buf = b[:0]; cap(b) > maxKeep {
		l.buf = nil
	}
	c.kind = frameType(b[4])
	c.at = time.Now()
	o := l.out
	if !c.silent && !o.push(c) {
		return errors.New("the stream just failed")
	}
	_ = o.s.SetWriteDeadline(c.at.Add(l.t.timeout))
	if run != nil && o.shown != run {
		if _, err := o.s.Write(run.frame); err != nil {
			o.fail(fmt.Errorf("write to %s: %w", l.to.ID, err))
			return nil
		}
		o.shown = run
	}
	if _, err := o.s.Write(b); err != nil {
		o.fail(fmt.Errorf("write to %s: %w", l.to.ID, err))
	}
	return nil
}

// entitle finds the election certificate that a call needs, and signs what it orders. Without a certificate nothing that
// only a leader may say leaves this node: nobody would take it. C.4 row 1.
func (l *link) entitle(req any) (*tenure, any, error) {
	run := l.t.tenure.Load()
	var term uint64
	switch r := req.(type) {
	case *raft.AppendEntriesRequest:
		term = r.Term
	case *raft.InstallSnapshotRequest:
		term = r.Term
	case *raft.TimeoutNowRequest:
		if run != nil {
			term = run.vote.Term // the other side knows in which it follows
		}
	default:
		return nil, req, nil
	}
	if run == nil || run.vote.Term != term {
		return nil, nil, fmt.Errorf("this node has no election certificate for term %d", term)
	}
	if a, ok := req.(*raft.AppendEntriesRequest); ok {
		c, err := run.cover(a)
		return run, c, err
	}
	return run, req, nil
}

// open dials (through whatever connection there is) and starts the reader.
func (l *link) open(ctx context.Context) error {
	if now := time.Now(); now.Before(l.until) {
		return fmt.Errorf("%s could not be reached just now", l.to.ID)
	}
	ctx, cancel := context.WithTimeout(ctx, l.t.timeout)
	defer cancel()
	// libp2p's dial back-off grows to minutes; a healed network must be found in one heartbeat timeout.
	if n, ok := l.t.host.Network().(interface{ Backoff() *swarm.DialBackoff }); ok {
		n.Backoff().Clear(l.to.Peer)
	}
	s, err := l.t.host.NewStream(ctx, l.to.Peer, l.class.protocol())
	if err != nil {
		l.until = time.Now().Add(l.t.pause)
		return fmt.Errorf("open %s stream to %s: %w", l.class, l.to.ID, err)
	}
	if s.Conn().RemotePeer() != l.to.Peer {
		_ = s.Reset()
		return fmt.Errorf("open %s stream to %s: somebody else answered", l.class, l.to.ID)
	}
	o := &outStream{l: l, s: s}
	if !l.t.track(o.read) {
		_ = s.Reset()
		return errClosed
	}
	l.out = o
	return nil
}

// drop fails everything under way.
func (l *link) drop() {
	_ = l.turn.take(context.Background())
	defer l.turn.give()
	if l.out != nil {
		l.out.fail(errClosed)
		l.out = nil
	}
}

// outStream is an open stream and the calls waiting on it, oldest first.
type outStream struct {
	l     *link
	s     network.Stream
	shown *tenure // the leadership whose certificate went over it; guarded by the link's turn

	mu      sync.Mutex
	pending []*call
	dead    bool
}

func (o *outStream) isDead() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.dead
}

func (o *outStream) push(c *call) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dead {
		return false
	}
	o.pending = append(o.pending, c)
	if len(o.pending) == 1 {
		o.arm()
	}
	return true
}

// arm gives the oldest call its deadline; with none waiting the other side ends an idle stream.
func (o *outStream) arm() {
	var at time.Time
	if len(o.pending) > 0 {
		at = o.pending[0].at.Add(2 * o.l.t.timeout)
	}
	_ = o.s.SetReadDeadline(at)
}

// fail resets the stream and fails its calls.
func (o *outStream) fail(err error) {
	o.mu.Lock()
	calls := o.pending
	o.pending, o.dead = nil, true
	o.mu.Unlock()
	_ = o.s.Reset()
	for _, c := range calls {
		c.done(nil, err)
	}
}

// read matches answers to calls until the stream fails.
func (o *outStream) read() {
	var buf [maxReply]byte
	for {
		ft, n, err := readHead(o.s)
		if err == nil && n > len(buf) {
			err = errFrame
		}
		if err == nil {
			_, err = io.ReadFull(o.s, buf[:n])
		}
		if err != nil {
			o.fail(fmt.Errorf("%s stream to %s: %w", o.l.class, o.l.to.ID, err))
			return
		}
		reply, err := decodeReply(ft, buf[:n], o.l.to.ID)
		var c *call
		o.mu.Lock()
		if err == nil && len(o.pending) > 0 && (ft == frameFailure || ft == replyTo(o.pending[0].kind)) {
			c = o.pending[0]
			o.pending[0] = nil
			o.pending = o.pending[1:]
			o.arm()
		}
		o.mu.Unlock()
		if c == nil {
			o.l.t.guard.note(o.l.to.ID, refusedFrame)
			o.fail(fmt.Errorf("%s stream to %s: answer to no call: %w", o.l.class, o.l.to.ID, errFrame))
			return
		}
		if f, ok := reply.(failure); ok {
			c.done(nil, f)
			continue
		}
		c.done(reply, nil)
	}
}
