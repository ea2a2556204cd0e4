package attribution

import (
	"math"
	"slices"
	"time"

	"truceline/treaty"
)

// Gates: the chi-squared quantiles at 0.999 for one and two degrees of freedom.
const (
	gate1 = 10.83
	gate2 = 13.82
)

// Time gates of the slower witnesses.
const (
	humanTime   = 5 * time.Minute // a log book entry
	thermalTime = 3 * time.Hour   // the next overpass over something still burning
	trackTime   = 3 * time.Second
)

// corroborate lists the detections of other kinds that fit an event: each is compared with the fused place and its
// covariance plus its own. It adds no weight to the place.
func (s *scene) corroborate(f *found) []Evidence {
	var out []Evidence
	m := &f.modes[0]
	t := s.timeAt(m.v[nT])
	for _, e := range s.ev {
		d := e.Detection
		if !s.j.usable(d) || heard(d) && d.Arrival.BackAzimuth == nil {
			continue
		}
		if s.fits(d, m, t) && !slices.ContainsFunc(f.fit.use, func(p int) bool { return s.ev[s.picks[p].ev].Ref == e.Ref }) {
			out = append(out, e)
		}
	}
	return out
}

// fits gates one detection against a place and time.
func (s *scene) fits(d *treaty.Detection, m *mode, t treaty.Time) bool {
	pose := s.frame.local(d.Pose.Position)
	dx, dy := m.v[nX]-pose[0], m.v[nY]-pose[1]
	r := math.Sqrt(sq(dx) + sq(dy))
	sigma := time.Duration(d.Time.SigmaNs)
	near := func(slack time.Duration) bool { return within(d.Time.Value, t, slack+4*sigma) }
	sound := time.Duration(round(float64(r / s.air.c * 1e9)))
	switch {
	case d.Bearing != nil:
		// Light and radio come at once, sound takes its time.
		if d.Modality == treaty.ModalityAcoustic {
			return within(d.Time.Value, t.Add(sound), time.Second+sound/20+4*sigma) && s.onBearing(d.Bearing.Azimuth, dx, dy, m)
		}
		return near(time.Second) && s.onBearing(d.Bearing.Azimuth, dx, dy, m)
	case d.Arrival != nil && d.Arrival.BackAzimuth != nil:
		return within(d.Time.Value, t.Add(sound), time.Second+sound/20+4*sigma) && s.onBearing(*d.Arrival.BackAzimuth, dx, dy, m)
	case d.RangeBearing != nil:
		sr := float64(d.RangeBearing.SigmaRangeMm) / 1000
		off := r - float64(d.RangeBearing.RangeMm)/1000
		return near(2*time.Second) && s.onBearing(d.RangeBearing.Azimuth, dx, dy, m) &&
			sq(off) < float64(gate1*(sq(sr)+along(m, dx/max(1, r), dy/max(1, r))))
	case d.Location != nil:
		return near(2*time.Second) && s.nearPlace(d.Location.Position, d.Location.Covariance, m)
	case d.Trajectory != nil && d.Trajectory.Launch != nil:
		first := d.Time.Value
		if len(d.Trajectory.Points) > 0 {
			first = d.Trajectory.Points[0].Time
		}
		l := d.Trajectory.Launch
		return t.Sub(first) < trackTime && first.Sub(t) < time.Minute && s.nearPlace(l.Position, l.Covariance, m)
	case d.Thermal != nil:
		p := s.frame.local(d.Thermal.Position)
		ex, ny := math.Abs(m.v[nX]-p[0]), math.Abs(m.v[nY]-p[1])
		fuzz := float64(3 * math.Sqrt(m.cov[0][0]+m.cov[1][1]+sq(75)))
		late := d.Time.Value.Sub(t)
		return late > -time.Minute && late < thermalTime &&
			ex < float64(float64(d.Thermal.ScanM)/2)+fuzz && ny < float64(float64(d.Thermal.TrackM)/2)+fuzz
	case d.Human != nil:
		return near(humanTime) && s.onReport(d.Human, dx, dy, r, m)
	}
	return false
}

// along is the variance of a place in one direction.
func along(m *mode, ux, uy float64) float64 {
	return float64(ux*ux*m.cov[0][0]) + float64(2*ux*uy*m.cov[0][1]) + float64(uy*uy*m.cov[1][1])
}

// onBearing compares the place's offset across a measured direction with the uncertainty of both.
func (s *scene) onBearing(a treaty.Angle, dx, dy float64, m *mode) bool {
	sa, ca := sincos(float64(a.Urad) / 1e6)
	ahead, across := mul(dx, sa)+mul(dy, ca), mul(dx, ca)-mul(dy, sa)
	if ahead <= 0 {
		return false
	}
	bend := s.air.windSigma / s.air.c // a side wind turns every sound bearing alike
	v := float64((sq(float64(a.SigmaUrad)/1e6) + sq(bend)) * sq(ahead))
	return sq(across) < float64(gate1*(v+along(m, ca, -sa)))
}

// nearPlace is a chi-squared test of two places.
func (s *scene) nearPlace(p treaty.Position, c treaty.Covariance, m *mode) bool {
	q := s.frame.local(p)
	dx, dy := m.v[nX]-q[0], m.v[nY]-q[1]
	a := m.cov[0][0] + float64(c.EE)/1e6
	b := m.cov[0][1] + float64(c.EN)/1e6
	d := m.cov[1][1] + float64(c.NN)/1e6
	det := mul(a, d) - sq(b)
	if det <= 0 {
		return false
	}
	return (float64(d*dx*dx)-float64(2*b*dx*dy)+float64(a*dy*dy))/det < gate2
}

// onReport gates a person's words. People underestimate distance, at times by more than half, so the far end is
// stretched; without an azimuth or a distance a report places nothing and corroborates nothing.
func (s *scene) onReport(h *treaty.HumanReport, dx, dy, r float64, m *mode) bool {
	if h.Azimuth == nil && h.DistanceMaxMm == 0 {
		return false
	}
	if h.Azimuth != nil && !s.onBearing(*h.Azimuth, dx, dy, m) {
		return false
	}
	if h.DistanceMaxMm > 0 {
		lo, hi := float64(h.DistanceMinMm)/1000, float64(h.DistanceMaxMm)/1000
		return r > lo/2 && r < float64(2.5*hi)
	}
	return true
}
