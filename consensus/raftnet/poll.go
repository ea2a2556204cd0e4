package raftnet

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"truceline/treaty"
)

// poll is one round of votes, or of pre-votes. Raft is content with a majority; with 5 nations that is 3, and q is 4. So
// a granted vote is held back here until q are there, and then all are handed on at once: raft becomes leader exactly
// when it has an election certificate, and it starts no election that q would not vote in. C.4 row 1.
type poll struct {
	key  any    // raft's request, one for all peers: names the round
	term uint64 // the round's
	need int
	err  error // it could not begin
	// done is closed when need have granted, over when another round began.
	done, over chan struct{}

	granted map[string]treaty.ElectionSig
}

var errPast = errors.New("this election is past")

// polls holds the round under way.
type polls struct {
	mu       sync.Mutex
	now      *poll
	previous any
}

// join returns the round of one request; nil when it is past. begin is called for the first of its calls.
func (ps *polls) join(key any, term uint64, need int, begin func(*poll) error) (*poll, error) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	switch {
	case ps.now != nil && ps.now.key == key:
		return ps.now, ps.now.err
	case ps.now != nil && (ps.previous == key || term < ps.now.term):
		return nil, errPast
	case ps.now != nil:
		ps.previous = ps.now.key
		close(ps.now.over)
	}
	p := &poll{
		key: key, term: term, need: need, done: make(chan struct{}), over: make(chan struct{}),
		granted: map[string]treaty.ElectionSig{},
	}
	ps.now = p
	p.err = begin(p)
	return p, p.err
}

// grant counts one vote; the last that is needed calls won and then releases all of them.
func (ps *polls) grant(p *poll, id string, sig treaty.ElectionSig, won func(*poll)) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.now != p || len(p.granted) >= p.need {
		return
	}
	if p.granted[id] = sig; len(p.granted) >= p.need {
		won(p)
		close(p.done)
	}
}

// voteCall is a RequestVote with the name of the candidate's run.
type voteCall struct {
	raft.RequestVoteRequest
	start treaty.Hash
}

// voteReply is the answer, with the signature of a granted vote.
type voteReply struct {
	raft.RequestVoteResponse
	sig []byte
}

// RequestVote asks for a signed vote until it is granted, the round is over, or raft has given it up.
func (s *session) RequestVote(id raft.ServerID, _ raft.ServerAddress, a *raft.RequestVoteRequest,
	resp *raft.RequestVoteResponse,
) error {
	v := treaty.ElectionVote{Term: a.Term, Candidate: s.ballots.signer.Nation, Start: s.start}
	p, err := s.votes.join(a, a.Term, s.net.Q, func(p *poll) error {
		sig, err := s.ballots.sign(v)
		if err == nil {
			p.granted[s.self] = sig
		}
		return err
	})
	if err != nil {
		return err
	}
	*resp = raft.RequestVoteResponse{RPCHeader: a.RPCHeader, Term: a.Term}
	return s.ask(p, func() (granted, stop bool, err error) {
		r, err := s.roundTrip(id, classVote, &voteCall{*a, s.start}, nil)
		if err != nil {
			return false, false, err
		}
		reply := r.(*voteReply)
		*resp = reply.RequestVoteResponse
		if s.believe(id, a.Term, &resp.Term, !s.stands(a.Term)) || resp.Term > a.Term || !resp.Granted {
			resp.Granted = false
			return false, resp.Term > a.Term, nil
		}
		sig := treaty.ElectionSig{Nation: treaty.Nation(id), Sig: reply.sig}
		if err := s.net.VerifyElectionSig(v, sig); err != nil {
			resp.Granted = false
			s.guard.note(string(id), refusedVote)
			return false, true, nil
		}
		s.votes.grant(p, string(id), sig, func(p *poll) { s.won(v, p) })
		return true, false, nil
	}, &resp.Granted)
}

// RequestPreVote asks whether a vote would be granted, and holds the answer back as well; nothing is signed.
func (s *session) RequestPreVote(id raft.ServerID, _ raft.ServerAddress, a *raft.RequestPreVoteRequest,
	resp *raft.RequestPreVoteResponse,
) error {
	p, err := s.preVotes.join(a, a.Term, s.net.Q, func(p *poll) error {
		p.granted[s.self] = treaty.ElectionSig{}
		return nil
	})
	if err != nil {
		return err
	}
	*resp = raft.RequestPreVoteResponse{RPCHeader: a.RPCHeader, Term: a.Term}
	return s.ask(p, func() (granted, stop bool, err error) {
		r, err := s.roundTrip(id, classVote, a, nil)
		if err != nil {
			return false, false, err
		}
		*resp = *r.(*raft.RequestPreVoteResponse)
		if s.believe(id, a.Term, &resp.Term, !s.stands(a.Term)) || resp.Term > a.Term || !resp.Granted {
			// Not asked again: raft begins a new round after a random time, and two candidates that both wait for the same
			// follower would stand in the same moment.
			resp.Granted = false
			return false, true, nil
		}
		s.preVotes.grant(p, string(id), treaty.ElectionSig{}, func(*poll) {})
		return true, false, nil
	}, &resp.Granted)
}

// ask repeats once until it is granted and q have granted, or there is no more point: then granted is false.
func (s *session) ask(p *poll, once func() (granted, stop bool, err error), granted *bool) error {
	give := time.NewTimer(2 * s.election) // raft's own patience with an election is one to two of these
	defer give.Stop()
	for {
		ok, stop, err := once()
		if stop || err == errClosed {
			return err
		}
		var again <-chan time.Time
		if !ok {
			again = time.After(s.pause)
		}
		select {
		case <-again:
			if s.stands(p.term) {
				continue
			}
		case <-p.done:
			return err
		case <-p.over:
		case <-s.done:
		case <-give.C:
		}
		*granted = false
		return err
	}
}

// stands says whether raft may still want this election's votes, and listens to their terms.
func (s *session) stands(term uint64) bool {
	r := s.raft.Load()
	return r == nil || r.State() == raft.Candidate && r.CurrentTerm() <= term
}

// won makes the certificate of an election, before raft hears of its votes.
func (s *session) won(v treaty.ElectionVote, p *poll) {
	e := &treaty.Election{Term: v.Term, Candidate: v.Candidate, Start: v.Start}
	for _, sig := range p.granted {
		e.Sigs = append(e.Sigs, sig)
	}
	slices.SortFunc(e.Sigs, func(a, b treaty.ElectionSig) int { return strings.Compare(string(a.Nation), string(b.Nation)) })
	s.ballots.elected(v)
	run := newTenure(s.ballots.signer, e)
	for old := s.tenure.Load(); old == nil || old.vote.Term < v.Term; old = s.tenure.Load() {
		if s.tenure.CompareAndSwap(old, run) {
			return
		}
	}
}
