package attribution

import (
	"cmp"
	"math"
	"slices"

	"truceline/treaty"
)

// Limits of the leave-out runs.
const (
	// maxContributors is how many nations one finding rests on at most. With ten, e is 3 and every way of leaving
	// three or fewer of them out (175) is computed; with more there would be too many ways. The others' evidence is
	// left out of the finding, and not cited.
	maxContributors = 10
	// maxSubsets bounds the runs where the accord asks for a larger e than the formula.
	maxSubsets = 1024
	// assessCells bounds the grid of an assessment, which looks at one event only.
	assessCells = 1500
)

// noBreachBelow is how unlikely a breach must be for NO_BREACH.
const noBreachBelow = 0.05

// core is what one set of nations' evidence says: everything that must stay the same when some are taken away.
type core struct {
	finding    treaty.Finding
	party      treaty.Party
	clause     *treaty.Clause
	likelihood float64
	odds       treaty.PartyOdds
	reasons    map[treaty.Reason]bool
	found      *found
	scene      *scene
	class      treaty.EventClass
}

// Assess judges one event on a window of evidence: what it was, where and when, on whose side, which clause it breaks,
// how likely that is and how good the grounds are. It finds the event again among the arrivals near e, once with all
// nations and once without every set of up to e of those that contributed.
func (j *Judge) Assess(ev []Evidence, e Event) treaty.Assessment {
	ev = sortEvidence(ev)
	gate := j.gate(ev, e)
	keep := j.chosen(ev, e, gate)
	base := j.core(ev, gate, e, keep)
	a := treaty.Assessment{
		Finding: treaty.Inconclusive, Class: e.ClassGuess, Time: e.Time, Position: e.Position, Covariance: e.Covariance,
		Likelihood: 0, Confidence: treaty.ConfidenceLow, Control: treaty.PartyOdds{Neither: treaty.Certain},
		Cites: treaty.NewCites(limitRefs(e.Members)), Method: Method,
	}
	if !a.Class.Valid() {
		a.Class = treaty.ClassUndetermined
	}
	if base.found == nil {
		reason := treaty.ReasonNotConfirmed
		if j.allExcluded(ev, e) {
			reason = treaty.ReasonExcluded
		}
		a.Reasons = []treaty.Reason{reason}
		return a
	}
	s, f := base.scene, base.found
	out := s.event(f)
	a.Class, a.Time, a.Position, a.Covariance = base.class, out.Time, out.Position, out.Covariance
	a.Control = base.odds
	a.Likelihood = treaty.PPMOf(base.likelihood)
	support := s.corroborate(f)
	a.Cites = treaty.NewCites(limitRefs(append(slices.Clone(out.Members), refsOf(support)...)))
	a.Contributors, a.Modalities = s.contributors(f, support)

	need := treaty.Resilience(len(a.Contributors))
	need = max(need, int(j.accord.Policy.Resilience))
	j.corroboration(&a, base.reasons, len(out.Nations), need)
	a.Finding, a.Party = base.finding, base.party
	if base.clause != nil {
		a.Clause = base.clause.ID
	}
	if a.Finding != treaty.Inconclusive {
		j.leaveOut(ev, gate, e, keep, &a, &base, need)
	}
	if a.Finding != treaty.Inconclusive && blocks(base.reasons) {
		a.Finding = treaty.Inconclusive
	}
	if a.Finding != treaty.Breach {
		a.Party, a.Clause = "", ""
	}
	if out.Quiet > len(out.Members) {
		base.reasons[treaty.ReasonQuietCoverage] = true
	}
	if len(out.Members) < minArrivals+1 {
		base.reasons[treaty.ReasonLowCoverage] = true
	}
	for r := treaty.Reason(1); r.Valid(); r++ {
		if base.reasons[r] {
			a.Reasons = append(a.Reasons, r)
		}
	}
	a.Confidence = confidence(&a, &out)
	return a
}

// limitRefs keeps cites within treaty limits.
func limitRefs(refs []treaty.Ref) []treaty.Ref { return refs[:min(len(refs), treaty.MaxCites)] }

// blocks says whether a reason forbids any finding.
func blocks(r map[treaty.Reason]bool) bool {
	return r[treaty.ReasonSingleNation] || r[treaty.ReasonNotIndependent] || r[treaty.ReasonOneModality] ||
		r[treaty.ReasonNotResilient] || r[treaty.ReasonPoorFit]
}

