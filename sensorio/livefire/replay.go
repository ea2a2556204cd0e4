package livefire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"truceline/sensorio"
	"truceline/treaty"
)

// Plan says where and when a recording is played.
type Plan struct {
	Placement Placement
	// Start is when the first test begins: its first pulse comes one second later.
	Start treaty.Time
	// Spacing lies between the starts of tests; 0 keeps the recording's own, which are minutes.
	Spacing time.Duration
	// Nations is how many the sensors are dealt to.
	Nations int
}

// lead is how long before a test's first pulse its weather comes.
const lead = time.Second

// message is one message of a replay, with when it is due.
type message struct {
	at  treaty.Time
	raw []byte
}

// messages are what the sensors of one nation send, by time.
func (r *Recording) messages(p Plan, nation int) ([]message, error) {
	if p.Nations < 1 || nation < 0 || nation >= p.Nations {
		return nil, fmt.Errorf("recording: nation %d of %d", nation, p.Nations)
	}
	deal := r.Deal(p.Nations)
	var out []message
	var begin time.Time
	for i, t := range r.Tests {
		if len(t.Pulses) == 0 {
			continue
		}
		if begin.IsZero() {
			begin = t.Pulses[0].Time
		}
		start := p.Start.Add(time.Duration(i) * p.Spacing)
		if p.Spacing == 0 {
			start = p.Start.Add(t.Pulses[0].Time.Sub(begin))
		}
		shift := start.Add(lead) - treaty.TimeOf(t.Pulses[0].Time)
		put := func(e envelope, at time.Time) error {
			e.Placement, e.ShiftNs = p.Placement, int64(shift)
			b, err := json.Marshal(e)
			if err != nil {
				return fmt.Errorf("recording: %s: %w", t.Name, err)
			}
			out = append(out, message{treaty.TimeOf(at) + shift, b})
			return nil
		}
		told := map[string]bool{}
		for _, q := range t.Pulses {
			if deal[q.Serial] != nation {
				continue
			}
			if !told[q.Serial] && t.Weather.raw != nil {
				told[q.Serial] = true
				at := t.Pulses[0].Time.Add(-lead)
				if err := put(envelope{Weather: t.Weather.raw, Serial: q.Serial, At: at, Where: &q.Location}, at); err != nil {
					return nil, err
				}
			}
			if err := put(envelope{Pulse: q.raw}, q.Time); err != nil {
				return nil, err
			}
		}
	}
	slices.SortStableFunc(out, func(a, b message) int {
		switch {
		case a.at < b.at:
			return -1
		case a.at > b.at:
			return 1
		}
		return strings.Compare(string(a.raw), string(b.raw))
	})
	return out, nil
}

// Detections are what each nation's node takes in when the recording is played, by time: for tests and solvers that need
// no network.
func (r *Recording) Detections(p Plan) ([][]treaty.Detection, error) {
	out := make([][]treaty.Detection, p.Nations)
	for n := range out {
		ms, err := r.messages(p, n)
		if err != nil {
			return nil, err
		}
		for _, m := range ms {
			ds, err := Decoder{}.Decode(sensorio.Raw{Bytes: m.raw})
			if err != nil {
				return nil, err
			}
			out[n] = append(out[n], ds...)
		}
	}
	return out, nil
}

// Source plays one nation's part of a recording on the sensor clock.
type Source struct {
	ms    []message
	clock *sensorio.Clock
	next  int
}

// NewSource makes a source for nation 0 to plan.Nations-1.
func NewSource(r *Recording, plan Plan, nation int, clock *sensorio.Clock) (*Source, error) {
	if clock == nil {
		return nil, errors.New("recording: no clock")
	}
	ms, err := r.messages(plan, nation)
	return &Source{ms: ms, clock: clock}, err
}

// Config is the source's configuration for the intake: a replay, whatever it says.
func (s *Source) Config(id string) sensorio.SourceConfig {
	return sensorio.SourceConfig{ID: id, Source: s, Decoder: Decoder{}, Replay: true, Trust: treaty.TrustManual}
}

// Connect does nothing; a recording is there.
func (s *Source) Connect(context.Context) error { return nil }

// Read waits until the next message is due.
func (s *Source) Read(ctx context.Context) (sensorio.Raw, sensorio.Ack, error) {
	if s.next == len(s.ms) {
		return sensorio.Raw{}, nil, sensorio.ErrEnd
	}
	m := s.ms[s.next]
	if err := s.clock.SleepUntil(ctx, m.at); err != nil {
		return sensorio.Raw{}, nil, err
	}
	s.next++
	return sensorio.Raw{Peer: "recording", MediaType: MediaType, Bytes: m.raw}, nil, nil
}

// Close does nothing.
func (s *Source) Close() error { return nil }
