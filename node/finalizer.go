package node

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"truceline/consensus/finality"
	"truceline/consensus/ledger"
	"truceline/node/pool"
	"truceline/treaty"
)

// The finalizer drives the finality machine. One goroutine (run) owns the machine and is the only one that moves the
// ledger's final state:
//
//	mesh readers ──inbox (a bounded lane each)────────────────────┐
//	Raft's FSM goroutine ──applied (signal)────────────────────────┤
//	Raft's FSM goroutine ──reach (request, waits)──────────────────┼──► run ──► disk, then mesh
//	fetcher goroutine ──fetched───────────────────────────────────┤
//	rebuildLoop ──alone (request, waits)───────────────────────────┤
//	time ──timer──────────────────────────────────────────────────┘
//
// The one durable order is in settle and in carry: nothing is sent before what it says was synced.
type finalizer struct {
	cfg     finalizerConfig
	machine *finality.Machine // owned by run
	start   time.Time

	inbox   *inbox
	applied chan struct{}
	reached chan reachRequest
	fetched chan fetchResult
	tasks   chan task

	waiting  []reachRequest      // owned by run
	behind   *treaty.Certificate // certificate we cannot settle yet; owned by run
	behindAt time.Time
	fetching bool
	fetchAt  time.Time // no fetch before: the last one failed; owned by run
	unsynced bool      // a cosigned checkpoint is written and not synced; owned by run
	ahead    ahead     // owned by run

	height       atomic.Uint64
	round        atomic.Uint64
	lags         atomic.Bool // there is a certificate that this node cannot settle yet
	equivocators atomic.Pointer[[]finality.Equivocation]
}

// finalizerConfig is what the finalizer needs from the node.
type finalizerConfig struct {
	Net    *treaty.Network
	Nation treaty.Nation
	Signer *treaty.Signer
	Cosign crypto.Signer
	DB     *pebble.DB
	Ledger *ledger.Ledger
	Pool   *pool.Pool
	// Send sends to one nation, or to all when to is empty.
	Send func(to treaty.Nation, msg []byte)
	// Equivocated is told of two votes of one nation for one height, round and step.
	Equivocated func(finality.Equivocation)
	// Fetch gets the ledger entries from a size on from some peer, up to a verified certificate or, when that is far
	// away, up to one before it, which it returns.
	Fetch func(ctx context.Context, from uint64, to *treaty.Certificate) (*treaty.Certificate, [][]byte, error)
	// Violation counts a breach of the protocol against a peer.
	Violation func(from treaty.Nation, reason string)
	// Grafted is called after entries [from, to) came from a peer instead of from Raft, up to index of the order.
	// conflict says that this node had applied something else there, so Raft must be opened again at the certified point.
	Grafted func(from, to, index uint64, conflict bool)
	// Settled is called after every certificate, Cosigned after every cosigned checkpoint.
	Settled  func(c treaty.Checkpoint)
	Cosigned func(size uint64)
	Fatal    func(error)
	Timeout  time.Duration
	// Inclusion is how long a record may wait before checkpoints without it are objected to.
	Inclusion time.Duration
	// CatchUp is how long a certificate may wait for Raft before its entries are fetched from a peer.
	CatchUp time.Duration
	Log     *slog.Logger
}

// Keys of the finalizer in the node's store, under its own prefix.
var (
	keyVoted  = []byte("v/state")
	keyCosign = []byte("v/cosigned")
)

// What a finality frame on the wire carries, by its first byte.
const (
	wireSigned      = 1 // COSE_Sign1 of a status, proposal, vote or wish
	wireCertificate = 2
	wireCosignature = 3
	wireComplaint   = 4 // COSE_Sign1 of a complaint about the leader of the order; it goes to the deposer
)

func newFinalizer(cfg finalizerConfig) (*finalizer, error) {
	f := &finalizer{
		cfg: cfg, start: time.Now(), inbox: newInbox(cfg.Net.Nations()), applied: make(chan struct{}, 1),
		reached: make(chan reachRequest), fetched: make(chan fetchResult, 1), tasks: make(chan task),
	}
	voted, err := load(cfg.DB, keyVoted)
	if err != nil {
		return nil, err
	}
	var state *finality.State
	if voted != nil {
		if state, err = finality.DecodeState(voted); err != nil {
			return nil, err
		}
	}
	f.machine, err = finality.New(finality.Config{
		Net: cfg.Net, Self: cfg.Nation, View: view{cfg.Ledger, cfg.Pool, cfg.Inclusion}, Timeout: cfg.Timeout,
		State: state, Last: cfg.Ledger.Certified(),
	}, 0)
	if err != nil {
		return nil, err
	}
	mine, err := load(cfg.DB, keyCosign)
	if err != nil {
		return nil, err
	}
	var cosig *treaty.Cosignature
	if mine != nil {
		cosig = new(treaty.Cosignature)
		if err := treaty.Decode(mine, treaty.MaxCertificate, cosig); err != nil {
			return nil, fmt.Errorf("what this node has cosigned cannot be read, so it must not cosign: %w", err)
		}
	}
	f.machine.RestoreCosigned(cfg.Ledger.CosignedSize(), cosig)
	f.height.Store(f.machine.Height())
	return f, nil
}

