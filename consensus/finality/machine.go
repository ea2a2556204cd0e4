package finality

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"truceline/treaty"
)

// View is what the machine asks about this node's ledger and pool, read only.
type View interface {
	// Frontier is everything applied.
	Frontier() treaty.Checkpoint
	// Boundaries are the checkpoints above the certified one that this node could agree to, rising in size.
	Boundaries() []treaty.Checkpoint
	// Holds says whether exactly this checkpoint was applied.
	Holds(treaty.Checkpoint) bool
	// Objection says why this node will not prepare a checkpoint that it holds, such as a record left out for too long;
	// empty when there is none.
	Objection(treaty.Checkpoint) string
}

// Config is what a machine needs. All fields are required but State and Last.
type Config struct {
	Net  *treaty.Network
	Self treaty.Nation
	View View
	// Timeout is how long round 0 may take before this nation wishes for the next; it doubles with every round.
	Timeout time.Duration
	// State is what was persisted before, nil on the first start. Last is the last certificate made durable.
	State *State
	Last  *treaty.Certificate
}

// Validate reports all problems.
func (c Config) Validate() error {
	var errs []error
	if c.Net == nil || c.View == nil {
		errs = append(errs, errors.New("finality: Net and View are required"))
	} else if c.Net.Index(c.Self) < 0 {
		errs = append(errs, fmt.Errorf("finality: %q is not in the roster", c.Self))
	}
	if c.Timeout < time.Millisecond {
		errs = append(errs, fmt.Errorf("finality: a round timeout of %s is too short", c.Timeout))
	}
	return errors.Join(errs...)
}

// maxAhead bounds how many rounds beyond ours votes are kept for; a nation further behind learns by wishes.
const maxAhead = 16

// maxEarly bounds the messages of the next height kept for one nation: a status, a proposal, two votes and a wish.
const maxEarly = 6

// Machine is one nation's part in finality. It is not safe for concurrent use: one goroutine owns it.
type Machine struct {
	cfg   Config
	state State // what is durable, or will be by the effects returned

	last     *treaty.Certificate // last certificate settled
	pending  *treaty.Certificate // certificate handed to the driver, not yet settled
	round    uint64              // round we are in; state.Round is higher while we wish for more
	deadline time.Duration       // of this round; 0: no timer runs
	resendAt time.Duration

	statuses map[treaty.Nation]treaty.Status
	proposal *Proposal // this round's, once accepted in form
	proposed bool      // we have proposed in this round
	votes    map[voteKey]map[treaty.Nation]Vote
	wishes   map[treaty.Nation]Wish          // highest of each nation at this height
	opening  []Wish                          // the q wishes that opened this round: kept, or a later wish of one nation takes the proposal's proof away
	later    map[treaty.Nation]uint64        // highest height each nation was seen at
	early    map[treaty.Nation][]Message     // messages of the next height, from nations that settled before us
	suspects map[treaty.Nation]bool          // proposers that let a round pass; cleared by any message of theirs
	answered map[treaty.Nation]time.Duration // when we last answered a nation that is behind

	cosigs   map[uint64]map[treaty.Nation]*treaty.Cosignature // by size
	mine     *treaty.Cosignature                              // our latest
	cosigned uint64                                           // largest size with q cosignatures
	roots    map[uint64]treaty.Hash                           // certified roots by size, the latest few
	heard    map[treaty.Nation]uint64                         // size of each nation's latest cosignature that we did not need

	turns   []treaty.Nation // proposers of height turnsOf, in order: asked for several times with every message
	turnsOf uint64

	now time.Duration
	out []Effect
}

type voteKey struct {
	round uint64
	step  treaty.Step
}

// New makes a machine. now is any monotonic reading; all others are compared with it.
func New(cfg Config, now time.Duration) (*Machine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m := &Machine{
		cfg: cfg, last: cfg.Last, now: now,
		later: map[treaty.Nation]uint64{}, suspects: map[treaty.Nation]bool{},
		answered: map[treaty.Nation]time.Duration{},
		cosigs:   map[uint64]map[treaty.Nation]*treaty.Cosignature{}, roots: map[uint64]treaty.Hash{},
		heard: map[treaty.Nation]uint64{},
	}
	height := uint64(1)
	if m.last != nil {
		height = m.last.Height + 1
		m.roots[m.last.Checkpoint.Size] = m.last.Checkpoint.Root
	}
	m.begin(height)
	if s := cfg.State; s != nil && s.Height == height {
		m.state = *s
		m.round = s.Round
		if voted := s.Prepared != nil && s.Prepared.Round == s.Round || s.Committed != nil && s.Committed.Round == s.Round; !voted && s.Round > 0 {
			m.round-- // we had only wished for it: wish again until q nations do
		}
	} else if s != nil && s.Height > height {
		return nil, fmt.Errorf("finality: this node has voted at height %d but holds certificates only up to %d: its store "+
			"was rolled back; restore the newer store, or re-fetch the ledger from a peer before it may vote", s.Height, height-1)
	}
	return m, nil
}

