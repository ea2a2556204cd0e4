package attribution

import (
	"math"
	"slices"
	"time"

	"truceline/treaty"
)

// mode is one component of a posterior: a place and time with a Gaussian around it.
type mode struct {
	weight float64
	v      [nBase]float64
	cov    [3][3]float64
}

// Component is one place an event may have been at.
type Component struct {
	Weight     treaty.PPM
	Time       treaty.Time
	Position   treaty.Position
	Covariance treaty.Covariance
}

// Event is something that happened, as far as a set of detections can say.
type Event struct {
	Time       treaty.Time
	TimeSigma  int64 // ns
	Position   treaty.Position
	Covariance treaty.Covariance
	// Mixture are up to four places that fit, best first; more than one when the sensors cannot tell mirror places apart.
	Mixture []Component
	// Members are the arrivals the place was computed from, Corroborating what else fits it; both rising.
	Members       []treaty.Ref
	Corroborating []treaty.Ref
	// Nations of the members, rising.
	Nations []treaty.Nation
	// Score is the log odds against chance, nats. Misfit is the reduced chi squared of the members.
	Score, Misfit float64
	// Quiet is how many sensors within half their range heard nothing.
	Quiet      int
	ClassGuess treaty.EventClass
	Impact     bool
	// LatestArrival is when the last known sensor in range could still hear it: from then on the event is complete.
	LatestArrival treaty.Time
}

// maxModes bounds a mixture.
const maxModes = 4

// modesOf finds the other places that fit an event nearly as well: the mirror image across the line of its sensors,
// and what lies along its longest axis. Each is fitted anew to the same arrivals.
func (s *scene) modesOf(e *found) []mode {
	best := mode{weight: 1, v: e.fit.v, cov: e.fit.cov}
	out := []mode{best}
	cost := []float64{s.fixedCost(&e.fit)}
	for _, st := range s.mirrors(&e.fit) {
		f := s.start(e.cluster, st[0], st[1], e.fit.v[nT])
		f.use = slices.Clone(e.fit.use)
		f.res, f.sig = slices.Clone(e.fit.res), slices.Clone(e.fit.sig)
		// The origin time that fits that place best.
		var ts []float64
		for _, p := range f.use {
			k := &s.picks[p]
			ts = append(ts, k.t-(s.predict(&f.v, &s.sensors[k.sensor], nil)-f.v[nT]))
		}
		f.v[nT] = median(ts)
		good := true
		for i := 0; i < 25 && good; i++ {
			good = s.step(&f, 1e3, lambdas[min(i, len(lambdas)-1)])
		}
		if !good || !s.finish(&f) {
			continue
		}
		k := s.fixedCost(&f)
		same := false
		for _, m := range out {
			d := sq(m.v[nX]-f.v[nX]) + sq(m.v[nY]-f.v[nY])
			if d < float64(9*max(m.cov[0][0]+m.cov[1][1], 1)) {
				same = true
			}
		}
		if same || k-cost[0] > float64(2*modeNats*max(1, e.fit.birge)) || len(out) == maxModes {
			continue
		}
		out = append(out, mode{v: f.v, cov: f.cov})
		cost = append(cost, k)
	}
	low := slices.Min(cost)
	sum := 0.0
	for i := range out {
		out[i].weight = exp(-(cost[i] - low) / float64(2*max(1, e.fit.birge)))
		sum += out[i].weight
	}
	for i := range out {
		out[i].weight /= sum
	}
	slices.SortStableFunc(out, func(a, b mode) int {
		switch {
		case a.weight > b.weight:
			return -1
		case a.weight < b.weight:
			return 1
		}
		return 0
	})
	return out
}

// modeNats is how much worse, in nats, another place may fit and still be part of the posterior.
const modeNats = 6

// lambdas damp the first steps of a far start.
var lambdas = [...]float64{10, 3, 1, 0.3, 0.1, 0.03, 0.01, 0}

// fixedCost is the sum of squares, with priors, over a fit's arrivals, every one clipped at the Tukey cutoff.
func (s *scene) fixedCost(f *fit) float64 {
	sum := 0.0
	for i, p := range f.use {
		k := &s.picks[p]
		r := (k.t - s.predict(&f.v, &s.sensors[k.sensor], nil)) / f.sig[i]
		sum += min(sq(r), sq(tukeyCut))
	}
	sum += sq((f.v[nZ]-f.z0)/f.zSigma) + sq(f.v[nEps]/s.air.speedSigma)
	sum += (sq(f.v[nWE]-s.air.wind[0]) + sq(f.v[nWN]-s.air.wind[1])) / sq(s.air.windSigma)
	return sum
}

