package finality

import (
	"cmp"
	"slices"
	"time"

	"truceline/treaty"
)

// propose names a checkpoint when it is our turn: what the highest prepare certificate of the wishes names, or the
// largest boundary that q statuses reach.
func (m *Machine) propose() {
	if m.proposed || m.wishing() || m.deadline == 0 || m.proposer() != m.cfg.Self {
		return
	}
	p := treaty.Proposal{Height: m.state.Height, Round: m.round}
	var opened []Wish
	if m.round > 0 {
		if !m.quorum(len(m.opening)) {
			return // we came back to this round after a restart, without the wishes that opened it
		}
		opened = m.opening
		for _, w := range opened {
			p.Wishes = append(p.Wishes, w.Raw)
		}
	}
	if high := highest(opened); high != nil {
		p.Checkpoint = high.Checkpoint
	} else if c, ok := m.choose(); ok {
		p.Checkpoint = c
	} else {
		return
	}
	m.proposed = true
	m.proposal = &Proposal{Proposal: p, Opened: opened}
	m.sayAll(Say{Proposal: &p})
}

// choose picks the checkpoint of a round that is bound to none. Round 0 is optimistic: everything this node has applied,
// which the others have applied too or will in a moment, unless the order has forked. Later rounds ask first: the largest
// boundary of ours that q nations have reached, stepping back towards the certified point by halves, because what q
// nations share of a forked order is some shorter prefix.
func (m *Machine) choose() (treaty.Checkpoint, bool) {
	reach := m.cfg.View.Frontier().Size
	if m.round > 0 {
		var ok bool
		if reach, ok = m.reached(); !ok {
			return treaty.Checkpoint{}, false
		}
	}
	bs := m.cfg.View.Boundaries()
	n := 0
	for n < len(bs) && bs[n].Size <= reach {
		n++
	}
	for n > 0 && bs[0].Size <= m.size() {
		bs, n = bs[1:], n-1
	}
	if n == 0 {
		return treaty.Checkpoint{}, false
	}
	return bs[(n-1)>>min(m.round, 32)], true
}

// reached is the largest size that the statuses of q nations reach.
func (m *Machine) reached() (uint64, bool) {
	m.report(m.cfg.Self)
	var sizes []uint64
	for _, s := range m.statuses {
		sizes = append(sizes, s.Frontier.Size)
	}
	if !m.quorum(len(sizes)) {
		return 0, false
	}
	slices.SortFunc(sizes, func(a, b uint64) int { return cmp.Compare(b, a) })
	return sizes[m.cfg.Net.Q-1], true
}

// prepare votes for this round's proposal when this node has applied exactly that prefix and nothing forbids it.
func (m *Machine) prepare() {
	p := m.proposal
	if p == nil || m.wishing() {
		return
	}
	if c := m.state.Prepared; c != nil && c.Round >= m.round {
		return
	}
	if !m.cfg.View.Holds(p.Checkpoint) || m.cfg.View.Objection(p.Checkpoint) != "" {
		return
	}
	m.state.Prepared = &Cast{Round: m.round, Checkpoint: p.Checkpoint}
	m.state.Round = m.round
	m.persist()
	m.sayVote(treaty.StepPrepare, m.state.Prepared)
}

// commit locks and votes again once q nations have prepared in this round. After a wish for a later round it does not:
// the wish said that we would not.
func (m *Machine) commit() {
	if m.wishing() {
		return
	}
	if c := m.state.Committed; c != nil && c.Round >= m.round {
		return
	}
	cert := m.collect(voteKey{m.round, treaty.StepPrepare})
	if cert == nil {
		return
	}
	m.state.Lock = cert
	m.state.Round = m.round
	m.state.Committed = &Cast{Round: m.round, Checkpoint: cert.Checkpoint, Prepared: cert.Digest()}
	m.persist()
	m.sayVote(treaty.StepCommit, m.state.Committed)
}

// certify makes the certificate once q commits of one round stand, whichever round that is.
func (m *Machine) certify() {
	var rounds []uint64
	for k := range m.votes {
		if k.step == treaty.StepCommit {
			rounds = append(rounds, k.round)
		}
	}
	slices.Sort(rounds)
	for _, r := range rounds {
		if cert := m.collect(voteKey{r, treaty.StepCommit}); cert != nil {
			m.onCertificate(cert)
			return
		}
	}
}

