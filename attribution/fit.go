package attribution

import "math"

// The unknowns of a fit: east, north, up, time, sound-speed scale, wind east and north; then one clock offset per
// nation.
const (
	nX = iota
	nY
	nZ
	nT
	nEps
	nWE
	nWN
	nBase
	maxDim = nBase + 12
)

// fit is where and when an event was, and the air on its way.
type fit struct {
	v      [nBase]float64
	z0     float64 // prior of the height
	zSigma float64
	use    []int // picks, at most one per sensor, in sensor order
	res    []float64
	sig    []float64
	cost   float64       // sum of squares with priors over use
	birge  float64       // reduced chi squared
	cov    [3][3]float64 // east, north, time
	ok     bool
}

// predict is the arrival time at a sensor and its derivatives by the unknowns.
func (s *scene) predict(v *[nBase]float64, sn *sensor, d *[nBase]float64) float64 {
	dx, dy, dz := sn.at[0]-v[nX], sn.at[1]-v[nY], sn.at[2]-v[nZ]
	r := max(1, norm3(dx, dy, dz))
	ux, uy, uz := dx/r, dy/r, dz/r
	c := mul(s.air.c, 1+v[nEps]) + mul(v[nWE], ux) + mul(v[nWN], uy)
	t := r / c
	if d != nil {
		k := -r / sq(c)
		*d = [nBase]float64{-ux / c, -uy / c, -uz / c, 1, mul(k, s.air.c), mul(k, ux), mul(k, uy)}
	}
	return v[nT] + t
}

// sigmaAt is the 1-sigma residual of a pick heard after a travel time.
func (s *scene) sigmaAt(p *pick, travel float64) float64 {
	return math.Sqrt(sq(p.sigma) + sq(mul(s.j.p.Turbulence, travel)))
}

// ground estimates the height of the ground at a place from the sensors around it, and how sure that is.
func (s *scene) ground(c *cluster, x, y float64) (z, sigma float64) {
	var w, sum float64
	soft := sq(c.reach / 20)
	for _, i := range c.sensors {
		sn := &s.sensors[i]
		k := 1 / (sq(sn.at[0]-x) + sq(sn.at[1]-y) + soft)
		w += k
		sum += mul(k, sn.at[2])
	}
	z = sum / w
	var ss float64
	for _, i := range c.sensors {
		sn := &s.sensors[i]
		k := 1 / (sq(sn.at[0]-x) + sq(sn.at[1]-y) + soft)
		ss += float64(k * sq(sn.at[2]-z))
	}
	return z, max(5, math.Sqrt(ss/w))
}

// start is a fit at a place and time before its first step.
func (s *scene) start(c *cluster, x, y, t float64) fit {
	f := fit{}
	f.z0, f.zSigma = s.ground(c, x, y)
	f.v = [nBase]float64{x, y, f.z0, t, 0, s.air.wind[0], s.air.wind[1]}
	return f
}

// tukey is Tukey's biweight for a residual in units of its cutoff.
func tukey(z float64) float64 {
	if z >= 1 || z <= -1 {
		return 0
	}
	return sq(1 - sq(z))
}

// choose takes, per sensor of a set sorted by sensor, the pick nearest to the prediction within the cutoff.
func (s *scene) choose(f *fit, set []int, cut float64) {
	f.use, f.res, f.sig = f.use[:0], f.res[:0], f.sig[:0]
	best, bestRes, bestSig := -1, 0.0, 0.0
	flush := func() {
		if best >= 0 {
			f.use, f.res, f.sig = append(f.use, best), append(f.res, bestRes), append(f.sig, bestSig)
		}
		best = -1
	}
	at := -1
	var want float64
	for _, p := range set {
		k := &s.picks[p]
		if k.sensor != at {
			flush()
			at = k.sensor
			want = s.predict(&f.v, &s.sensors[at], nil)
		}
		sig := s.sigmaAt(k, max(0, want-f.v[nT]))
		r := k.t - want
		if math.Abs(r) > float64(cut*sig) {
			continue
		}
		if best < 0 || math.Abs(r) < math.Abs(bestRes) {
			best, bestRes, bestSig = p, r, sig
		}
	}
	flush()
}

const tukeyCut = 4.685

// anneal runs graduated Gauss-Newton: the Tukey cutoff shrinks from from times its final size, and each step chooses
// each sensor's nearest arrival anew. It says whether at least minArrivals remained.
func (s *scene) anneal(f *fit, set []int, from float64, steps int) bool {
	k := from
	shrink := exp(-log(from) / float64(max(1, steps-4)))
	for range steps {
		s.choose(f, set, float64(tukeyCut*k))
		if len(f.use) < minArrivals {
			return false
		}
		was := f.v
		if !s.step(f, k, 0) {
			return false
		}
		// At the final cutoff, a step of under a millimetre has nothing left to choose anew.
		if k == 1 && math.Abs(f.v[nX]-was[nX]) < 1e-3 && math.Abs(f.v[nY]-was[nY]) < 1e-3 && math.Abs(f.v[nT]-was[nT]) < 1e-6 {
			break
		}
		k = max(1, mul(k, shrink))
	}
	s.choose(f, set, tukeyCut)
	return len(f.use) >= minArrivals
}

