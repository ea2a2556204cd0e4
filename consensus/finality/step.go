package finality

import (
	"slices"
	"time"

	"truceline/treaty"
)

// Advance tells the machine that the ledger has applied more: there may be something to agree on.
func (m *Machine) Advance(now time.Duration) []Effect {
	m.now = now
	m.work()
	return m.finish()
}

// Tick tells the machine that time has passed.
func (m *Machine) Tick(now time.Duration) []Effect {
	m.now = now
	if m.deadline != 0 && now >= m.deadline && m.pending == nil {
		m.giveUp()
	}
	if m.resendAt != 0 && now >= m.resendAt {
		m.resend()
	}
	m.work()
	return m.finish()
}

// Step takes one verified message in.
func (m *Machine) Step(now time.Duration, msg Message) []Effect {
	m.now = now
	if msg.From != m.cfg.Self {
		delete(m.suspects, msg.From)
	}
	m.take(msg)
	m.work()
	return m.finish()
}

// heightOf is the height a message is about, 0 for one that proves itself.
func heightOf(msg Message) uint64 {
	switch {
	case msg.Status != nil:
		return msg.Status.Height
	case msg.Proposal != nil:
		return msg.Proposal.Height
	case msg.Vote != nil:
		return msg.Vote.Height
	case msg.Wish != nil:
		return msg.Wish.Height
	}
	return 0
}

func (m *Machine) take(msg Message) {
	switch h := heightOf(msg); {
	case h == m.state.Height+1: // its sender settled this height a moment before us
		if len(m.early[msg.From]) < maxEarly {
			m.early[msg.From] = append(m.early[msg.From], msg)
		}
		return
	case h > m.state.Height:
		m.onLater(msg.From, h)
		return
	case h != 0 && h < m.state.Height:
		if msg.Status != nil || msg.Wish != nil {
			m.help(msg.From)
		}
		return
	}
	switch {
	case msg.Certificate != nil:
		m.onCertificate(msg.Certificate)
	case msg.Cosignature != nil:
		m.onCosignature(msg.Cosignature)
	case msg.Status != nil:
		m.onStatus(msg.From, *msg.Status)
	case msg.Proposal != nil:
		m.onProposal(msg.From, msg.Proposal)
	case msg.Vote != nil:
		m.onVote(msg.From, *msg.Vote)
	case msg.Wish != nil:
		m.onWish(*msg.Wish)
	}
}

// Settled tells the machine that a certificate handed out by Certified is durable, together with this nation's
// cosignature of it (nil when it was already superseded). The next height begins.
func (m *Machine) Settled(now time.Duration, c *treaty.Certificate, mine *treaty.Cosignature) []Effect {
	m.now = now
	if m.last != nil && c.Height <= m.last.Height {
		return nil
	}
	m.last = c
	if m.pending != nil && m.pending.Height <= c.Height {
		m.pending = nil
	}
	m.roots[c.Checkpoint.Size] = c.Checkpoint.Root
	early := m.early
	next := c.Height == m.state.Height
	m.begin(c.Height + 1)
	m.forgetOld()
	if next {
		for _, n := range m.cfg.Net.Nations() {
			for _, msg := range early[n] {
				m.take(msg)
			}
		}
	}
	if mine != nil {
		m.mine = mine
		m.resendAt = m.now + m.cfg.Timeout/2
		m.sayAll(Say{Cosignature: mine})
		m.onCosignature(mine)
	}
	m.work()
	return m.finish()
}

// work does everything that has become possible. It is called after every input and ends, because each step happens
// at most once a round.
func (m *Machine) work() {
	if m.pending != nil {
		return
	}
	m.start()
	m.propose()
	m.prepare()
	m.commit()
	m.certify()
}

// start begins a height when there is something to agree on: a timer, and a status to the proposer.
func (m *Machine) start() {
	if m.deadline != 0 {
		return
	}
	if m.cfg.View.Frontier().Size <= m.size() && m.state.Round == 0 {
		return
	}
	m.enter(m.round)
}

// patience is how long a round may take: it doubles with every round up to 16 times the first, which must exceed what
// a full exchange takes on the slowest link the operators accept (docs/TRUST.md has the worst case).
func (m *Machine) patience(round uint64) time.Duration { return m.cfg.Timeout << min(round, 4) }

