package attribution

import (
	"math"
	"slices"

	"truceline/treaty"
)

// density is what one class of source looks like: level at 1 km (dB re 20 uPa; level at 1 m less 60) and dominant
// period (decimal log of seconds), both normal.
//
// Sources of the numbers: small arms 150-160 dB at 1 m, 2-5 ms; mortar launch 165-175 dB, 15-40 ms; artillery muzzle
// 180-190 dB, 30-100 ms; rocket launch longer and less sharp; quarry blast 0.2-1 s and emergent; thunder 50-500 ms at
// any level. The sigmas include what ground, wind and walls do to a level (10 dB and more).
type density struct {
	class               treaty.EventClass
	prior               float64
	level, levelSigma   float64
	period, periodSigma float64
}

var densities = [...]density{
	{treaty.ClassArtillery, 0.20, 122, 8, -1.31, 0.15},
	{treaty.ClassMortar, 0.20, 109, 9, -1.61, 0.14},
	{treaty.ClassRocketArtillery, 0.08, 117, 9, -1.05, 0.15},
	{treaty.ClassSmallArms, 0.26, 88, 13, -2.50, 0.25},
	{treaty.ClassQuarryBlast, 0.06, 106, 13, -0.35, 0.20},
	{treaty.ClassThunder, 0.10, 110, 14, -0.78, 0.27},
	{treaty.ClassOther, 0.10, 92, 25, -1.50, 0.90},
}

// heavy is how many of densities, the first ones, are heavy weapons.
const heavy = 3

// fire says which of densities are fire.
var fire = [len(densities)]bool{true, true, true, true, false, false, false}

// report is the log likelihood, per class of densities, of what a sensor's own classifier says; log of a confusion
// table whose rows are the sensor's words.
func report(c treaty.EventClass) ([len(densities)]float64, bool) {
	//                        arty  mort  rock  small quarry thunder other
	rows := map[treaty.EventClass][len(densities)]float64{
		treaty.ClassLaunch:          {0.38, 0.38, 0.38, 0.05, 0.01, 0.01, 0.03},
		treaty.ClassExplosion:       {0.30, 0.25, 0.25, 0.03, 0.40, 0.20, 0.15},
		treaty.ClassImpact:          {0.30, 0.25, 0.25, 0.03, 0.30, 0.15, 0.10},
		treaty.ClassProjectile:      {0.20, 0.20, 0.50, 0.05, 0.01, 0.01, 0.05},
		treaty.ClassShot:            {0.03, 0.06, 0.02, 0.85, 0.01, 0.02, 0.10},
		treaty.ClassBurst:           {0.02, 0.02, 0.05, 0.80, 0.01, 0.02, 0.08},
		treaty.ClassMuzzleFlash:     {0.30, 0.20, 0.20, 0.30, 0.01, 0.02, 0.05},
		treaty.ClassArtillery:       {0.80, 0.12, 0.12, 0.01, 0.08, 0.06, 0.05},
		treaty.ClassMortar:          {0.10, 0.80, 0.08, 0.05, 0.02, 0.02, 0.05},
		treaty.ClassRocketArtillery: {0.08, 0.05, 0.80, 0.01, 0.03, 0.05, 0.05},
		treaty.ClassSmallArms:       {0.01, 0.04, 0.01, 0.85, 0.01, 0.02, 0.08},
		treaty.ClassQuarryBlast:     {0.04, 0.02, 0.03, 0.01, 0.85, 0.08, 0.08},
		treaty.ClassThunder:         {0.03, 0.02, 0.06, 0.01, 0.10, 0.85, 0.08},
		treaty.ClassOther:           {0.05, 0.05, 0.05, 0.05, 0.10, 0.10, 0.60},
		treaty.ClassVehicle:         {0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.80},
		treaty.ClassUAV:             {0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.80},
	}
	r, ok := rows[c]
	return r, ok
}

// classes is a posterior over densities.
type classes [len(densities)]float64

// sure is how likely a class must be to be named.
const sure = 0.8

