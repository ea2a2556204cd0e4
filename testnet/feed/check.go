package feed

import (
	"math"
	"time"
)

// Check reports everything that is wrong with a scenario.
func (s *Scenario) Check() error {
	var p problems
	s.check(&p)
	return p.err()
}

func within(v, low, high float64) bool { return v >= low && v <= high } // false for NaN

func (p *problems) number(name string, v, low, high float64) {
	p.bad(!within(v, low, high), "%s is %g, must be %g to %g", name, v, low, high)
}

func (s *Scenario) check(p *problems) {
	p.bad(s.Name == "", "name is missing")
	p.bad(s.Start.Year() < 1971 || s.Start.Year() > 2100, "start %s must lie in 1971 to 2100", s.Start)
	p.bad(s.Duration < time.Minute || s.Duration > 24*time.Hour, "duration is %s, must be 1m to 24h", s.Duration)
	s.Terms.check(p)
	s.checkMet(p)
	y := s.Sensors
	p.number("sensors.acoustic", float64(y.Acoustic), 4, 1000)
	p.number("sensors.least_per_nation", float64(y.LeastPerNation), 0, 50)
	p.number("sensors.depth_km[0]", y.DepthKm[0], 0, 50)
	p.number("sensors.depth_km[1]", y.DepthKm[1], y.DepthKm[0], 50)
	p.number("sensors.arrays", float64(y.Arrays), 0, 100)
	p.number("sensors.observers", float64(y.Observers), 0, 100)
	p.number("sensors.survey_sigma_m", y.SurveySigmaM, 0.1, 1000)
	p.number("sensors.holdover", float64(y.Holdover), 0, float64(y.Acoustic))
	p.bad(y.StatusEvery < 10*time.Second, "sensors.status_every is %s, must be 10s or more", y.StatusEvery)
	p.number("noise.false_per_hour", s.Noise.FalsePerHour, 0, 1000)
	p.number("noise.gusts", float64(s.Noise.Gusts), 0, 1000)
	p.number("noise.convoys", float64(s.Noise.Convoys), 0, 100)
	p.number("noise.echo", s.Noise.Echo, 0, 1)
	p.number("noise.late", s.Noise.Late, 0, 1)
	s.checkEvents(p)
	// What a night of this size costs to make up; about a minute at the limit.
	p.number("noise.false_per_hour times sensors and hours", s.Noise.FalsePerHour*float64(y.Acoustic)*s.Duration.Hours(), 0, 1e6)
	p.bad(len(s.Faults) > 1000 || len(s.Links) > 1000, "%d faults and %d links, at most 1000 each", len(s.Faults), len(s.Links))
	for i, f := range s.Faults {
		switch f.Kind {
		case FaultSilent, FaultBacklog, FaultDog:
		case FaultClock:
			p.bad(f.By == 0 || f.By.Abs() > time.Hour, "fault %d: by is %s, must be up to an hour and not 0", i, f.By)
		default:
			p.bad(true, "fault %d: kind %q: use one of silent, backlog, clock, dog", i, f.Kind)
		}
		p.bad(f.Nation < 0 || f.Sensor < 0, "fault %d: nation and sensor count from 0", i)
		p.bad(f.From < 0 || f.To <= f.From || f.To > 24*time.Hour, "fault %d: from %s to %s is no span of time", i, f.From, f.To)
	}
	for i, l := range s.Links {
		p.bad(l.At < 0 || l.Until <= l.At, "link %d: at %s until %s is no span of time", i, l.At, l.Until)
		p.bad(l.Nation < 0, "link %d: nation counts from 0", i)
		p.bad(l.Do != "cut" && l.Do != "kill" && l.Do != "stop", "link %d: do %q: use one of cut, kill, stop", i, l.Do)
	}
}

func (t *Terms) check(p *problems) {
	p.bad(t.Name == "" || t.Origin == "", "accord: name and origin are needed")
	p.number("accord.place.lat", t.Place.Lat, -80, 80)
	p.number("accord.place.lon", t.Place.Lon, -179, 179)
	p.number("accord.height_m", t.HeightM, -400, 8000)
	p.bad(len(t.Parties) != 2, "accord: %d parties, must be 2", len(t.Parties))
	for i, q := range t.Parties {
		p.bad(q.Code == "" || q.Name == "" || i > 0 && q.Code == t.Parties[0].Code,
			"accord: party %d needs a code of its own and a name", i)
	}
	p.number("accord.line_sigma_m", t.LineSigmaM, 1, 10_000)
	p.number("accord.ceasefire_km", t.CeasefireKm, 0.1, 900)
	p.number("accord.withdrawal_km", t.WithdrawalKm, 0.1, 900)
	p.bad(len(t.LineKm) < 2 || len(t.LineKm) > 1000, "accord: line_km has %d vertices, must be 2 to 1000", len(t.LineKm))
	for i, v := range t.LineKm {
		p.bad(!within(v[0], -200, 200) || !within(v[1], -200, 200), "accord: line_km %d is not within 200 km of place", i)
		p.bad(i > 0 && math.Hypot(v[0]-t.LineKm[i-1][0], v[1]-t.LineKm[i-1][1]) < 0.1,
			"accord: line_km %d is less than 100 m from the one before", i)
	}
	seen := map[string]bool{}
	for _, z := range t.ExerciseZones {
		p.bad(z.ID == "" || z.Name == "" || seen[z.ID], "accord: exercise zone %q needs an id of its own and a name", z.ID)
		seen[z.ID] = true
		p.bad(t.side(z.Side) < 0, "accord: exercise zone %q: side %q is no party", z.ID, z.Side)
		p.bad(!span(z.AlongKm, lineLength(t.LineKm)) || !span(z.DepthKm, 100),
			"accord: exercise zone %q: along_km and depth_km are from, to; along the line and within 100 km of it", z.ID)
	}
}