// enter starts a round's timer and, from round 1 on, reports to its proposer.
func (m *Machine) enter(round uint64) {
	if round != m.round {
		m.proposal, m.proposed = nil, false
	}
	m.round = round
	d := m.patience(round)
	if m.suspects[m.proposer()] {
		d = m.cfg.Timeout / 8 // it let its last turn pass: do not wait as long again
	}
	m.deadline = m.now + d
	m.resendAt = m.now + m.cfg.Timeout/2
	if round > 0 {
		m.report(m.proposer())
	}
}

func (m *Machine) report(to treaty.Nation) {
	s := treaty.Status{Height: m.state.Height, Frontier: m.cfg.View.Frontier(), Certified: m.certified()}
	if to == m.cfg.Self {
		m.statuses[to] = s
		return
	}
	m.say(Say{To: to, Status: &s})
}

// giveUp wishes for the next round.
func (m *Machine) giveUp() {
	if p := m.proposer(); p != m.cfg.Self && m.proposal == nil {
		m.suspects[p] = true
	}
	m.wishFor(max(m.state.Round, m.round+1))
	m.deadline = m.now + m.patience(m.state.Round)
}

// wishFor promises to vote in no round below r and tells everybody, with the highest prepare certificate we know.
func (m *Machine) wishFor(r uint64) {
	if r > m.state.Round {
		m.state.Round = r
		m.persist()
	}
	m.sayAll(Say{Wish: &treaty.Wish{Height: m.state.Height, Round: m.state.Round, Prepared: m.state.Lock}})
}

// resend repeats what may have been lost: streams break, peers restart.
func (m *Machine) resend() {
	m.resendAt = m.now + m.cfg.Timeout/2
	if m.mine != nil && m.mine.Size > m.cosigned {
		m.sayAll(Say{Cosignature: m.mine})
	}
	if m.deadline == 0 {
		switch {
		case m.passed() && m.pending == nil: // the answer to our last question may have been lost
			s := treaty.Status{Height: m.state.Height, Frontier: m.cfg.View.Frontier(), Certified: m.certified()}
			m.sayAll(Say{Status: &s})
		case m.mine == nil || m.mine.Size <= m.cosigned:
			m.resendAt = 0 // nothing to do and nothing owed
		}
		return
	}
	if m.pending != nil {
		return
	}
	if m.wishing() { // perhaps the others have gone on without us: whoever has tells us
		s := treaty.Status{Height: m.state.Height, Frontier: m.cfg.View.Frontier(), Certified: m.certified()}
		m.sayAll(Say{Status: &s})
		m.sayAll(Say{Wish: &treaty.Wish{Height: m.state.Height, Round: m.state.Round, Prepared: m.state.Lock}})
		return
	}
	m.report(m.proposer())
	if lock := m.state.Lock; m.round > 0 && (lock == nil || lock.Round < m.round) { // somebody may have missed the wishes that opened this round
		m.sayAll(Say{Wish: &treaty.Wish{Height: m.state.Height, Round: m.round, Prepared: m.state.Lock}})
	}
	if m.proposed && m.proposal != nil {
		p := m.proposal.Proposal
		m.sayAll(Say{Proposal: &p})
	}
	if p := m.state.Prepared; p != nil && p.Round == m.round {
		m.sayVote(treaty.StepPrepare, p)
	}
	if c := m.state.Committed; c != nil {
		m.sayVote(treaty.StepCommit, c)
	}
}

func (m *Machine) sayVote(step treaty.Step, c *Cast) {
	m.sayAll(Say{Vote: &treaty.Vote{
		Height: m.state.Height, Round: c.Round, Step: step, Checkpoint: c.Checkpoint, Prepared: c.Prepared,
	}})
}

// onStatus remembers how far a nation is.
func (m *Machine) onStatus(from treaty.Nation, s treaty.Status) {
	if s.Height == m.state.Height {
		m.statuses[from] = s
	}
}

// help sends our certificate to a nation that still works on a height we have settled.
func (m *Machine) help(from treaty.Nation) {
	if at, ok := m.answered[from]; ok && m.now-at < m.cfg.Timeout/4 {
		return
	}
	m.answered[from] = m.now
	if m.last == nil {
		return
	}
	m.say(Say{To: from, Certificate: m.last})
	if m.mine != nil {
		m.say(Say{To: from, Cosignature: m.mine})
	}
}

