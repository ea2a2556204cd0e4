package tally

import (
	"math/bits"
	"slices"
	"strings"

	"truceline/treaty"
)

// count is what a set of attestations to one incident comes to.
type count struct {
	// outcome is zero while no finding is carried.
	outcome treaty.Finding
	// quorum says that q nations attest one finding (and, for BREACH, one party), whether or not it is carried.
	quorum bool
	// agreeing are the attestations that carry the outcome or, without one, those of the finding with a quorum, if any.
	agreeing []*attestation
	party    treaty.Party
	clause   treaty.ClauseID
	evidence
	// failed is why a quorum for BREACH does not carry.
	failed set
}

// evidence is what a group of attestations rests on.
type evidence struct {
	// independent are the nations of whose seals, none late, at least f+1 of the group cite a detection: so at least
	// one honest nation found that nation's evidence good, and it was committed to before it could be copied.
	independent set
	// modalities are those that at least f+1 of the group name.
	modalities set
	// resilience is e: the finding must stay the same without any e contributors.
	resilience int
}

// countOf counts attestations, one a nation.
func (s *State) countOf(all []*attestation) count {
	for _, p := range s.net.Accord.Parties {
		if g := only(all, treaty.Breach, p.Code); len(g) >= s.net.Q {
			return s.breach(g, p.Code)
		}
	}
	for _, f := range []treaty.Finding{treaty.NoBreach, treaty.Inconclusive} {
		if g := only(all, f, ""); len(g) >= s.net.Q {
			return count{outcome: f, quorum: true, agreeing: g, evidence: s.evidenceOf(g)}
		}
	}
	return count{}
}

// breach says whether a quorum's BREACH by one party carries:
//
//   - at least e+1 nations, and never fewer than 2, contribute independent evidence;
//   - of at least 2 modalities, or from as many nations as the accord wants for one;
//   - at least q of the group tested that their finding stays the same without any e contributors;
//   - at least q of the group name one clause, or clauses below one.
func (s *State) breach(g []*attestation, p treaty.Party) count {
	c := count{quorum: true, agreeing: g, party: p, evidence: s.evidenceOf(g)}
	nations, modalities := bits.OnesCount64(uint64(c.independent)), bits.OnesCount64(uint64(c.modalities))
	if nations < max(2, c.resilience+1) {
		c.failed.add(int(treaty.ReasonNotIndependent))
	}
	if modalities < 2 && nations < int(s.net.Accord.Policy.OneModalityNations) {
		c.failed.add(int(treaty.ReasonOneModality))
	}
	tested := 0
	for _, a := range g {
		if int64(a.Resilience) >= int64(c.resilience) {
			tested++
		}
	}
	if tested < s.net.Q {
		c.failed.add(int(treaty.ReasonNotResilient))
	}
	if c.clause = s.commonClause(g); c.clause == "" {
		c.failed.add(int(treaty.ReasonNoQuorum))
	}
	if c.failed == 0 {
		c.outcome = treaty.Breach
	}
	return c
}

// only is the attestations with one finding and party, in roster order.
func only(all []*attestation, f treaty.Finding, p treaty.Party) (g []*attestation) {
	for _, a := range all {
		if a.Finding == f && a.Party == p {
			g = append(g, a)
		}
	}
	return g
}

func (s *State) evidenceOf(g []*attestation) evidence {
	e := evidence{
		independent: named(g, s.net.F+1, func(a *attestation) set { return a.Sealed }),
		modalities:  named(g, s.net.F+1, func(a *attestation) set { return a.Modalities }),
	}
	e.resilience = max(treaty.Resilience(bits.OnesCount64(uint64(e.independent))), int(s.net.Accord.Policy.Resilience))
	return e
}

// commonClause is the deepest node of the clause tree that q attestations name, or name something below; "" if they
// have none in common. Nodes of one depth have no votes in common, so at most one of them has q.
func (s *State) commonClause(g []*attestation) (best treaty.ClauseID) {
	votes, depth := map[treaty.ClauseID]int{}, -1
	for _, a := range g {
		for id := a.Clause; id != ""; id = id.Parent() {
			votes[id]++
		}
	}
	for i := range s.net.Accord.Clauses { // rising ids
		id := s.net.Accord.Clauses[i].ID
		if d := strings.Count(string(id), "."); votes[id] >= s.net.Q && d > depth {
			best, depth = id, d
		}
	}
	return best
}

// reasonsOf are the reasons that at least f+1 of a group name.
func (s *State) reasonsOf(g []*attestation) set {
	return named(g, s.net.F+1, func(a *attestation) set { return a.Reasons })
}

// nationsOf names the members of a set of roster indexes.
func (s *State) nationsOf(x set) []treaty.Nation {
	ms, ns := s.net.Members(), []treaty.Nation{}
	for _, i := range x.members() {
		if i < len(ms) {
			ns = append(ns, ms[i].Nation)
		}
	}
	return ns
}

// listOf makes a list of numbered values from a set.
func listOf[T ~uint8](x set) []T {
	out := []T{}
	for _, i := range x.members() {
		out = append(out, T(i))
	}
	return out
}

// attested is who has a counted attestation in a group.
func attested(g []*attestation) []treaty.Nation {
	ns := []treaty.Nation{}
	for _, a := range g {
		ns = append(ns, a.Nation)
	}
	slices.Sort(ns)
	return ns
}
