package attribution

import "math"

// score is the log odds, in nats, that the fit's arrivals are one event rather than what the sensors report anyway; rank
// is what competing fits are compared by.
//
// Every arrival adds log Pd - log(lambda sigma sqrt(2 pi)) - r^2/2; every sensor that should have heard it and did not
// adds log(1-Pd). A nation adds at most NationCap and takes away at most QuietCap. How loud the event was is unknown:
// the best of four hearing ranges counts. The prior is the rate of events in the volume that the fit leaves open, so
// the score does not depend on how much evidence is looked at together.
//
// Once every nation is at its cap, more arrivals can only shrink that volume, so of two fits the vaguer one, with half
// of the arrivals, would have the better score, and one event would be taken for two. In the rank a nation's cap gives
// way like a logarithm: more arrivals always count for something, and a nation that floods still cannot outweigh two.
func (s *scene) score(c *cluster, f *fit) (score, rank float64) {
	p := &s.j.p
	used := make([]int, len(s.sensors))
	for i := range used {
		used[i] = -1
	}
	for i, k := range f.use {
		used[s.picks[k].sensor] = i
	}
	score, rank = math.Inf(-1), math.Inf(-1)
	plus := make([]float64, len(s.nations))
	minus := make([]float64, len(s.nations))
	for _, loud := range [...]float64{0.125, 0.25, 0.5, 1} {
		clear(plus)
		clear(minus)
		for _, i := range c.sensors {
			sn := &s.sensors[i]
			dx, dy := sn.at[0]-f.v[nX], sn.at[1]-f.v[nY]
			r := math.Sqrt(sq(dx) + sq(dy))
			pd := 0.9 / (1 + sq(sq(r/float64(loud*sn.reach))))
			if k := used[i]; k >= 0 {
				z := f.res[k] / f.sig[k]
				v := log(pd) - log(float64(sn.lambda*f.sig[k]*2.5066282746310002)) - float64(sq(z)/2)
				plus[sn.nation] += max(v, -2)
			} else if r <= sn.reach {
				minus[sn.nation] += log(1 - pd)
			}
		}
		capped, giving := 0.0, 0.0
		for n := range plus {
			quiet := max(-p.QuietCap, minus[n])
			capped += min(p.NationCap, plus[n]) + quiet
			giving += p.give(plus[n]) + quiet
		}
		score, rank = max(score, capped), max(rank, giving)
	}
	det := max(mul(f.cov[0][0], f.cov[1][1])-sq(f.cov[0][1]), 1e-6)
	volume := float64(2 * math.Pi * math.Sqrt(det) * 2.5066282746310002 * math.Sqrt(max(f.cov[2][2], 1e-10)))
	prior := log(float64(p.EventRate * volume))
	return score + prior, rank + prior
}

// give is a nation's nats with a cap that gives way.
func (p *Params) give(nats float64) float64 {
	if nats <= p.NationCap {
		return nats
	}
	return mul(p.NationCap, 1+log(nats/p.NationCap))
}
