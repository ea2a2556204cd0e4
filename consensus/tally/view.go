package tally

import (
	"cmp"
	"slices"

	"truceline/treaty"
)

// SealView is what the tally knows of a seal with detections.
type SealView struct {
	ID     treaty.Hash
	Nation treaty.Nation
	Window treaty.Window
	Count  uint32
	Digest treaty.Hash
	// Late: its window was closed for everybody before it came; evidence, but not independent evidence.
	Late bool
	// OrderedAt is the ledger time before it was applied.
	OrderedAt treaty.Time
}

// Seal finds a seal that can be cited: taken, with detections, within the horizon.
func (s *State) Seal(id treaty.Hash) (SealView, bool) {
	e := s.seals[id]
	if e == nil {
		return SealView{}, false
	}
	return SealView{
		ID: e.id, Nation: s.net.Members()[e.nation].Nation, Window: e.window, Count: e.count, Digest: e.digest,
		Late: e.late, OrderedAt: e.at,
	}, true
}

// LastSeal is the record id and window of a nation's last accepted seal: what its next must name as Prev, and lie
// beyond. Zero and false before its first.
func (s *State) LastSeal(k treaty.Nation) (id treaty.Hash, w treaty.Window, ok bool) {
	if i := s.net.Index(k); i >= 0 {
		n := &s.nations[i]
		return n.lastSeal, n.lastWindow, !n.lastSeal.IsZero()
	}
	return treaty.Hash{}, 0, false
}

// Closed is the first window that is not closed for everybody: what is sealed for an earlier one after this is late. It
// never goes back. A node reveals a batch only when the FINAL state has its window closed, and its own seal.
func (s *State) Closed() treaty.Window { return s.closed }

// SealAt is a nation's seal of one window that can be cited.
func (s *State) SealAt(k treaty.Nation, w treaty.Window) (id treaty.Hash, ok bool) {
	i := s.net.Index(k)
	if i < 0 {
		return treaty.Hash{}, false
	}
	seals := s.nations[i].seals
	at, ok := slices.BinarySearchFunc(seals, w, func(e *seal, w treaty.Window) int { return cmp.Compare(e.window, w) })
	if !ok {
		return treaty.Hash{}, false
	}
	return seals[at].id, true
}

// AttestationView is one counted attestation.
type AttestationView struct {
	Nation     treaty.Nation
	Record     treaty.Hash // the leaf that has all of it
	OrderedAt  treaty.Time
	Reviewed   bool
	Finding    treaty.Finding
	Party      treaty.Party
	Clause     treaty.ClauseID
	Class      treaty.EventClass
	Time       treaty.Time
	Position   treaty.Position
	Likelihood treaty.PPM
	Confidence treaty.Confidence
	Resilience uint32
	// Sealed are the nations of whose seals, none late, it cites a detection.
	Sealed []treaty.Nation
}

// IncidentView is an incident within the horizon.
type IncidentView struct {
	ID        treaty.Hash
	Proposer  treaty.Nation
	Incident  treaty.Incident // its cites are shared: do not change
	OrderedAt treaty.Time
	Deadline  treaty.Time
	// Attestations are those that count, in roster order.
	Attestations []AttestationView
	// Verdict and Outcome are the latest of this incident, zero while it is open.
	Verdict treaty.Hash
	Outcome treaty.Finding
	// First is the incident that this one amends in the end, itself if it amends none; Current and CurrentOutcome are
	// the verdict that stands for them all.
	First          treaty.Hash
	Current        treaty.Hash
	CurrentOutcome treaty.Finding
}

// Open says whether an incident still waits for its first verdict.
func (v *IncidentView) Open() bool { return v.Outcome == 0 }

// Incident finds an incident within the horizon.
func (s *State) Incident(id treaty.Hash) (IncidentView, bool) {
	c := s.incidents[id]
	if c == nil {
		return IncidentView{}, false
	}
	return s.view(c), true
}

// Incidents are the open ones, in ledger order.
func (s *State) Incidents() []IncidentView {
	var vs []IncidentView
	for _, c := range s.open {
		if !c.decided() {
			vs = append(vs, s.view(c))
		}
	}
	return vs
}

// Verdict is an incident's latest verdict: its id (the hash of its ledger entry) and outcome.
func (s *State) Verdict(incident treaty.Hash) (id treaty.Hash, outcome treaty.Finding, ok bool) {
	if c := s.incidents[incident]; c != nil && c.decided() {
		return c.Verdict, c.Outcome, true
	}
	return treaty.Hash{}, 0, false
}

// Attested says whether a nation has a counted attestation to an incident.
func (s *State) Attested(incident treaty.Hash, k treaty.Nation) bool {
	c := s.incidents[incident]
	return c != nil && slices.ContainsFunc(c.Attestations, func(a *attestation) bool { return a.Nation == k })
}

// SameEvent finds the earliest kept incident that stands in the way of proposing cites as a new one.
func (s *State) SameEvent(cites treaty.Cites) (incident treaty.Hash, ok bool) {
	if c := s.sameEvent(cites, nil); c != nil {
		return c.ID, true
	}
	return treaty.Hash{}, false
}

// Contradictions is how often a nation contradicted itself, and the last time.
func (s *State) Contradictions(k treaty.Nation) (n uint64, last Contradiction) {
	if i := s.net.Index(k); i >= 0 {
		return s.nations[i].contradictions, s.nations[i].last
	}
	return 0, Contradiction{}
}

func (s *State) view(c *incident) IncidentView {
	v := IncidentView{
		ID: c.ID, Proposer: c.Proposer, Incident: c.Body, OrderedAt: c.At, Deadline: c.Deadline, Verdict: c.Verdict,
		Outcome: c.Outcome, First: c.kase.Incidents[0].ID, Current: c.kase.Current, CurrentOutcome: c.kase.Outcome,
	}
	for _, a := range c.Attestations {
		v.Attestations = append(v.Attestations, AttestationView{
			Nation: a.Nation, Record: a.Record, OrderedAt: a.At, Reviewed: a.Reviewed, Finding: a.Finding, Party: a.Party,
			Clause: a.Clause, Class: a.Class, Time: a.Time, Position: a.Position, Likelihood: a.Likelihood,
			Confidence: a.Confidence, Resilience: a.Resilience, Sealed: s.nationsOf(a.Sealed),
		})
	}
	return v
}