// confidence grades the grounds: how many nations, how many ways of sensing, and how well they agree.
func confidence(a *treaty.Assessment, e *Event) treaty.Confidence {
	switch {
	case a.Finding == treaty.Inconclusive || len(a.Contributors) < 3 || e.Misfit > 3:
		return treaty.ConfidenceLow
	case len(a.Contributors) >= 5 && (len(a.Modalities) >= 2 || len(e.Members) >= 8) && e.Misfit < 2 && e.Quiet <= len(e.Members):
		return treaty.ConfidenceHigh
	}
	return treaty.ConfidenceModerate
}

// gate marks the arrivals that could belong to the event or to a rival explanation of it: near the predictions of any
// of its places. It only narrows the work; a finding whose event lies outside falls silent, never wrong.
func (j *Judge) gate(ev []Evidence, e Event) []bool {
	out := make([]bool, len(ev))
	f := newFrame(e.Position)
	a := j.airOf(ev, everybody)
	tol := math.Sqrt(sq(a.speedSigma) + sq(a.windSigma/a.c))
	mix := e.Mixture
	if len(mix) == 0 {
		mix = []Component{{Time: e.Time, Position: e.Position}}
	}
	for i := range ev {
		d := ev[i].Detection
		if !heard(d) || !j.usable(d) || (d.Arrival.Phase == treaty.PhaseImpactBlast) != e.Impact {
			continue
		}
		at := f.local(d.Pose.Position)
		for k := range mix {
			v := at.sub(f.local(mix[k].Position))
			travel := norm3(v[0], v[1], v[2]) / a.c
			r := math.Abs(float64(d.Time.Value-mix[k].Time)/1e9 - travel)
			if r < coda+float64(6*float64(d.Time.SigmaNs)/1e9)+mul(float64(3*tol)+0.01, travel) {
				out[i] = true
			}
		}
	}
	return out
}

// chosen picks the nations a finding may rest on: all of them, or the maxContributors with the most arrivals in the
// gate.
func (j *Judge) chosen(ev []Evidence, e Event, gate []bool) func(treaty.Nation) bool {
	n := map[treaty.Nation]int{}
	var names []treaty.Nation
	for i := range ev {
		if n[ev[i].Nation] == 0 {
			names = append(names, ev[i].Nation)
			n[ev[i].Nation] = 1
		}
		if gate[i] {
			n[ev[i].Nation]++
		}
	}
	if len(names) <= maxContributors {
		return everybody
	}
	slices.SortFunc(names, func(a, b treaty.Nation) int { return cmp.Or(cmp.Compare(n[b], n[a]), cmp.Compare(a, b)) })
	names = names[:maxContributors]
	return func(k treaty.Nation) bool { return slices.Contains(names, k) }
}

// allExcluded says whether all of an event's members are of a mode that does not count.
func (j *Judge) allExcluded(ev []Evidence, e Event) bool {
	for i := range ev {
		if _, ok := slices.BinarySearchFunc(e.Members, ev[i].Ref, treaty.Ref.Compare); ok && j.usable(ev[i].Detection) {
			return false
		}
	}
	return true
}

// core finds the event anew in some nations' evidence and judges it.
func (j *Judge) core(ev []Evidence, gate []bool, e Event, keep func(treaty.Nation) bool) core {
	s := j.newScene(ev, keep, gate)
	c := core{finding: treaty.Inconclusive, reasons: map[treaty.Reason]bool{}, scene: s}
	fs := s.all(assessCells, 4)
	bestShared := 0
	for i := range fs {
		shared := 0
		for _, p := range fs[i].fit.use {
			if _, ok := slices.BinarySearchFunc(e.Members, ev[s.picks[p].ev].Ref, treaty.Ref.Compare); ok {
				shared++
			}
		}
		if shared > bestShared {
			bestShared, c.found = shared, &fs[i]
		}
	}
	if c.found == nil {
		return c
	}
	f := c.found
	place := s.placeOf(&f.modes[0].v)
	t := s.timeAt(f.modes[0].v[nT])
	fr := newFrame(place)
	g := j.groundAt(&fr, t)
	spots := s.spots(f.modes, &fr, g)
	c.odds = control(spots)
	cls := s.classify(f)
	c.class = cls.best()
	j.decide(&c, f, spots, cls, j.charges(spots, g, cls, t))
	if len(f.modes) > 1 && disagree(spots, f.modes) {
		c.reasons[treaty.ReasonMirrorSolution] = true
	}
	if f.fit.birge > 3 {
		c.reasons[treaty.ReasonPoorFit] = true
	}
	return c
}

// disagree says whether the modes of a posterior lie on different sides.
func disagree(spots []spot, modes []mode) bool {
	per := latticeRings * latticeTurns
	sides := [2]bool{}
	for i := range modes {
		var sum [3]float64
		for _, sp := range spots[int(i*per):int((i+1)*per)] {
			for k := range sum {
				sum[k] += sp.odds[k]
			}
		}
		for x := range sides {
			sides[x] = sides[x] || sum[x] > float64(per)/2 && modes[i].weight > 0.01
		}
	}
	return sides[0] && sides[1]
}

