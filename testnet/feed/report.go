package feed

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"truceline/treaty"
)

func seconds(s float64) time.Duration { return time.Duration(math.Round(s * 1e9)) }

// base is a detection of a sensor at a moment, by the sensor's clock, with the sigma of the measurement added to that
// of the clock.
func (p *player) base(x *sensor, at time.Duration, sigma float64) treaty.Detection {
	off, unsure, src := x.clock(at)
	d := treaty.Detection{
		Sensor: x.id, Modality: treaty.ModalityAcoustic, Mode: treaty.ModeSimulated,
		Time:       treaty.TimeQuantity{Value: p.time(at + seconds(off)), SigmaNs: int64(seconds(math.Hypot(sigma, unsure)))},
		TimeSource: src, Pose: x.pose, Confidence: treaty.Certain, Trust: treaty.TrustChannel,
	}
	if x.observer {
		d.Modality, d.Trust = treaty.ModalityHuman, treaty.TrustManual
	}
	return d
}

// onset is how sharply a picker sees a wave, s.
func onset(snr float64) float64 {
	switch {
	case snr > 25:
		return 0.010
	case snr > 16:
		return 0.030
	}
	return 0.060
}

func round(v float64) int64 { return int64(math.Round(v)) }

// mistaken is how often a sensor takes one thing for quite another.
const mistaken = 0.05

var anything = []treaty.EventClass{
	treaty.ClassUndetermined, treaty.ClassExplosion, treaty.ClassLaunch, treaty.ClassImpact, treaty.ClassShot, treaty.ClassVehicle,
}

// phaseOf is the wave that a sensor of this belief believes it heard.
func phaseOf(c treaty.EventClass) treaty.Phase {
	switch c {
	case treaty.ClassLaunch, treaty.ClassBurst, treaty.ClassShot:
		return treaty.PhaseMuzzleBlast
	case treaty.ClassImpact:
		return treaty.PhaseImpactBlast
	}
	return treaty.PhaseUnknown
}

// pick reports a wave; reported are the classes its sensor may think it is.
func (p *player) pick(rng *rand.Rand, x *sensor, h heard, vague float64, reported []treaty.EventClass) {
	sigma := onset(h.snr) * vague
	at := h.at + seconds(rng.NormFloat64()*sigma)
	if rng.Float64() < p.s.Noise.Late {
		at += seconds(rng.ExpFloat64() * 0.3)
	}
	d := p.base(x, at, sigma)
	d.Class = reported[rng.IntN(len(reported))]
	if rng.Float64() < mistaken {
		d.Class = anything[rng.IntN(len(anything))]
	}
	d.Confidence = treaty.PPM(1e6 * min(0.98, max(0.3, 0.5+h.snr/60+0.05*rng.NormFloat64())))
	level := h.level + rng.NormFloat64()
	d.Arrival = &treaty.Arrival{
		Phase: phaseOf(d.Class), SNRmB: round(100 * h.snr), AmplitudeMB: round(100 * level),
		PeriodUs: max(1, round(1e6*h.period*math.Exp(0.08*rng.NormFloat64()))),
	}
	if x.array && !math.IsNaN(h.from) {
		d.Arrival.BackAzimuth = bearing(h.from+rng.NormFloat64()*1.5*deg, 1.7*deg)
	}
	p.out = append(p.out, report{x, at, at + seconds(0.25+0.15*rng.ExpFloat64()), d})
}

func bearing(rad, sigma float64) *treaty.Angle {
	rad = math.Mod(math.Mod(rad, 2*math.Pi)+2*math.Pi, 2*math.Pi)
	return &treaty.Angle{Urad: round(rad * 1e6), SigmaUrad: round(sigma * 1e6)}
}

// picks reports the waves of one event at one sensor, earliest first; a picker is deaf for a second after a pick.
func (p *player) picks(rng *rand.Rand, x *sensor, src source, waves []heard) bool {
	slices.SortStableFunc(waves, func(a, b heard) int { return cmp.Compare(a.at, b.at) })
	free := time.Duration(math.MinInt64)
	for _, h := range waves {
		if h.at < free {
			continue
		}
		free = h.at + time.Second
		p.pick(rng, x, h, src.onset, src.reported)
		if rng.Float64() < p.s.Noise.Echo {
			h.at += seconds(0.2 + rng.ExpFloat64()*0.7)
			h.level -= 6
			h.snr -= 6
			h.from = 2 * math.Pi * rng.Float64()
			p.pick(rng, x, h, 2, []treaty.EventClass{treaty.ClassUndetermined})
		}
	}
	return len(waves) > 0
}
