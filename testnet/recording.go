package testnet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"time"

	"truceline/sensorio/livefire"
	"truceline/testnet/feed"
	"truceline/treaty"
)

// RecordingConfig is a recording of real sensors to play and where to lay it.
type RecordingConfig struct {
	// Dir is a test's folder, or a folder of such folders that share one set of sensors (a firing position).
	Dir string
	// LineM is how far from the contact line the first test's shooter comes to lie, Party on whose side.
	LineM float64
	Party treaty.Party
	// Spacing lies between the starts of tests, sensor time; 0 is a minute.
	Spacing time.Duration
	// Only keeps every so-many-th test; 0: all.
	Only int
}

// Validate reports all problems.
func (c RecordingConfig) Validate(net *treaty.Network) error {
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New("recording: no folder"))
	}
	if !(c.LineM > 0 && c.LineM <= 100_000) {
		errs = append(errs, fmt.Errorf("recording: %g m from the line: must be more than 0, at most 100,000", c.LineM))
	}
	if side(net, c.Party) == 0 {
		errs = append(errs, fmt.Errorf("recording: %q is no party of the accord: %s or %s", c.Party, net.Accord.Parties[0].Code, net.Accord.Parties[1].Code))
	}
	if c.Spacing < 0 {
		errs = append(errs, errors.New("recording: spacing is negative"))
	}
	return errors.Join(errs...)
}

// side is +1 for who holds the left of the line, -1 for the other, 0 for neither.
func side(net *treaty.Network, p treaty.Party) float64 {
	switch p {
	case net.Accord.Parties[0].Code:
		return 1
	case net.Accord.Parties[1].Code:
		return -1
	}
	return 0
}

// Shot is one shot that was really fired.
type Shot struct {
	Test     string
	Index    int
	Time     treaty.Time // on the sensor clock, when it is played
	Position treaty.Position
}

// Recording plays real sensors' pulses, unassociated, each at its own time, into the nations' nodes, and compares the
// verdicts with the survey.
func (n *Session) Recording(ctx context.Context, c RecordingConfig) (*FireReport, error) {
	if err := c.Validate(n.Net.Net); err != nil {
		return nil, err
	}
	rec, err := livefire.Load(c.Dir)
	if err != nil {
		return nil, err
	}
	if c.Only > 1 {
		rec.Tests = slices.DeleteFunc(slices.Clone(rec.Tests), func(t livefire.Test) bool {
			return slices.IndexFunc(rec.Tests, func(o livefire.Test) bool { return o.Name == t.Name })%c.Only != 0
		})
	}
	plan := livefire.Plan{
		Placement: n.beside(c, rec.Tests[0].Survey.Shooter), Start: n.soon(), Spacing: cmp.Or(c.Spacing, time.Minute), Nations: n.Net.Net.N,
	}
	per, err := rec.Detections(plan)
	if err != nil {
		return nil, err
	}
	play := Playback{}
	for i, k := range n.Net.Net.Nations() {
		for _, d := range per[i] {
			play[k] = append(play[k], feed.Timed{At: d.Time.Value, Detection: d})
		}
	}
	play.sorted()
	shots := truthOf(rec, plan)
	n.Watch.say("%d tests with %d shots: %d pulses and weather reports of %d real sensors, dealt to %d nations; the shooter stands %g m on %s's side of the line",
		len(rec.Tests), len(shots), play.total(), len(rec.Serials()), n.Net.Net.N, c.LineM, c.Party)
	verdicts, err := n.play(ctx, play, plan.Start, play.last())
	if err != nil {
		return nil, err
	}
	r := &FireReport{Name: filepath.Base(filepath.Clean(c.Dir)), Party: c.Party, LineM: c.LineM}
	r.score(len(rec.Tests), shots, Standing(verdicts))
	r.Outcome = n.outcome(ctx, verdicts)
	return r, nil
}

// beside lays the recording abreast of the middle of the line's longest segment.
func (n *Session) beside(c RecordingConfig, shooter livefire.Point) livefire.Placement {
	line := n.Net.Net.Accord.Lines[0].Vertices
	best := 0
	for i := range line[1:] {
		if apart(line[i], line[i+1]) > apart(line[best], line[best+1]) {
			best = i
		}
	}
	anchor := livefire.Beside(line, best, c.LineM*side(n.Net.Net, c.Party), line[best].HAEmm)
	return livefire.Placement{Anchor: anchor, Origin: shooter}
}

// truthOf is when and where each shot was fired: the place is surveyed, the time is the median of what the pulses that a
// person has labelled imply.
func truthOf(rec *livefire.Recording, plan livefire.Plan) []Shot {
	var out []Shot
	for i, t := range rec.Tests {
		if len(t.Pulses) == 0 {
			continue
		}
		shift := plan.Start.Add(time.Duration(i)*plan.Spacing + time.Second).Sub(treaty.TimeOf(t.Pulses[0].Time))
		speed := 331.3 * math.Sqrt(1+t.Weather.TempC/273.15)
		for _, s := range t.Shots {
			var at []treaty.Time
			for _, p := range t.Pulses {
				if !slices.Contains(s.Pulses, p.UUID) {
					continue
				}
				q := t.Survey.Shooter
				r := math.Sqrt((p.Location.X-q.X)*(p.Location.X-q.X) + (p.Location.Y-q.Y)*(p.Location.Y-q.Y) + (p.Location.Z-q.Z)*(p.Location.Z-q.Z))
				at = append(at, treaty.TimeOf(p.Time).Add(shift-time.Duration(r/speed*1e9)))
			}
			if len(at) == 0 {
				continue
			}
			slices.Sort(at)
			out = append(out, Shot{Test: t.Name, Index: s.Index, Time: at[len(at)/2], Position: plan.Placement.Position(t.Survey.Shooter)})
		}
	}
	return out
}

// apart is the distance of two places on the ground, m, exact to a millimetre over kilometres.
func apart(a, b treaty.Position) float64 {
	const axis, ecc2 = 6378137.0, 6.69437999014e-3
	lat := float64(a.LatE7+b.LatE7) / 2 * 1e-7 * math.Pi / 180
	w := 1 - ecc2*math.Sin(lat)*math.Sin(lat)
	north := float64(b.LatE7-a.LatE7) * 1e-7 * math.Pi / 180 * axis * (1 - ecc2) / (w * math.Sqrt(w))
	east := float64(b.LonE7-a.LonE7) * 1e-7 * math.Pi / 180 * axis / math.Sqrt(w) * math.Cos(lat)
	return math.Hypot(east, north)
}
