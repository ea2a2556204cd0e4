package raftnet

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"
	"github.com/libp2p/go-libp2p/core/network"
)

// idleStream is how long a peer may leave a stream silent. A leader writes on it many times a second.
const idleStream = 2 * time.Minute

// inbound is who may hold one incoming stream: a member has one for each class, a new one replaces the old.
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

// serve answers one stream's requests, one at a time, in order.
func (t *Transport) serve(s network.Stream, from string, c class) error {
	var out []byte
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
		_ = s.SetReadDeadline(time.Now().Add(t.timeout))
		body := make([]byte, n) // the entries will point into it
		if _, err := io.ReadFull(s, body); err != nil {
			return err
		}
		req, err := decodeRequest(ft, body)
		if err != nil {
			return t.refuse(from, c, refusedFrame)
		}
		reply := t.answer(from, req)
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
func (t *Transport) answer(from string, req any) any {
	ses := t.session.Load()
	if ses == nil {
		return failBusy
	}
	if why := t.guard.request(from, req, ses); why != allowed {
		return why
	}
	// Raft would free a snapshot's reader slowly from the network while nothing else moves; ours is in memory already.
	var reader io.Reader
	if sc, ok := req.(*snapshotCall); ok {
		reader = bytes.NewReader(sc.data)
		req = &sc.InstallSnapshotRequest
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
		return r.Response
	case <-ses.done:
		return failBusy
	case <-timer.C:
		return failBusy
	}
}
