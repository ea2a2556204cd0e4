package node

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"truceline/attribution"
	"truceline/consensus/ledger"
	"truceline/consensus/tally"
	"truceline/node/evidence"
	"truceline/sensorio/seal"
	"truceline/treaty"
)

// pipeline is the way of the data from detections to attestations (design section 3), top to bottom. One goroutine
// (run) owns everything in it; the three queues where two paces meet are
//
//	sensor → decode      sensorio.Intake, bounded per source: the sensor waits
//	peers → associate    arrivals below: the peer's stream waits
//	records → leader     node/pool: the author waits
//
// Every hand-over is one treaty value with a content-hash id, so whatever is repeated after a crash is harmless.
type pipeline struct {
	cfg      pipelineConfig
	sealer   *seal.Sealer
	lastSeal treaty.Hash // record id of our latest seal

	seals    map[treaty.Hash]*sealed     // ordered seals within the horizon, by record id
	missing  missing                     // those whose batch is not here yet
	windows  map[treaty.Window][]*sealed // ordered seals with detections, by window
	mine     []*ownWindow                // own sealed windows not yet revealed, oldest first
	orphans  orphans                     // batches whose seal is not ordered here yet
	silent   map[treaty.Nation]bool      // nations whose last batch had to be waited for in vain
	pending  map[treaty.Hash]*ownWindow  // own seals on their way into the order
	pruned   treaty.Window               // batches of windows before it are gone from the disk
	through  treaty.Window               // every window up to here is revealed here, or given up
	evidence *window                     // what attribution sees
	events   []attribution.Event         // what it found, by time
	matches  map[treaty.Hash]int         // which of them an incident is about; see matched

	matchesGood bool // matches belong to events

	dirty    bool                          // evidence has changed since
	moved    bool                          // through has moved on since events were last looked for
	owed     bool                          // an event waits to be proposed, or an incident to be answered
	fresh    bool                          // events were found anew since incidents were last looked at again
	judgedAt time.Time                     // real time of the last association
	settled  map[treaty.Ref]time.Time      // first member of a settled event -> when it was first seen settled
	cases    map[treaty.Hash]*incidentCase // incidents in the ledger, by record id
	fetching map[treaty.Hash]treaty.Nation // batches being fetched, and from whom

	arrivals chan arrivedBatch
	fetched  chan arrivedBatch
	taken    chan []treaty.Detection
	commands chan func()
	woken    chan struct{}
}

// pipelineConfig is what the pipeline needs from the node.
type pipelineConfig struct {
	Net    *treaty.Network
	Nation treaty.Nation
	Clock  func() treaty.Time
	// Until is how long in real time it takes until the sensor clock shows t.
	Until  func(t treaty.Time) time.Duration
	Judge  *attribution.Judge
	Store  *evidence.Store
	Ledger *ledger.Ledger
	Events *events
	Submit func(context.Context, treaty.Body) (*treaty.Record, error)
	// Sealed tells the intake that detections are sealed, so that it does not bring them again.
	Sealed func([]treaty.Detection) error
	// Reveal sends a batch to every nation; Fetch asks one nation after the other for a batch by digest.
	Reveal func([]byte)
	Fetch  func(ctx context.Context, author treaty.Nation, digest treaty.Hash) ([]byte, error)
	// Review queues assessments for the duty officer instead of attesting at once.
	Review bool
	// Stagger is the real time between the ranks of proposers of one incident.
	Stagger time.Duration
	// LastSeal is the record id of this nation's latest seal, ordered or still on its way; zero for none.
	LastSeal treaty.Hash
	Metrics  *metrics
	Log      *slog.Logger
}

// sealed is an ordered seal.
type sealed struct {
	id      treaty.Hash
	nation  treaty.Nation
	window  treaty.Window
	digest  treaty.Hash
	index   uint64 // in the ledger
	have    bool   // its batch is here
	late    bool
	since   time.Time // when we first missed the batch
	givenUp bool
}

// fits says whether a batch is the one of this seal's nation and window.
func (s *sealed) fits(b *treaty.Batch) bool { return s.nation == b.Nation && s.window == b.Window }

// missing are ordered seals whose batch is not here, by its digest.
type missing map[treaty.Hash][]*sealed

// hopeful says whether one of them is still waited for.
func (m missing) hopeful() bool {
	for _, list := range m {
		if slices.ContainsFunc(list, func(s *sealed) bool { return !s.givenUp }) {
			return true
		}
	}
	return false
}

// remove takes one seal out: others may name the same digest.
func (m missing) remove(s *sealed) {
	list := slices.DeleteFunc(m[s.digest], func(x *sealed) bool { return x == s })
	if m[s.digest] = list; len(list) == 0 {
		delete(m, s.digest)
	}
}

type ownWindow struct {
	window treaty.Window
	digest treaty.Hash
	seal   treaty.Hash
	raw    []byte
}

