package tally

import (
	"slices"

	"truceline/treaty"
)

// attestation is what counts of a nation's attestation. It never changes.
type attestation struct {
	Nation   treaty.Nation `cbor:"1,keyasint"`
	Record   treaty.Hash   `cbor:"2,keyasint"`
	Content  treaty.Hash   `cbor:"3,keyasint"` // of the assessment: to tell a repetition from a contradiction
	At       treaty.Time   `cbor:"4,keyasint"` // ledger time when it was taken
	Reviewed bool          `cbor:"5,keyasint,omitempty"`

	Finding    treaty.Finding    `cbor:"6,keyasint"`
	Party      treaty.Party      `cbor:"7,keyasint,omitempty"`
	Clause     treaty.ClauseID   `cbor:"8,keyasint,omitempty"`
	Class      treaty.EventClass `cbor:"9,keyasint"`
	Time       treaty.Time       `cbor:"10,keyasint"`
	Position   treaty.Position   `cbor:"11,keyasint"`
	Likelihood treaty.PPM        `cbor:"12,keyasint"`
	Confidence treaty.Confidence `cbor:"13,keyasint"`
	Resilience uint32            `cbor:"14,keyasint"`
	Modalities set               `cbor:"15,keyasint"`
	Reasons    set               `cbor:"16,keyasint"`
	// Sealed are the nations of whose seals, none late, it cites a detection: evidence that could not be copied.
	// It is worked out when the attestation is taken, because the seals are forgotten before the incident is.
	Sealed set `cbor:"17,keyasint"`
	// Cited is how many detections it cites. Which, is in the record, and for a BREACH in the seals' uses.
	Cited uint32 `cbor:"18,keyasint"`
}

// charge is how many detections an attestation makes everybody remember for its author's sake. What is cited without a
// BREACH is not kept, and was chosen by whoever proposed the incident.
func (a *attestation) charge() int {
	if a.Finding != treaty.Breach {
		return 0
	}
	return int(a.Cited)
}

// takeAttestation counts an attestation and what follows from it. A finding on an amending incident must be about the
// event of the case: else an amendment that cites another event besides would put that event's verdict in the place of
// this one's.
func (s *State) takeAttestation(i int, r *treaty.Record, now treaty.Time, res *Result) {
	n, b := &s.nations[i], r.Attestation
	a := &b.Assessment
	c := s.incidents[b.Incident]
	if c == nil {
		res.Rejected, res.About = RejectedUnknownIncident, b.Incident
		return
	}
	content := treaty.HashOf(treaty.Encode(a))
	at, found := slices.BinarySearchFunc(c.Attestations, r.Nation, func(o *attestation, k treaty.Nation) int {
		return s.net.Index(o.Nation) - s.net.Index(k)
	})
	if found {
		first := c.Attestations[at]
		res.Rejected, res.About = RejectedRepeated, c.ID
		if first.Content != content {
			res.Rejected = RejectedContradiction
			n.contradictions++
			n.last = Contradiction{Incident: c.ID, First: first.Record, Second: r.ID}
		}
		return
	}
	if a.Finding == treaty.Breach {
		if res.Rejected = s.accuses(a); res.Rejected != "" {
			return
		}
	}
	if res.Rejected = s.known(a.Cites); res.Rejected != "" {
		return
	}
	if a.Finding != treaty.Inconclusive && c.amends != nil && !c.kase.concerns(a.Cites) {
		res.Rejected, res.About = RejectedOtherEvent, c.kase.Incidents[0].ID
		return
	}
	if a.Finding == treaty.Breach {
		if n.cited+a.Cites.Len() > MaxCited {
			res.Rejected = RejectedQuota
			return
		}
		if o := s.secondBreach(i, c, a.Cites); o != nil {
			res.Rejected, res.About = RejectedSecondBreach, o.ID
			return
		}
	}
	e := &attestation{
		Nation: r.Nation, Record: r.ID, Content: content, At: now, Reviewed: b.Reviewed,
		Finding: a.Finding, Party: a.Party, Clause: a.Clause, Class: a.Class, Time: a.Time, Position: a.Position,
		Likelihood: a.Likelihood, Confidence: a.Confidence, Resilience: a.Resilience,
		Modalities: setOf(a.Modalities), Reasons: setOf(a.Reasons), Cited: uint32(a.Cites.Len()),
	}
	for _, x := range a.Cites {
		l := s.seals[x.Seal]
		if !l.late {
			e.Sealed.add(l.nation)
		}
		for _, d := range x.Indexes {
			if a.Finding == treaty.Breach {
				l.use(d, c).breach.add(i)
			}
		}
	}
	n.cited += e.charge()
	c.Attestations = slices.Insert(c.Attestations, at, e)
	s.decide(c, now, false, res)
}

// accuses says why a BREACH names nobody or nothing that can be found under the accord.
func (s *State) accuses(a *treaty.Assessment) (rejected string) {
	if !slices.ContainsFunc(s.net.Accord.Parties, func(p treaty.PartyInfo) bool { return p.Code == a.Party }) {
		return RejectedUnknownParty
	}
	k := s.clause(a.Clause)
	if k == nil || a.Time < k.From || k.Until != 0 && a.Time >= k.Until {
		return RejectedUnknownClause
	}
	return ""
}

// clause finds a node of the clause tree, nil if there is none.
func (s *State) clause(id treaty.ClauseID) *treaty.Clause {
	for i := range s.net.Accord.Clauses {
		if k := &s.net.Accord.Clauses[i]; k.ID == id {
			return k
		}
	}
	return nil
}
