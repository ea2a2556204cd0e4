package feed

import (
	"fmt"
	"time"
)

// Rate is a scenario for tests and benchmarks of an associator: perHour events an hour, of all weapons on both sides,
// over a line of km kilometres with so many stations. Nothing goes wrong in it beyond what sensors always do.
func Rate(seed uint64, perHour float64, length time.Duration, stations int, km float64) (*Scenario, error) {
	s := Default()
	s.Name, s.Seed, s.Duration = fmt.Sprintf("rate-%g", perHour), seed, length
	s.Sensors.Acoustic, s.Sensors.LeastPerNation, s.Sensors.Arrays, s.Sensors.Observers, s.Sensors.Holdover = stations, 0, 0, 0, 0
	s.Faults, s.Links, s.Events, s.Terms.ExerciseZones = nil, nil, nil, nil
	s.Noise = Noise{FalsePerHour: 6, Echo: 0.03, Late: 0.05}
	s.Met = s.Met[:1]
	s.Terms.LineKm = nil
	for x := -km / 2; x < km/2; x += 5 {
		s.Terms.LineKm = append(s.Terms.LineKm, [2]float64{x, float64(len(s.Terms.LineKm)%3) * 0.6})
	}
	s.Terms.LineKm = append(s.Terms.LineKm, [2]float64{km / 2, 0})
	rng := s.stream("rate")
	weapons := []Kind{KindArtillery, KindArtillery, KindMortar, KindMortar, KindRocket, KindSmallArms}
	along := lineLength(s.Terms.LineKm)
	if perHour > 0 {
		gap := float64(time.Hour) / perHour
		for at := rng.ExpFloat64() * gap; at < float64(length-time.Minute); at += rng.ExpFloat64() * gap {
			s.Events = append(s.Events, EventSpec{
				ID: fmt.Sprintf("r%d", len(s.Events)+1), Kind: weapons[rng.IntN(len(weapons))],
				Side: s.Terms.Parties[rng.IntN(2)].Code, At: time.Duration(at),
				AlongKm: along * rng.Float64(), OffM: 400 + 5000*rng.Float64(),
			})
		}
	}
	return s, s.Check()
}
