package testnet

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"gopkg.in/yaml.v3"

	"truceline/internal/durable"
	"truceline/sensorio"
	"truceline/testnet/feed"
	"truceline/treaty"
)

// state is testnet.yaml: what a later command must know about a testnet that runs as processes.
type state struct {
	Clock *ClockBase `yaml:"clock,omitempty"`
	Seats []struct {
		Nation treaty.Nation `yaml:"nation"`
		Ports  Ports         `yaml:"ports"`
	} `yaml:"seats"`
}

// ClockBase is a sped-up sensor clock that processes share: at the real time At it shows Base.
type ClockBase struct {
	At    time.Time `yaml:"at"`
	Base  time.Time `yaml:"base"`
	Speed float64   `yaml:"speed"`
}

// clock is the sensor clock; without a base it is real time.
func (c *ClockBase) clock() (*sensorio.Clock, error) {
	if c == nil {
		return sensorio.RealClock(), nil
	}
	return sensorio.NewClock(c.At, treaty.TimeOf(c.Base), c.Speed)
}

const (
	maxState     = 64 << 10
	landName     = "scenario.yaml"
	maxLand      = 1 << 20
	pidName      = "node.pid"
	logName      = "node.log"
	maxPIDDigits = 32
)

// Open opens the testnet in a folder, as Up left it.
func Open(dir string) (*Processes, error) {
	b, err := durable.ReadFile(filepath.Join(dir, stateName), maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no testnet in this folder; start one with truceline testnet up --dir %s", err, dir)
	}
	if err != nil {
		return nil, err
	}
	var st state
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&st); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, stateName), err)
	}
	founding, err := durable.ReadFile(filepath.Join(dir, FoundingName), treaty.MaxFounding)
	if err != nil {
		return nil, err
	}
	p := &Processes{Testnet: Testnet{Dir: dir}}
	if p.Net, err = treaty.VerifyFounding(founding); err != nil {
		return nil, err
	}
	if p.Policy, err = durable.ReadFile(filepath.Join(dir, PolicyName), treaty.MaxPolicy); err != nil {
		return nil, err
	}
	for _, s := range st.Seats {
		m, ok := p.Net.Member(s.Nation)
		if !ok {
			return nil, fmt.Errorf("%s names %s, who is not in the accord beside it", filepath.Join(dir, stateName), s.Nation)
		}
		p.Seats = append(p.Seats, Seat{Nation: s.Nation, Name: m.Name, Dir: filepath.Join(dir, string(s.Nation)), Ports: s.Ports})
	}
	if p.Clock, err = st.Clock.clock(); err != nil {
		return nil, err
	}
	land, err := durable.ReadFile(filepath.Join(dir, landName), maxLand)
	if err != nil {
		return nil, err
	}
	if p.Land, err = feed.Parse(land); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, landName), err)
	}
	return p, nil
}

// save writes what Open reads.
func (p *Processes) save(clock *ClockBase, land []byte) error {
	st := state{Clock: clock}
	for _, s := range p.Seats {
		st.Seats = append(st.Seats, struct {
			Nation treaty.Nation `yaml:"nation"`
			Ports  Ports         `yaml:"ports"`
		}{s.Nation, s.Ports})
	}
	b, err := yaml.Marshal(st)
	if err != nil {
		return err
	}
	if err := create(filepath.Join(p.Dir, landName), land, 0o644); err != nil {
		return err
	}
	return create(filepath.Join(p.Dir, stateName), b, os.FileMode(0o644))
}