type arrivedBatch struct {
	from treaty.Nation
	want treaty.Hash // digest asked for, zero when it was pushed
	raw  []byte
	err  error
}

// Patience of the pipeline, in real time.
const (
	askAfter     = 500 * time.Millisecond // before a missing batch is asked for
	giveUpAfter  = 5 * time.Second        // before a window goes on without it: it then comes as late evidence
	giveUpSoon   = time.Second            // the same for a nation that was waited for in vain last time
	maxFetching  = 4                      // batches of one nation fetched at once
	pruneEvery   = 32                     // windows between two prunings of the disk
	judgeEvery   = 40 * time.Millisecond  // associations are at least this far apart
	reviewAgain  = 10 * time.Second       // before a full review queue is tried again
	keepEvidence = 150 * time.Second      // ledger time; sound needs 45 s for 15 km, and a window another 6 s to be revealed
)

func newPipeline(cfg pipelineConfig, sealer *seal.Sealer) *pipeline {
	return &pipeline{
		cfg: cfg, sealer: sealer, lastSeal: cfg.LastSeal, woken: make(chan struct{}, 1),
		seals: map[treaty.Hash]*sealed{}, missing: missing{}, windows: map[treaty.Window][]*sealed{},
		orphans: orphans{}, silent: map[treaty.Nation]bool{}, pending: map[treaty.Hash]*ownWindow{},
		evidence: newWindow(), settled: map[treaty.Ref]time.Time{},
		cases: map[treaty.Hash]*incidentCase{}, fetching: map[treaty.Hash]treaty.Nation{},
		arrivals: make(chan arrivedBatch, 64), fetched: make(chan arrivedBatch, 64),
		taken: make(chan []treaty.Detection, 256), commands: make(chan func(), 16),
	}
}

// Take hands detections of this nation's own sensors over. They are in the raw log; after a crash they come again.
func (p *pipeline) Take(ctx context.Context, ds []treaty.Detection) error {
	select {
	case p.taken <- ds:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wake tells the pipeline that final ledger time may have moved. It never blocks.
func (p *pipeline) wake() {
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

// receive takes a batch that a peer revealed.
func (p *pipeline) receive(ctx context.Context, from treaty.Nation, raw []byte) {
	select {
	case p.arrivals <- arrivedBatch{from: from, raw: raw}:
	case <-ctx.Done():
	}
}

// run is the pipeline: input, then every stage in turn.
func (p *pipeline) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case ds := <-p.taken:
			p.sealer.Add(p.cfg.Clock(), ds...)
		case leaves := <-p.cfg.Events.queue:
			for _, l := range leaves {
				p.ordered(l)
			}
		case b := <-p.arrivals:
			if err := p.batch(b); err != nil {
				return err
			}
		case b := <-p.fetched:
			delete(p.fetching, b.want)
			if err := p.batch(b); err != nil {
				return err
			}
		case do := <-p.commands:
			do()
		case <-p.woken:
		case <-timer.C:
		}
		if len(p.cfg.Events.queue) > 0 || len(p.arrivals) > 0 {
			if !p.sealer.Due(p.cfg.Clock()) {
				continue // take in what has come before working on it
			}
		}
		if err := p.seal(ctx); err != nil {
			return err
		}
		if err := p.reveal(); err != nil {
			return err
		}
		p.complete(ctx)
		p.owed = false
		p.associate()
		if err := p.propose(ctx); err != nil {
			return err
		}
		if err := p.attest(ctx); err != nil {
			return err
		}
		if p.fresh {
			p.fresh = false
			if err := p.reopen(ctx); err != nil {
				return err
			}
		}
		timer.Reset(p.sleep())
	}
}

// sleep is the real time until something may be due without any input.
func (p *pipeline) sleep() time.Duration {
	d := p.cfg.Until(p.sealer.Next(p.cfg.Clock()))
	if p.moved || p.owed || p.missing.hopeful() {
		d = min(d, judgeEvery)
	}
	return min(max(d, time.Millisecond), time.Second)
}

