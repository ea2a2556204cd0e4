package tally

import (
	"slices"

	"truceline/treaty"
)

// Limits on what one nation can make everybody remember. Beyond them its records are taken and have no effect.
const (
	// MaxProposals is how many incidents of one nation are kept at once: with a horizon of 2 hours, one every
	// 1.8 seconds from each nation.
	MaxProposals = 4_096
	// MaxCited is how many detections the kept incidents and BREACH attestations of one nation may cite in all: a BREACH
	// with 100 detections on each of 10,000 incidents. Of other attestations no citations are kept, and what they answer
	// is not their author's choice: they are one an incident, so at most n times MaxProposals.
	MaxCited = 1 << 20
	// MaxUses is how many kept incidents of one nation may cite the same detection (the first and its amendments):
	// it bounds the search for an incident on the same event.
	MaxUses = 8
	// maxTime is where signed times are cut off, so that adding a policy's duration cannot overflow: the year 2116.
	maxTime = treaty.Time(1 << 62)
)

// State is the tally after some prefix of the ledger. The zero State is of no use: see New and Decode. It is not safe
// for concurrent use.
type State struct {
	net     *treaty.Network
	nations []nation      // in roster order
	times   []treaty.Time // the nations' latest times, sorted
	order   uint64        // incidents taken so far
	seals   map[treaty.Hash]*seal
	closed  treaty.Window // every window below it is closed for everybody (closeWindows)

	// What follows is found again from the above by index.
	incidents map[treaty.Hash]*incident
	open      []*incident // by deadline, which is ledger order; decided ones leave when they reach the front
	closing   []closing   // cases by when they can be forgotten
}

// nation is what the tally remembers about one guarantor.
type nation struct {
	seq        uint64
	time       treaty.Time
	lastSeal   treaty.Hash // zero: none yet
	lastWindow treaty.Window
	named      treaty.Hash // its last seal in the ledger, with or without effect
	seals      []*seal     // those that can be cited, windows rising
	cases      []*kase     // whose first incident it proposed, in ledger order
	// contradictions counts this nation's rejected second, different attestations; last is the latest of them.
	contradictions uint64
	last           Contradiction
	misbehaviour   []Misbehaviour // proven against it, in ledger order

	proposals int // kept incidents it proposed
	cited     int // detections that its kept incidents and BREACH attestations cite
}

// Contradiction is a nation saying two different things about one incident, with the records that prove it.
type Contradiction struct {
	Incident treaty.Hash `cbor:"1,keyasint" json:"incident"`
	First    treaty.Hash `cbor:"2,keyasint" json:"first"`
	Second   treaty.Hash `cbor:"3,keyasint" json:"second"`
}

// New is the tally of an empty ledger.
func New(net *treaty.Network) *State {
	s := &State{net: net, nations: make([]nation, net.N), seals: map[treaty.Hash]*seal{}}
	s.index()
	return s
}

// index rebuilds everything that follows from the nations' entries.
func (s *State) index() {
	s.incidents = map[treaty.Hash]*incident{}
	s.open, s.closing, s.times = nil, nil, nil
	var all []*incident
	for i := range s.nations {
		n := &s.nations[i]
		n.proposals, n.cited = 0, 0
		s.times = append(s.times, n.time)
		for _, k := range n.cases {
			for _, c := range k.Incidents {
				c.kase = k
				all = append(all, c)
			}
			if k.pending() == 0 {
				s.closing = append(s.closing, closing{k, k.LastAt})
			}
		}
	}
	sortTimes(s.times)
	sortIncidents(all)
	for _, c := range all {
		s.incidents[c.ID] = c
		c.amends = s.incidents[c.Body.Amends] // rises in the order: an incident amends an earlier one
		s.remember(c)
		if !c.decided() {
			s.open = append(s.open, c)
		}
		for _, a := range c.Attestations {
			s.nations[s.net.Index(a.Nation)].cited += a.charge()
		}
	}
	sortClosing(s.closing)
}

// LedgerTime is the lower median over the roster of each nation's latest signed time; 0 until a majority has spoken.
// It never goes back, because no nation's time does.
func (s *State) LedgerTime() treaty.Time { return lowerMedian(s.times) }

// LastSeq is the number of the last record taken from a nation, 0 for none or for a stranger.
func (s *State) LastSeq(k treaty.Nation) uint64 {
	if i := s.net.Index(k); i >= 0 {
		return s.nations[i].seq
	}
	return 0
}

// hear takes note of a nation's signed time, which does not count backwards.
func (s *State) hear(i int, t treaty.Time) {
	t = min(t, maxTime)
	was := s.nations[i].time
	if t <= was {
		return
	}
	s.nations[i].time = t
	replaceTime(s.times, was, t)
}

// maxSeals is how many seals of one nation are kept: those of a horizon, and of how far ahead of ledger time a seal may
// be. With one seal a window, no more than these can lie within the horizon.
func (s *State) maxSeals() int {
	p := s.net.Accord.Policy
	return int((p.Horizon()+p.SealAhead())/p.Window()) + 2
}

// Clone is a copy that shares nothing that changes.
func (s *State) Clone() *State {
	c := &State{
		net: s.net, nations: make([]nation, len(s.nations)), order: s.order, closed: s.closed, seals: make(map[treaty.Hash]*seal, len(s.seals)),
	}
	for i := range s.nations {
		n := s.nations[i]
		n.seals, n.cases, n.misbehaviour = nil, nil, slices.Clone(n.misbehaviour)
		for _, e := range s.nations[i].seals {
			d := *e
			d.uses = nil
			n.seals = append(n.seals, &d)
			c.seals[d.id] = &d
		}
		for _, k := range s.nations[i].cases {
			n.cases = append(n.cases, k.clone())
		}
		c.nations[i] = n
	}
	c.index()
	for i := range s.nations {
		for j, e := range s.nations[i].seals {
			for x, us := range e.uses { // in any order: each goes to its own place
				for _, u := range us {
					if u.breach != 0 && !u.incident.forgotten {
						c.nations[i].seals[j].use(x, c.incidents[u.incident.ID]).breach = u.breach
					}
				}
			}
		}
	}
	return c
}
