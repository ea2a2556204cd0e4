package raftnet

import (
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// pipelineDepth is how many AppendEntries may be on their way to one follower. Raft's own default; 8 is no faster.
const pipelineDepth = 2

// pipeline sends AppendEntries without waiting for the answers. It shares the append stream with single calls and
// nudges, so that everything a follower gets stays in order.
type pipeline struct {
	s    *session
	f    *follower
	id   raft.ServerID
	room chan struct{}
	out  chan raft.AppendFuture

	once sync.Once
	done chan struct{}
}

// AppendEntriesPipeline starts a pipeline.
func (s *session) AppendEntriesPipeline(id raft.ServerID, _ raft.ServerAddress) (raft.AppendPipeline, error) {
	f := s.to[string(id)]
	if f == nil {
		return nil, errors.New("not a member")
	}
	return &pipeline{
		s: s, f: f, id: id, room: make(chan struct{}, pipelineDepth), out: make(chan raft.AppendFuture, pipelineDepth),
		done: make(chan struct{}),
	}, nil
}

// sent is one AppendEntries on its way. Raft's decoder never asks a pipelined future for its error and reads the
// response in any case, so only answered ones are delivered.
type sent struct {
	at   time.Time
	req  *raft.AppendEntriesRequest
	resp *raft.AppendEntriesResponse
}

func (f *sent) Error() error                          { return nil }
func (f *sent) Start() time.Time                      { return f.at }
func (f *sent) Request() *raft.AppendEntriesRequest   { return f.req }
func (f *sent) Response() *raft.AppendEntriesResponse { return f.resp }

// AppendEntries sends, waiting while the pipeline is full. A request too large for one frame goes alone.
func (p *pipeline) AppendEntries(a *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	select {
	case p.room <- struct{}{}:
	case <-p.done:
		return nil, errClosed
	case <-p.s.done:
		return nil, errClosed
	}
	fut := &sent{at: time.Now(), req: a, resp: resp}
	if len(split(a)) > 1 {
		if err := p.s.AppendEntries(p.id, "", a, resp); err != nil {
			_ = p.Close()
			return nil, err
		}
		p.deliver(fut)
		return fut, nil
	}
	err := p.f.links[classAppend].send(p.s.ctx, &call{req: a, done: func(r any, err error) {
		if err != nil {
			_ = p.Close() // the next send tells raft, which goes back to single calls
			return
		}
		*resp = *r.(*raft.AppendEntriesResponse)
		if p.s.believe(p.id, a.Term, &resp.Term, false) {
			resp.Success = false // a plain refusal: raft ends the pipeline and goes back to single calls
		} else if resp.Success && resp.Term <= a.Term {
			p.f.acknowledged(a)
		} else if p.f.wentBack(a, resp) != nil {
			_ = p.Close()
			return
		}
		p.deliver(fut)
	}}, true)
	if err != nil {
		_ = p.Close()
		return nil, err
	}
	return fut, nil
}

// deliver hands an answered future to raft: there is room for every one that holds a place.
func (p *pipeline) deliver(f *sent) {
	select {
	case p.out <- f:
		select {
		case <-p.room:
		default:
		}
	case <-p.done:
	case <-p.s.done:
	}
}

// Consumer is where raft reads the answers.
func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.out }

// Close ends the pipeline; what is on its way is not delivered any more, and raft sends it again.
func (p *pipeline) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}
