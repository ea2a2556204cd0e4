package attribution

import (
	"math"
	"slices"
)

// coda is how long echoes of a first arrival trouble a sensor, seconds: reflections from up to 25 m further.
const coda = 0.15

// echoTime is how long after the sound itself a hill or a wood may still throw it back, seconds: a detour of 1 km.
const echoTime = 3

// hearing is how an event comes to one sensor: when, after what travel, and how much later or earlier than that an
// arrival there may be and still be of this event.
type hearing struct {
	at, travel, slack float64
	deaf              bool
}

// hearing predicts an event at a sensor. An event is fitted to the sensors within reach of each other, but those further
// off that say they hear so far hear it too, and there the air on the way makes the prediction vague. What is not counted
// as the event's own there would be left over and look like an event elsewhere.
func (s *scene) hearing(f *fit, sn *sensor) hearing {
	h := hearing{at: s.predict(&f.v, sn, nil)}
	h.travel = h.at - f.v[nT]
	r := float64(h.travel * s.air.c)
	if r > float64(1.2*sn.reach) {
		h.deaf = r > float64(1.2*min(sn.stated, s.j.p.HearingRange))
		h.slack = float64(2 * h.travel * math.Sqrt(sq(s.air.speedSigma)+sq(s.air.windSigma/s.air.c)))
	}
	return h
}

// own says whether an arrival is the event's sound or its coda.
func (h *hearing) own(s *scene, k *pick) bool {
	d := k.t - h.at
	return !h.deaf && d < max(coda, h.slack) && d > -float64(4*s.sigmaAt(k, h.travel))-h.slack
}

// weed drops what is no event of its own. Three quarters of its arrivals are another's: its sound far off, or, if they
// are also fewer than half as many, its echoes. A second shot from there would be heard as widely as the first.
func (s *scene) weed(fs []found) []found {
	gone := make([]bool, len(fs))
	far := float64(1.2*s.j.p.HearingRange)/s.air.c + echoTime
	for i := range fs {
		for k := range fs {
			if k == i || fs[k].impact != fs[i].impact || math.Abs(fs[k].fit.v[nT]-fs[i].fit.v[nT]) > far {
				continue
			}
			own, echo := s.ofAnother(&fs[i].fit, &fs[k].fit)
			own = own && len(fs[k].fit.use) >= len(fs[i].fit.use)/3 // liars are few: their event swallows no large one
			if own && fs[k].rank <= fs[i].rank {                    // each other's: the better one stays
				mutual, _ := s.ofAnother(&fs[k].fit, &fs[i].fit)
				own = !mutual
			}
			if own || echo && len(fs[i].fit.use) < len(fs[k].fit.use)/2 {
				gone[i] = true
			}
		}
	}
	i := -1
	return slices.DeleteFunc(fs, func(found) bool { i++; return gone[i] })
}

// ofAnother says whether three quarters of a fit's arrivals are those of another, and whether they are if its echoes
// count too.
func (s *scene) ofAnother(f, other *fit) (own, echo bool) {
	owned, echoed := 0, 0
	for _, p := range f.use {
		k := &s.picks[p]
		h := s.hearing(other, &s.sensors[k.sensor])
		switch d := k.t - h.at; {
		case h.own(s, k):
			owned++
		case !h.deaf && d > 0 && d < echoTime:
			echoed++
		}
	}
	most := len(f.use) - int(len(f.use)/4)
	return owned >= most, owned+echoed >= most
}
