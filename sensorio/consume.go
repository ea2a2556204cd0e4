package sensorio

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"

	"truceline/sensorio/rawlog"
	"truceline/treaty"
)

// consume reads the raw log in its order, decodes, judges and hands over: one goroutine, so that the outcome follows from
// the log alone, before and after a crash.
func (in *Intake) consume(ctx context.Context) error {
	check := in.cfg.RawLog.Checkpoint()
	r := in.cfg.RawLog.Reader(min(check.Recent, check.Sealed))
	defer r.Close()
	var batch []treaty.Detection
	var newest treaty.Time
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		if err := in.cfg.Hand(ctx, batch); err != nil {
			return err
		}
		in.metrics.lag.Set(max(0, in.cfg.Clock.Now().Sub(newest).Seconds()))
		batch = nil
		return nil
	}
	for {
		e, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			if err := flush(); err != nil {
				return err
			}
			if err := in.cfg.RawLog.Wait(ctx, r.Position()); err != nil {
				return err
			}
			continue
		case errors.Is(err, rawlog.ErrDamaged):
			in.cfg.Log.Error("part of the raw log is lost; the rest is read on", slog.Any("error", err))
			continue
		case err != nil:
			return err
		}
		old := e.Position < check.Sealed
		ds, done := in.message(e, old)
		if done.letter != nil {
			// Before the checkpoint may move over the message, its dead letter is there.
			if err := in.cfg.RawLog.Dead(*done.letter); err != nil {
				return err
			}
		}
		in.looked(e, old, done)
		batch = append(batch, ds...)
		newest = e.Raw.Recv
		if len(batch) >= maxHand {
			if err := flush(); err != nil {
				return err
			}
		}
		if err := in.pace(ctx, flush); err != nil {
			return err
		}
	}
}

// maxHand is how many detections are handed over at once: enough that the hand-over costs little, few enough that the
// sealer's owner is never held up.
const maxHand = 256

// saveEvery is how many bytes of messages without detections may pass before the checkpoint moves over them.
const saveEvery = 4 << 20

// pace waits while too many detections are unsealed, and moves the checkpoint over long stretches without detections.
func (in *Intake) pace(ctx context.Context, flush func() error) error {
	for {
		in.mu.Lock()
		full, moved := in.track.pending() >= in.cfg.MaxPending, in.moved
		idle := in.track.pending() == 0 && in.track.end > in.saved+saveEvery
		in.mu.Unlock()
		if idle {
			return in.save(false)
		}
		if !full {
			return nil
		}
		if err := flush(); err != nil {
			return err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// outcome is what became of one message.
type outcome struct {
	waiting, already []treaty.Hash // its detections: to be sealed, and sealed before a crash
	letter           *rawlog.Letter
}

// message judges one message. old: it is read only to remember what came before the checkpoint.
func (in *Intake) message(e rawlog.Entry, old bool) (ds []treaty.Detection, done outcome) {
	c := in.configFor(e.Raw)
	good, err := judge(c, in.cfg.MaxClockError, e.Raw)
	in.mu.Lock()
	defer in.mu.Unlock()
	var seen []treaty.Hash
	for i := range good {
		id := good[i].ID()
		seen = append(seen, id)
		switch {
		case slices.Contains(e.Done, id):
		case in.track.has(id) || in.dedupe.again(&good[i], e.Raw.Recv, e.Position):
			if !old {
				in.duplicates++
				in.metrics.rejected.WithLabelValues(c.ID, "duplicate").Inc()
			}
		case old:
		case in.track.wasSealed(id):
			done.already = append(done.already, id)
		default:
			done.waiting = append(done.waiting, id)
			ds = append(ds, good[i])
			in.accepted++
			in.metrics.accepted(c.ID, e.Raw.Recv, &good[i])
		}
	}
	if err == nil || old {
		return ds, done
	}
	in.deadLetters++
	reason := reasonOf(err)
	in.metrics.decodeErrors.WithLabelValues(c.ID, reason).Inc()
	if isPolicy(reason) {
		in.metrics.rejected.WithLabelValues(c.ID, reason).Inc()
	}
	done.letter = &rawlog.Letter{Origin: e.Position, Decoder: c.Decoder.Name(), Reason: err.Error(), Done: seen, Raw: e.Raw}
	return ds, done
}

// looked moves on behind a message.
func (in *Intake) looked(e rawlog.Entry, old bool, done outcome) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.consumed = e.End
	if !old {
		in.track.took(e.Position, e.End, done.waiting, done.already)
	}
	if in.consumed >= in.caughtUp {
		in.track.recovering = false
		clear(in.track.done) // what was sealed before the crash has all been met, or lies before the checkpoint
	}
	in.metrics.pending.Set(float64(in.track.pending()))
	in.signal()
}

// configFor finds the source a message came from. A source that is gone leaves its messages to one that reads the same
// media type in the same way; failing that, they are dead letters until one is configured.
func (in *Intake) configFor(r Raw) *SourceConfig {
	for _, p := range in.inputs {
		if p.cfg.ID == r.SourceID {
			return &p.cfg
		}
	}
	return &SourceConfig{ID: "unconfigured", Decoder: noDecoder{}}
}

// noDecoder reads nothing.
type noDecoder struct{}

func (noDecoder) Name() string                           { return "none" }
func (noDecoder) Decode(Raw) ([]treaty.Detection, error) { return nil, errNoDecoder }
