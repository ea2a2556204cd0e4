package feed

import (
	"math"
	"math/rand/v2"
	"time"

	"truceline/treaty"
)

// unsure is what a picker calls something it does not know.
var unsure = []treaty.EventClass{treaty.ClassUndetermined}

// stray is a pick at nothing in particular.
func (p *player) stray(rng *rand.Rand, x *sensor, at time.Duration, period float64, what []treaty.EventClass) {
	if at < 0 || at > p.s.Duration {
		return
	}
	snr := heardSNR + 4*rng.ExpFloat64()
	p.pick(rng, x, heard{
		at: at, level: noiseFloor(p.s.air(at).WindMS) + snr, snr: snr,
		period: period * math.Exp(0.5*rng.NormFloat64()), from: 2 * math.Pi * rng.Float64(),
	}, 1, what)
}

// falsePicks are every sensor's own: uniform, and twice a minute from a dog of a sensor.
func (p *player) falsePicks() {
	for _, x := range p.sensors {
		if x.observer {
			continue
		}
		rng := p.s.stream("false", x.id)
		if p.s.Noise.FalsePerHour > 0 {
			gap := float64(time.Hour) / p.s.Noise.FalsePerHour
			for at := rng.ExpFloat64() * gap; at < float64(p.s.Duration); at += rng.ExpFloat64() * gap {
				p.stray(rng, x, time.Duration(at), 0.012, unsure)
			}
		}
	}
	for i, f := range p.s.Faults {
		if f.Kind != FaultDog {
			continue
		}
		x := p.s.faulty(p.sensors, p.nations, f)
		rng := p.s.stream("dog", i)
		for at := f.From; at < f.To; at += seconds(5 + 25*rng.ExpFloat64()) {
			p.stray(rng, x, at, 0.02, []treaty.EventClass{treaty.ClassExplosion, treaty.ClassUndetermined})
		}
	}
}

// gusts make sensors near each other pick within seconds: false picks that are not independent.
func (p *player) gusts() {
	rng := p.s.stream("gusts")
	length := lineLength(p.s.Terms.LineKm) * 1000
	for range p.s.Noise.Gusts {
		centre, at := rng.Float64()*length, seconds(rng.Float64()*p.s.Duration.Seconds())
		for _, x := range p.sensors {
			if x.observer || math.Abs(x.along-centre) > 1800 {
				continue
			}
			for range 1 + rng.IntN(3) {
				p.stray(rng, x, at+seconds(15*rng.Float64()), 0.1, unsure)
			}
		}
	}
}

// convoys drive along one side at 12 m/s, past that side's sensors.
func (p *player) convoys() {
	rng := p.s.stream("convoys")
	for range p.s.Noise.Convoys {
		side := rng.IntN(2)
		start := seconds(rng.Float64() * p.s.Duration.Seconds() / 2)
		for _, x := range p.sensors {
			if x.observer || x.side != side || rng.Float64() < 0.5 {
				continue // half of them stand too far from the road
			}
			pass := start + seconds(x.along/12)
			for range 2 + rng.IntN(4) {
				p.stray(rng, x, pass+seconds(20*rng.NormFloat64()), 0.018, []treaty.EventClass{treaty.ClassVehicle, treaty.ClassUndetermined})
			}
		}
	}
}

// statuses say, from every sensor in turn, how far it hears and what weather it stands in.
func (p *player) statuses() {
	for _, x := range p.sensors {
		if x.observer {
			continue
		}
		rng := p.s.stream("status", x.id)
		at := seconds(5 * rng.Float64())
		for ; at < p.s.Duration; at += p.s.Sensors.StatusEvery {
			m := p.s.air(at)
			_, sigma, _ := x.clock(at)
			d := p.base(x, at, 1e-3)
			d.Class = treaty.ClassOther
			d.Status = &treaty.SensorStatus{
				System: "OK", RangeM: round(m.hears(kinds[KindArtillery])/100) * 100, ClockNs: int64(seconds(sigma)),
				WindMmS: round(1000 * max(0, m.WindMS+0.4*rng.NormFloat64())), TempMC: round(1000 * (m.TempC + 0.4*rng.NormFloat64())),
				HaveTemp: true, WindFrom: bearing((m.WindFromDeg+8*rng.NormFloat64())*deg, 10*deg),
			}
			if x.holdover {
				d.Status.System = "WARNING"
			}
			p.out = append(p.out, report{x, at, at + seconds(0.3+0.2*rng.Float64()), d})
		}
	}
}
