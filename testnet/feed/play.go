package feed

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"truceline/treaty"
)

// heard is a wave as it reaches a sensor.
type heard struct {
	at     time.Duration
	level  float64 // dB
	snr    float64
	period float64 // s
	from   float64 // direction of the wave's front, radians
	dist   float64 // m
}

// path is how a source at a place and height reaches a sensor in that air.
func (p *player) path(m Met, x *sensor, from treaty.Position, up float64) (dist, az, secs float64) {
	o := offset(from, x.pos)
	ground := math.Hypot(o.x, o.y)
	az = math.Atan2(o.x, o.y)
	return math.Hypot(ground, up), az, m.travel(ground, az, up, windM)
}

// wave computes one wave at one sensor; rough holds the event's turbulence.
func (p *player) wave(rng *rand.Rand, m Met, x *sensor, src source, level float64, from treaty.Position, up float64, at time.Duration, rough [3]float64) heard {
	dist, az, secs := p.path(m, x, from, up)
	// Turbulence: a part of the travel time that neighbouring paths share, and a part of every path's own.
	secs *= 1 + rough[0]*math.Cos(az) + rough[1]*math.Sin(az) + rough[2]*math.Cos(2*az) + 0.0020*rng.NormFloat64()
	period := src.period * stretch(dist)
	l := m.received(level, period, dist, az)
	// An array sees the wave's front, which a cross wind turns away from the ray.
	we, wn := m.wind(8)
	cross := we*math.Cos(az) - wn*math.Sin(az)
	return heard{
		at: at + seconds(secs), level: l, snr: l - noiseFloor(m.WindMS), period: period,
		from: az + math.Pi - cross/soundSpeed(m.TempC), dist: dist,
	}
}

// event lets one event of the scenario happen.
func (p *player) event(e EventSpec) {
	t := &p.s.Terms
	for round := range max(1, e.Rounds) {
		id := e.ID
		if e.Rounds > 1 {
			id = fmt.Sprintf("%s.%d", e.ID, round+1)
		}
		at := e.At + time.Duration(round)*e.Every
		rng := p.s.stream("event", id)
		place := t.put(e.AlongKm, t.onSide(e.Side, e.OffM))
		p.sound(rng, id, e.Kind, e.Side, at, place)
		if e.ImpactOffM > 0 {
			other := t.Parties[1-t.side(e.Side)].Code
			land := t.put(e.ImpactAlongKm, t.onSide(other, e.ImpactOffM))
			land.x += rng.NormFloat64() * 60
			land.y += rng.NormFloat64() * 60
			flight := math.Hypot(land.x-place.x, land.y-place.y) / 230 // m/s along the ground
			p.sound(rng, id+"-impact", KindImpact, e.Side, at+seconds(flight), land)
		}
		if e.Seen > 0 && round == 0 {
			p.thermal(rng, at+e.Seen, place)
		}
	}
}

// sound makes one noise and writes down the truth about it.
func (p *player) sound(rng *rand.Rand, id string, kind Kind, side string, at time.Duration, place vec) {
	src := kinds[kind]
	m := p.s.air(at)
	rough := [3]float64{0.0012 * rng.NormFloat64(), 0.0012 * rng.NormFloat64(), 0.0008 * rng.NormFloat64()}
	pos := p.s.Terms.at(place)
	src.period *= math.Exp(src.periodSD * rng.NormFloat64())
	ev := p.judge(id, kind, side, at, pos)
	flash := []flashPoint{{pos, windM, src.level + src.levelSD*rng.NormFloat64()}}
	if kind == KindThunder {
		flash = p.channel(rng, src, place)
	}
	nations := map[int]bool{}
	last := at
	for _, x := range p.sensors {
		var waves []heard
		odds := 0.0
		for _, f := range flash {
			h := p.wave(rng, m, x, src, f.level, f.pos, f.up, at, rough)
			odds = max(odds, detectionOdds(h.snr))
			if rng.Float64() < detectionOdds(h.snr) {
				waves = append(waves, h)
			}
			if !x.observer && detectionOdds(h.snr) >= 0.5 {
				last = max(last, h.at)
			}
		}
		if x.observer {
			p.listen(rng, x, kind, waves)
			continue
		}
		if odds >= 0.5 {
			ev.Audible++
		}
		if p.picks(rng, x, src, waves) && !p.silent(x.nation, waves[0].at) {
			ev.Heard++
			nations[x.nation] = true
		}
	}
	ev.Nations = len(nations)
	ev.LastArrival = p.time(last)
	p.truth = append(p.truth, ev)
}

// flashPoint is one piece of a lightning's channel, or the one point of any other source.
type flashPoint struct {
	pos   treaty.Position
	up    float64
	level float64
}

// channel is a lightning: some kilometres of hot air between 300 m and 3 km up, each piece of it a clap of its own.
func (p *player) channel(rng *rand.Rand, src source, place vec) []flashPoint {
	turn := 2 * math.Pi * rng.Float64()
	length := 2500 + 2500*rng.Float64()
	var out []flashPoint
	const pieces = 6
	for i := range pieces {
		f := float64(i)/(pieces-1) - 0.5
		q := vec{
			place.x + f*length*math.Sin(turn) + 300*rng.NormFloat64(),
			place.y + f*length*math.Cos(turn) + 300*rng.NormFloat64(), 0,
		}
		out = append(out, flashPoint{p.s.Terms.at(q), 300 + 2700*rng.Float64(), src.level + src.levelSD*rng.NormFloat64()})
	}
	return out
}
