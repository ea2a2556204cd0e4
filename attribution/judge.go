package attribution

import (
	"errors"
	"fmt"

	"truceline/treaty"
)

// Method names this code and its default parameters in every assessment.
const Method = "truceline/attribution/1"

// Evidence is one detection with its place in the ledger.
type Evidence struct {
	Ref       treaty.Ref // the record id of the seal, and the index in its batch
	Nation    treaty.Nation
	Detection *treaty.Detection
	// Independent says that the batch was sealed before anybody could have copied it.
	Independent bool
}

// Params are the physical constants of the method. None is fitted to a recording.
type Params struct {
	// PathSigma is what walls, crowns and slopes add to a travel time, seconds: a detour of about 2.7 m.
	PathSigma float64
	// Turbulence is the 1-sigma fluctuation of a travel time, as a part of it.
	Turbulence float64
	// SpeedSigma and WindSigma (m/s) are the priors of the air without weather data, the Met ones with it.
	SpeedSigma, WindSigma       float64
	MetSpeedSigma, MetWindSigma float64
	// StillWindSigma is the wind prior where stations report weather and no wind.
	StillWindSigma float64
	// Temperature is what is assumed without weather data, degrees Celsius.
	Temperature float64
	// HearingRange is how far a sensor that does not say so hears a gun, metres.
	HearingRange float64
	// NationCap is the most nats that one nation's sensors can add to an event, QuietCap the most its silence takes away.
	NationCap, QuietCap float64
	// AcceptScore is the posterior log odds from which on a set of arrivals is an event. LookScore is the same for an
	// assessment, which does not look everywhere but for one event that was found already.
	AcceptScore, LookScore float64
	// EventRate is the prior rate of events, per square metre and second: 5 per square kilometre and hour.
	EventRate float64
	// MaxEvents bounds what one call returns.
	MaxEvents int
}

// DefaultParams are what a node uses.
func DefaultParams() Params {
	return Params{
		PathSigma: 0.008, Turbulence: 0.003,
		SpeedSigma: 0.01, WindSigma: 3, MetSpeedSigma: 0.004, MetWindSigma: 1.5, StillWindSigma: 2, Temperature: 10,
		HearingRange: 15_000, NationCap: 14, QuietCap: 2,
		AcceptScore: 6, LookScore: 2.5, EventRate: 5e-6 / 3600, MaxEvents: 4096,
	}
}

func (p Params) validate() error {
	var errs []error
	for _, v := range []struct {
		name         string
		v, low, high float64
	}{
		{"PathSigma", p.PathSigma, 1e-4, 1},
		{"Turbulence", p.Turbulence, 0, 0.1},
		{"SpeedSigma", p.SpeedSigma, 1e-4, 0.1},
		{"WindSigma", p.WindSigma, 0.01, 30},
		{"MetSpeedSigma", p.MetSpeedSigma, 1e-4, 0.1},
		{"MetWindSigma", p.MetWindSigma, 0.01, 30},
		{"StillWindSigma", p.StillWindSigma, 0.01, 30},
		{"Temperature", p.Temperature, -60, 60},
		{"HearingRange", p.HearingRange, 100, 50_000},
		{"NationCap", p.NationCap, 1, 100},
		{"QuietCap", p.QuietCap, 0, 100},
		{"AcceptScore", p.AcceptScore, -10, 100},
		{"LookScore", p.LookScore, -10, 100},
		{"EventRate", p.EventRate, 1e-18, 1},
		{"MaxEvents", float64(p.MaxEvents), 1, 1 << 20},
	} {
		if !(v.v >= v.low && v.v <= v.high) {
			errs = append(errs, fmt.Errorf("%s is %g, must be %g to %g", v.name, v.v, v.low, v.high))
		}
	}
	return errors.Join(errs...)
}

// Config is what a Judge needs: the accord, and the method's constants (zero: the defaults).
type Config struct {
	Net    *treaty.Network
	Params Params
}

// Validate reports everything that is wrong.
func (c Config) Validate() error {
	if c.Net == nil {
		return errors.New("attribution: Net is missing: pass the network made from the accord")
	}
	p := c.Params
	if p == (Params{}) {
		p = DefaultParams()
	}
	if err := p.validate(); err != nil {
		return fmt.Errorf("attribution parameters: %w", err)
	}
	return nil
}

// Judge computes events and assessments under one accord. It is immutable and safe for concurrent use.
type Judge struct {
	net    *treaty.Network
	accord *treaty.Accord
	p      Params
	lines  [][]vec // vertices of accord.Lines, earth-centred
	rings  [][]vec // vertices of accord.Zones, earth-centred
	zones  map[string]int
}

// New checks cfg and prepares the accord's geometry.
func New(cfg Config) (*Judge, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Params == (Params{}) {
		cfg.Params = DefaultParams()
	}
	a := cfg.Net.Accord
	j := &Judge{net: cfg.Net, accord: a, p: cfg.Params, zones: map[string]int{}}
	for _, l := range a.Lines {
		j.lines = append(j.lines, ecefAll(l.Vertices))
	}
	for i, z := range a.Zones {
		j.rings = append(j.rings, ecefAll(z.Ring))
		j.zones[z.ID] = i
	}
	return j, nil
}

// maxStep is how long a drawn stretch may be before it is divided, in 1e-7 degree: 2 km of latitude. GeoJSON (RFC 7946
// 3.1.1) draws lines straight in longitude and latitude; over 2 km that differs from straight on the ground by less
// than 0.2 m at 60 degrees, over 150 km by half a kilometre.
const maxStep = 180_000

// ecefAll converts the vertices of a line or ring, dividing long stretches.
func ecefAll(ps []treaty.Position) []vec {
	out := make([]vec, 0, len(ps))
	for i, p := range ps {
		if i > 0 {
			q := ps[i-1]
			dLat, dLon := p.LatE7-q.LatE7, p.LonE7-q.LonE7
			n := max(dLat, -dLat, dLon, -dLon)/maxStep + 1
			for k := int64(1); k < n; k++ {
				out = append(out, ecef(treaty.Position{LatE7: q.LatE7 + int64(dLat*k)/n, LonE7: q.LonE7 + int64(dLon*k)/n}))
			}
		}
		out = append(out, ecef(treaty.Position{LatE7: p.LatE7, LonE7: p.LonE7}))
	}
	return out
}

// usable says whether a detection may count under this accord: only the real world, except in an exercise.
func (j *Judge) usable(d *treaty.Detection) bool {
	return d.Mode == treaty.ModeReal || j.accord.Exercise && d.Mode != treaty.ModeTest
}
