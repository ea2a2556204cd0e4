package raftnet

import (
	"errors"
	"time"

	"github.com/hashicorp/raft"
)

// errNotRunning: raft is stopped, or too busy to take a request.
var errNotRunning = errors.New("raft does not take requests now")

// Quarantine makes this node deaf to a member until a time: nothing that it asks for as leader or candidate is done. What
// this node asks of it is still sent, so it can follow another leader. A time that is past ends it.
func (g *Group) Quarantine(id string, until time.Time) {
	g.t.guard.mu.Lock()
	defer g.t.guard.mu.Unlock()
	if !until.After(time.Now()) {
		delete(g.t.guard.shut, id)
		return
	}
	g.t.guard.shut[id] = until
}

// shutOut says whether a member is not listened to.
func (g *guard) shutOut(id string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	until, ok := g.shut[id]
	if ok && !until.After(time.Now()) {
		delete(g.shut, id)
		return false
	}
	return ok
}

// StartElection has this node stand for election at once, without asking whether it would win: for the successor of a
// leader that q nations shut out. Waiting for the timers takes two to four heartbeat timeouts more.
func (g *Group) StartElection() error {
	s := g.t.session.Load()
	if s == nil {
		return errNotRunning
	}
	id := []byte(g.cfg.Self)
	now := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: id, Addr: id}}
	answered := make(chan raft.RPCResponse, 1)
	give := time.NewTimer(g.t.timeout)
	defer give.Stop()
	select {
	case s.rpcs <- raft.RPC{Command: now, RespChan: answered}:
	case <-s.done:
		return errNotRunning
	case <-give.C:
		return errNotRunning
	}
	select {
	case r := <-answered:
		return r.Error
	case <-s.done:
		return errNotRunning
	case <-give.C:
		return errNotRunning
	}
}
