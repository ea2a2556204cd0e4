package feed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"truceline/testnet/scenarios"
)

// Scenario is one made-up night as a person writes it. scenarios/night.yaml explains every field.
type Scenario struct {
	Name     string        `yaml:"name"`
	Seed     uint64        `yaml:"seed"`
	Start    time.Time     `yaml:"start"`
	Duration time.Duration `yaml:"duration"`
	Terms    Terms         `yaml:"accord"`
	Met      []Met         `yaml:"met"`
	Sensors  Sensors       `yaml:"sensors"`
	Noise    Noise         `yaml:"noise"`
	Events   []EventSpec   `yaml:"events"`
	Faults   []Fault       `yaml:"faults"`
	Links    []Link        `yaml:"links"`
}

// Place is a point in degrees.
type Place struct {
	Lat float64 `yaml:"lat"`
	Lon float64 `yaml:"lon"`
}

// PartySpec is a side of the conflict.
type PartySpec struct {
	Code string `yaml:"code"`
	Name string `yaml:"name"`
}

// ZoneSpec is an exercise zone as a box along the line.
type ZoneSpec struct {
	ID      string     `yaml:"id"`
	Name    string     `yaml:"name"`
	Side    string     `yaml:"side"`
	AlongKm [2]float64 `yaml:"along_km"`
	DepthKm [2]float64 `yaml:"depth_km"`
}

// Terms is what the accord says about the land.
type Terms struct {
	Name          string       `yaml:"name"`
	Origin        string       `yaml:"origin"`
	Place         Place        `yaml:"place"`
	HeightM       float64      `yaml:"height_m"`
	Parties       []PartySpec  `yaml:"parties"`
	LineSigmaM    float64      `yaml:"line_sigma_m"`
	LineKm        [][2]float64 `yaml:"line_km"`
	CeasefireKm   float64      `yaml:"ceasefire_km"`
	WithdrawalKm  float64      `yaml:"withdrawal_km"`
	ExerciseZones []ZoneSpec   `yaml:"exercise_zones"`
}

// Sensors says how many of what there are.
type Sensors struct {
	Acoustic       int           `yaml:"acoustic"`
	LeastPerNation int           `yaml:"least_per_nation"`
	DepthKm        [2]float64    `yaml:"depth_km"`
	Arrays         int           `yaml:"arrays"`
	Observers      int           `yaml:"observers"`
	SurveySigmaM   float64       `yaml:"survey_sigma_m"`
	Holdover       int           `yaml:"holdover"`
	StatusEvery    time.Duration `yaml:"status_every"`
}

// Noise is what the sensors report beside the events.
type Noise struct {
	FalsePerHour float64 `yaml:"false_per_hour"`
	Gusts        int     `yaml:"gusts"`
	Convoys      int     `yaml:"convoys"`
	Echo         float64 `yaml:"echo"`
	Late         float64 `yaml:"late"`
}

// EventSpec is one thing that happens, or several rounds of it.
type EventSpec struct {
	ID      string        `yaml:"id"`
	Kind    Kind          `yaml:"kind"`
	Side    string        `yaml:"side"`
	At      time.Duration `yaml:"at"`
	AlongKm float64       `yaml:"along_km"`
	OffM    float64       `yaml:"off_m"`
	Rounds  int           `yaml:"rounds"`
	Every   time.Duration `yaml:"every"`
	// Impact is where the rounds land: on the other side, so many metres beyond the line. 0: unheard.
	ImpactAlongKm float64 `yaml:"impact_along_km"`
	ImpactOffM    float64 `yaml:"impact_off_m"`
	// Seen: a satellite passes over so long after and sees the heat. 0: none does.
	Seen time.Duration `yaml:"seen"`
}

// FaultKind is what goes wrong with a nation's sensors.
type FaultKind string

// The faults.
const (
	FaultSilent  FaultKind = "silent"  // nothing is taken in; a gap is reported afterwards
	FaultBacklog FaultKind = "backlog" // everything is taken in at the end, with its own times
	FaultClock   FaultKind = "clock"   // one sensor's clock is off by By, and does not know it
	FaultDog     FaultKind = "dog"     // one sensor picks at nothing, twice a minute
)

// Fault is something that goes wrong from From to To.
type Fault struct {
	Kind   FaultKind     `yaml:"kind"`
	Nation int           `yaml:"nation"`
	Sensor int           `yaml:"sensor"`
	From   time.Duration `yaml:"from"`
	To     time.Duration `yaml:"to"`
	By     time.Duration `yaml:"by"`
}

// Link is a note to whoever runs the network: the feed does nothing about it.
type Link struct {
	At     time.Duration `yaml:"at"`
	Until  time.Duration `yaml:"until"`
	Nation int           `yaml:"nation"`
	Do     string        `yaml:"do"` // cut, kill, stop
}

// maxScenario bounds a scenario file: 1,000 events of 200 bytes.
const maxScenario = 256 << 10

// Parse reads a scenario strictly: an unknown field is a problem, and all problems are listed.
func Parse(b []byte) (*Scenario, error) {
	if len(b) > maxScenario {
		return nil, fmt.Errorf("scenario: %d bytes, at most %d", len(b), maxScenario)
	}
	s := new(Scenario)
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	var p problems
	var types *yaml.TypeError
	switch err := d.Decode(s); {
	case errors.As(err, &types):
		p = append(p, types.Errors...)
	case errors.Is(err, io.EOF):
		return nil, errors.New("scenario: the file is empty")
	case err != nil:
		return nil, fmt.Errorf("scenario: %w", err)
	}
	if err := d.Decode(new(Scenario)); !errors.Is(err, io.EOF) {
		p.bad(true, "one document a file, there are more")
	}
	s.check(&p)
	if err := p.err(); err != nil {
		return nil, err
	}
	return s, nil
}

// Builtin reads a scenario of package scenarios.
func Builtin(name string) (*Scenario, error) {
	b, err := scenarios.Get(name)
	if err != nil {
		return nil, err
	}
	return Parse(b)
}

// Default is the night a demo plays.
func Default() *Scenario {
	s, err := Builtin(scenarios.Default)
	if err != nil {
		panic(err) // the file is built in and a test reads it
	}
	return s
}

// problems collects what is wrong, so that a person mends a file once.
type problems []string

func (p *problems) bad(is bool, format string, args ...any) {
	if is {
		*p = append(*p, fmt.Sprintf(format, args...))
	}
}

func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return fmt.Errorf("scenario: mend these and start again:\n  %s", strings.Join(p, "\n  "))
}
