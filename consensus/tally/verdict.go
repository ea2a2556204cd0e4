package tally

import (
	"slices"

	"truceline/treaty"
)

// decide counts an incident and derives the verdict that follows, if one does.
//
// A case (an incident and those that amend it) has one verdict that stands; each new one names the one it supersedes:
//
//   - INCONCLUSIVE supersedes nothing but INCONCLUSIVE, whoever says so, a quorum of nations too: they say it of every
//     incident that they cannot confirm, so one nation could undo a BREACH by amending it with what nobody can confirm,
//     or once its evidence is forgotten. It is recorded, and its summary names the verdict that stands.
//   - BREACH or NO_BREACH on an incident that had no verdict supersedes whatever stands. A quorum carries it, and each
//     of that quorum states it of this event (takeAttestation).
//   - Attestations that come after INCONCLUSIVE may still carry BREACH or NO_BREACH, and supersede that
//     INCONCLUSIVE, unless an amending incident has been decided by then.
//   - BREACH and NO_BREACH are superseded by the verdict of an amending incident alone.
func (s *State) decide(c *incident, now treaty.Time, expired bool, res *Result) {
	k, n := c.kase, s.countOf(c.Attestations)
	carried := n.outcome != 0
	if c.decided() {
		late := n.outcome == treaty.Breach || n.outcome == treaty.NoBreach
		if c.Outcome != treaty.Inconclusive || k.Outcome != treaty.Inconclusive || !late {
			return
		}
	} else if !carried {
		if !expired && len(c.Attestations) < s.net.N {
			return
		}
		n.outcome = treaty.Inconclusive
	}
	v := s.verdict(c, n, now, carried, expired)
	stands := n.outcome != treaty.Inconclusive || k.Outcome == 0 || k.Outcome == treaty.Inconclusive
	other := treaty.Hash{} // the verdict that goes on to stand beside this one
	if stands {
		v.Amends = k.Current
	} else {
		other = k.Current
	}
	v.Summary = s.summary(v, other)
	entry := s.net.VerdictEntry(v)
	c.Verdict, c.Outcome = treaty.HashOf(entry), v.Outcome
	if stands {
		k.Current, k.Outcome = c.Verdict, v.Outcome
	}
	k.LastAt = now
	s.closing = append(s.closing, closing{k, now})
	res.Derived = append(res.Derived, entry)
}

// verdict fills in what the count says. carried: a quorum decided; expired: the deadline did.
func (s *State) verdict(c *incident, n count, now treaty.Time, carried, expired bool) *treaty.Verdict {
	all := c.Attestations
	v := &treaty.Verdict{
		Incident: c.ID, Outcome: n.outcome, LedgerTime: now, Exercise: s.net.Accord.Exercise,
		Dissents: []treaty.Dissent{}, Missing: s.net.Missing(attested(all)),
	}
	group := n.agreeing // what the numbers are taken from
	reasons := n.failed
	if carried {
		v.Attesters = attested(group)
		v.Party, v.Clause = n.party, n.clause
		reasons |= s.reasonsOf(group)
	} else {
		v.Attesters = attested(only(all, treaty.Inconclusive, ""))
		group = all
		if !n.quorum {
			n.evidence = s.evidenceOf(all)
		}
		reasons |= s.reasonsOf(all)
		switch {
		case expired:
			reasons.add(int(treaty.ReasonDeadline))
		case !n.quorum:
			reasons.add(int(treaty.ReasonNoQuorum))
		}
	}
	for _, a := range all {
		if !slices.Contains(v.Attesters, a.Nation) {
			v.Dissents = append(v.Dissents, treaty.Dissent{Nation: a.Nation, Finding: a.Finding, Party: a.Party})
		}
	}
	v.Independent, v.Resilience = s.nationsOf(n.independent), uint32(n.resilience)
	v.Modalities, v.Reasons = listOf[treaty.Modality](n.modalities), listOf[treaty.Reason](reasons)
	if len(group) == 0 { // nobody has said anything: the proposer's estimate is all there is
		v.Class, v.Time, v.Position, v.Confidence = c.Body.Class, c.Body.Time, c.Body.Position, treaty.ConfidenceLow
		return v
	}
	v.Class = mostNamed(group, func(a *attestation) treaty.EventClass { return a.Class })
	v.Time = medianOf(group, func(a *attestation) treaty.Time { return a.Time })
	v.Position = treaty.Position{
		LatE7: medianOf(group, func(a *attestation) int64 { return a.Position.LatE7 }),
		LonE7: medianOf(group, func(a *attestation) int64 { return a.Position.LonE7 }),
		HAEmm: medianOf(group, func(a *attestation) int64 { return a.Position.HAEmm }),
	}
	v.Likelihood = medianOf(group, func(a *attestation) treaty.PPM { return a.Likelihood })
	v.Confidence = medianOf(group, func(a *attestation) treaty.Confidence { return a.Confidence })
	return v
}
