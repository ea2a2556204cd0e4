package sensorio

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"truceline/treaty"
)

// The reasons for which policy keeps a detection from the sealer; dead letters begin with them and metrics carry them.
var (
	// ErrIdentity: the sensor is not one of those that may report over this source.
	ErrIdentity = errors.New("identity: the sensor is not in this source's list")
	// ErrFuture: measured after it came in, by more than clocks may differ.
	ErrFuture = errors.New("future: the detection's time is later than its arrival")
	// ErrReplayReal: a replay transport offered a detection as REAL.
	ErrReplayReal = errors.New("exercise: a replay transport may not deliver REAL detections")
	// errNoDecoder: the raw log holds a message of a source that is no longer configured.
	errNoDecoder = errors.New("no decoder: no configured source has this id or media type; configure one and redrive")
)

// judge decodes a message and applies every rule that needs no memory. It is a pure function of the message and the
// source's configuration: the handler asks it for its answer, and the consumer gets the same after a crash.
func judge(c *SourceConfig, maxClockError time.Duration, r Raw) (ok []treaty.Detection, err error) {
	ds, err := c.Decoder.Decode(r)
	errs := []error{err}
	for i := range ds {
		d := &ds[i]
		if c.Trust != 0 && d.Trust < c.Trust { // best first
			d.Trust = c.Trust
		}
		if err := permit(c, maxClockError, r.Recv, d); err != nil {
			errs = append(errs, fmt.Errorf("detection %d of sensor %q: %w", i, d.Sensor, err))
			continue
		}
		ok = append(ok, *d)
	}
	return ok, errors.Join(errs...)
}

func permit(c *SourceConfig, maxClockError time.Duration, recv treaty.Time, d *treaty.Detection) error {
	if err := d.Check(); err != nil {
		return err
	}
	if len(c.Sensors) > 0 && !slices.Contains(c.Sensors, d.Sensor) {
		return ErrIdentity
	}
	if c.Replay && d.Mode == treaty.ModeReal {
		return ErrReplayReal
	}
	// The comparison is with the arrival here, written down in the raw log, never with a clock: it must come out the same
	// when the message is decoded again.
	if ahead := d.Time.Value.Sub(recv); ahead > maxClockError {
		return fmt.Errorf("%w by %s, at most %s is allowed: set the sensor's clock", ErrFuture, ahead, maxClockError)
	}
	return nil
}

// reasonOf is the metric label of an error: few values, whatever a sensor sends.
func reasonOf(err error) string {
	for _, r := range []struct {
		err  error
		word string
	}{
		{ErrIdentity, "identity"},
		{ErrFuture, "future"},
		{ErrReplayReal, "exercise"},
		{errNoDecoder, "no_decoder"},
		{treaty.ErrTooLarge, "too_large"},
	} {
		if errors.Is(err, r.err) {
			return r.word
		}
	}
	return "malformed"
}

// isPolicy says whether an error is a rule's and not a decoder's.
func isPolicy(reason string) bool {
	return reason == "identity" || reason == "future" || reason == "exercise"
}