func span(v [2]float64, high float64) bool {
	return within(v[0], 0, high) && within(v[1], 0, high) && v[0] < v[1]
}

// side is 0 for the party left of the line, 1 for the right, -1 for nobody.
func (t *Terms) side(code string) int {
	for i, q := range t.Parties {
		if q.Code == code && i < 2 {
			return i
		}
	}
	return -1
}

func (s *Scenario) checkMet(p *problems) {
	p.bad(len(s.Met) == 0 || s.Met[0].At != 0, "met: the first entry is at 0")
	for i, m := range s.Met {
		p.bad(i > 0 && m.At <= s.Met[i-1].At, "met %d: at %s is not after the entry before", i, m.At)
		p.bad(!within(m.TempC, -60, 60), "met %d: temp_c %g", i, m.TempC)
		p.bad(!within(m.WindMS, 0, 30), "met %d: wind_ms %g, must be 0 to 30", i, m.WindMS)
		p.bad(!within(m.WindFromDeg, 0, 360), "met %d: wind_from_deg %g, must be 0 to 360", i, m.WindFromDeg)
		p.bad(!within(m.Shear, 0, 0.6), "met %d: shear %g, must be 0 to 0.6", i, m.Shear)
		p.bad(!within(m.VeerDeg, -30, 30), "met %d: veer_deg %g, must be -30 to 30", i, m.VeerDeg)
		p.bad(!within(m.InversionK, 0, 15), "met %d: inversion_k %g, must be 0 to 15", i, m.InversionK)
		p.bad(m.InversionK > 0 && !within(m.InversionM, 10, 500), "met %d: inversion_m %g, must be 10 to 500", i, m.InversionM)
	}
}

func (s *Scenario) checkEvents(p *problems) {
	rounds := 0
	for _, e := range s.Events {
		rounds += min(max(1, e.Rounds), 5000)
	}
	p.bad(rounds > 5000, "%d events and rounds, at most 5000", rounds)
	seen := map[string]bool{}
	length := lineLength(s.Terms.LineKm)
	for i, e := range s.Events {
		_, known := kinds[e.Kind]
		p.bad(e.ID == "" || len(e.ID) > 16 || seen[e.ID], "event %d: id %q is missing, too long or used twice", i, e.ID)
		seen[e.ID] = true
		p.bad(!known || e.Kind == KindImpact, "event %s: kind %q: use one of artillery, mortar, rocket, small-arms, quarry, thunder", e.ID, e.Kind)
		p.bad(s.Terms.side(e.Side) < 0, "event %s: side %q is no party", e.ID, e.Side)
		p.bad(e.At < 0 || e.At > s.Duration, "event %s: at %s is outside the night", e.ID, e.At)
		p.bad(!within(e.AlongKm, 0, length), "event %s: along_km %g is outside the line (0 to %.1f)", e.ID, e.AlongKm, length)
		p.bad(!within(e.OffM, 1, 100_000), "event %s: off_m %g, must be 1 to 100000", e.ID, e.OffM)
		p.bad(e.Rounds < 0 || e.Rounds > 100, "event %s: rounds %d, must be up to 100", e.ID, e.Rounds)
		p.bad(e.Rounds > 1 && e.Every < time.Second, "event %s: rounds need every, 1s or more", e.ID)
		p.bad(!within(e.ImpactAlongKm, 0, length) || !within(e.ImpactOffM, 0, 100_000), "event %s: impact is off the map", e.ID)
		p.bad(e.Seen < 0 || e.Seen > s.Duration, "event %s: seen %s is outside the night", e.ID, e.Seen)
	}
}

func lineLength(v [][2]float64) float64 {
	sum := 0.0
	for i := 1; i < len(v); i++ {
		sum += math.Hypot(v[i][0]-v[i-1][0], v[i][1]-v[i-1][1])
	}
	return sum
}
