package testnet

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"truceline/sensorio"
	"truceline/testnet/feed"
	"truceline/treaty"
)

// Playback is input for every nation's node, each list by At.
type Playback map[treaty.Nation][]feed.Timed

// linesPerPost bounds one POST well below what an intake takes at once.
const linesPerPost = 200

// Play posts every detection to its nation's operator listener when the sensor clock shows its time, and returns when
// all are kept there. A node that is down or full is tried again for half a minute; down says that one is down on
// purpose, so that its sensors talk to nobody meanwhile.
func Play(ctx context.Context, p Playback, clients []*Client, clock *sensorio.Clock, down func(treaty.Nation) bool) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range clients {
		items := p[c.Nation]
		g.Go(func() error { return playTo(ctx, c, items, clock, down) })
	}
	return g.Wait()
}

func playTo(ctx context.Context, c *Client, items []feed.Timed, clock *sensorio.Clock, down func(treaty.Nation) bool) error {
	for len(items) > 0 {
		if err := clock.SleepUntil(ctx, items[0].At); err != nil {
			return err
		}
		now := clock.Now()
		n := 0
		for n < len(items) && n < linesPerPost && items[n].At <= now {
			n++
		}
		ds := make([]treaty.Detection, n)
		for i := range ds {
			ds[i] = items[i].Detection
		}
		items = items[n:]
		if err := postAll(ctx, c, ds, down); err != nil {
			return err
		}
	}
	return nil
}

// postAll posts until it is kept.
func postAll(ctx context.Context, c *Client, ds []treaty.Detection, down func(treaty.Nation) bool) error {
	var last error
	for range maxRetries {
		a, err := c.Post(ctx, ds)
		if err == nil {
			if a.DeadLetters > 0 {
				return fmt.Errorf("%s refused %d of %d detections: %s", c.Nation, a.DeadLetters, a.Lines, a.Problems[0].Reason)
			}
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if down != nil && down(c.Nation) {
			return nil
		}
		last = err
		if err := pause(ctx, retryEvery); err != nil {
			return err
		}
	}
	return fmt.Errorf("sensors of %s: %w", c.Nation, last)
}

// total is how many detections there are.
func (p Playback) total() int {
	n := 0
	for _, items := range p {
		n += len(items)
	}
	return n
}

// last is when the last one comes in.
func (p Playback) last() treaty.Time {
	var t treaty.Time
	for _, items := range p {
		if len(items) > 0 {
			t = max(t, items[len(items)-1].At)
		}
	}
	return t
}

// sorted puts every list in order of At.
func (p Playback) sorted() Playback {
	for _, items := range p {
		slices.SortStableFunc(items, func(a, b feed.Timed) int { return int(min(max(a.At-b.At, -1), 1)) })
	}
	return p
}
