package attribution

import (
	"math"
	"slices"

	"truceline/treaty"
)

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
	c.class = cls.name()
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
