package bench

import (
	"fmt"
	"runtime"
	"time"

	"truceline/attribution"
	"truceline/testnet/feed"
	"truceline/treaty"
)

// Solving is what associating and locating cost. Seconds are CPU time of this process, garbage collection included, so
// the figures are for one core however busy the machine is.
type Solving struct {
	Arrivals int `json:"arrivals"`
	Events   int `json:"events"` // found among them
	Happened int `json:"happened"`
	// PerSecond is arrivals associated and located, a second of one core.
	PerSecond float64 `json:"per_second"`
	// Assess is the CPU time of one whole assessment of one event, with its leave-out runs.
	Assess time.Duration `json:"assess_ns"`
}

// String is one line.
func (s Solving) String() string {
	return fmt.Sprintf("associate and locate  %.0f arrivals/s of one core (%d arrivals, %d events found of %d); one assessment %.2f ms",
		s.PerSecond, s.Arrivals, s.Events, s.Happened, ms(s.Assess))
}

// Attribution measures the solver on a made-up hour of a 100 km line with 60 stations and 400 events.
func Attribution() (Solving, error) {
	const nations = 7
	s, err := feed.Rate(7, 400, time.Hour, 60, 100)
	if err != nil {
		return Solving{}, err
	}
	members, _, err := members(nations)
	if err != nil {
		return Solving{}, err
	}
	a, err := s.Accord(members, treaty.TimeOf(s.Start.Add(-time.Hour)))
	if err != nil {
		return Solving{}, err
	}
	net, err := treaty.NewNetwork(a)
	if err != nil {
		return Solving{}, err
	}
	judge, err := attribution.New(attribution.Config{Net: net})
	if err != nil {
		return Solving{}, err
	}
	night, err := s.Play(net.Nations())
	if err != nil {
		return Solving{}, err
	}
	got := Solving{Happened: len(night.Truth)}
	var ev []attribution.Evidence
	for _, k := range net.Nations() {
		for i, d := range night.Feed[k] {
			if d.Detection.Arrival != nil {
				got.Arrivals++
			}
			ev = append(ev, attribution.Evidence{
				Ref: treaty.Ref{Seal: treaty.HashOf([]byte(k)), Index: uint32(i)}, Nation: k, Detection: &d.Detection, Independent: true,
			})
		}
	}
	runtime.GC()
	begin := cpuTime()
	events := judge.Associate(ev)
	used := cpuTime() - begin
	got.Events = len(events)
	if got.Events == 0 || used <= 0 {
		return got, fmt.Errorf("no event found among %d arrivals", got.Arrivals)
	}
	got.PerSecond = float64(got.Arrivals) / used.Seconds()
	begin = cpuTime()
	few := events[:min(50, len(events))]
	for _, e := range few {
		judge.Assess(ev, e)
	}
	got.Assess = (cpuTime() - begin) / time.Duration(len(few))
	return got, nil
}