// name is the class if the data can tell it, else the coarser word that they can tell: a heavy weapon, or none of those
// we know as fire. A wrong name is worse than a vague one.
func (c *classes) name() treaty.EventClass {
	for i := range c {
		if c[i] >= sure {
			return densities[i].class
		}
	}
	switch {
	case c.heavies() >= sure:
		return treaty.ClassLaunch
	case 1-c.fire() >= sure:
		return treaty.ClassOther
	}
	return treaty.ClassUndetermined
}

// heavies is the probability that it was one of the heavy weapons, which stand first in densities.
func (c *classes) heavies() float64 {
	sum := 0.0
	for _, p := range c[:heavy] {
		sum += p
	}
	return sum
}

// fire is the probability that it was fire at all.
func (c *classes) fire() float64 {
	sum := 0.0
	for i := range c {
		if fire[i] {
			sum += c[i]
		}
	}
	return sum
}

// classify weighs what the members carry. Each nation speaks once per feature, with its median, and the features of the
// nations are joined by their median: the source itself, not the number of sensors, is what a class density describes,
// and a lying minority cannot move a median out of the honest range.
//
// Whether it was a heavy weapon at all is judged by the sound as heard. Which of them is another matter: far off a gun is
// as faint as a mortar and as long drawn out as a rocket, so there what the way has done is taken out first, as far as it
// can be known.
func (s *scene) classify(f *found) classes {
	var level, period []reading
	words := make([][len(densities)]float64, len(s.nations))
	said := make([]float64, len(s.nations))
	v := &f.modes[0].v
	for _, p := range f.fit.use {
		k := &s.picks[p]
		sn := &s.sensors[k.sensor]
		d := s.ev[k.ev].Detection
		n := s.nations[sn.nation]
		dx, dy, dz := sn.at[0]-v[nX], sn.at[1]-v[nY], sn.at[2]-v[nZ]
		r := max(1, norm3(dx, dy, dz))
		if a := d.Arrival.AmplitudeMB; a != 0 {
			level = append(level, reading{n, r / 1000, float64(a)/100 + float64(20*log10(r/1000))})
		}
		if u := d.Arrival.PeriodUs; u > 0 {
			period = append(period, reading{n, r / 1000, log10(float64(u) / 1e6)})
		}
		if row, ok := report(d.Class); ok {
			conf := d.Confidence.Float()
			for c := range densities {
				words[sn.nation][c] += log(mul(conf, row[c]) + float64((1-conf)*0.2))
			}
			said[sn.nation]++
		}
	}
	var spoken classes // log likelihoods
	for c := range densities {
		var votes []float64
		for n := range words {
			if said[n] > 0 {
				votes = append(votes, words[n][c]/said[n])
			}
		}
		// The nations' classifiers share a trade and its errors: their median counts as at most three of them.
		if len(votes) > 0 {
			spoken[c] = mul(median(votes), min(3, float64(len(votes))))
		}
	}
	as := spoken.weigh(heard1km(level, path{}), heard1km(period, path{}))
	at := spoken.weigh(heard1km(level, levelPath), heard1km(period, periodPath))
	mass, part := as.heavies(), at.heavies()
	for c := range at[:heavy] {
		as[c] = float64(mass * at[c] / max(part, 1e-300))
	}
	return as
}

// weigh adds level and period to what the classifiers said, and makes it a posterior.
func (c classes) weigh(level, period feature) classes {
	for i := range densities {
		d := &densities[i]
		c[i] += log(d.prior)
		if level.ok {
			c[i] += normal(level.value, d.level, math.Sqrt(sq(d.levelSigma)+sq(level.sigma)))
		}
		if period.ok {
			c[i] += normal(period.value, d.period, math.Sqrt(sq(d.periodSigma)+sq(0.05)+sq(period.sigma)))
		}
	}
	top := slices.Max(c[:])
	sum := 0.0
	for i := range c {
		c[i] = exp(c[i] - top)
		sum += c[i]
	}
	for i := range c {
		c[i] /= sum
	}
	return c
}

// normal is the log density of a normal distribution, less the constant.
func normal(x, mean, sigma float64) float64 { return float64(-sq((x-mean)/sigma)/2) - log(sigma) }