// decide applies the accord's thresholds (attribution.md 7.1): a breach needs its likelihood and every factor of it
// above them by more than the guard band.
func (j *Judge) decide(c *core, f *found, spots []spot, cls classes, charges []charge) {
	p := j.accord.Policy
	minL, minF, guard := p.MinLikelihood.Float(), p.MinFactor.Float(), p.Guard.Float()
	event := logistic(f.score)
	control := [2]float64{c.odds.A.Float(), c.odds.B.Float()}
	why := map[treaty.Reason]bool{}
	bestDepth, anyBreach, area, exempt, near := -1, 0.0, 0.0, 0.0, false
	for i := range charges {
		ch := &charges[i]
		area, exempt = max(area, ch.area), max(exempt, mul(ch.class, ch.exempt))
		anyBreach = max(anyBreach, float64(event*ch.class*(ch.place[0]+ch.place[1])))
		for x := range ch.place {
			like := float64(event * ch.class * ch.place[x])
			if ch.depth == 1 && c.finding != treaty.Breach && like > c.likelihood {
				c.likelihood = like
			}
			low := min(event, ch.class, control[x], ch.place[x])
			margin := min(like-minL, low-minF)
			if math.Abs(margin) < guard {
				near = true
			}
			if margin < guard || f.impact {
				continue
			}
			deeper := ch.depth > bestDepth || ch.depth == bestDepth && (ch.clause.Severity > c.clause.Severity ||
				ch.clause.Severity == c.clause.Severity && like > c.likelihood)
			if deeper {
				bestDepth, c.clause, c.likelihood = ch.depth, ch.clause, like
				c.finding, c.party = treaty.Breach, j.accord.Parties[x].Code
			}
		}
	}
	fire := cls.fire()
	if c.finding != treaty.Breach {
		switch {
		case fire < noBreachBelow:
			why[treaty.ReasonNotFire] = true
		case fire < minF+guard:
			why[treaty.ReasonClassAmbiguous] = true
		}
		if exempt > 0.5 {
			why[treaty.ReasonException] = true
		}
		if area < noBreachBelow && c.odds.Neither.Float() < 0.5 {
			why[treaty.ReasonOutsideZones] = true
		}
		if m := max(control[0], control[1]); m < minF+guard && c.odds.Neither.Float() < 0.5 {
			why[treaty.ReasonCloseToLine] = true
		}
		if event >= minF && anyBreach <= noBreachBelow-guard && !f.impact {
			c.finding, c.likelihood = treaty.NoBreach, 1-anyBreach
		} else {
			why[treaty.ReasonBelowLikelihood] = true
			if near || math.Abs(anyBreach-noBreachBelow) < guard {
				why[treaty.ReasonNearThreshold] = true
			}
		}
	}
	for r := range why { // into a set: the order does not matter
		c.reasons[r] = true
	}
}

// contributors are the nations whose independent detections a finding rests on, and the modalities of those.
func (s *scene) contributors(f *found, support []Evidence) ([]treaty.Nation, []treaty.Modality) {
	var ns []treaty.Nation
	var ms []treaty.Modality
	add := func(e Evidence) {
		if e.Independent {
			ns, ms = append(ns, e.Nation), append(ms, e.Detection.Modality)
		}
	}
	for _, p := range f.fit.use {
		add(s.ev[s.picks[p].ev])
	}
	for _, e := range support {
		if slices.Contains(s.nations, e.Nation) || len(s.nations) < maxContributors {
			add(e)
		}
	}
	slices.Sort(ns)
	slices.Sort(ms)
	return slices.Compact(ns), slices.Compact(ms)
}

// corroboration says what is wanting in the number and kind of witnesses.
func (j *Judge) corroboration(a *treaty.Assessment, why map[treaty.Reason]bool, heardBy, e int) {
	n := len(a.Contributors)
	if heardBy < 2 {
		why[treaty.ReasonSingleNation] = true
	}
	if n < heardBy && n < e+1 || n == 0 {
		why[treaty.ReasonNotIndependent] = true
	}
	if n <= e || n < 2 {
		why[treaty.ReasonSingleNation] = why[treaty.ReasonSingleNation] || n < 2
		why[treaty.ReasonNotResilient] = true
	}
	if len(a.Modalities) < 2 && n < int(j.accord.Policy.OneModalityNations) {
		why[treaty.ReasonOneModality] = true
	}
}

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
