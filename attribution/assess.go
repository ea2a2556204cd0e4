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
	a.Likelihood = ppm(base.likelihood)
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
