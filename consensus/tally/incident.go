package tally

import (
	"cmp"
	"slices"

	"truceline/treaty"
)

// incident is a kept incident. Exported fields are stored.
type incident struct {
	ID       treaty.Hash     `cbor:"1,keyasint"`
	Proposer treaty.Nation   `cbor:"2,keyasint"`
	Order    uint64          `cbor:"3,keyasint"` // its place among all incidents taken, from 1
	Body     treaty.Incident `cbor:"4,keyasint"`
	At       treaty.Time     `cbor:"5,keyasint"` // ledger time when it was ordered
	Deadline treaty.Time     `cbor:"6,keyasint"`
	// Attestations are those that count, one a nation, in roster order.
	Attestations []*attestation `cbor:"7,keyasint"`
	// Verdict and Outcome are its latest verdict's, zero while undecided.
	Verdict treaty.Hash    `cbor:"8,keyasint,omitzero"`
	Outcome treaty.Finding `cbor:"9,keyasint,omitempty"`

	kase      *kase
	amends    *incident // nil when Body.Amends is zero
	forgotten bool      // beyond the horizon: its uses do not count
}

func (c *incident) decided() bool { return c.Outcome != 0 }

// kase is one event before the court: a first incident and those that amend it. (case is a keyword.)
type kase struct {
	Incidents []*incident `cbor:"1,keyasint"` // in ledger order
	// Current is the verdict that stands, with its outcome; each verdict names the one it supersedes.
	Current treaty.Hash    `cbor:"2,keyasint,omitzero"`
	Outcome treaty.Finding `cbor:"3,keyasint,omitempty"`
	// LastAt is the ledger time of the case's last verdict.
	LastAt treaty.Time `cbor:"4,keyasint,omitempty"`
}

// pending is how many of a case's incidents are undecided.
func (k *kase) pending() (n int) {
	for _, c := range k.Incidents {
		if !c.decided() {
			n++
		}
	}
	return n
}

// concerns says whether cites name more than half of the detections that the case began with: so an amendment of an
// amendment cannot lead away from the event either.
func (k *kase) concerns(cites treaty.Cites) bool {
	first := k.Incidents[0].Body.Cites
	shared := 0
	for _, x := range first {
		i, found := slices.BinarySearchFunc(cites, x.Seal, func(c treaty.SealCite, id treaty.Hash) int {
			return treaty.CompareHash(c.Seal, id)
		})
		if !found {
			continue
		}
		for _, d := range x.Indexes {
			if _, found := slices.BinarySearch(cites[i].Indexes, d); found {
				shared++
			}
		}
	}
	return 2*shared > first.Len()
}

func (k *kase) clone() *kase {
	d := *k
	d.Incidents = nil
	for _, c := range k.Incidents {
		e := *c
		e.Attestations = slices.Clone(c.Attestations) // an attestation never changes
		d.Incidents = append(d.Incidents, &e)
	}
	return &d
}

// closing says that a case had its last verdict at a ledger time.
type closing struct {
	kase *kase
	at   treaty.Time
}

func sortIncidents(cs []*incident) {
	slices.SortFunc(cs, func(a, b *incident) int { return cmp.Compare(a.Order, b.Order) })
}

func sortClosing(cs []closing) {
	slices.SortStableFunc(cs, func(a, b closing) int { return cmp.Compare(a.at, b.at) })
}

// takeIncident opens an incident.
func (s *State) takeIncident(i int, r *treaty.Record, now treaty.Time) (rejected string, about treaty.Hash) {
	n, b := &s.nations[i], r.Incident
	var amends *incident
	if !b.Amends.IsZero() {
		if amends = s.incidents[b.Amends]; amends == nil {
			return RejectedUnknownIncident, b.Amends
		}
		if !amends.decided() {
			return RejectedNotDecided, b.Amends
		}
	}
	if why := s.known(b.Cites); why != "" {
		return why, treaty.Hash{}
	}
	if amends != nil && !amends.kase.concerns(b.Cites) {
		return RejectedOtherEvent, amends.kase.Incidents[0].ID
	}
	if n.proposals >= MaxProposals || n.cited+b.Cites.Len() > MaxCited || s.worn(r.Nation, b.Cites, amends) {
		return RejectedQuota, treaty.Hash{}
	}
	if o := s.sameEvent(b.Cites, amends); o != nil {
		return RejectedSameEvent, o.ID
	}
	s.order++
	c := &incident{
		ID: r.ID, Proposer: r.Nation, Order: s.order, Body: *b, At: now,
		Deadline: now.Add(s.net.Accord.Policy.Deadline()), amends: amends,
	}
	if amends == nil {
		c.kase = &kase{}
		n.cases = append(n.cases, c.kase)
	} else {
		c.kase = amends.kase
	}
	c.kase.Incidents = append(c.kase.Incidents, c)
	s.incidents[c.ID] = c
	s.open = append(s.open, c)
	s.remember(c)
	return "", treaty.Hash{}
}

// known says why a list cites something that is not sealed.
func (s *State) known(cites treaty.Cites) (rejected string) {
	for _, c := range cites {
		e := s.seals[c.Seal]
		if e == nil {
			return RejectedUnknownSeal
		}
		if c.Indexes[len(c.Indexes)-1] >= e.count {
			return RejectedUnknownIndex
		}
	}
	return ""
}
