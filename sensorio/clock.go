package sensorio

import (
	"context"
	"errors"
	"fmt"
	"time"

	"truceline/treaty"
)

// Clock is the sensor clock: ingest times, windows and deadlines run on it. In service it is real time; a demo or a
// replay runs it faster, while Raft and finality stay on real time. It is immutable and safe for concurrent use, and it
// uses package time for everything, so that it runs on a testing/synctest bubble's clock too.
type Clock struct {
	realBase time.Time
	base     treaty.Time
	speed    float64 // 0: real time
}

// MaxSpeed bounds how much faster than real time a Clock may run: a window of 2 s must not shrink below the time that
// one synced write takes.
const MaxSpeed = 1000

// RealClock is the machine's own clock; steps of NTP show.
func RealClock() *Clock { return new(Clock) }

// NewClock is a clock that shows base when real time is realBase, and from there runs speed times as fast. Processes
// that are given the same three agree on the time.
func NewClock(realBase time.Time, base treaty.Time, speed float64) (*Clock, error) {
	var errs []error
	if !(speed > 0 && speed <= MaxSpeed) {
		errs = append(errs, fmt.Errorf("sensor clock: speed %v is not above 0 and at most %d", speed, MaxSpeed))
	}
	if base < 1 {
		errs = append(errs, errors.New("sensor clock: base must be after 1970-01-01"))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return &Clock{realBase: realBase, base: base, speed: speed}, nil
}

// Speed is how many times faster than real time the clock runs.
func (c *Clock) Speed() float64 {
	if c.speed == 0 {
		return 1
	}
	return c.speed
}

// Now is the sensor time.
func (c *Clock) Now() treaty.Time { return c.At(time.Now()) }

// At is the sensor time at a real time.
func (c *Clock) At(real time.Time) treaty.Time {
	if c.speed == 0 {
		return treaty.TimeOf(real)
	}
	return c.base.Add(time.Duration(float64(real.Sub(c.realBase)) * c.speed))
}

// Real is how long d of sensor time takes in real time.
func (c *Clock) Real(d time.Duration) time.Duration {
	if c.speed == 0 {
		return d
	}
	return time.Duration(float64(d) / c.speed)
}

// Until is how long in real time it takes until the clock shows t; not negative.
func (c *Clock) Until(t treaty.Time) time.Duration {
	d := t.Sub(c.Now())
	if d <= 0 {
		return 0
	}
	// One nanosecond more, so that rounding never wakes a sleeper before its time.
	return c.Real(d) + 1
}

// AfterFunc calls f in its own goroutine after d of sensor time.
func (c *Clock) AfterFunc(d time.Duration, f func()) *time.Timer { return time.AfterFunc(c.Real(d), f) }

// NewTimer fires after d of sensor time.
func (c *Clock) NewTimer(d time.Duration) *time.Timer { return time.NewTimer(c.Real(d)) }

// SleepUntil returns nil when the clock shows t, or the context's error when that is done first.
func (c *Clock) SleepUntil(ctx context.Context, t treaty.Time) error {
	for {
		d := c.Until(t)
		if d == 0 {
			return ctx.Err()
		}
		if err := sleep(ctx, d); err != nil {
			return err
		}
	}
}

// sleep waits in real time.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
