package testnet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"truceline/sensorio"
	"truceline/testnet/feed"
	"truceline/treaty"
)

// Session plays things into a running testnet, wherever its nodes run, and compares what it decides with what happened.
type Session struct {
	Net     *Testnet
	Clients []*Client
	// Clock is the nodes' sensor clock.
	Clock *sensorio.Clock
	Watch Watch
	// Down says that a nation's node is down on purpose; may be nil.
	Down func(treaty.Nation) bool

	unfinished string // why the last play did not come to its end
}

// joinWithin is how long a network may take to begin: n nodes that start on two cores.
func joinWithin(n int) time.Duration { return 30*time.Second + time.Duration(n)*3*time.Second }

// Join waits until every node that is not down takes part.
func (n *Session) Join(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, joinWithin(len(n.Clients)))
	defer cancel()
	up := n.up()
	return takePart(ctx, up, "takes part", func(done int) { n.Watch.step("starting", done+1, 2*len(up), "steps", "") })
}

// up are the nodes that are not down.
func (n *Session) up() []*Client {
	return slices.DeleteFunc(slices.Clone(n.Clients), func(c *Client) bool { return n.Down != nil && n.Down(c.Nation) })
}

// lead is real time between making a night up and its begin.
const lead = time.Second

// soon is the next whole second of the sensor clock that leaves time to prepare.
func (n *Session) soon() treaty.Time {
	return treaty.TimeOf(n.Clock.At(time.Now().Add(lead)).Std().Truncate(time.Second).Add(time.Second))
}

// Scenario plays a made-up night from now on, waits until the network has judged all of it, verifies every verdict, and
// reports. The testnet must have been founded on the scenario's land.
func (n *Session) Scenario(ctx context.Context, s *feed.Scenario) (*Report, error) {
	began := time.Now()
	now := *s
	now.Start = n.soon().Std()
	night, err := now.Play(n.Net.Net.Nations())
	if err != nil {
		return nil, err
	}
	play := Playback(night.Feed)
	n.Watch.say("the night has %d events, reported by %d detections of %d nations' sensors; the sensor clock runs %g times as fast as real time",
		len(night.Truth), play.total(), len(play), n.Clock.Speed())
	verdicts, err := n.play(ctx, play, treaty.TimeOf(now.Start), night.Ends)
	if err != nil {
		return nil, err
	}
	r := &Report{Scenario: s.Name, Seed: s.Seed, Events: len(night.Truth)}
	var judged []feed.Judged
	for _, v := range Standing(verdicts) {
		judged = append(judged, feed.JudgedOf(v.ID.Short(), v.Verdict, v.Final))
	}
	r.Table = feed.Score(night.Truth, judged)
	r.measure()
	r.Outcome = n.outcome(ctx, verdicts)
	r.Took = time.Since(began).Round(time.Millisecond)
	return r, nil
}

// settle is how long after the last report the network is given before anybody asks whether it is done: the sound of the
// last event needs 45 s for 15 km.
const settle = 50 * time.Second

// play plays detections that come in from start to end, shows how it goes, and returns every verdict of that time when
// the network has judged everything.
func (n *Session) play(ctx context.Context, p Playback, start, end treaty.Time) ([]Sighting, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f := Follow(n.Net.Net, n.Clients, n.Clock.Now, nil)
	followed := make(chan struct{})
	go func() { defer close(followed); f.Run(ctx) }()
	played := make(chan error, 1)
	go func() { played <- Play(ctx, p, n.Clients, n.Clock, n.Down) }()
	until := end.Add(settle)
	err := n.wait(ctx, f, until, played, func(now treaty.Time) {
		if n.Watch.Live != nil {
			n.Watch.Live(now, int64(max(start, min(now, until))-start)/1e9, int64(until-start)/1e9, f.Cases(), f.Verdicts())
		}
	})
	var all []Sighting
	if err == nil {
		all, err = everyVerdict(ctx, n.up(), f)
	}
	cancel()
	<-followed
	// An earlier run's verdicts are not this one's.
	return slices.DeleteFunc(all, func(s Sighting) bool { return s.Verdict.Time < start }), err
}