// begin forgets everything about the height before.
func (m *Machine) begin(height uint64) {
	m.state = State{Height: height}
	m.round, m.deadline, m.resendAt = 0, 0, 0
	m.statuses = map[treaty.Nation]treaty.Status{}
	m.proposal, m.proposed = nil, false
	m.votes = map[voteKey]map[treaty.Nation]Vote{}
	m.wishes, m.opening = map[treaty.Nation]Wish{}, nil
	m.early = map[treaty.Nation][]Message{}
}

// WantsCosignature says whether a cosignature needs its signature checked: once q are collected, one more only shows
// that its sender may lack ours, and then Late is enough.
func (m *Machine) WantsCosignature(size uint64) bool { return size > m.cosigned }

// Height is the height being agreed on.
func (m *Machine) Height() uint64 { return m.state.Height }

// Round is the round of that height.
func (m *Machine) Round() uint64 { return m.round }

// Last is the last settled certificate, nil at the start.
func (m *Machine) Last() *treaty.Certificate { return m.last }

// Deadline is when Tick wants to be called, and whether at all.
func (m *Machine) Deadline() (time.Duration, bool) {
	d := m.deadline
	if m.resendAt != 0 && (d == 0 || m.resendAt < d) {
		d = m.resendAt
	}
	return d, d != 0
}

// Proposer is who proposes in a round: a permutation of the roster keyed by accord and height, independent of the
// Raft leader, so that everybody's turn comes and nobody can choose when.
func (m *Machine) Proposer(height, round uint64) treaty.Nation {
	if height != m.turnsOf || m.turns == nil {
		m.turns, m.turnsOf = m.permutation(height), height
	}
	return m.turns[round%uint64(len(m.turns))]
}

// permutation is the order of proposers at a height.
func (m *Machine) permutation(height uint64) []treaty.Nation {
	type ranked struct {
		h treaty.Hash
		n treaty.Nation
	}
	order := make([]ranked, 0, m.cfg.Net.N)
	for _, n := range m.cfg.Net.Nations() {
		b := append([]byte("truceline/proposer/v1\n"), m.cfg.Net.Digest[:]...)
		order = append(order, ranked{treaty.HashOf(fmt.Appendf(b, "%d %s", height, n)), n})
	}
	slices.SortFunc(order, func(a, b ranked) int { return bytes.Compare(a.h[:], b.h[:]) })
	turns := make([]treaty.Nation, 0, len(order))
	for _, r := range order {
		turns = append(turns, r.n)
	}
	return turns
}

// Wants says whether a message at this place could still matter: a cheap question before its signature is checked.
func (m *Machine) Wants(from treaty.Nation, p Place) bool {
	switch {
	case p.Height < m.state.Height:
		return p.Type == treaty.TypeStatus || p.Type == treaty.TypeWish // somebody is behind, and may be helped
	case p.Height == m.state.Height+1:
		return len(m.early[from]) < maxEarly
	case p.Height > m.state.Height:
		return p.Height > m.later[from]
	case p.Type == treaty.TypeVote:
		if m.pending != nil || p.Round > m.round+maxAhead {
			return false
		}
		if c := m.state.Committed; c != nil && p.Step == treaty.StepPrepare && p.Round <= c.Round {
			return false // we have seen q of them
		}
		if _, have := m.votes[voteKey{p.Round, p.Step}][from]; have {
			return true // a second one may be evidence
		}
		return p.Step == treaty.StepCommit || p.Round >= m.round
	case p.Type == treaty.TypeProposal: // the dearest message of all: it carries wishes, and these carry certificates
		return p.Round >= m.round && p.Round <= m.round+maxAhead && from == m.Proposer(p.Height, p.Round) &&
			(p.Round > m.round || m.proposal == nil)
	}
	return true
}

func (m *Machine) finish() []Effect {
	out := m.out
	m.out = nil
	return out
}

func (m *Machine) say(s Say)               { m.out = append(m.out, Effect{Say: &s}) }
func (m *Machine) sayAll(s Say)            { s.To = ""; m.say(s) }
func (m *Machine) persist()                { s := m.state; m.out = append(m.out, Effect{Persist: &s}) }
func (m *Machine) size() uint64            { return m.certified().Size }
func (m *Machine) quorum(n int) bool       { return n >= m.cfg.Net.Q }
func (m *Machine) wishing() bool           { return m.state.Round > m.round }
func (m *Machine) proposer() treaty.Nation { return m.Proposer(m.state.Height, m.round) }

func (m *Machine) certified() treaty.Checkpoint {
	if m.last == nil {
		return treaty.Checkpoint{}
	}
	return m.last.Checkpoint
}
