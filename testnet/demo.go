package testnet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
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
	n := &Night{Net: t, Clients: l.clients, Clock: clock, Scenario: c.Scenario, Watch: c.Watch}
	if err := n.join(ctx, began); err != nil {
		return nil, errors.Join(err, context.Cause(ctx))
	}
	for _, k := range l.clients {
		c.Watch.say("%s  http://%s", k.Nation, k.Observe)
	}
	report, err := n.Run(ctx)
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

// Night plays a scenario into a running testnet and compares.
type Night struct {
	Net      *Testnet
	Clients  []*Client
	Clock    *sensorio.Clock
	Scenario *feed.Scenario
	Watch    Watch
	// Down says that a nation's node is down on purpose; may be nil.
	Down func(treaty.Nation) bool
}

// joinWithin is how long a network may take to begin: n nodes that start on two cores.
func joinWithin(n int) time.Duration { return 30*time.Second + time.Duration(n)*3*time.Second }

func (n *Night) join(ctx context.Context, began time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, joinWithin(len(n.Clients)))
	defer cancel()
	total := 2 * len(n.Clients)
	err := takePart(ctx, n.Clients, "takes part", func(done int) { n.Watch.step("starting", done+1, total, "steps", "") })
	if err != nil {
		return err
	}
	n.Watch.say("the network decides: every nation's first record is FINAL at every nation, %s after the start", time.Since(began).Round(10*time.Millisecond))
	return nil
}

// lead is real time between making a night up and its begin.
const lead = time.Second

// Run plays the night from the clock's next moment on, waits until the network has judged all of it, verifies every
// verdict, and reports.
func (n *Night) Run(ctx context.Context) (*Report, error) {
	s := *n.Scenario
	s.Start = n.Clock.At(time.Now().Add(lead)).Std().Truncate(time.Second).Add(time.Second)
	night, err := s.Play(n.Net.Net.Nations())
	if err != nil {
		return nil, err
	}
	play := Playback(night.Feed)
	n.Watch.say("the night has %d events, reported by %d detections of %d nations' sensors; the sensor clock runs %g times as fast as real time",
		len(night.Truth), play.total(), len(play), n.Clock.Speed())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f := Follow(n.Net.Net, n.Clients, n.Clock.Now, nil)
	followed := make(chan struct{})
	go func() { defer close(followed); f.Run(ctx) }()
	start, until := treaty.TimeOf(s.Start), night.Ends.Add(settle)
	live := func() {
		if n.Watch.Live != nil {
			now := n.Clock.Now()
			n.Watch.Live(now, int64(min(now, until)-start)/1e9, int64(until-start)/1e9, f.Cases(), f.Verdicts())
		}
	}
	played := make(chan error, 1)
	go func() { played <- Play(ctx, play, n.Clients, n.Clock, n.Down) }()
	if err := n.wait(ctx, f, until, played, live); err != nil {
		return nil, err
	}
	r, err := n.report(ctx, night, f)
	cancel()
	<-followed
	return r, err
}

// settle is how long after the last report the network is given before anybody asks whether it is done: the sound of the
// last event needs 45 s for 15 km.
const settle = 50 * time.Second

// wait returns when the night is over and no incident is open, or when its deadline has passed too.
func (n *Night) wait(ctx context.Context, f *Follower, until treaty.Time, played chan error, live func()) error {
	policy := n.Net.Net.Accord.Policy
	late := until.Add(policy.Deadline() + 2*policy.Heartbeat())
	const giveUp = 30 * time.Second // real time beyond the deadline, for a machine that is behind
	var lateSince time.Time
	done := false
	for {
		select {
		case err := <-played:
			if err != nil {
				return err
			}
			done, played = true, nil
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		live()
		now := n.Clock.Now()
		if !done || now < until {
			continue
		}
		if f.Open() == 0 && n.ledgerTime(ctx) >= until {
			return nil
		}
		if now > late {
			if lateSince.IsZero() {
				lateSince = time.Now()
			}
			if time.Since(lateSince) > giveUp {
				n.Watch.say("gave up waiting: %d incidents are still open after their deadline", f.Open())
				return nil
			}
		}
	}
}

// ledgerTime is the newest final ledger time that any node shows.
func (n *Night) ledgerTime(ctx context.Context) treaty.Time {
	var t treaty.Time
	for _, c := range n.Clients {
		if v, err := c.Network(ctx); err == nil {
			t = max(t, v.Node.LedgerTime)
			break
		}
	}
	return t
}

// report compares, verifies and inspects.
func (n *Night) report(ctx context.Context, night *feed.Night, f *Follower) (*Report, error) {
	up := slices.DeleteFunc(slices.Clone(n.Clients), func(c *Client) bool { return n.Down != nil && n.Down(c.Nation) })
	verdicts, err := everyVerdict(ctx, up, f)
	if err != nil {
		return nil, err
	}
	r := &Report{
		Scenario: n.Scenario.Name, Seed: n.Scenario.Seed, Speed: n.Clock.Speed(), Nations: n.Net.Net.N, Faulty: n.Net.Net.F,
		Quorum: n.Net.Net.Q, Events: len(night.Truth),
	}
	r.Proofs = Prove(ctx, n.Net, up, verdicts, func(done int) {
		n.Watch.step("verifying verdicts offline", done, len(verdicts), "verdicts", "")
	})
	var judged []feed.Judged
	for _, s := range Standing(verdicts) {
		judged = append(judged, feed.JudgedOf(s.ID.Short(), s.Verdict, s.Final))
	}
	r.Table = feed.Score(night.Truth, judged)
	r.measure()
	n.Watch.step("comparing the ledgers of all nations", 0, 1, "comparisons", "")
	r.Violations = Inspect(ctx, n.Net, up)
	return r, nil
}

// everyVerdict is what the follower saw, and anything that a node lists beside it.
func everyVerdict(ctx context.Context, clients []*Client, f *Follower) ([]Sighting, error) {
	all := f.Verdicts()
	have := map[treaty.Hash]bool{}
	for _, s := range all {
		have[s.ID] = true
	}
	var failed error
	for _, c := range clients {
		list, err := c.Verdicts(ctx)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		for _, v := range list {
			if !have[v.ID] {
				have[v.ID] = true
				all = append(all, Sighting{VerdictView: v, From: c.Nation})
			}
		}
	}
	return all, failed
}

// Inspect checks the ledgers of running nodes against each other, over their observers' listeners.
func Inspect(ctx context.Context, t *Testnet, clients []*Client) []string {
	in := Inspection{Net: t.Net}
	for _, c := range clients {
		ch, err := HTTPChain(ctx, c)
		if err != nil {
			return []string{fmt.Sprintf("%s cannot be inspected: %v", c.Nation, err)}
		}
		in.Chains = append(in.Chains, ch)
	}
	return Check(in)
}