// mirrors are the starts for other modes: the place reflected across the sensors' principal axis, and two places up
// and down its own long axis.
func (s *scene) mirrors(f *fit) [][2]float64 {
	var mx, my float64
	n := float64(len(f.use))
	for _, p := range f.use {
		a := s.sensors[s.picks[p].sensor].at
		mx, my = mx+a[0]/n, my+a[1]/n
	}
	var xx, xy, yy float64
	for _, p := range f.use {
		a := s.sensors[s.picks[p].sensor].at
		xx += sq(a[0] - mx)
		xy += mul(a[0]-mx, a[1]-my)
		yy += sq(a[1] - my)
	}
	ax, ay := principal(xx, xy, yy)
	px, py := f.v[nX]-mx, f.v[nY]-my
	along := mul(px, ax) + mul(py, ay)
	out := [][2]float64{{mx + mul(along+along, ax) - px, my + mul(along+along, ay) - py}}
	lx, ly := principal(f.cov[0][0], f.cov[0][1], f.cov[1][1])
	long := float64(4 * math.Sqrt(f.cov[0][0]+f.cov[1][1]))
	out = append(out, [2]float64{f.v[nX] + mul(long, lx), f.v[nY] + mul(long, ly)},
		[2]float64{f.v[nX] - mul(long, lx), f.v[nY] - mul(long, ly)})
	return out
}

// principal is the unit vector of the longer axis of a symmetric 2x2 matrix.
func principal(xx, xy, yy float64) (x, y float64) {
	half := float64((xx - yy) / 2)
	root := math.Sqrt(sq(half) + sq(xy))
	x, y = half+root, xy
	if half < 0 {
		x, y = xy, root-half
	}
	n := math.Sqrt(sq(x) + sq(y))
	if n == 0 {
		return 1, 0
	}
	return x / n, y / n
}

// covariance rounds a covariance to integers that are still positive definite.
func covariance(c [3][3]float64) treaty.Covariance {
	lim := func(v float64) float64 { return min(max(v, 1e-4), 1e11) }
	ee, nn := round(float64(lim(c[0][0])*1e6)), round(float64(lim(c[1][1])*1e6))
	bound := float64(0.999999 * math.Sqrt(mul(float64(ee), float64(nn))))
	en := min(max(float64(c[0][1]*1e6), -bound), bound)
	return treaty.Covariance{EE: ee, EN: int64(en), NN: nn}
}

// timeAt converts scene seconds.
func (s *scene) timeAt(t float64) treaty.Time { return s.base + treaty.Time(round(float64(t*1e9))) }

// placeOf converts a fit's place.
func (s *scene) placeOf(v *[nBase]float64) treaty.Position {
	return s.frame.position(vec{v[nX], v[nY], v[nZ]})
}

// event makes the public form of a found event, with all that corroborates it.
func (s *scene) event(f *found) Event {
	top := &f.modes[0]
	e := Event{
		Time: s.timeAt(top.v[nT]), TimeSigma: max(1, round(float64(math.Sqrt(top.cov[2][2])*1e9))),
		Position: s.placeOf(&top.v), Covariance: covariance(top.cov),
		Score: f.score, Misfit: f.fit.birge, Impact: f.impact,
	}
	for i := range f.modes {
		m := &f.modes[i]
		e.Mixture = append(e.Mixture, Component{
			Weight: ppm(m.weight), Time: s.timeAt(m.v[nT]), Position: s.placeOf(&m.v), Covariance: covariance(m.cov),
		})
	}
	heardBy := make([]bool, len(s.sensors))
	for _, p := range f.fit.use {
		k := &s.picks[p]
		heardBy[k.sensor] = true
		e.Members = append(e.Members, s.ev[k.ev].Ref)
		e.Nations = append(e.Nations, s.ev[k.ev].Nation)
	}
	slices.SortFunc(e.Members, treaty.Ref.Compare)
	slices.Sort(e.Nations)
	e.Nations = slices.Compact(e.Nations)
	late := top.v[nT]
	for _, i := range f.cluster.sensors {
		sn := &s.sensors[i]
		t := s.predict(&top.v, sn, nil)
		r := float64((t - top.v[nT]) * s.air.c)
		if r <= sn.reach {
			late = max(late, t+float64(0.03*(t-top.v[nT]))+0.5)
			if !heardBy[i] && r < sn.reach/2 {
				e.Quiet++
			}
		}
	}
	e.LatestArrival = s.timeAt(late)
	e.Corroborating = refsOf(s.corroborate(f))
	cls := s.classify(f)
	e.ClassGuess = cls.name()
	return e
}

func refsOf(ev []Evidence) []treaty.Ref {
	var out []treaty.Ref
	for _, e := range ev {
		out = append(out, e.Ref)
	}
	slices.SortFunc(out, treaty.Ref.Compare)
	return slices.Compact(out)
}

// Match says how well an event is the incident that somebody proposed with these cites: the part of the smaller set of
// detections that both name, 0 to 1. Half is a match.
func (j *Judge) Match(e Event, cites treaty.Cites) float64 {
	named := make(map[treaty.Ref]bool, cites.Len())
	for r := range cites.All() {
		named[r] = true
	}
	shared := 0
	for _, r := range e.Members {
		if named[r] {
			shared++
		}
	}
	if n := min(len(e.Members), len(named)); n > 0 {
		return float64(shared) / float64(n)
	}
	return 0
}

// Within says whether two times are at most d apart.
func within(a, b treaty.Time, d time.Duration) bool { return a.Sub(b) <= d && b.Sub(a) <= d }