// wait returns when everything is played and no incident is open, or when their deadline has passed too.
func (n *Session) wait(ctx context.Context, f *Follower, until treaty.Time, played chan error, live func(now treaty.Time)) error {
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
		now := n.Clock.Now()
		live(now)
		if !done || now < until {
			continue
		}
		open, ledger := f.Open()
		if open == 0 && ledger >= until {
			return nil
		}
		if now <= late {
			continue
		}
		if lateSince.IsZero() {
			lateSince = time.Now()
		}
		if time.Since(lateSince) > giveUp {
			n.unfinished = fmt.Sprintf("the network did not finish: its ledger's time is %s, the night lasted until %s, and %d incidents are still open", ledger, until, open)
			return nil
		}
	}
}

// outcome verifies every verdict and compares the ledgers of the nodes that are up.
func (n *Session) outcome(ctx context.Context, verdicts []Sighting) Outcome {
	up := n.up()
	o := Outcome{Speed: n.Clock.Speed(), Nations: n.Net.Net.N, Faulty: n.Net.Net.F, Quorum: n.Net.Net.Q}
	for _, c := range n.Clients {
		if !slices.Contains(up, c) {
			o.Down = append(o.Down, c.Nation)
		}
	}
	o.Proofs = Prove(ctx, n.Net, up, verdicts, func(done int) {
		n.Watch.step("verifying verdicts offline", done, len(verdicts), "verdicts", "")
	})
	n.Watch.step("comparing ledgers", 0, len(up), "ledgers", "")
	o.Violations = Inspect(ctx, n.Net, up)
	if n.unfinished != "" {
		o.Violations = append(o.Violations, n.unfinished)
		n.unfinished = ""
	}
	n.Watch.step("comparing ledgers", len(up), len(up), "ledgers", "")
	return o
}

// everyVerdict is what the follower saw, and anything that a node lists beside it.
func everyVerdict(ctx context.Context, clients []*Client, f *Follower) ([]Sighting, error) {
	all := f.Verdicts()
	have := map[treaty.Hash]bool{}
	for _, s := range all {
		have[s.ID] = true
	}
	for _, c := range clients {
		list, err := c.Verdicts(ctx)
		if err != nil {
			return nil, err
		}
		for _, v := range list {
			if !have[v.ID] {
				have[v.ID] = true
				all = append(all, Sighting{VerdictView: v, From: c.Nation})
			}
		}
	}
	return all, nil
}

// catchUpWithin is how long a node may be behind the one that is farthest when ledgers are compared.
const catchUpWithin = 30 * time.Second

// Inspect checks the ledgers of running nodes against each other, over their observers' listeners. It first gives every
// node time to reach what any of them has now.
func Inspect(ctx context.Context, t *Testnet, clients []*Client) []string {
	in := Inspection{Net: t.Net}
	for _, c := range clients {
		if size, err := checkpointSize(ctx, c); err == nil {
			in.Reach = max(in.Reach, size)
		}
	}
	deadline, cancel := context.WithTimeout(ctx, catchUpWithin)
	defer cancel()
	for _, c := range clients {
		for {
			size, err := checkpointSize(deadline, c)
			if err == nil && size >= in.Reach || pause(deadline, retryEvery/2) != nil {
				break
			}
		}
		ch, err := HTTPChain(ctx, c)
		if errors.Is(err, errGone) {
			ch, err = Chain{Nation: c.Nation, Entries: noBytes, Notes: noBytes}, nil
		}
		if err != nil {
			return []string{fmt.Sprintf("%s cannot be inspected: %v", c.Nation, err)}
		}
		in.Chains = append(in.Chains, ch)
	}
	return Check(in)
}
