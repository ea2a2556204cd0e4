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
//	mesh readers ──inbox (bounded, oldest dropped by the sender)──┐
//	Raft's FSM goroutine ──applied (signal)────────────────────────┤
//	Raft's FSM goroutine ──reach (request, waits)──────────────────┼──► run ──► disk, then mesh
//	fetcher goroutine ──fetched───────────────────────────────────┤
//	time ──timer──────────────────────────────────────────────────┘
//
// The one durable order is in settle and in carry: nothing is sent before what it says was synced.
type finalizer struct {
	cfg     finalizerConfig
	machine *finality.Machine // owned by run
	start   time.Time

	inbox   chan inboxMessage
	applied chan struct{}
	reached chan reachRequest
	fetched chan fetchResult

	waiting  []reachRequest      // owned by run
	behind   *treaty.Certificate // certificate we cannot settle yet; owned by run
	behindAt time.Time
	fetching bool

	height       atomic.Uint64
	round        atomic.Uint64
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
	// Fetch gets the ledger entries [from, to) from some peer.
	Fetch func(ctx context.Context, from, to uint64) ([][]byte, error)
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

type inboxMessage struct {
	from treaty.Nation
	raw  []byte
}

type reachRequest struct {
	cert *treaty.Certificate
	done chan error
}

type fetchResult struct {
	cert    *treaty.Certificate
	entries [][]byte
	err     error
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
)

func newFinalizer(cfg finalizerConfig) (*finalizer, error) {
	f := &finalizer{
		cfg: cfg, start: time.Now(), inbox: make(chan inboxMessage, 4096), applied: make(chan struct{}, 1),
		reached: make(chan reachRequest), fetched: make(chan fetchResult, 1),
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

// receive takes a finality frame from a peer. It blocks its stream when the inbox is full: that peer waits.
func (f *finalizer) receive(ctx context.Context, from treaty.Nation, raw []byte) {
	select {
	case f.inbox <- inboxMessage{from, raw}:
	case <-ctx.Done():
	}
}

// advance tells the finalizer that the ledger has applied more. It never blocks.
func (f *finalizer) advance() {
	select {
	case f.applied <- struct{}{}:
	default:
	}
}

// reach waits until the final state covers cert, fetching from peers what Raft does not bring.
func (f *finalizer) reach(ctx context.Context, cert *treaty.Certificate) error {
	if c := f.cfg.Ledger.Certified(); c != nil && c.Checkpoint.Size >= cert.Checkpoint.Size {
		return nil
	}
	req := reachRequest{cert, make(chan error, 1)}
	select {
	case f.reached <- req:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-req.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("fetch the ledger up to %d from peers: %w", cert.Checkpoint.Size, ctx.Err())
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
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			effects = f.machine.Tick(f.now())
		case <-f.applied:
			effects = f.machine.Advance(f.now())
		case first := <-f.inbox:
			effects = f.take(first)
		case req := <-f.reached:
			f.waiting = append(f.waiting, req)
			effects = f.machine.Step(f.now(), finality.Message{From: f.cfg.Nation, Certificate: req.cert})
			f.answer()
		case got := <-f.fetched:
			f.fetching = false
			if err := f.graft(ctx, got, &effects); err != nil {
				return err
			}
		}
		f.height.Store(f.machine.Height())
		f.round.Store(f.machine.Round())
	}
}

// maxDrain bounds the messages verified at once.
const maxDrain = 256

// take verifies what the inbox holds in one batch and steps it.
func (f *finalizer) take(first inboxMessage) (effects []finality.Effect) {
	var opened []*finality.Opened
	var signed []*treaty.Signed
	for msg, more := first, true; more; {
		if o := f.open(msg, &effects); o != nil {
			opened = append(opened, o)
			signed = append(signed, o.Signed)
		}
		if len(opened) >= maxDrain {
			break
		}
		select {
		case msg = <-f.inbox:
		default:
			more = false
		}
	}
	for i, err := range f.cfg.Net.VerifyAll(signed) {
		var msg finality.Message
		if err == nil {
			msg, err = opened[i].Finish(f.cfg.Net)
		}
		if err != nil {
			f.cfg.Log.Warn("a finality message is refused", slog.Any("error", err))
			continue
		}
		effects = append(effects, f.machine.Step(f.now(), msg)...)
	}
	return effects
}

// open parses one frame. Certificates and cosignatures prove themselves and are stepped at once.
func (f *finalizer) open(m inboxMessage, effects *[]finality.Effect) *finality.Opened {
	if len(m.raw) < 2 {
		return nil
	}
	body := m.raw[1:]
	var err error
	switch m.raw[0] {
	case wireSigned:
		var o *finality.Opened
		if o, err = finality.Parse(body); err == nil {
			if !f.machine.Wants(o.Signed.Header.Claims.Issuer, o.Place) {
				return nil
			}
			return o
		}
	case wireCertificate:
		var c *treaty.Certificate
		if c, err = treaty.DecodeCertificate(body); err == nil {
			if c.Height < f.machine.Height() {
				return nil
			}
			if err = f.cfg.Net.VerifyCertificate(c); err == nil {
				*effects = append(*effects, f.machine.Step(f.now(), finality.Message{From: m.from, Certificate: c})...)
				return nil
			}
		}
	case wireCosignature:
		c := new(treaty.Cosignature)
		if err = treaty.Decode(body, treaty.MaxCertificate, c); err == nil {
			if err = f.cfg.Net.VerifyCosignature(c); err == nil {
				*effects = append(*effects, f.machine.Step(f.now(), finality.Message{From: m.from, Cosignature: c})...)
				return nil
			}
		}
	default:
		err = fmt.Errorf("%w: finality frame of kind %d", treaty.ErrMalformed, m.raw[0])
	}
	f.cfg.Log.Warn("a finality frame is refused", slog.String("from", string(m.from)), slog.Any("error", err))
	return nil
}

// carry carries effects out, in order, and whatever they lead to. Several states to persist become one write: each
// later one says everything the earlier ones say.
func (f *finalizer) carry(ctx context.Context, effects []finality.Effect) error {
	for len(effects) > 0 {
		var state *finality.State
		for _, e := range effects {
			if e.Persist != nil {
				state = e.Persist
			}
		}
		if state != nil {
			// 1. What we are about to say is durable before any of it is said.
			if err := f.cfg.DB.Set(keyVoted, state.Encode(), pebble.Sync); err != nil {
				return fmt.Errorf("write down votes: %w", err)
			}
		}
		var next []finality.Effect
		for _, e := range effects {
			switch {
			case e.Say != nil:
				more, err := f.say(e.Say)
				if err != nil {
					return err
				}
				next = append(next, more...)
			case e.Certified != nil:
				more, err := f.settle(e.Certified)
				if err != nil {
					return err
				}
				next = append(next, more...)
			case e.Cosigned != nil:
				if err := f.publish(e.Cosigned); err != nil {
					return err
				}
			case e.Equivocation != nil:
				f.noteEquivocation(*e.Equivocation)
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		effects = next
	}
	return nil
}

// say signs one statement and sends it. Our own votes and wishes count for us too.
func (f *finalizer) say(s *finality.Say) ([]finality.Effect, error) {
	switch {
	case s.Certificate != nil:
		f.cfg.Send(s.To, append([]byte{wireCertificate}, treaty.Encode(s.Certificate)...))
		return nil, nil
	case s.Cosignature != nil:
		f.cfg.Send(s.To, append([]byte{wireCosignature}, treaty.Encode(s.Cosignature)...))
		return nil, nil
	}
	var t treaty.ContentType
	var v any
	switch {
	case s.Status != nil:
		t, v = treaty.TypeStatus, s.Status
	case s.Proposal != nil:
		t, v = treaty.TypeProposal, s.Proposal
	case s.Vote != nil:
		t, v = treaty.TypeVote, s.Vote
	case s.Wish != nil:
		t, v = treaty.TypeWish, s.Wish
	default:
		panic(fmt.Sprintf("finality said nothing: %+v", s))
	}
	raw, err := f.cfg.Signer.Sign(t, treaty.Encode(v))
	if err != nil {
		return nil, err
	}
	f.cfg.Send(s.To, append([]byte{wireSigned}, raw...))
	if s.Vote == nil && s.Wish == nil {
		return nil, nil
	}
	o, err := finality.Parse(raw)
	if err != nil {
		panic(fmt.Sprintf("this node cannot read its own vote: %v", err))
	}
	msg, err := o.Finish(f.cfg.Net)
	if err != nil {
		panic(fmt.Sprintf("this node's own vote does not hold: %v", err))
	}
	return f.machine.Step(f.now(), msg), nil
}

// settle makes a certificate durable and begins the next height, if the ledger holds its prefix.
func (f *finalizer) settle(cert *treaty.Certificate) ([]finality.Effect, error) {
	if last := f.cfg.Ledger.Certified(); last != nil && cert.Height <= last.Height {
		return nil, nil
	}
	if !f.cfg.Ledger.Holds(cert.Checkpoint) {
		if f.behind == nil || cert.Height > f.behind.Height {
			f.behind = cert
			if f.behindAt.IsZero() {
				f.behindAt = time.Now()
			}
		}
		return nil, nil
	}
	b := f.cfg.DB.NewBatch()
	defer func() { _ = b.Close() }()
	staged, err := f.cfg.Ledger.Stage(b, cert)
	if err != nil {
		return nil, fmt.Errorf("settle certificate %d: %w", cert.Height, err)
	}
	return f.finish(b, staged, cert)
}

// finish is the one durable order of finality:
//
//  1. make this nation's cosignature of the certified checkpoint (nobody has seen it yet)
//  2. one batch: leaves, tree, certificate, and what we cosigned; synced. Fatal if it fails: we no longer know
//  3. move the ledger's final pointer in memory
//  4. only now may the cosignature leave
func (f *finalizer) finish(b *pebble.Batch, staged *ledger.Staged, cert *treaty.Certificate) ([]finality.Effect, error) {
	unix := uint64(max(1, time.Now().Unix()))
	cosig, err := f.cfg.Net.Cosign(f.cfg.Nation, f.cfg.Cosign, cert.Checkpoint, unix)
	if err != nil {
		return nil, err
	}
	if err := b.Set(keyCosign, treaty.Encode(cosig), nil); err != nil {
		return nil, err
	}
	if err := b.Commit(pebble.Sync); err != nil {
		staged.Drop()
		return nil, fmt.Errorf("write certificate %d: %w", cert.Height, err)
	}
	staged.Done()
	if f.behind != nil && f.behind.Height <= cert.Height {
		f.behind, f.behindAt = nil, time.Time{}
	}
	f.answer()
	f.cfg.Settled(cert.Checkpoint)
	return f.machine.Settled(f.now(), cert, cosig), nil
}

// answer releases those who waited for the final state to get somewhere.
func (f *finalizer) answer() {
	last := f.cfg.Ledger.Certified()
	keep := f.waiting[:0]
	for _, w := range f.waiting {
		if last != nil && last.Checkpoint.Size >= w.cert.Checkpoint.Size {
			w.done <- nil
			continue
		}
		keep = append(keep, w)
	}
	f.waiting = keep
}

// tryBehind settles the certificate that waited for the ledger, or starts fetching what Raft does not bring.
func (f *finalizer) tryBehind(ctx context.Context, effects *[]finality.Effect) error {
	cert := f.behind
	if f.cfg.Ledger.Holds(cert.Checkpoint) {
		more, err := f.settle(cert)
		*effects = append(*effects, more...)
		return err
	}
	conflict := f.cfg.Ledger.Frontier().Size >= cert.Checkpoint.Size
	if f.fetching || !conflict && len(f.waiting) == 0 && time.Since(f.behindAt) < f.cfg.CatchUp {
		return nil
	}
	f.fetching = true
	from := uint64(0)
	if last := f.cfg.Ledger.Certified(); last != nil {
		from = last.Checkpoint.Size
	}
	f.cfg.Log.Warn("this node lacks what the nations have certified; fetching it from peers",
		slog.Uint64("from", from), slog.Uint64("to", cert.Checkpoint.Size), slog.Bool("conflict", conflict))
	go func() {
		entries, err := f.cfg.Fetch(ctx, from, cert.Checkpoint.Size)
		f.fetched <- fetchResult{cert, entries, err}
	}()
	return nil
}

// graft replaces this node's tentative state by what a certificate covers.
func (f *finalizer) graft(ctx context.Context, got fetchResult, effects *[]finality.Effect) error {
	if last := f.cfg.Ledger.Certified(); last != nil && last.Checkpoint.Size >= got.cert.Checkpoint.Size {
		return nil
	}
	if got.err != nil {
		f.cfg.Log.Warn("fetching the ledger failed; trying again", slog.Any("error", got.err))
		return nil
	}
	b := f.cfg.DB.NewBatch()
	defer func() { _ = b.Close() }()
	from := uint64(0)
	if last := f.cfg.Ledger.Certified(); last != nil {
		from = last.Checkpoint.Size
	}
	conflict := f.cfg.Ledger.Frontier().Size >= got.cert.Checkpoint.Size
	staged, err := f.cfg.Ledger.Graft(b, got.cert, func(yield func([]byte, error) bool) {
		for _, e := range got.entries {
			if !yield(e, nil) {
				return
			}
		}
	})
	if err != nil {
		f.cfg.Log.Warn("what a peer sent does not add up to the certificate; trying another", slog.Any("error", err))
		return nil
	}
	more, err := f.finish(b, staged, got.cert)
	if err != nil {
		return err
	}
	*effects = append(*effects, more...)
	f.cfg.Grafted(from, got.cert.Checkpoint.Size, got.cert.Checkpoint.Index, conflict)
	return nil
}

// publish stores a cosigned checkpoint: what observers verify.
func (f *finalizer) publish(cosigs []*treaty.Cosignature) error {
	note, err := f.cfg.Net.CheckpointNote(cosigs)
	if err != nil {
		return fmt.Errorf("cosigned checkpoint: %w", err)
	}
	b := f.cfg.DB.NewBatch()
	defer func() { _ = b.Close() }()
	staged, err := f.cfg.Ledger.SetCosigned(b, cosigs[0].Size, note)
	if err != nil {
		return fmt.Errorf("cosigned checkpoint: %w", err)
	}
	// Not synced: it can be made again from the certificate, which is, and the next synced write carries it along.
	if err := b.Commit(pebble.NoSync); err != nil {
		staged.Drop()
		return fmt.Errorf("write the cosigned checkpoint: %w", err)
	}
	staged.Done()
	f.cfg.Cosigned(cosigs[0].Size)
	return nil
}

func (f *finalizer) noteEquivocation(e finality.Equivocation) {
	f.cfg.Log.Error("a nation has voted twice in one step", slog.String("nation", string(e.Nation)),
		slog.Uint64("height", e.A.Height), slog.Uint64("round", e.A.Round), slog.String("step", e.A.Step.String()))
	var list []finality.Equivocation
	if old := f.equivocators.Load(); old != nil {
		list = append(list, *old...)
	}
	if len(list) < 256 {
		list = append(list, e)
		f.equivocators.Store(&list)
	}
}
