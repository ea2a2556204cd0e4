package tally

import (
	"truceline/treaty"
)

// Result is what became of one record.
type Result struct {
	// Taken says that the record is a leaf of the ledger, with or without effect.
	Taken bool
	// Duplicate says that its number was taken before: nothing to do, and no leaf.
	Duplicate bool
	// Refused says why it is no leaf although it is no duplicate. With RefusedGap it may come again later.
	Refused string
	// Rejected says why it is a leaf without effect (beyond its author's numbering, time and chain of seals). Empty: it
	// has effect.
	Rejected string
	// About is the incident that stands in the way of a rejected one: where RejectedSameEvent, the incident to attest
	// to instead; where RejectedOtherEvent, the first of the case; where RejectedSecondBreach, the one this nation has
	// attested to. For a repeated misbehaviour, the record that proved it first.
	About treaty.Hash
	// Derived are the ledger entries that follow from it, in order: bytes of treaty.Network.VerdictEntry.
	Derived [][]byte
}

// Why a record is refused: it is no leaf.
const (
	RefusedGap       = "GAP"        // its number is not the next of its author
	RefusedMalformed = "MALFORMED"  // not a record that treaty.ParseRecord makes
	RefusedStranger  = "NOT_MEMBER" // another accord or epoch, or an author outside the roster
)

// Why a record is taken without effect.
const (
	RejectedSealOrder       = "SEAL_ORDER"       // not a later window than the author's last seal
	RejectedSealEarly       = "SEAL_EARLY"       // signed before the window's end
	RejectedSealChain       = "SEAL_CHAIN"       // does not name the author's last seal
	RejectedSealAhead       = "SEAL_AHEAD"       // its window ends too far beyond ledger time: look at the clock
	RejectedUnknownSeal     = "UNKNOWN_SEAL"     // cites a seal that is unknown, empty or beyond the horizon
	RejectedUnknownIndex    = "UNKNOWN_INDEX"    // cites a detection that its seal does not have
	RejectedSameEvent       = "SAME_EVENT"       // an incident on the same detections is there: attest to it, or amend it
	RejectedUnknownIncident = "UNKNOWN_INCIDENT" // attests to, or amends, an incident that is unknown or beyond the horizon
	RejectedNotDecided      = "NOT_DECIDED"      // amends an incident without a verdict
	RejectedOtherEvent      = "OTHER_EVENT"      // cites half or less of what the case that it amends began with
	RejectedQuota           = "QUOTA"            // the author has too much in memory already
	RejectedRepeated        = "REPEATED"         // the same attestation, or a misbehaviour that is proven, again
	RejectedContradiction   = "CONTRADICTION"    // a second, different attestation to the same incident
	RejectedSecondBreach    = "SECOND_BREACH"    // its detections carry this nation's BREACH for another incident
	RejectedUnproven        = "UNPROVEN"         // its statements do not convict the accused
	RejectedUnknownParty    = "UNKNOWN_PARTY"    // a BREACH by nobody of the accord
	RejectedUnknownClause   = "UNKNOWN_CLAUSE"   // a BREACH of a clause that is not in force at that time
)

// Apply takes the next record of the order. The caller has verified its signature for this network. A record that is
// not taken changes nothing.
func (s *State) Apply(r *treaty.Record) Result {
	i, refused := s.admit(r)
	if refused != "" {
		return Result{Refused: refused}
	}
	n := &s.nations[i]
	if r.Seq <= n.seq {
		return Result{Duplicate: true}
	}
	if r.Seq != n.seq+1 {
		return Result{Refused: RefusedGap}
	}
	n.seq = r.Seq
	before := s.LedgerTime()
	s.hear(i, r.Time)
	now := s.LedgerTime()
	if before == 0 && now > 0 {
		s.begin(now)
	}
	res := Result{Taken: true}
	switch {
	case r.Seal != nil:
		res.Rejected = s.takeSeal(i, r, before, now)
	case r.Incident != nil:
		res.Rejected, res.About = s.takeIncident(i, r, now)
	case r.Attestation != nil:
		s.takeAttestation(i, r, now, &res)
	case r.Misbehaviour != nil:
		res.Rejected, res.About = s.takeMisbehaviour(r, now)
	}
	s.closeWindows(now)
	if now > before {
		s.expire(now, &res)
		s.prune(now)
	}
	return res
}

// admit checks again, cheaply, that a record has one body of the right shape and belongs to this network, and finds
// its author's place in the roster.
func (s *State) admit(r *treaty.Record) (author int, refused string) {
	if r == nil || r.Signed == nil || r.Seq == 0 || r.Seq > 1<<62 || r.Time <= 0 {
		return 0, RefusedMalformed
	}
	bodies, sound := 0, false
	if r.Seal != nil {
		bodies, sound = bodies+1, r.Seal.Check() == nil
	}
	if r.Incident != nil {
		bodies, sound = bodies+1, r.Incident.Check() == nil
	}
	if r.Attestation != nil {
		bodies, sound = bodies+1, r.Attestation.Check() == nil
	}
	if r.Remark != nil {
		bodies, sound = bodies+1, r.Remark.Check() == nil
	}
	if r.Misbehaviour != nil {
		bodies, sound = bodies+1, r.Misbehaviour.Check() == nil
	}
	if bodies != 1 || !sound || r.ID.IsZero() {
		return 0, RefusedMalformed
	}
	h := &r.Signed.Header
	author = s.net.Index(r.Nation)
	if h.Accord != s.net.Digest || h.Epoch != s.net.Accord.Epoch || h.Claims.Issuer != r.Nation || author < 0 {
		return 0, RefusedStranger
	}
	return author, ""
}

// expire decides, in ledger order, the incidents whose deadline has passed.
func (s *State) expire(now treaty.Time, res *Result) {
	for len(s.open) > 0 {
		c := s.open[0]
		if !c.decided() {
			if now <= c.Deadline {
				return
			}
			s.decide(c, now, true, res)
		}
		s.open[0] = nil
		s.open = s.open[1:]
	}
}

// prune forgets what lies beyond the horizon: seals by their window's end, cases by their last verdict.
func (s *State) prune(now treaty.Time) {
	p := &s.net.Accord.Policy
	for i := range s.nations {
		n, k := &s.nations[i], 0
		for k < len(n.seals) && n.seals[k].window.End(p.Window()).Add(p.Horizon()) < now {
			k++
		}
		if k > 0 {
			s.dropSeals(n, k)
		}
	}
	for len(s.closing) > 0 && s.closing[0].at.Add(p.Horizon()) < now {
		c := s.closing[0]
		s.closing[0] = closing{}
		s.closing = s.closing[1:]
		// Else a later entry follows, or an equal one came before.
		if c.kase.LastAt == c.at && c.kase.pending() == 0 && s.incidents[c.kase.Incidents[0].ID] != nil {
			s.forget(c.kase)
		}
	}
}
