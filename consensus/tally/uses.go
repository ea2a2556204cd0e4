package tally

import (
	"cmp"
	"maps"
	"slices"

	"truceline/treaty"
)

// seal is a taken seal with detections. Empty seals have their effect on the author's chain and are not kept: nothing
// in them can be cited.
type seal struct {
	id, digest treaty.Hash
	nation     int
	window     treaty.Window
	count      uint32
	late       bool
	at         treaty.Time // ledger time before it was applied
	// uses is what has been said about each of its detections, in ledger order. It goes when the seal goes: what can
	// no longer be cited need not be remembered.
	uses map[uint32][]use
}

// use is one incident's hold on one detection.
type use struct {
	incident *incident
	proposed bool // the incident cites it
	breach   set  // the nations whose counted BREACH on that incident cites it
}

// use finds or makes the entry of an incident's hold on a detection. Making one sweeps out forgotten incidents, so
// that the list is never longer than what is kept.
func (e *seal) use(index uint32, c *incident) *use {
	if e.uses == nil {
		e.uses = map[uint32][]use{}
	}
	us := e.uses[index]
	find := func() (int, bool) {
		return slices.BinarySearchFunc(us, c.Order, func(u use, o uint64) int { return cmp.Compare(u.incident.Order, o) })
	}
	i, found := find()
	if !found {
		us = slices.DeleteFunc(us, func(u use) bool { return u.incident.forgotten })
		i, _ = find()
		us = slices.Insert(us, i, use{incident: c})
		e.uses[index] = us
	}
	return &us[i]
}

// used lists the indexes that have been used, rising.
func (e *seal) used() []uint32 {
	return slices.Sorted(maps.Keys(e.uses))
}

// worn says whether a nation has proposed one of these detections, or amended this case, too often.
func (s *State) worn(by treaty.Nation, cites treaty.Cites, amends *incident) bool {
	for r := range cites.All() {
		k := 0
		for _, u := range s.seals[r.Seal].uses[r.Index] {
			if u.proposed && !u.incident.forgotten && u.incident.Proposer == by {
				k++
			}
		}
		if k >= MaxUses {
			return true
		}
	}
	if amends == nil {
		return false
	}
	k := 0
	for _, c := range amends.kase.Incidents {
		if c.Proposer == by {
			k++
		}
	}
	return k >= MaxUses
}

// sameEvent finds the earliest kept first incident of another case whose detections are, more than half of them, in cites:
// proposing them again would have one event judged twice. The share is of the earlier incident's detections, and more
// than half of them, so that an incident stands in the way of one event at most: a liar cannot block the proposals of
// many events by an incident that cites something of each, or all of each. Only a case's first incident stands in the way:
// it says what the case is about, and what amends it may lump in anything besides.
func (s *State) sameEvent(cites treaty.Cites, amends *incident) (found *incident) {
	shared := map[*incident]int{}
	for r := range cites.All() {
		e := s.seals[r.Seal]
		if e == nil {
			continue
		}
		for _, u := range e.uses[r.Index] {
			c := u.incident
			if !u.proposed || c.forgotten || c.amends != nil || amends != nil && c.kase == amends.kase {
				continue
			}
			shared[c]++
			// found is the lowest of a set, so the order of the walk does not matter.
			if 2*shared[c] > c.Body.Cites.Len() && (found == nil || c.Order < found.Order) {
				found = c
			}
		}
	}
	return found
}

// secondBreach finds an incident of another case on which this nation's BREACH cites one of these detections. Within a
// case only one verdict stands, so there a nation may say again what it said.
func (s *State) secondBreach(nation int, c *incident, cites treaty.Cites) *incident {
	for r := range cites.All() {
		for _, u := range s.seals[r.Seal].uses[r.Index] {
			if u.breach.has(nation) && !u.incident.forgotten && u.incident.kase != c.kase {
				return u.incident
			}
		}
	}
	return nil
}

// remember notes what a kept incident uses.
func (s *State) remember(c *incident) {
	n := &s.nations[s.net.Index(c.Proposer)]
	n.proposals++
	n.cited += c.Body.Cites.Len()
	for _, x := range c.Body.Cites {
		if e := s.seals[x.Seal]; e != nil {
			for _, i := range x.Indexes {
				e.use(i, c).proposed = true
			}
		}
	}
}

// forget drops a case. Its uses stay behind, marked, until their seal is used again or dropped.
func (s *State) forget(k *kase) {
	for _, c := range k.Incidents {
		n := &s.nations[s.net.Index(c.Proposer)]
		n.proposals--
		n.cited -= c.Body.Cites.Len()
		for _, a := range c.Attestations {
			s.nations[s.net.Index(a.Nation)].cited -= a.charge()
		}
		c.forgotten = true
		delete(s.incidents, c.ID)
	}
	n := &s.nations[s.net.Index(k.Incidents[0].Proposer)]
	n.cases = slices.DeleteFunc(n.cases, func(o *kase) bool { return o == k })
}
