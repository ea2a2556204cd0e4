package attribution

import (
	"cmp"
	"math"
	"slices"

	"truceline/treaty"
)

// pick is one arrival, in seconds since the scene's base time.
type pick struct {
	ev     int // index into scene.ev
	sensor int
	t      float64
	sigma  float64
	part   int // stretch of time, between silences longer than any sound's way
	impact bool
}

// sensor is a device that the evidence shows to exist, with what it heard.
type sensor struct {
	nation int
	id     treaty.SensorID
	pos    treaty.Position
	at     vec
	picks  []int // into scene.picks, by time
	times  []float64
	sigma  float64 // the largest of its picks
	reach  float64
	stated float64 // range it stated itself, 0 if none
	lambda float64 // arrivals per second that are not of the event at hand
	bias   float64 // prior sigma of its nation's clock
	count  int     // arrivals in all, in or out of the gate
}

// scene is a set of evidence in one local frame, in an order that does not depend on the order it came in.
type scene struct {
	j       *Judge
	ev      []Evidence
	frame   frame
	base    treaty.Time
	picks   []pick
	sensors []sensor
	nations []treaty.Nation
	air     air
	parts   int
	accept  float64 // score from which on a trial is an event
	span    float64 // seconds that all arrivals span, in or out of the gate
}

// air is the prior of the atmosphere.
type air struct {
	c          float64
	speedSigma float64
	wind       [2]float64
	windSigma  float64
}

// sortEvidence orders evidence by content, nation and ref, and drops repeats: of one content of one nation, the first
// independent one counts.
func sortEvidence(ev []Evidence) []Evidence {
	type keyed struct {
		id treaty.Hash
		e  Evidence
	}
	ks := make([]keyed, 0, len(ev))
	for _, e := range ev {
		if e.Detection != nil {
			ks = append(ks, keyed{e.Detection.ID(), e})
		}
	}
	slices.SortFunc(ks, func(a, b keyed) int {
		ind := 0
		if a.e.Independent != b.e.Independent {
			ind = 1
			if a.e.Independent {
				ind = -1
			}
		}
		return cmp.Or(treaty.CompareHash(a.id, b.id), cmp.Compare(a.e.Nation, b.e.Nation), ind, a.e.Ref.Compare(b.e.Ref))
	})
	out := make([]Evidence, 0, len(ks))
	for i, k := range ks {
		if i > 0 && ks[i-1].id == k.id && ks[i-1].e.Nation == k.e.Nation {
			continue
		}
		out = append(out, k.e)
	}
	return out
}

// heard says whether a detection is an arrival that the fit understands.
func heard(d *treaty.Detection) bool {
	if d.Arrival == nil || d.Modality != treaty.ModalityAcoustic {
		return false
	}
	p := d.Arrival.Phase
	return p == treaty.PhaseMuzzleBlast || p == treaty.PhaseUnknown || p == treaty.PhaseImpactBlast
}

