package attribution

import (
	"slices"

	"truceline/treaty"
)

// leaveOut computes the finding again without every set of 1 to e nations. It must stay the same; where only the
// clause differs, the deepest clause that all runs share stands. The theorem behind it (attribution.md 8): if the
// finding is the same without any e nations, it is the same without the liars, so it is the honest nations' finding,
// whatever the liars sent.
func (j *Judge) leaveOut(ev []Evidence, gate []bool, e Event, keep func(treaty.Nation) bool, a *treaty.Assessment, base *core, need int) {
	runs := 0
	// Everybody whose evidence was looked at may have swayed it, not only those whose arrivals were used in the end.
	all := slices.Clone(base.scene.nations)
	all = append(all, a.Contributors...)
	slices.Sort(all)
	all = slices.Compact(all)
	for size := 1; size <= need && size < len(all); size++ {
		for set := firstSet(size); set != nil; set = nextSet(set, len(all)) {
			if runs++; runs > maxSubsets {
				base.reasons[treaty.ReasonNotResilient] = true
				a.Finding = treaty.Inconclusive
				return
			}
			out := make([]treaty.Nation, size)
			for i, k := range set {
				out[i] = all[k]
			}
			c := j.core(ev, gate, e, func(n treaty.Nation) bool { return keep(n) && !slices.Contains(out, n) })
			clause, same := shared(base, &c)
			if !same {
				base.reasons[treaty.ReasonNotResilient] = true
				if c.reasons[treaty.ReasonMirrorSolution] {
					base.reasons[treaty.ReasonMirrorSolution] = true
				}
				if c.found != nil && c.reasons[treaty.ReasonCloseToLine] {
					base.reasons[treaty.ReasonCloseToLine] = true
				}
				a.Finding = treaty.Inconclusive
				return
			}
			if clause != nil {
				a.Clause = deepestShared(a.Clause, clause.ID)
			}
		}
		a.Resilience = uint32(size)
	}
	if a.Finding == treaty.Breach && a.Clause == "" || a.Resilience < uint32(need) {
		base.reasons[treaty.ReasonNotResilient] = true
		a.Finding = treaty.Inconclusive
	}
}

// shared says whether a run without some nations came to the same finding.
func shared(base, c *core) (*treaty.Clause, bool) {
	if c.found == nil || c.finding != base.finding || c.party != base.party || c.reasons[treaty.ReasonPoorFit] {
		return nil, false
	}
	return c.clause, true
}

// deepestShared is the deepest clause that is, or lies above, both.
func deepestShared(a, b treaty.ClauseID) treaty.ClauseID {
	for x := a; x != ""; x = x.Parent() {
		for y := b; y != ""; y = y.Parent() {
			if x == y {
				return x
			}
		}
	}
	return ""
}

// firstSet and nextSet count through the k-subsets of n in lexical order.
func firstSet(k int) []int {
	s := make([]int, k)
	for i := range s {
		s[i] = i
	}
	return s
}

func nextSet(s []int, n int) []int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] < n-len(s)+i {
			s[i]++
			for k := i + 1; k < len(s); k++ {
				s[k] = s[k-1] + 1
			}
			return s
		}
	}
	return nil
}