// normal fills the lower triangle of the weighted normal equations of a fit at its present state.
func (s *scene) normal(f *fit, k float64, h *[nBase][nBase]float64, g *[nBase]float64) float64 {
	cost := 0.0
	var d [nBase]float64
	for i, p := range f.use {
		sn := &s.sensors[s.picks[p].sensor]
		r := s.picks[p].t - s.predict(&f.v, sn, &d)
		f.res[i] = r
		z := r / f.sig[i]
		w := tukey(z / float64(tukeyCut*k))
		cost += float64(w * z * z)
		w /= sq(f.sig[i])
		for a := range nBase {
			wa := mul(w, d[a])
			g[a] += mul(wa, r)
			for b := range a + 1 {
				h[a][b] += mul(wa, d[b])
			}
		}
	}
	prior := func(a int, mean, sigma float64) {
		q := 1 / sq(sigma)
		h[a][a] += q
		g[a] += mul(q, mean-f.v[a])
		cost += mul(q, sq(mean-f.v[a]))
	}
	prior(nZ, f.z0, f.zSigma)
	prior(nEps, 0, s.air.speedSigma)
	prior(nWE, s.air.wind[0], s.air.windSigma)
	prior(nWN, s.air.wind[1], s.air.windSigma)
	return cost
}

// step is one damped Gauss-Newton step.
func (s *scene) step(f *fit, k, lambda float64) bool {
	var h [nBase][nBase]float64
	var g [nBase]float64
	f.cost = s.normal(f, k, &h, &g)
	for a := range nBase {
		h[a][a] += mul(lambda, h[a][a])
	}
	h[nX][nX] += 1e-9
	h[nY][nY] += 1e-9
	h[nT][nT] += 1e-3
	var rows [nBase][]float64
	for a := range rows {
		rows[a] = h[a][:]
	}
	if !cholesky(rows[:]) {
		return false
	}
	solve(rows[:], g[:])
	if n := math.Sqrt(sq(g[nX]) + sq(g[nY])); n > 3000 {
		for a := range nBase {
			g[a] = float64(g[a] * 3000 / n)
		}
	}
	for a := range nBase {
		f.v[a] += g[a]
	}
	return !math.IsNaN(f.v[nX]) && math.Abs(f.v[nX]) < 1e7 && math.Abs(f.v[nY]) < 1e7
}

// finish computes the covariance of a converged fit: the inverse information including the air, the height and every
// nation's clock, times what the residuals show beyond their sigmas (Birge).
func (s *scene) finish(f *fit) bool {
	var base [nBase][nBase]float64
	var g [nBase]float64
	f.cost = s.normal(f, 1, &base, &g)
	var h [maxDim][maxDim]float64
	for a := range base {
		copy(h[a][:], base[a][:])
	}
	dim := nBase
	slot := make([]int, len(s.nations))
	var d [nBase]float64
	for i, p := range f.use {
		k := &s.picks[p]
		sn := &s.sensors[k.sensor]
		if slot[sn.nation] == 0 {
			if dim == maxDim {
				continue
			}
			slot[sn.nation] = dim
			h[dim][dim] += 1 / sq(sn.bias)
			dim++
		}
		s.predict(&f.v, sn, &d)
		q := 1 / sq(f.sig[i])
		b := slot[sn.nation]
		h[b][b] += q
		for a := range nBase {
			h[b][a] += mul(q, d[a])
		}
	}
	h[nX][nX] += 1e-9
	h[nY][nY] += 1e-9
	var all [maxDim][]float64
	for a := range dim {
		all[a] = h[a][:dim]
	}
	rows := all[:dim]
	if !cholesky(rows) {
		return false
	}
	f.birge = 1
	if dof := len(f.use) - 3; dof > 0 {
		sum := 0.0
		for i := range f.use {
			sum += sq(f.res[i] / f.sig[i])
		}
		f.birge = sum / float64(dof)
	}
	// Few arrivals say little about their own scatter; widen by the small-sample factor of a t distribution too.
	dof := float64(max(1, len(f.use)-3))
	k := mul(max(1, f.birge), 1+2/dof)
	cols := [3]int{nX, nY, nT}
	for a, c := range cols {
		var e [maxDim]float64
		e[c] = 1
		solve(rows, e[:dim])
		for b, r := range cols {
			f.cov[b][a] = mul(k, e[r])
		}
	}
	f.cov[0][1] = float64((f.cov[0][1] + f.cov[1][0]) / 2)
	f.cov[1][0] = f.cov[0][1]
	f.ok = f.cov[0][0] > 0 && f.cov[1][1] > 0 && f.cov[2][2] > 0
	return f.ok
}

// cholesky factors the lower triangle of h in place; false when h is not positive definite.
func cholesky(h [][]float64) bool {
	for a := range h {
		ra := h[a][:a+1]
		for b := range ra {
			rb := h[b][:b+1]
			v := ra[b]
			for k := range b {
				v -= mul(ra[k], rb[k])
			}
			if a != b {
				ra[b] = v / rb[b]
				continue
			}
			if !(v > 1e-300) {
				return false
			}
			ra[a] = math.Sqrt(v)
		}
	}
	return true
}

// solve replaces g by the solution of L L^T x = g.
func solve(h [][]float64, g []float64) {
	for a := range g {
		ra := h[a][:a+1]
		v := g[a]
		for k := range a {
			v -= mul(ra[k], g[k])
		}
		g[a] = v / ra[a]
	}
	for a := len(g) - 1; a >= 0; a-- {
		v := g[a]
		for k := a + 1; k < len(g); k++ {
			v -= mul(h[k][a], g[k])
		}
		g[a] = v / h[a][a]
	}
}