// newScene prepares evidence that sortEvidence has ordered. keep says which nations count; gate, unless nil, which
// arrivals (by index into ev) may be fitted. Arrivals outside the gate still tell how much a sensor reports.
func (j *Judge) newScene(ev []Evidence, keep func(treaty.Nation) bool, gate []bool) *scene {
	s := &scene{j: j, ev: ev, accept: j.p.AcceptScore}
	if gate != nil {
		s.accept = j.p.LookScore
	}
	s.air = j.airOf(ev, keep)
	type key struct {
		n treaty.Nation
		s treaty.SensorID
	}
	index := map[key]int{}
	nation := map[treaty.Nation]int{}
	latest := map[int]treaty.Time{}
	var times []treaty.Time
	lat, lon := map[treaty.Nation][]float64{}, map[treaty.Nation][]float64{}
	for i := range ev {
		e := &ev[i]
		d := e.Detection
		if !keep(e.Nation) || !j.usable(d) || !heard(d) && d.Status == nil {
			continue
		}
		if d.Status != nil && (d.Modality != treaty.ModalityAcoustic || d.Status.System == "ERROR" || d.Status.System == "GOODBYE") {
			continue
		}
		k := key{e.Nation, d.Sensor}
		x, ok := index[k]
		if !ok {
			x = len(s.sensors)
			index[k] = x
			ni, ok := nation[e.Nation]
			if !ok {
				ni = len(s.nations)
				nation[e.Nation] = ni
				s.nations = append(s.nations, e.Nation)
			}
			s.sensors = append(s.sensors, sensor{nation: ni, id: d.Sensor, pos: d.Pose.Position})
			lat[e.Nation] = append(lat[e.Nation], float64(d.Pose.Position.LatE7))
			lon[e.Nation] = append(lon[e.Nation], float64(d.Pose.Position.LonE7))
		}
		sn := &s.sensors[x]
		sn.bias = max(sn.bias, clockBias(d.TimeSource))
		if d.Status != nil {
			if d.Status.RangeM > 0 && d.Time.Value >= latest[x] {
				latest[x] = d.Time.Value
				sn.stated = float64(d.Status.RangeM)
			}
			continue
		}
		if s.base == 0 || d.Time.Value < s.base {
			s.base = d.Time.Value
		}
		times = append(times, d.Time.Value)
		sn.count++
		if gate != nil && !gate[i] {
			continue
		}
		sn.picks = append(sn.picks, len(s.picks))
		s.picks = append(s.picks, pick{ev: i, sensor: x, impact: d.Arrival.Phase == treaty.PhaseImpactBlast})
	}
	cuts := s.cut(times)
	// The anchor is a median of the nations' medians: a made-up sensor on the other side of the Earth moves nothing.
	la, _ := medianOfMedians(lat)
	lo, _ := medianOfMedians(lon)
	s.frame = newFrame(treaty.Position{LatE7: int64(la), LonE7: int64(lo)})
	for i := range s.picks {
		p := &s.picks[i]
		d := ev[p.ev].Detection
		p.t = float64(d.Time.Value-s.base) / 1e9
		p.part, _ = slices.BinarySearch(cuts, d.Time.Value+1)
		pose := float64(d.Pose.SigmaMm) / 1000 / s.air.c
		p.sigma = math.Sqrt(sq(float64(d.Time.SigmaNs)/1e9) + sq(j.p.PathSigma) + sq(pose))
	}
	for i := range s.sensors {
		sn := &s.sensors[i]
		sn.at = s.frame.local(sn.pos)
		slices.SortFunc(sn.picks, func(a, b int) int {
			return cmp.Or(cmp.Compare(s.picks[a].t, s.picks[b].t), cmp.Compare(a, b))
		})
		sn.times = make([]float64, len(sn.picks))
		for k, p := range sn.picks {
			sn.times[k], sn.sigma = s.picks[p].t, max(sn.sigma, s.picks[p].sigma)
		}
	}
	return s
}

// cut divides the arrivals' times where nothing arrived for longer than a sound can be on its way. An event never spans
// a cut, and one wrong date cannot stretch the span that rates and grids are made for.
func (s *scene) cut(times []treaty.Time) (cuts []treaty.Time) {
	slices.Sort(times)
	gap := treaty.Time(round(float64((s.j.p.HearingRange/s.air.c + 2) * 1e9)))
	s.span, s.parts = 0, 1
	for i := 1; i < len(times); i++ {
		if d := times[i] - times[i-1]; d > gap {
			cuts = append(cuts, times[i])
			s.parts++
		} else {
			s.span += float64(d) / 1e9
		}
	}
	s.span = max(10, s.span)
	return cuts
}

// clockBias is the 1-sigma offset of a nation's clocks by where their time comes from, seconds.
func clockBias(t treaty.TimeSource) float64 {
	switch t {
	case treaty.TimeGNSS, treaty.TimePTP:
		return 0.001
	case treaty.TimeNTP, treaty.TimeHoldover:
		return 0.02
	case treaty.TimeManual:
		return 0.5
	}
	return 0.05
}
