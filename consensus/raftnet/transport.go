package raftnet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"truceline/treaty"
)

var (
	errClosed = errors.New("raft transport is closed")
	errMasked = errors.New("peer claims a higher term; not believed yet")
)

// Transport carries raft's calls. It outlives the raft instances of a Group: each gets a session on it.
type Transport struct {
	self    string
	host    host.Host
	log     *slog.Logger
	timeout time.Duration // of one call
	pause   time.Duration // between dials
	byPeer  map[peer.ID]string
	guard   *guard
	claims  *claims
	net     *treaty.Network
	ballots *ballots
	orders  *orders
	session atomic.Pointer[session]
	tenure  atomic.Pointer[tenure] // this node's latest election
	to      map[string]*follower
	others  []string // the other members, in the accord's order

	election, heartbeat time.Duration

	mu     sync.Mutex
	in     map[inbound]network.Stream
	closed bool
	wg     sync.WaitGroup
	stop   chan struct{}
}

// newTransport takes the host's raft protocols.
func newTransport(c *Config, b *ballots) *Transport {
	t := &Transport{
		self: c.Self, host: c.Host, log: c.Log, timeout: c.Timing.call(),
		pause:  min(max(c.Timing.Heartbeat/6, 20*time.Millisecond), 500*time.Millisecond),
		byPeer: map[peer.ID]string{},
		net:    c.Net, ballots: b, orders: newOrders(c.Net, c.Conflict), election: c.Timing.Election, heartbeat: c.Timing.Heartbeat,
		guard:  newGuard(c),
		claims: newClaims(treaty.Faulty(len(c.Members)), c.Timing.Election),
		to:     map[string]*follower{}, in: map[inbound]network.Stream{}, stop: make(chan struct{}),
	}
	for _, m := range c.Members {
		t.byPeer[m.Peer] = m.ID
		if m.ID != c.Self {
			t.to[m.ID] = newFollower(t, m)
			t.others = append(t.others, m.ID)
		}
	}
	t.track(t.exchange)
	for _, f := range t.to {
		t.track(f.run)
	}
	for k := class(0); k < classes; k++ {
		t.host.SetStreamHandler(k.protocol(), t.accept(k))
	}
	return t
}

// track runs f and makes Close wait for it; false after Close.
func (t *Transport) track(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.wg.Go(f)
	return true
}

// dropLinks fails every call under way.
func (t *Transport) dropLinks() {
	for _, f := range t.to {
		for _, l := range f.links {
			l.drop()
		}
	}
}

// close ends every stream and waits for their goroutines. A second close is harmless.
func (t *Transport) close() {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return
	}
	t.closed = true
	close(t.stop)
	streams := t.in
	t.in = map[inbound]network.Stream{}
	t.mu.Unlock()
	for k := class(0); k < classes; k++ {
		t.host.RemoveStreamHandler(k.protocol())
	}
	for _, s := range streams {
		_ = s.Reset()
	}
	t.dropLinks()
	t.wg.Wait()
}

// Refused counts what peers sent and was refused (or corrected), by member (or peer identity) and reason.
func (t *Transport) Refused() map[string]map[string]uint64 {
	t.guard.mu.Lock()
	defer t.guard.mu.Unlock()
	out := map[string]map[string]uint64{}
	for who, whys := range t.guard.counted {
		out[who] = map[string]uint64{}
		for why, n := range whys {
			out[who][string(why)] = n
		}
	}
	return out
}

// session is the transport as one raft instance sees it: closing it, which raft does on Shutdown, ends the instance's
// calls and leaves the streams' handlers to the next one.
type session struct {
	*Transport
	rpcs   chan raft.RPC
	done   chan struct{}
	once   sync.Once
	ctx    context.Context
	cancel context.CancelFunc
	raft   atomic.Pointer[raft.Raft]

	start           treaty.Hash // a random name of this run of raft
	votes, preVotes polls
}

var (
	_ raft.Transport   = (*session)(nil)
	_ raft.WithPreVote = (*session)(nil)
	_ raft.WithClose   = (*session)(nil)
)