// ordered takes one leaf of the ledger in.
func (p *pipeline) ordered(l ledger.Leaf) {
	r := l.Record
	if r == nil {
		p.verdict(l)
		return
	}
	switch {
	case r.Seal != nil:
		var view tally.SealView
		var ok bool
		var last treaty.Hash
		p.tally(func(s *tally.State) {
			view, ok = s.Seal(r.ID)
			last, _, _ = s.LastSeal(p.cfg.Nation)
		})
		if r.ID == p.lastSeal && last != r.ID {
			// The tally refused our latest seal: chain the next one to the one it has.
			p.cfg.Log.Error("own seal was refused by the tally; check this node's clock", slog.Uint64("window", uint64(r.Seal.Window)))
			p.lastSeal = last
		}
		if o := p.pending[r.ID]; o != nil {
			delete(p.pending, r.ID)
			if !ok {
				p.sealAgain(o)
			}
		}
		if !ok || r.Seal.Count == 0 {
			return
		}
		p.sealer.CloseFor(r.Seal.Window)
		if p.seals[r.ID] != nil {
			return
		}
		s := &sealed{id: r.ID, nation: r.Nation, window: r.Seal.Window, digest: r.Seal.Digest, index: l.Index, late: view.Late}
		p.seals[s.id] = s
		p.windows[s.window] = append(p.windows[s.window], s)
		p.missing[s.digest] = append(p.missing[s.digest], s)
		if r.Nation == p.cfg.Nation {
			p.own(s)
		}
		if raw := p.orphans.take(s.digest); raw != nil {
			if err := p.batch(arrivedBatch{from: s.nation, raw: raw}); err != nil {
				p.cfg.Log.Error("a batch cannot be kept", slog.Any("error", err))
			}
		} else if b, err := p.cfg.Store.Batch(s.digest); err == nil {
			p.fit(s.digest, b)
		}
	case r.Incident != nil:
		p.incident(r, l.Index)
	}
}

// sealAgain puts the detections of an own seal that the tally refused into the next window: nothing is excluded.
func (p *pipeline) sealAgain(o *ownWindow) {
	p.mine = slices.DeleteFunc(p.mine, func(x *ownWindow) bool { return x == o })
	b, err := p.cfg.Store.Batch(o.digest)
	if err != nil {
		p.cfg.Log.Error("a batch whose seal was refused cannot be read", slog.Any("error", err))
		return
	}
	p.sealer.Add(p.cfg.Clock(), b.Detections...)
}

// own remembers a window of ours that was sealed before a restart: it may not have been revealed yet, and showing it
// again is harmless.
func (p *pipeline) own(s *sealed) {
	for _, o := range p.mine {
		if o.digest == s.digest {
			return
		}
	}
	if b, err := p.cfg.Store.Batch(s.digest); err == nil {
		p.mine = append(p.mine, &ownWindow{s.window, s.digest, s.id, treaty.Encode(b)})
	}
}

// tally reads the live tally.
func (p *pipeline) tally(read func(*tally.State)) {
	p.cfg.Ledger.With(func(live ledger.Machine, _ uint64) { read(live.(tallyMachine).State) })
}

// seal closes the windows that are due. The durable order: the batch is kept, synced, before its seal is made; the
// seal is kept, synced, before it leaves (author.publish).
func (p *pipeline) seal(ctx context.Context) error {
	for p.sealer.Due(p.cfg.Clock()) {
		var salt treaty.Hash
		_, _ = rand.Read(salt[:]) // crypto/rand never fails
		closed, ok := p.sealer.Close(p.cfg.Clock(), p.lastSeal, salt)
		if !ok {
			return nil
		}
		var raw []byte
		if closed.Seal.Count > 0 {
			raw = treaty.Encode(&closed.Batch)
			if _, err := p.cfg.Store.PutOwn(&closed.Batch); err != nil {
				return fmt.Errorf("keep the batch of window %d: %w", closed.Seal.Window, err)
			}
		}
		r, err := p.cfg.Submit(ctx, &closed.Seal)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("seal window %d: %w", closed.Seal.Window, err)
		}
		p.lastSeal = r.ID
		if closed.Seal.Count > 0 {
			if err := p.cfg.Sealed(closed.Batch.Detections); err != nil {
				return fmt.Errorf("note that window %d is sealed: %w", closed.Seal.Window, err)
			}
		}
		if closed.Seal.Count > 0 {
			o := &ownWindow{closed.Seal.Window, closed.Seal.Digest, r.ID, raw}
			p.mine = append(p.mine, o)
			p.pending[r.ID] = o
			p.cfg.Metrics.sealed.Inc()
		}
	}
	return nil
}

// reveal shows own windows to everybody, once the FINAL state has them closed for everybody, so that whoever copies from
// them is late (tally.State.Closed), and our own seal of them is final.
func (p *pipeline) reveal() error {
	closed := p.cfg.Ledger.FinalClosed()
	for len(p.mine) > 0 {
		o := p.mine[0]
		index, isFinal, ok := p.cfg.Ledger.Find(o.seal)
		_ = index
		if !ok || !isFinal || o.window >= closed {
			break
		}
		if err := p.cfg.Store.Reveal(o.digest); err != nil { // from now on whoever asks for it gets it
			return fmt.Errorf("reveal window %d: %w", o.window, err)
		}
		p.cfg.Reveal(o.raw)
		p.mine = p.mine[1:]
	}
	p.sealer.Unrevealed(len(p.mine) > 0 || p.waiting())
	return nil
}

// waiting says whether some ordered window cannot be revealed yet: then every nation keeps sealing, so that ledger time
// moves on.
func (p *pipeline) waiting() bool {
	closed := p.cfg.Ledger.FinalClosed()
	for k := range p.windows {
		if k > p.through && k >= closed {
			return true
		}
	}
	return false
}
