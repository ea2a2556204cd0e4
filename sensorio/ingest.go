package sensorio

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"truceline/sensorio/rawlog"
	"truceline/treaty"
)

// IntakeConfig is what an Intake needs. Fields without a word on defaults are required.
type IntakeConfig struct {
	// RawLog is opened and closed by the caller, who owns its folder.
	RawLog  *rawlog.Log
	Clock   *Clock
	Sources []SourceConfig
	// Hand takes accepted detections over, in the order of the raw log; it blocks while the sealer is not ready. An error
	// ends the intake.
	Hand func(context.Context, []treaty.Detection) error
	// MaxClockError is how much later than its arrival a detection may say it was measured; 0: 5 s.
	MaxClockError time.Duration
	// Dedupe is how long, in arrival time, a detection is recognised when it comes again; 0: 10 minutes.
	Dedupe time.Duration
	// MaxPending bounds the detections handed over and not sealed; 0: four full windows.
	MaxPending int
	// MaxBacklog bounds the bytes of the raw log that are not decoded yet: beyond it sources wait; 0: 64 MiB.
	MaxBacklog int64
	Registerer prometheus.Registerer
	Log        *slog.Logger
}

func (c IntakeConfig) withDefaults() IntakeConfig {
	if c.MaxClockError == 0 {
		c.MaxClockError = 5 * time.Second
	}
	if c.Dedupe == 0 {
		c.Dedupe = 10 * time.Minute
	}
	if c.MaxPending == 0 {
		c.MaxPending = 4 * treaty.MaxDetections
	}
	if c.MaxBacklog == 0 {
		c.MaxBacklog = 64 << 20
	}
	return c
}

// Validate reports all problems.
func (c IntakeConfig) Validate() error {
	var errs []error
	for _, m := range []struct {
		missing bool
		what    string
	}{
		{c.RawLog == nil, "raw log"},
		{c.Clock == nil, "clock"},
		{c.Hand == nil, "Hand"},
		{c.Registerer == nil, "registerer"},
		{c.Log == nil, "logger"},
	} {
		if m.missing {
			errs = append(errs, fmt.Errorf("intake: no %s", m.what))
		}
	}
	if c.MaxClockError < 0 || c.Dedupe < 0 || c.MaxPending < 0 || c.MaxBacklog < 0 {
		errs = append(errs, errors.New("intake: a bound is negative"))
	}
	seen := map[string]bool{}
	for _, s := range c.Sources {
		if seen[s.ID] {
			errs = append(errs, fmt.Errorf("intake: two sources are called %q", s.ID))
		}
		seen[s.ID] = true
		if err := s.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("intake: %w", err))
		}
	}
	return errors.Join(errs...)
}

// Intake runs the sources and hands what they bring to the sealer.
type Intake struct {
	cfg     IntakeConfig
	metrics *metrics
	inputs  []*input

	mu       sync.Mutex // of what follows
	track    *tracker
	dedupe   *dedupe
	consumed rawlog.Position
	caughtUp rawlog.Position // end of the raw log when Run began: from here on nothing is decoded twice
	recent   rawlog.Position // of the checkpoint that Run began with
	moved    chan struct{}   // closed and replaced when something was sealed or consumed
	saved    rawlog.Position
	saving   sync.Mutex // checkpoints do not overlap

	duplicates, deadLetters, accepted uint64
}

// input is one source at run time.
type input struct {
	cfg   SourceConfig
	queue *queue

	mu        sync.Mutex
	connected bool
	ended     bool
	lastErr   string
	kept      uint64
}

// NewIntake makes an intake that does not run yet.
func NewIntake(cfg IntakeConfig) (*Intake, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, fmt.Errorf("intake: metrics: %w", err)
	}
	in := &Intake{
		cfg: cfg, metrics: m, track: newTracker(4 * cfg.MaxPending), dedupe: newDedupe(cfg.Dedupe), moved: make(chan struct{}),
	}
	for _, s := range cfg.Sources {
		s = s.withDefaults()
		in.inputs = append(in.inputs, &input{cfg: s, queue: newQueue(s.QueueMessages, s.QueueBytes)})
	}
	c := cfg.RawLog.Checkpoint()
	in.track.recovering = c.Sealed < cfg.RawLog.End()
	in.track.sealed(c.Done)
	in.saved, in.recent, in.consumed = c.Sealed, c.Recent, min(c.Sealed, c.Recent)
	in.caughtUp, in.track.end = cfg.RawLog.End(), c.Sealed
	return in, nil
}

// Run takes in until ctx is done (and then returns nil) or something fails that the node cannot go on with: the raw log,
// or Hand. What was acknowledged and not sealed by then is handed over again by the next Run on the same raw log.
func (in *Intake) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var once sync.Once
	var failed error
	start := func(f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				once.Do(func() { failed = err })
				cancel()
			}
		})
	}
	start(in.consume)
	for _, p := range in.inputs {
		if p.cfg.Source != nil {
			start(func(ctx context.Context) error { in.read(ctx, p); return nil })
		}
		start(func(ctx context.Context) error { return in.keep(ctx, p) })
	}
	<-ctx.Done()
	wg.Wait()
	for _, p := range in.inputs {
		for _, it := range p.queue.drain() {
			acknowledge(context.WithoutCancel(ctx), it, errStopping)
		}
	}
	if failed != nil {
		return fmt.Errorf("intake: %w", failed)
	}
	return in.save(false)
}

var errStopping = errors.New("the node is stopping: send it again")

func acknowledge(ctx context.Context, it queued, err error) {
	if it.ack != nil {
		// What the sender makes of it is its business: it sends again what it did not see acknowledged.
		_ = it.ack(ctx, err)
	}
}

// Sealed tells the intake that detections are in a kept batch whose seal is kept too. It writes the checkpoint, synced,
// before it returns, so at most the latest batch is in doubt after a crash: call Sealed with the node's latest own batch
// before Run.
func (in *Intake) Sealed(ds []treaty.Detection) error {
	ids := make([]treaty.Hash, len(ds))
	for i := range ds {
		ids[i] = ds[i].ID()
	}
	in.mu.Lock()
	in.track.sealed(ids)
	in.metrics.pending.Set(float64(in.track.pending()))
	in.signal()
	in.mu.Unlock()
	return in.save(true)
}

func (in *Intake) signal() {
	close(in.moved)
	in.moved = make(chan struct{})
}

// save writes the checkpoint, when there is news or always.
func (in *Intake) save(always bool) error {
	in.saving.Lock()
	defer in.saving.Unlock()
	in.mu.Lock()
	c := in.track.checkpoint(in.dedupe)
	if in.consumed < in.caughtUp { // the memory of what was recent is not rebuilt yet
		c.Recent = min(c.Recent, in.recent)
	}
	news := always || c.Sealed != in.saved
	in.mu.Unlock()
	if !news {
		return nil
	}
	if err := in.cfg.RawLog.SetCheckpoint(c); err != nil {
		return fmt.Errorf("keep the checkpoint of the raw log: %w", err)
	}
	in.mu.Lock()
	in.saved = c.Sealed
	in.mu.Unlock()
	u := in.cfg.RawLog.Usage()
	in.metrics.rawBytes.Set(float64(u.RawBytes))
	in.metrics.deadBytes.Set(float64(u.DeadBytes))
	return nil
}
