// Package livefire replays recordings of a live-fire test: pulses that real acoustic sensors reported, the surveyed place
// of the shooter, and the weather, in local metres.
//
// A folder holds test_NNN.allpulses.json, .survey.json, .weather.json and .nlos-tuples.json (a human's labels of which
// pulse belongs to which shot: for measuring results, never given to the network). Load reads one such folder or a folder
// of them.
//
// What becomes of a pulse, and why:
//
//   - Mode REPLAY, always. Class SHOT with a confidence that rises with the signal to noise ratio from 0.05 at 3 dB to 0.9
//     at 20 dB: the devices report any impulsive sound and mean gunshots by it, and most weak pulses are clutter. Phase
//     unknown: they do not say which wave they heard.
//   - Time sigma 1 ms: rounding to 1 ms (0.29 ms, uniform) and up to a millisecond of the sensor's clock. What walls and
//     wind do to the path is the solver's business.
//   - Heights keep their differences: the local origin's height is arbitrary, so z of the Placement's origin becomes the
//     anchor's height.
//   - Weather becomes one SensorStatus per sensor, a second before its test: the folders give degrees Celsius, and a wind
//     speed without a unit that is taken for m/s from true north (it is 0 in all files seen). It was measured at an
//     airport kilometres away, so the wind's direction carries 30 degrees of uncertainty.
//
// It promises that local distances keep to 1e-7 degree (11 mm) when laid on the ellipsoid, and that the same sensors go to
// the same nations every time. It does not judge, filter or use the labels.
package livefire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"truceline/treaty"
)

// Point is a place in local metres: x east, y north, z up.
type Point struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
	Z float64 `json:"z"`
}

// Pulse is one impulsive sound at one sensor.
type Pulse struct {
	UUID     string    `json:"pulse_uuid"`
	Serial   string    `json:"serial_number"`
	Time     time.Time `json:"arrival_time_utc"`
	Location Point     `json:"location"`
	Error    float64   `json:"location_error"` // metres
	SNR      float64   `json:"signal_to_noise_dB"`
	Level    float64   `json:"power_dB_SPL"`

	raw json.RawMessage // as the folder has it
}

// Weather is a station's report.
type Weather struct {
	TempC float64   `json:"temperature"`
	Speed float64   `json:"speed"`
	From  float64   `json:"direction"` // degrees
	Time  time.Time `json:"observation_time"`
	At    string    `json:"source"`

	raw json.RawMessage
}

// Survey is what really happened.
type Survey struct {
	ID       int    `json:"test_id"`
	Position string `json:"firing_position"`
	Rounds   int    `json:"num_rounds"`
	Firearm  string `json:"firearm"`
	Shooter  Point  `json:"survey_location"`
}

// Shot is the labels of one shot: the pulses that belong to it.
type Shot struct {
	Index  int      `json:"shot_index"`
	Pulses []string `json:"pulse_uuids"`
}

// Test is one test folder.
type Test struct {
	Name    string
	Survey  Survey
	Weather Weather
	Shots   []Shot
	Pulses  []Pulse // by time, then serial number and id
}

// Recording is one or more tests, by name.
type Recording struct{ Tests []Test }

const (
	maxFile   = 16 << 20
	maxTests  = 1000
	maxPulses = 100_000
)

// Load reads a test folder, or a folder of test folders.
func Load(dir string) (*Recording, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	rec := &Recording{}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".allpulses.json") {
			t, err := loadTest(dir, strings.TrimSuffix(e.Name(), ".allpulses.json"))
			if err != nil {
				return nil, err
			}
			rec.Tests = append(rec.Tests, *t)
		}
	}
	if len(rec.Tests) > 0 {
		return rec, nil
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		sub := filepath.Join(dir, e.Name())
		if _, err := os.Stat(filepath.Join(sub, e.Name()+".allpulses.json")); err != nil {
			continue
		}
		if len(rec.Tests) == maxTests {
			return nil, fmt.Errorf("recording: %s holds more than %d tests", dir, maxTests)
		}
		t, err := loadTest(sub, e.Name())
		if err != nil {
			return nil, err
		}
		rec.Tests = append(rec.Tests, *t)
	}
	if len(rec.Tests) == 0 {
		return nil, fmt.Errorf("recording: no NAME.allpulses.json in %s or in a folder NAME below it", dir)
	}
	return rec, nil
}

func loadTest(dir, name string) (*Test, error) {
	t := &Test{Name: name}
	var raws []json.RawMessage
	if _, err := load(dir, name+".allpulses.json", &raws); err != nil {
		return nil, err
	}
	if len(raws) > maxPulses {
		return nil, fmt.Errorf("recording: %s has %d pulses, at most %d", name, len(raws), maxPulses)
	}
	for i, raw := range raws {
		p := Pulse{raw: compact(raw)}
		if err := json.Unmarshal(raw, &p); err != nil {
			return nil, fmt.Errorf("recording: %s, pulse %d: %w", name, i, err)
		}
		t.Pulses = append(t.Pulses, p)
	}
	slices.SortStableFunc(t.Pulses, func(a, b Pulse) int {
		if c := a.Time.Compare(b.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Serial+a.UUID, b.Serial+b.UUID)
	})
	if _, err := load(dir, name+".survey.json", &t.Survey); err != nil {
		return nil, err
	}
	raw, err := load(dir, name+".weather.json", &t.Weather)
	if err != nil {
		return nil, err
	}
	t.Weather.raw = compact(raw)
	// Labels are for measuring; a recording without them can be replayed all the same.
	if _, err := load(dir, name+".nlos-tuples.json", &t.Shots); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return t, nil
}

func load(dir, name string, v any) ([]byte, error) {
	path := filepath.Join(dir, name)
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("recording: %s has %d bytes, at most %d", path, info.Size(), maxFile)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return nil, fmt.Errorf("recording: %s: %w", path, err)
	}
	return b, nil
}

func compact(raw []byte) json.RawMessage {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return raw
	}
	return b.Bytes()
}

// Serials are the sensors of the whole recording, rising.
func (r *Recording) Serials() []string {
	var out []string
	for _, t := range r.Tests {
		for _, p := range t.Pulses {
			out = append(out, p.Serial)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Deal gives the sensors to nations 0 to n-1 in turn, in the order of their serial numbers.
func (r *Recording) Deal(n int) map[string]int {
	to := map[string]int{}
	for i, s := range r.Serials() {
		to[s] = i % n
	}
	return to
}

// SensorID is the name a sensor gets.
func SensorID(serial string) treaty.SensorID { return treaty.SensorID("acoustic:" + serial) }
