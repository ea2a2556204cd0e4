package raftnet

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"
	"github.com/libp2p/go-libp2p/core/network"

	"truceline/treaty"
)

// idleStream is how long a peer may leave a stream silent. A leader writes on it many times a second.
const idleStream = 2 * time.Minute

// inbound is who may hold one incoming stream: a member has one for each class, a new one replaces the old. C.4 row 27.
type inbound struct {
	from  string
	class class
}

// accept is the stream handler of one class.
func (t *Transport) accept(c class) network.StreamHandler {
	return func(s network.Stream) {
		from, ok := t.byPeer[s.Conn().RemotePeer()]
		if !ok || from == t.self {
			t.guard.note(s.Conn().RemotePeer().String(), refusedStranger)
			_ = s.Reset()
			return
		}
		key := inbound{from, c}
		t.mu.Lock()
		if t.closed {
			t.mu.Unlock()
			_ = s.Reset()
			return
		}
		old := t.in[key]
		t.in[key] = s
		t.wg.Add(1)
		t.mu.Unlock()
		defer t.wg.Done()
		if old != nil {
			_ = old.Reset()
		}
		err := t.serve(s, from, c)
		_ = s.Reset()
		t.mu.Lock()
		if t.in[key] == s {
			delete(t.in, key)
		}
		t.mu.Unlock()
		if err != nil && !errors.Is(err, io.EOF) {
			t.log.Debug("raft stream ended", slog.String("peer", from), slog.String("class", c.String()), slog.Any("error", err))
		}
	}
}

// errRefused ends a stream whose peer broke a rule.
var errRefused = errors.New("refused")

func (t *Transport) refuse(from string, c class, why refusal) error {
	t.guard.note(from, why)
	t.log.Warn("raft frame refused", slog.String("peer", from), slog.String("class", c.String()), slog.String("reason", string(why)))
	return errRefused
}

// speaker is who sends on an incoming stream, and the election certificate that it showed on it, if any.
type speaker struct {
	id  string
	run treaty.ElectionVote
}

// serve answers one stream's requests, one at a time, in order.
func (t *Transport) serve(s network.Stream, from string, c class) error {
	var out []byte
	by := &speaker{id: from}
	for {
		_ = s.SetReadDeadline(time.Now().Add(idleStream))
		ft, n, err := readHead(s)
		if err != nil {
			if errors.Is(err, errFrame) {
				return t.refuse(from, c, refusedFrame)
			}
			return err
		}
		if !c.carries(ft) {
			return t.refuse(from, c, refusedClass)
		}
		// Raft hears of a request when all of it is here, and it is here in time or never. C.4 row 19.
		_ = s.SetReadDeadline(time.Now().Add(t.timeout))
		body := make([]byte, n) // the entries will point into it
		if _, err := io.ReadFull(s, body); err != nil {
			return err
		}
		switch ft {
		case frameElection:
			if why := t.guard.election(by, body, t.ballots.elected); why != allowed {
				return t.refuse(from, c, why)
			}
			continue
		case frameSignedHead:
			if why := t.orders.hear(from, body); why != allowed {
				return t.refuse(from, c, why)
			}
			continue
		}
		req, err := decodeRequest(ft, body)
		if err != nil {
			return t.refuse(from, c, refusedFrame)
		}
		reply := t.answer(by, req)
		if why, ok := reply.(refusal); ok {
			return t.refuse(from, c, why)
		}
		if out, err = encodeReply(out, reply); err != nil {
			return err
		}
		_ = s.SetWriteDeadline(time.Now().Add(t.timeout))
		if _, err := s.Write(out); err != nil {
			return err
		}
	}
}

// answer has raft process a request, if the guard lets it through: a response, a failure or a refusal.
func (t *Transport) answer(by *speaker, req any) any {
	ses := t.session.Load()
	if ses == nil {
		return failBusy
	}
	why := t.guard.request(by, req, ses)
	if why == allowed && t.guard.shutOut(by.id) {
		why = delayedShut
	}
	if a, ok := req.(*appendCall); ok && why == allowed {
		why = t.orders.follow(by.run, a)
	}
	switch why {
	case allowed:
	case delayedAhead, delayedSnapshot, delayedBudget, delayedShut:
		t.guard.note(by.id, why)
		return failBusy
	default:
		return why
	}
	// Raft would read a snapshot from the network while nothing else moves; ours is in memory already. C.4 row 19.
	var reader io.Reader
	var vote *voteCall
	switch r := req.(type) {
	case *snapshotCall:
		reader = bytes.NewReader(r.data)
		req = &r.InstallSnapshotRequest
	case *appendCall:
		req = &r.AppendEntriesRequest
	case *voteCall:
		vote, req = r, &r.RequestVoteRequest
	}
	answered := make(chan raft.RPCResponse, 1)
	timer := time.NewTimer(t.timeout)
	defer timer.Stop()
	select {
	case ses.rpcs <- raft.RPC{Command: req, Reader: reader, RespChan: answered}:
	case <-ses.done:
		return failBusy
	case <-timer.C:
		return failBusy
	}
	select {
	case r := <-answered:
		if r.Error != nil {
			return failRaft
		}
		if vote != nil {
			return t.signVote(by.id, vote, r.Response.(*raft.RequestVoteResponse))
		}
		return r.Response
	case <-ses.done:
		return failBusy
	case <-timer.C:
		return failBusy
	}
}

// signVote signs a vote that raft has granted and kept. Where this node has voted for another run, or cannot keep the
// vote, it is not granted after all.
func (t *Transport) signVote(from string, v *voteCall, resp *raft.RequestVoteResponse) any {
	out := &voteReply{RequestVoteResponse: *resp}
	if !out.Granted {
		return out
	}
	sig, err := t.ballots.sign(treaty.ElectionVote{Term: v.Term, Candidate: treaty.Nation(from), Start: v.start})
	if err != nil {
		t.log.Info("vote not given", slog.String("peer", from), slog.Uint64("term", v.Term), slog.Any("reason", err))
		out.Granted = false
		return out
	}
	out.sig = sig.Sig
	return out
}
