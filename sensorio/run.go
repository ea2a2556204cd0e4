package sensorio

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	"time"

	"truceline/sensorio/rawlog"
)

// Backoff of Connect, in real time: the first retry soon, the later ones far apart and scattered, so that a hundred
// sources that lost one broker do not all come back at once.
const (
	backoffFirst = 200 * time.Millisecond
	backoffMost  = 30 * time.Second
)

func nextBackoff(d time.Duration) time.Duration { return min(max(2*d, backoffFirst), backoffMost) }

// jitter is d less up to half of it. It draws from crypto/rand: sources are few and it needs no seed.
func jitter(d time.Duration) time.Duration {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return d - time.Duration(binary.BigEndian.Uint64(b[:])%uint64(d/2+1))
}

// read runs one source until it ends or ctx is done. Nothing that a sensor sends makes it return.
func (in *Intake) read(ctx context.Context, p *input) {
	log := in.cfg.Log.With(slog.String("source", p.cfg.ID))
	defer func() {
		p.set(false, nil)
		if err := p.cfg.Source.Close(); err != nil {
			log.Warn("closing the source failed", slog.Any("error", err))
		}
	}()
	up := in.metrics.up.WithLabelValues(p.cfg.ID)
	var wait time.Duration
	for ctx.Err() == nil {
		if err := p.cfg.Source.Connect(ctx); err != nil {
			if errors.Is(err, ErrEnd) {
				p.end()
				return
			}
			p.set(false, err)
			wait = nextBackoff(wait)
			log.Warn("the source does not connect; trying again", slog.Any("error", err), slog.Duration("in_at_most", wait))
			if sleep(ctx, jitter(wait)) != nil {
				return
			}
			continue
		}
		p.set(true, nil)
		up.Set(1)
		got, err := in.readAll(ctx, p)
		up.Set(0)
		p.set(false, err)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, ErrEnd) {
			log.Info("the source has ended")
			p.end()
			return
		}
		if got {
			wait = 0 // it worked for a while
		}
		wait = nextBackoff(wait)
		log.Warn("the source was lost; connecting again", slog.Any("error", err), slog.Duration("in_at_most", wait))
		if sleep(ctx, jitter(wait)) != nil {
			return
		}
	}
}

// readAll reads until the source fails. got: at least one message came.
func (in *Intake) readAll(ctx context.Context, p *input) (got bool, err error) {
	for {
		raw, ack, err := p.cfg.Source.Read(ctx)
		if err != nil {
			return got, err
		}
		got = true
		it := queued{in.stamp(p, raw), ack}
		if len(raw.Bytes) > rawlog.MaxRaw {
			// A source bounds what it reads; this one did not. Keeping it would let one sensor fill the disk.
			in.metrics.rejected.WithLabelValues(p.cfg.ID, "too_large").Inc()
			acknowledge(ctx, it, rawlog.ErrTooLarge)
			continue
		}
		if err := p.queue.put(ctx, it); err != nil {
			acknowledge(context.WithoutCancel(ctx), it, errStopping)
			return got, err
		}
		in.metrics.inflight.WithLabelValues(p.cfg.ID).Set(float64(p.queue.len()))
	}
}

// stamp fills in what the intake knows about a message.
func (in *Intake) stamp(p *input, raw Raw) Raw {
	raw.SourceID = p.cfg.ID
	if raw.Recv == 0 {
		raw.Recv = in.cfg.Clock.Now()
	}
	return raw
}

// keep moves messages from a source's queue to the raw log and acknowledges them. It returns only what the node cannot go
// on with.
func (in *Intake) keep(ctx context.Context, p *input) error {
	for {
		if err := in.backlog(ctx); err != nil {
			return err
		}
		items, err := p.queue.take(ctx)
		if err != nil {
			return err
		}
		if len(items) == 0 {
			return nil
		}
		raws := make([]Raw, len(items))
		for i := range items {
			raws[i] = items[i].raw
		}
		err = in.cfg.RawLog.Append(raws...)
		for errors.Is(err, rawlog.ErrBacklog) { // wait until something is sealed
			in.mu.Lock()
			moved := in.moved
			in.mu.Unlock()
			if err = in.cfg.RawLog.Append(raws...); !errors.Is(err, rawlog.ErrBacklog) {
				break
			}
			p.note(err)
			select {
			case <-moved:
			case <-ctx.Done():
				for _, it := range items {
					acknowledge(context.WithoutCancel(ctx), it, errStopping)
				}
				return ctx.Err()
			}
		}
		for _, it := range items {
			acknowledge(context.WithoutCancel(ctx), it, err)
		}
		if err != nil {
			return err
		}
		p.count(len(items))
		in.metrics.raw.WithLabelValues(p.cfg.ID).Add(float64(len(items)))
		in.metrics.inflight.WithLabelValues(p.cfg.ID).Set(float64(p.queue.len()))
	}
}

// backlog waits while too much of the raw log is not decoded yet: the disk is a queue too, and has a bound.
func (in *Intake) backlog(ctx context.Context) error {
	for {
		in.mu.Lock()
		behind := int64(in.cfg.RawLog.End()) - int64(in.consumed)
		moved := in.moved
		in.mu.Unlock()
		if behind <= in.cfg.MaxBacklog {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *input) set(connected bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.connected = connected
	if err != nil {
		p.lastErr = err.Error()
	}
}

func (p *input) note(err error) { p.mu.Lock(); p.lastErr = err.Error(); p.mu.Unlock() }
func (p *input) end()           { p.mu.Lock(); p.ended = true; p.mu.Unlock() }
func (p *input) count(n int)    { p.mu.Lock(); p.kept += uint64(n); p.mu.Unlock() }
