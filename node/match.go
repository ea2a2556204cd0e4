package node

import (
	"truceline/attribution"
	"truceline/treaty"
)

// match finds the one event of our own that an incident is about: the one that more than half of its citations belong
// to, which is also when the tally takes a second incident for the same (SAME_EVENT); or, where it cites what we do not
// have, one that it names more than half of, and no other nearly as much of. What it names only a part of is not its
// subject: or an incident of scraps of several events would keep them all from being proposed.
func match(events []attribution.Event, cites treaty.Cites) int {
	named := make(map[treaty.Ref]bool, cites.Len())
	for r := range cites.All() {
		named[r] = true
	}
	best, most, second := -1, 0, 0
	for i, e := range events {
		shared := 0
		for _, r := range e.Members {
			if named[r] {
				shared++
			}
		}
		switch {
		case shared > most:
			best, most, second = i, shared, most
		case shared > second:
			second = shared
		}
	}
	if best < 0 || 2*most <= len(named) && (2*most <= len(events[best].Members) || 2*second > most) {
		return -1
	}
	return best
}

// matched is the event that an incident is about, nil when we have none. Answers and proposals ask the same question, so
// an event is either judged under an incident or proposed as one.
func (p *pipeline) matched(c *incidentCase) *attribution.Event {
	if !p.matchesGood {
		p.matches, p.matchesGood = map[treaty.Hash]int{}, true
	}
	i, known := p.matches[c.id]
	if !known {
		i = match(p.events, c.incident.Cites)
		p.matches[c.id] = i
	}
	if i < 0 {
		return nil
	}
	return &p.events[i]
}
