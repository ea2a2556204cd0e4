package testnet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"truceline/sensorio"
	"truceline/testnet/feed"
	"truceline/treaty"
)

// DemoConfig is what a demo plays. Fields without a word on defaults are required.
type DemoConfig struct {
	Nations  int
	Scenario *feed.Scenario
	// Speed is how much faster than real time the sensor clock runs; Raft and finality stay on real time.
	Speed float64
	// Dir takes the network's files; "" is a temporary folder that is removed at the end.
	Dir   string
	Watch Watch
}

// Watch is told how a run gets on. Its functions are called from any goroutine and may be nil.
type Watch struct {
	// Say is a line to keep.
	Say func(line string)
	// Step is how far a step is; units done of total.
	Step func(label string, done, total int64, unit, note string)
	// Live is what is known of the network by now, while a night is played; now is the sensor clock.
	Live func(now treaty.Time, done, total int64, cases []Case, verdicts []Sighting)
}

func (w Watch) say(format string, args ...any) {
	if w.Say != nil {
		w.Say(fmt.Sprintf(format, args...))
	}
}

func (w Watch) step(label string, done, total int, unit, note string) {
	if w.Step != nil {
		w.Step(label, int64(done), int64(total), unit, note)
	}
}

// Validate reports all problems.
func (c DemoConfig) Validate() error {
	var errs []error
	if c.Nations < treaty.MinNations || c.Nations > 35 {
		errs = append(errs, fmt.Errorf("demo: %d nations: must be %d to 35", c.Nations, treaty.MinNations))
	}
	if c.Scenario == nil {
		errs = append(errs, errors.New("demo: no scenario"))
	}
	if !(c.Speed > 0 && c.Speed <= sensorio.MaxSpeed) {
		errs = append(errs, fmt.Errorf("demo: speed %g: must be more than 0, at most %d", c.Speed, sensorio.MaxSpeed))
	}
	return errors.Join(errs...)
}

// Demo founds a network in one process, plays a night into it, and compares what it decided with what happened. The
// report is there even when something was wrong; the error says that the demo could not be carried out.
func Demo(ctx context.Context, c DemoConfig) (_ *Report, err error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	began := time.Now()
	dir, cleanup, err := demoDir(c.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cleanup()) }()
	log, closeLog, err := logTo(filepath.Join(dir, "demo.log"), slog.LevelInfo)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeLog()) }()
	t, err := Found(Founding{
		Dir: dir, Nations: c.Nations, Scenario: c.Scenario, Founded: treaty.TimeOf(c.Scenario.Start.Add(-24 * time.Hour)),
	})
	if err != nil {
		return nil, err
	}
	c.Watch.say("%d nations have signed accord %s: quorum %d, %d may lie. Everything is in %s", t.Net.N, t.Net.Digest.Short(), t.Net.Q, t.Net.F, dir)
	clock, err := sensorio.NewClock(time.Now(), treaty.TimeOf(c.Scenario.Start), c.Speed)
	if err != nil {
		return nil, err
	}
	ctx, l, err := startLocal(ctx, t, clock, log)
	if err != nil {
		return nil, err
	}
	defer func() {
		c.Watch.step("stopping", 0, 1, "network", "")
		if e := l.close(); e != nil {
			err = errors.Join(err, e)
		}
	}()
	n := &Session{Net: t, Clients: l.clients, Clock: clock, Watch: c.Watch}
	if err := n.Join(ctx); err != nil {
		return nil, errors.Join(err, context.Cause(ctx))
	}
	c.Watch.say("the network decides: every nation's first record is FINAL at every nation, %s after the start", time.Since(began).Round(10*time.Millisecond))
	for _, k := range l.clients {
		c.Watch.say("%s  http://%s", k.Nation, k.Observe)
	}
	report, err := n.Scenario(ctx, c.Scenario)
	if err != nil {
		return report, errors.Join(err, context.Cause(ctx))
	}
	report.Took = time.Since(began).Round(time.Millisecond)
	return report, nil
}

// demoDir makes the folder; cleanup removes it when it was temporary.
func demoDir(dir string) (string, func() error, error) {
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", nil, fmt.Errorf("demo: make its folder: %w", err)
		}
		return dir, func() error { return nil }, nil
	}
	dir, err := os.MkdirTemp("", "truceline-demo-")
	if err != nil {
		return "", nil, fmt.Errorf("demo: make a temporary folder: %w", err)
	}
	return dir, func() error { return os.RemoveAll(dir) }, nil
}
