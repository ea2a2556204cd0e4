package feed

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"truceline/treaty"
)

// Timed is a detection and the moment at which its nation's node takes it in.
type Timed struct {
	At        treaty.Time
	Detection treaty.Detection
}

// Night is what happened and what was reported.
type Night struct {
	Truth []Event // by time
	// Feed is by At. Every nation has a key. Times are the sensors' own: a clock that is off may even claim a time
	// after At.
	Feed map[treaty.Nation][]Timed
	// Ends is when the last report has come in, not before the scenario's end.
	Ends treaty.Time
}

// player is a night in the making.
type player struct {
	s       *Scenario
	nations int
	sensors []*sensor
	line    []treaty.Position
	out     []report
	truth   []Event
}

// report is a detection on its way to its node. real is when it truly happened, in the night's time.
type report struct {
	x    *sensor
	real time.Duration
	at   time.Duration
	d    treaty.Detection
}

// Play makes the night up for a roster of 4 to 40 nations.
func (s *Scenario) Play(nations []treaty.Nation) (*Night, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	if len(nations) < treaty.MinNations || len(nations) > treaty.MaxNations {
		return nil, fmt.Errorf("play scenario %s: %d nations, must be %d to %d", s.Name, len(nations), treaty.MinNations, treaty.MaxNations)
	}
	names := slices.Clone(nations)
	slices.Sort(names)
	for i, n := range names {
		if !n.Valid() || i > 0 && n == names[i-1] {
			return nil, fmt.Errorf("play scenario %s: nation %q is no alpha-3 code or named twice", s.Name, n)
		}
	}
	p := &player{s: s, nations: len(names), sensors: s.place(len(names)), line: s.Terms.line()}
	for _, e := range s.Events {
		p.event(e)
	}
	p.falsePicks()
	p.gusts()
	p.convoys()
	p.statuses()
	p.faults()
	return p.night(names), nil
}

// time turns the night's time into the world's.
func (p *player) time(d time.Duration) treaty.Time { return treaty.TimeOf(p.s.Start.Add(d)) }

func (p *player) night(names []treaty.Nation) *Night {
	n := &Night{Truth: p.truth, Feed: map[treaty.Nation][]Timed{}, Ends: p.time(p.s.Duration)}
	slices.SortStableFunc(n.Truth, func(a, b Event) int { return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.ID, b.ID)) })
	slices.SortStableFunc(p.out, func(a, b report) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.d.Time.Value, b.d.Time.Value), cmp.Compare(a.d.Sensor, b.d.Sensor))
	})
	for _, k := range names {
		n.Feed[k] = nil
	}
	serial := map[treaty.SensorID]int{}
	for _, r := range p.out {
		// Numbered as its node sees them come, so that the id tells nothing about the truth.
		serial[r.d.Sensor]++
		r.d.NativeID = fmt.Sprintf("%s/%d", r.d.Sensor, serial[r.d.Sensor])
		at := p.time(r.at)
		n.Feed[names[r.x.nation]] = append(n.Feed[names[r.x.nation]], Timed{At: at, Detection: r.d})
		n.Ends = max(n.Ends, at)
	}
	return n
}

// silent says whether a nation takes nothing in at that moment.
func (p *player) silent(nation int, at time.Duration) bool {
	for _, f := range p.s.Faults {
		if f.Kind == FaultSilent && f.Nation%p.nations == nation && at >= f.From && at < f.To {
			return true
		}
	}
	return false
}

func (p *player) faults() {
	for _, f := range p.s.Faults {
		hit := f.Nation % p.nations
		switch f.Kind {
		case FaultSilent:
			p.out = slices.DeleteFunc(p.out, func(r report) bool {
				return r.x.nation == hit && r.at >= f.From && r.at < f.To
			})
			for _, x := range p.sensors {
				if x.nation != hit {
					continue
				}
				d := p.base(x, f.To, 1e-3)
				d.Class = treaty.ClassOther
				d.Gap = &treaty.Gap{Begin: p.time(f.From), End: p.time(f.To), Cause: "link to the sensor lost"}
				p.out = append(p.out, report{x, f.To, f.To + time.Second, d})
			}
		case FaultBacklog:
			for i := range p.out {
				if r := &p.out[i]; r.x.nation == hit && r.at >= f.From && r.at < f.To {
					r.at = f.To + (r.at-f.From)/100 // a backlog is read a hundred times as fast
				}
			}
		case FaultClock:
			x := p.s.faulty(p.sensors, p.nations, f)
			for i := range p.out {
				if r := &p.out[i]; r.x == x && r.real >= f.From && r.real < f.To {
					r.d.Time.Value = r.d.Time.Value.Add(f.By)
				}
			}
		}
	}
}
