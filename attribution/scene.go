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
	impact bool
}

// sensor is a device that the evidence shows to exist, with what it heard.
type sensor struct {
	nation int
	id     treaty.SensorID
	pos    treaty.Position
	at     vec
	picks  []int // into scene.picks, by time
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
	var last treaty.Time
	var lat, lon, h int64
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
			lat, lon, h = lat+d.Pose.Position.LatE7, lon+d.Pose.Position.LonE7, h+d.Pose.Position.HAEmm
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
		last = max(last, d.Time.Value)
		sn.count++
		if gate != nil && !gate[i] {
			continue
		}
		sn.picks = append(sn.picks, len(s.picks))
		s.picks = append(s.picks, pick{ev: i, sensor: x, impact: d.Arrival.Phase == treaty.PhaseImpactBlast})
	}
	s.span = max(10, float64(last-s.base)/1e9)
	if n := int64(len(s.sensors)); n > 0 {
		s.frame = newFrame(treaty.Position{LatE7: lat / n, LonE7: lon / n, HAEmm: h / n})
	}
	for i := range s.picks {
		p := &s.picks[i]
		d := ev[p.ev].Detection
		p.t = float64(d.Time.Value-s.base) / 1e9
		pose := float64(d.Pose.SigmaMm) / 1000 / s.air.c
		p.sigma = math.Sqrt(sq(float64(d.Time.SigmaNs)/1e9) + sq(j.p.PathSigma) + sq(pose))
	}
	for i := range s.sensors {
		sn := &s.sensors[i]
		sn.at = s.frame.local(sn.pos)
		slices.SortFunc(sn.picks, func(a, b int) int {
			return cmp.Or(cmp.Compare(s.picks[a].t, s.picks[b].t), cmp.Compare(a, b))
		})
	}
	return s
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

// airOf is the prior of the air from the sensors' own weather: the mean over nations of each nation's median, so that
// neither one nation's many sensors nor one broken thermometer decides.
func (j *Judge) airOf(ev []Evidence, keep func(treaty.Nation) bool) air {
	temps := map[treaty.Nation][]float64{}
	east := map[treaty.Nation][]float64{}
	north := map[treaty.Nation][]float64{}
	still := false // weather without a wind: a calm, or a thermometer alone
	for i := range ev {
		d := ev[i].Detection
		if d.Status == nil || !keep(ev[i].Nation) || !j.usable(d) {
			continue
		}
		n := ev[i].Nation
		if d.Status.HaveTemp {
			temps[n] = append(temps[n], float64(d.Status.TempMC)/1000)
		}
		if d.Status.HaveTemp && d.Status.WindFrom == nil && d.Status.WindMmS == 0 {
			still = true
		}
		if w := d.Status.WindFrom; w != nil {
			sa, ca := sincos(float64(w.Urad) / 1e6)
			v := float64(d.Status.WindMmS) / 1000
			east[n] = append(east[n], mul(-v, sa))
			north[n] = append(north[n], mul(-v, ca))
		}
	}
	a := air{speedSigma: j.p.SpeedSigma, windSigma: j.p.WindSigma}
	t, ok := medianOfMedians(temps)
	if ok {
		a.speedSigma = j.p.MetSpeedSigma
	} else {
		t = j.p.Temperature
		a.speedSigma = math.Sqrt(sq(j.p.SpeedSigma) + sq(0.02)) // 12 degrees either way
	}
	a.c = float64(331.3 * math.Sqrt(1+t/273.15))
	e, okE := medianOfMedians(east)
	n, okN := medianOfMedians(north)
	switch {
	case okE && okN:
		a.wind, a.windSigma = [2]float64{e, n}, j.p.MetWindSigma
	case still:
		a.windSigma = j.p.StillWindSigma
	}
	return a
}

func medianOfMedians(m map[treaty.Nation][]float64) (float64, bool) {
	var meds []float64
	for _, v := range m { // sorted below
		meds = append(meds, median(v))
	}
	return median(meds), len(meds) > 0
}

// median sorts v; of an even number it is the lower of the middle two. 0 of none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[(len(v)-1)/2]
}

// cluster is a set of sensors of one spacing, which one grid covers.
type cluster struct {
	sensors []int
	reach   float64 // the longest reach of its sensors
}

// clusters groups sensors by their own spacing (the distance to the third neighbour), so that a dense city array and
// a thin line of stations in one window each get a grid of their own scale.
func (s *scene) clusters() []cluster {
	n := len(s.sensors)
	near := make([]float64, n)
	for i := range s.sensors {
		d := make([]float64, 0, n)
		for k := range s.sensors {
			if k != i {
				v := s.sensors[i].at.sub(s.sensors[k].at)
				d = append(d, norm3(v[0], v[1], v[2]))
			}
		}
		slices.Sort(d)
		if len(d) > 0 {
			near[i] = max(50, d[min(2, len(d)-1)])
		}
	}
	group := make([]int, n)
	for i := range group {
		group[i] = -1
	}
	var out []cluster
	for i := range s.sensors {
		if group[i] >= 0 {
			continue
		}
		g := len(out)
		c := cluster{sensors: []int{i}}
		group[i] = g
		for q := 0; q < len(c.sensors); q++ {
			a := c.sensors[q]
			for b := range s.sensors {
				if group[b] >= 0 {
					continue
				}
				v := s.sensors[a].at.sub(s.sensors[b].at)
				if norm3(v[0], v[1], v[2]) <= float64(5*min(near[a], near[b])) {
					group[b] = g
					c.sensors = append(c.sensors, b)
				}
			}
		}
		slices.Sort(c.sensors)
		sp := make([]float64, 0, len(c.sensors))
		for _, i := range c.sensors {
			sp = append(sp, near[i])
		}
		reach := float64(5 * median(sp))
		for _, i := range c.sensors {
			sn := &s.sensors[i]
			sn.reach = min(s.j.p.HearingRange, max(1000, reach))
			if sn.stated > 0 {
				sn.reach = min(sn.stated, max(1000, reach))
			}
			sn.lambda = min(20, max(1.0/600, (float64(sn.count)+0.5)/s.span))
			c.reach = max(c.reach, sn.reach)
		}
		out = append(out, c)
	}
	return out
}
