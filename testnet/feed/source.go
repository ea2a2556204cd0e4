package feed

import (
	"math"

	"truceline/treaty"
)

// Kind is what makes a noise.
type Kind string

// The kinds. KindImpact is a round that lands: it follows from a shot and is not written into a scenario.
const (
	KindArtillery Kind = "artillery"
	KindMortar    Kind = "mortar"
	KindRocket    Kind = "rocket"
	KindSmallArms Kind = "small-arms"
	KindQuarry    Kind = "quarry"
	KindThunder   Kind = "thunder"
	KindImpact    Kind = "impact"
)

// source is how a kind sounds. Levels are peak levels at 1 m that give about 118 dB for a large gun and 103 dB for a
// mortar at 1 km. Periods are those at the peak of the spectrum near the source: about 24 Hz for a large gun, 50 Hz for a
// mortar, 450 Hz for a rifle; a quarry fires its holes one after the other and rumbles.
type source struct {
	class    treaty.EventClass
	level    float64 // dB re 20 uPa at 1 m
	levelSD  float64 // from round to round
	period   float64 // s
	periodSD float64 // relative
	onset    float64 // how much vaguer its onset is than a blast's
	reported []treaty.EventClass
}

var kinds = map[Kind]source{
	KindArtillery: {treaty.ClassArtillery, 181, 1.5, 0.042, 0.12, 1, []treaty.EventClass{treaty.ClassLaunch, treaty.ClassLaunch, treaty.ClassExplosion, treaty.ClassUndetermined}},
	KindMortar:    {treaty.ClassMortar, 166, 1.5, 0.019, 0.12, 1, []treaty.EventClass{treaty.ClassLaunch, treaty.ClassLaunch, treaty.ClassExplosion, treaty.ClassUndetermined}},
	KindRocket:    {treaty.ClassRocketArtillery, 178, 2, 0.085, 0.2, 2, []treaty.EventClass{treaty.ClassLaunch, treaty.ClassProjectile, treaty.ClassUndetermined}},
	KindSmallArms: {treaty.ClassSmallArms, 158, 1.5, 0.0022, 0.15, 0.6, []treaty.EventClass{treaty.ClassBurst, treaty.ClassShot, treaty.ClassShot}},
	KindQuarry:    {treaty.ClassQuarryBlast, 175, 2, 0.28, 0.2, 2, []treaty.EventClass{treaty.ClassExplosion, treaty.ClassUndetermined}},
	KindThunder:   {treaty.ClassThunder, 178, 4, 0.14, 0.4, 4, []treaty.EventClass{treaty.ClassUndetermined, treaty.ClassUndetermined, treaty.ClassOther}},
	KindImpact:    {treaty.ClassImpact, 178, 2, 0.025, 0.15, 1, []treaty.EventClass{treaty.ClassExplosion, treaty.ClassImpact}},
}

// spreading is what a spherical wave loses from 1 m to r metres, dB: 6 dB with every doubling.
func spreading(r float64) float64 { return 20 * math.Log10(max(r, 1)) }

// absorption is what the air takes over r metres from a wave of the period, dB: after ISO 9613-1 at 5 to 15 C and 70 %
// humidity, about 0.1 dB/km at 50 Hz and 5 dB/km at 1 kHz.
func absorption(r, period float64) float64 {
	return r / 1000 * 0.1 * math.Pow(1/(50*period), 1.3)
}

// scatter is what ground and turbulence take over r metres, dB: a flat 2.5 dB/km, at the upper end for low notes over
// open country, which keeps the guns from being heard along the whole line.
func scatter(r float64) float64 { return 2.5 * r / 1000 }

// shadow is what bending takes (or, bent down, gives) over r metres, dB.
func (m Met) shadow(r, az float64) float64 {
	b := m.bend(az)
	if b < 0 {
		return min(15, -1.3*b*math.Sqrt(r/1000))
	}
	return -min(4, 0.6*b*math.Sqrt(r/1000))
}

// stretch is how much longer a blast's period has become after r metres: a strong wave's front outruns its tail, and
// the air takes the high notes first.
func stretch(r float64) float64 { return 1 + 0.05*r/1000 }

// noiseFloor is what a sensor hears of the wind and the world, dB.
func noiseFloor(windMS float64) float64 { return 61.5 + 2*windMS }

// heardSNR is where a sensor picks half of the onsets, dB above its noise; the slope is logistic.
const (
	heardSNR   = 12
	heardSlope = 2.2
)

func detectionOdds(snr float64) float64 { return 1 / (1 + math.Exp(-(snr-heardSNR)/heardSlope)) }

// received is the level at r metres towards az, dB.
func (m Met) received(level, period, r, az float64) float64 {
	return level - spreading(r) - absorption(r, period) - scatter(r) - m.shadow(r, az)
}

// hears is how far a sensor hears half of a source's events across the wind, m.
func (m Met) hears(src source) float64 {
	lo, hi := 10.0, 100_000.0
	for range 40 {
		r := (lo + hi) / 2
		l := src.level - spreading(r) - absorption(r, src.period) - scatter(r)
		if l-noiseFloor(m.WindMS) > heardSNR {
			lo = r
		} else {
			hi = r
		}
	}
	return lo
}