// onLater notes that a nation is at least two heights beyond ours. At f+1 one honest nation is, so we ask for the certificate
// we lack.
func (m *Machine) onLater(from treaty.Nation, height uint64) {
	if height <= m.later[from] {
		return
	}
	m.later[from] = height
	if m.passed() {
		m.report(from)
		if m.resendAt == 0 {
			m.resendAt = m.now + m.cfg.Timeout/2
		}
	}
}

// passed says whether f+1 nations, so an honest one, are at least two heights beyond ours.
func (m *Machine) passed() bool {
	ahead := 0
	for _, h := range m.later {
		if h > m.state.Height+1 {
			ahead++
		}
	}
	return ahead > m.cfg.Net.F
}

// onProposal keeps this round's proposal if it comes from the proposer and carries its justification.
func (m *Machine) onProposal(from treaty.Nation, p *Proposal) {
	if p.Height != m.state.Height {
		return
	}
	for i := range p.Opened { // the wishes inside count as heard
		m.onWish(p.Opened[i])
	}
	if p.Round != m.round || m.wishing() || m.proposal != nil || from != m.proposer() || !m.justified(p) {
		return
	}
	m.proposal = p
}

// justified checks that a proposal may name what it names (see the package comment).
func (m *Machine) justified(p *Proposal) bool {
	if p.Checkpoint.Size <= m.size() {
		return false
	}
	if p.Round == 0 {
		return len(p.Opened) == 0
	}
	var from []treaty.Nation
	for _, w := range p.Opened {
		if w.Height != p.Height || w.Round != p.Round || slices.Contains(from, w.From) {
			return false
		}
		from = append(from, w.From)
	}
	if !m.quorum(len(from)) {
		return false
	}
	high := highest(p.Opened)
	return high == nil || high.Checkpoint == p.Checkpoint
}

// highest is the prepare certificate of the highest round among wishes, nil when there is none.
func highest(ws []Wish) (high *treaty.Certificate) {
	for _, w := range ws {
		if w.Prepared != nil && (high == nil || w.Prepared.Round > high.Round) {
			high = w.Prepared
		}
	}
	return high
}

// onVote counts a vote, once a nation, round and step; a second, different one is evidence.
func (m *Machine) onVote(from treaty.Nation, v Vote) {
	if v.Height != m.state.Height || v.Round > m.round+maxAhead {
		return
	}
	k := voteKey{v.Round, v.Step}
	byNation := m.votes[k]
	if byNation == nil {
		byNation = map[treaty.Nation]Vote{}
		m.votes[k] = byNation
	}
	if old, have := byNation[from]; have {
		if old.Checkpoint != v.Checkpoint {
			m.out = append(m.out, Effect{Equivocation: &Equivocation{Nation: from, A: old, B: v}})
		}
		return
	}
	byNation[from] = v
}

// onWish counts a wish: joined at f+1, acted on at q.
func (m *Machine) onWish(w Wish) {
	if w.Height != m.state.Height || w.Round <= m.round {
		return
	}
	if old, have := m.wishes[w.From]; have && old.Round >= w.Round {
		return
	}
	m.wishes[w.From] = w
	if m.pending != nil {
		return
	}
	if r := m.wishedBy(m.cfg.Net.F + 1); r > m.state.Round {
		if m.deadline == 0 {
			m.resendAt = m.now + m.cfg.Timeout/2
		}
		m.wishFor(r)
		m.deadline = m.now + m.patience(r)
	}
	var same []Wish
	for _, n := range m.cfg.Net.Nations() {
		if x, ok := m.wishes[n]; ok && x.Round == w.Round {
			same = append(same, x)
		}
	}
	if m.quorum(len(same)) && w.Round > m.round && w.Round >= m.state.Round {
		if w.Round > m.state.Round {
			m.state.Round = w.Round
			m.persist()
		}
		m.opening = same
		m.enter(w.Round)
	}
}

// wishedBy is the highest round that at least k nations wish for or beyond.
func (m *Machine) wishedBy(k int) uint64 {
	var rs []uint64
	for _, w := range m.wishes {
		rs = append(rs, w.Round)
	}
	if len(rs) < k {
		return 0
	}
	slices.Sort(rs)
	return rs[len(rs)-k]
}

// onCertificate takes a verified certificate from anyone: it overrides whatever this node holds tentatively.
func (m *Machine) onCertificate(c *treaty.Certificate) {
	if c.Step != treaty.StepCommit || c.Height < m.state.Height || m.pending != nil && m.pending.Height >= c.Height {
		return
	}
	m.pending = c
	m.deadline = 0
	m.out = append(m.out, Effect{Certified: c})
}