// collect makes a certificate of the votes at k when q of them name one checkpoint.
func (m *Machine) collect(k voteKey) *treaty.Certificate {
	byNation := m.votes[k]
	if !m.quorum(len(byNation)) {
		return nil
	}
	counts := map[treaty.Checkpoint]int{}
	for _, v := range byNation {
		counts[v.Checkpoint]++
	}
	for _, n := range m.cfg.Net.Nations() { // at most one checkpoint can have q votes; take it in roster order
		v, ok := byNation[n]
		if !ok || !m.quorum(counts[v.Checkpoint]) {
			continue
		}
		cert := &treaty.Certificate{Height: m.state.Height, Round: k.round, Step: k.step, Checkpoint: v.Checkpoint}
		for _, o := range m.cfg.Net.Nations() {
			if w, ok := byNation[o]; ok && w.Checkpoint == v.Checkpoint && len(cert.Sigs) < m.cfg.Net.Q {
				cert.Sigs = append(cert.Sigs, w.Sig)
			}
		}
		return cert
	}
	return nil
}

// keepSizes is how many cosignatures are kept of one nation, and how many certified roots: nations settle at different
// times.
const keepSizes = 64

// onCosignature collects cosignatures of certified checkpoints. One for a size this node has not certified yet is
// kept, within bounds; one for another root than the certified one is no use to anybody and is dropped.
func (m *Machine) onCosignature(c *treaty.Cosignature) {
	if c.Size <= m.cosigned {
		m.late(c.Nation, c.Size)
		return
	}
	if root, known := m.roots[c.Size]; known && root != c.Root {
		return
	}
	byNation := m.cosigs[c.Size]
	if byNation[c.Nation] == nil {
		m.makeRoom(c.Nation)
		byNation = m.cosigs[c.Size]
	}
	if byNation == nil {
		byNation = map[treaty.Nation]*treaty.Cosignature{}
		m.cosigs[c.Size] = byNation
	}
	byNation[c.Nation] = c
	m.tryCosigned(c.Size)
}

// makeRoom drops a nation's oldest cosignature when it has too many: its own only, or one nation that makes up sizes
// could keep everybody else's from ever adding up.
func (m *Machine) makeRoom(n treaty.Nation) {
	held := map[uint64]bool{}
	for size, byNation := range m.cosigs {
		if byNation[n] != nil {
			held[size] = true
		}
	}
	if len(held) < keepSizes {
		return
	}
	size := oldest(held)
	if delete(m.cosigs[size], n); len(m.cosigs[size]) == 0 {
		delete(m.cosigs, size)
	}
}

// Late takes note of a cosignature, unchecked, that this node has no use for.
func (m *Machine) Late(now time.Duration, from treaty.Nation, size uint64) []Effect {
	m.now = now
	m.late(from, size)
	return m.finish()
}

// late helps a nation that repeats its cosignature, because it lacks ours.
func (m *Machine) late(from treaty.Nation, size uint64) {
	if from == m.cfg.Self || m.mine == nil || m.mine.Size > m.cosigned {
		return
	}
	if m.heard[from] == size {
		m.help(from)
	}
	m.heard[from] = size
}

// tryCosigned hands out q cosignatures of a size this node has certified.
func (m *Machine) tryCosigned(size uint64) {
	root, known := m.roots[size]
	if !known || size <= m.cosigned {
		return
	}
	var list []*treaty.Cosignature
	for _, n := range m.cfg.Net.Nations() {
		if c, ok := m.cosigs[size][n]; ok && c.Root == root {
			list = append(list, c)
		}
	}
	if !m.quorum(len(list)) {
		return
	}
	m.cosigned = size
	m.out = append(m.out, Effect{Cosigned: list})
	m.forgetOld()
}

// Cosigned is the largest size this node has seen q cosignatures of.
func (m *Machine) Cosigned() uint64 { return m.cosigned }

// RestoreCosigned tells the machine, at its start, how far the stored cosigned checkpoint goes.
func (m *Machine) RestoreCosigned(size uint64, mine *treaty.Cosignature) {
	m.cosigned = max(m.cosigned, size)
	m.mine = mine
	if mine != nil && mine.Size > m.cosigned {
		m.resendAt = m.now + m.cfg.Timeout/2
	}
}

func (m *Machine) forgetOld() {
	for size := range m.cosigs {
		if size <= m.cosigned {
			delete(m.cosigs, size)
		}
	}
	for len(m.roots) > keepSizes {
		delete(m.roots, oldest(m.roots))
	}
	if m.last != nil {
		m.tryCosignedLatest()
	}
}

// tryCosignedLatest looks again at the newest certified size: cosignatures may have come before the certificate.
func (m *Machine) tryCosignedLatest() {
	if s := m.last.Checkpoint.Size; s > m.cosigned && len(m.cosigs[s]) > 0 {
		m.tryCosigned(s)
	}
}

func oldest[V any](byNumber map[uint64]V) uint64 {
	first := true
	var low uint64
	for k := range byNumber {
		if first || k < low {
			low, first = k, false
		}
	}
	return low
}