func load(db *pebble.DB, key []byte) ([]byte, error) {
	v, closer, err := db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", key, err)
	}
	defer func() { _ = closer.Close() }()
	return append([]byte(nil), v...), nil
}

// view is the ledger and pool as the machine asks about them.
type view struct {
	*ledger.Ledger
	pool      *pool.Pool
	inclusion time.Duration
}

// Objection refuses checkpoints while a record that could have been ordered has waited too long: a leader that leaves a
// nation out finalises nothing (design 7.3.3).
func (v view) Objection(treaty.Checkpoint) string {
	if r := v.pool.Overdue(time.Now(), v.inclusion); r != nil {
		return fmt.Sprintf("record %d of %s was left out for more than %s", r.Seq, r.Nation, v.inclusion)
	}
	return ""
}

// advance tells the finalizer that the ledger has applied more. It never blocks.
func (f *finalizer) advance() {
	select {
	case f.applied <- struct{}{}:
	default:
	}
}

// task is something that must not run while the finalizer moves the ledger.
type task struct {
	fn   func() error
	done chan error
}

// alone runs fn on the finalizer's goroutine, between two steps: no certificate is staged then, and what the ledger holds
// does not change under it.
func (f *finalizer) alone(ctx context.Context, fn func() error) error {
	t := task{fn, make(chan error, 1)}
	select {
	case f.tasks <- t:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-t.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// now is the machine's clock.
func (f *finalizer) now() time.Duration { return time.Since(f.start) }

// run drives the machine until ctx ends.
func (f *finalizer) run(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	effects := f.machine.Advance(f.now())
	for {
		if err := f.carry(ctx, effects); err != nil {
			return err
		}
		effects = nil
		if ripe := f.ahead.ripe(f.machine.Height(), f.cfg.Net.Nations()); len(ripe) > 0 {
			effects = f.step(ripe)
			continue
		}
		if f.behind != nil {
			if err := f.tryBehind(ctx, &effects); err != nil {
				return err
			}
			if effects != nil {
				continue
			}
		}
		wait := time.Hour
		if at, ok := f.machine.Deadline(); ok {
			wait = max(0, at-f.now())
		}
		if f.behind != nil {
			wait = min(wait, f.cfg.CatchUp/4+time.Millisecond)
		}
		if f.unsynced {
			wait = min(wait, restAfter)
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			if err := f.rest(); err != nil {
				return err
			}
			effects = f.machine.Tick(f.now())
		case <-f.applied:
			effects = f.machine.Advance(f.now())
		case <-f.inbox.ready:
			effects = f.step(f.inbox.take(maxDrain))
		case req := <-f.reached:
			f.waiting = append(f.waiting, req)
			effects = f.machine.Step(f.now(), finality.Message{From: f.cfg.Nation, Certificate: req.cert})
			f.answer()
		case t := <-f.tasks:
			t.done <- t.fn()
			effects = f.machine.Advance(f.now())
		case got := <-f.fetched:
			f.fetching = false
			if err := f.graft(ctx, got, &effects); err != nil {
				return err
			}
		}
		f.height.Store(f.machine.Height())
		f.round.Store(f.machine.Round())
		f.lags.Store(f.behind != nil)
	}
}

// restAfter is how long nothing may come in before rest: longer than a vote takes, whose synced write does the same.
const restAfter = 20 * time.Millisecond

// rest syncs cosigned checkpoints, which are written unsynced, when nothing else does: observers who saw one see it
// again after a power cut.
func (f *finalizer) rest() error {
	if !f.unsynced {
		return nil
	}
	f.unsynced = false
	if err := f.cfg.DB.LogData(nil, pebble.Sync); err != nil {
		return fmt.Errorf("sync the cosigned checkpoint: %w", err)
	}
	return nil
}
