package feed

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"truceline/treaty"
)

// sensor is one device where it really stands, with what is wrong with it.
type sensor struct {
	id       treaty.SensorID
	nation   int
	along    float64 // m along the line
	side     int
	pos      treaty.Position // the truth
	pose     treaty.Pose     // what its nation believes
	array    bool
	observer bool
	holdover bool
	drift    float64 // s per hour, on holdover
	skew     float64 // s, at the start
	dog      bool
}

// stream is a source of chance for one purpose, so that changing one thing of a night leaves the rest as it was.
func (s *Scenario) stream(what ...any) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprint(h, what...)
	return rand.New(rand.NewPCG(s.Seed, h.Sum64()))
}

// place lays the sensors out in clusters on both sides and deals them to the nations: going along the line, one to
// each nation in turn, so that what a few neighbours heard was heard by several nations.
func (s *Scenario) place(nations int) []*sensor {
	length := lineLength(s.Terms.LineKm) * 1000
	count := max(s.Sensors.Acoustic, s.Sensors.LeastPerNation*nations)
	rng := s.stream("sensors", count) // as long as they are enough, they stand where they stood for fewer nations
	var all []*sensor
	add := func(along float64, side int, depthKm [2]float64) *sensor {
		off := 1000 * (depthKm[0] + rng.Float64()*(depthKm[1]-depthKm[0]))
		along = min(max(along, 0), length)
		plane := s.Terms.put(along/1000, s.Terms.onSide(s.Terms.Parties[side].Code, off))
		plane.z = rng.NormFloat64() * 6
		x := &sensor{along: along, side: side, pos: s.Terms.at(plane)}
		sd := s.Sensors.SurveySigmaM
		plane.x += rng.NormFloat64() * sd
		plane.y += rng.NormFloat64() * sd
		x.pose = treaty.Pose{Position: s.Terms.at(plane), SigmaMm: int64(sd * 1000)}
		all = append(all, x)
		return x
	}
	const cluster = 4
	for i := range count {
		c := i / cluster
		centre := (float64(c) + 0.5) * length / math.Ceil(float64(count)/cluster)
		add(centre+rng.NormFloat64()*900, c%2, s.Sensors.DepthKm)
	}
	for i := range s.Sensors.Arrays {
		add((float64(i)+0.5)*length/float64(s.Sensors.Arrays), (i+1)%2, s.Sensors.DepthKm).array = true
	}
	slices.SortStableFunc(all, func(a, b *sensor) int { return cmp.Compare(a.along, b.along) })
	for range s.Sensors.Observers {
		add(length*(0.3+0.4*rng.Float64()), rng.IntN(2), [2]float64{0.8, 1.5}).observer = true
	}
	for i, x := range all {
		x.nation = i % nations
		switch {
		case x.observer:
			x.id = treaty.SensorID(fmt.Sprintf("post:%02d", i))
		case x.array:
			x.id = treaty.SensorID(fmt.Sprintf("array:%02d", i))
		default:
			x.id = treaty.SensorID(fmt.Sprintf("acoustic:%02d", i))
		}
	}
	for range s.Sensors.Holdover {
		x := all[rng.IntN(len(all))]
		x.holdover, x.drift, x.skew = true, rng.NormFloat64()*0.010, rng.NormFloat64()*0.004
	}
	for _, f := range s.Faults {
		if x := s.faulty(all, nations, f); f.Kind == FaultDog && x != nil {
			x.dog = true
		}
	}
	return all
}

// faulty is the sensor a fault names.
func (s *Scenario) faulty(all []*sensor, nations int, f Fault) *sensor {
	var own []*sensor
	for _, x := range all {
		if x.nation == f.Nation%nations && !x.observer {
			own = append(own, x)
		}
	}
	if len(own) == 0 {
		return nil
	}
	return own[f.Sensor%len(own)]
}

// clock is how far a sensor's clock is off at a moment, and how far it believes it may be, s.
func (x *sensor) clock(at time.Duration) (off, sigma float64, src treaty.TimeSource) {
	if !x.holdover {
		return 1e-6, 2e-6, treaty.TimeGNSS
	}
	return x.skew + x.drift*at.Hours(), 0.004 + 0.010*at.Hours(), treaty.TimeHoldover
}