func (t *Transport) attach() *session {
	s := &session{Transport: t, rpcs: make(chan raft.RPC), done: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	_, _ = rand.Read(s.start[:]) // it never fails (crypto/rand)
	t.session.Store(s)
	return s
}

// Close ends the session; raft and the Group both call it.
func (s *session) Close() error {
	s.once.Do(func() {
		s.session.CompareAndSwap(s, nil)
		close(s.done)
		s.cancel()
		s.dropLinks()
	})
	return nil
}

func (s *session) leader() string {
	if r := s.raft.Load(); r != nil {
		_, id := r.LeaderWithID()
		return string(id)
	}
	return ""
}

func (s *session) term() uint64 {
	if r := s.raft.Load(); r != nil {
		return r.CurrentTerm()
	}
	return 0
}

func (s *session) applied() uint64 {
	if r := s.raft.Load(); r != nil {
		return r.AppliedIndex()
	}
	return 0
}

// Consumer gives raft the requests that passed the guard.
func (s *session) Consumer() <-chan raft.RPC { return s.rpcs }

// LocalAddr is the member's ID: libp2p finds the way to it.
func (s *session) LocalAddr() raft.ServerAddress { return raft.ServerAddress(s.self) }

// EncodePeer is the address.
func (s *session) EncodePeer(_ raft.ServerID, a raft.ServerAddress) []byte { return []byte(a) }

// DecodePeer is the address.
func (s *session) DecodePeer(b []byte) raft.ServerAddress { return raft.ServerAddress(b) }

// SetHeartbeatHandler does nothing: raft would run the handler beside its main loop, where it changes term and state
// without a lock (hashicorp/raft #695). Heartbeats go through the main loop like every other request.
func (s *session) SetHeartbeatHandler(func(raft.RPC)) {}

// roundTrip sends one call and waits for its answer.
func (s *session) roundTrip(id raft.ServerID, c class, req any, data []byte) (any, error) {
	f := s.to[string(id)]
	if f == nil {
		return nil, fmt.Errorf("%s is not a member", id)
	}
	type result struct {
		reply any
		err   error
	}
	ch := make(chan result, 1)
	err := f.links[c].send(s.ctx, &call{req: req, data: data, done: func(r any, err error) { ch <- result{r, err} }}, true)
	if err != nil {
		return nil, err
	}
	select {
	case r := <-ch:
		return r.reply, r.err
	case <-s.done:
		return nil, errClosed
	}
}

// believe corrects an answer's term; masked says that the peer's claim is to be hidden from raft.
func (t *Transport) believe(id raft.ServerID, ours uint64, claimed *uint64, heard bool) (masked bool) {
	was := *claimed
	term := t.claims.judge(string(id), ours, was, time.Now(), heard)
	if was > ours {
		*claimed = term
	}
	if was > ours && *claimed == ours {
		t.guard.note(string(id), maskedTerm)
		return true
	}
	return false
}

// AppendEntries sends entries, or a heartbeat on a stream of its own.
func (s *session) AppendEntries(id raft.ServerID, _ raft.ServerAddress, a *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	c := classAppend
	if a.PrevLogEntry == 0 && a.PrevLogTerm == 0 && len(a.Entries) == 0 && a.LeaderCommitIndex == 0 {
		c = classHeartbeat
	}
	for _, part := range split(a) {
		r, err := s.roundTrip(id, c, part, nil)
		if err != nil {
			return err
		}
		*resp = *r.(*raft.AppendEntriesResponse)
		// A refusal with a hidden term would make raft send ever older entries; an error makes it wait and try again.
		if s.believe(id, a.Term, &resp.Term, c == classHeartbeat) {
			return errMasked
		}
		if resp.Term > a.Term {
			return nil
		}
		if !resp.Success {
			return s.to[string(id)].wentBack(a, resp)
		}
		s.to[string(id)].acknowledged(part)
	}
	return nil
}

// InstallSnapshot sends a certificate, whole, in one frame.
func (s *session) InstallSnapshot(id raft.ServerID, _ raft.ServerAddress, a *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	b, err := io.ReadAll(io.LimitReader(data, MaxSnapshot+1))
	if err != nil || len(b) > MaxSnapshot || int64(len(b)) != a.Size {
		return fmt.Errorf("raft snapshot of %d bytes (says %d) cannot be sent: %w", len(b), a.Size, errors.Join(err, errFrame))
	}
	r, err := s.roundTrip(id, classSnapshot, a, b)
	if err != nil {
		return err
	}
	*resp = *r.(*raft.InstallSnapshotResponse)
	if s.believe(id, a.Term, &resp.Term, false) {
		return errMasked
	}
	return nil
}

// TimeoutNow asks a peer to stand for election.
func (s *session) TimeoutNow(id raft.ServerID, _ raft.ServerAddress, a *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	r, err := s.roundTrip(id, classVote, a, nil)
	if err != nil {
		return err
	}
	*resp = *r.(*raft.TimeoutNowResponse)
	return nil
}

// split cuts an AppendEntries whose entries do not fit in one frame into several that follow each other.
func split(a *raft.AppendEntriesRequest) []*raft.AppendEntriesRequest {
	const room = maxAppendFrame - appendRoom
	size := 0
	for _, e := range a.Entries {
		size += len(e.Data) + entryHead
	}
	if size <= room {
		return []*raft.AppendEntriesRequest{a}
	}
	var parts []*raft.AppendEntriesRequest
	rest, prev, prevTerm := a.Entries, a.PrevLogEntry, a.PrevLogTerm
	for len(rest) > 0 {
		n, size := 0, 0
		for n < len(rest) && (n == 0 || size+len(rest[n].Data)+entryHead <= room) {
			size += len(rest[n].Data) + entryHead
			n++
		}
		p := *a
		p.PrevLogEntry, p.PrevLogTerm, p.Entries = prev, prevTerm, rest[:n]
		parts = append(parts, &p)
		prev, prevTerm, rest = rest[n-1].Index, rest[n-1].Term, rest[n:]
	}
	return parts
}
