package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/libp2p/go-libp2p/core/host"

	"truceline/consensus/ledger"
	"truceline/consensus/raftlog"
	"truceline/consensus/raftnet"
	"truceline/node/evidence"
	"truceline/node/observe"
	"truceline/node/peer"
	"truceline/node/pool"
	"truceline/sensorio"
	"truceline/treaty"
)

// Node is one nation's running machine.
//
//	sensors ─► Intake ─► pipeline ─► author ─► pool ─► leader ─► Raft ─► order ─► ledger ─► finalizer ─► observers
//	peers ──► mesh ───────┘ (batches)   └──────► mesh ──► pool (records)              └──► mesh (votes)
type Node struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics

	db       *pebble.DB
	store    *evidence.Store
	ledger   *ledger.Ledger
	pool     *pool.Pool
	author   *author
	final    *finalizer
	events   *events
	witness  *witness
	deposer  *deposer
	host     host.Host
	mesh     *peer.Mesh
	logs     *raftlog.Store
	group    *raftnet.Group
	pipeline *pipeline
	intake   *sensorio.Intake
	observer *observe.Server
	closers  []closer
	servers  []server

	observeAt, operatorAt net.Listener

	fatal     chan error
	rebuild   chan string
	started   time.Time
	running   context.Context // ends when the node stops; set before anything runs
	stop      context.CancelCauseFunc
	fetchTurn int    // owned by the finalizer's fetcher: one at a time
	unstalled uint64 // final size when a stalled ledger was last rebuilt; owned by repeat

	arrivals chan arrival // records of peers, to be verified

	finalMu   sync.Mutex
	finalWait map[treaty.Hash]*waiting // records somebody waits for to become FINAL
}

// closer is one thing that was opened, closed in reverse order.
type closer struct {
	name  string
	close func() error
}

// New opens a node in this order; Close and the end of Run close in reverse:
//
//  1. store        one Pebble database; everything durable is in it or in raw/
//  2. evidence     own record numbers, batches
//  3. ledger       final state, checked against its root; tentative layer empty
//  4. pool, author
//  5. finalizer    what this node has voted
//  6. host, mesh   peers may now speak to us
//  7. Raft         log, snapshots, group
//  8. deposer      complaints about the leader
//  9. pipeline     sealing, judging
//  10. intake      sensors
//  11. observers   HTTP
//
// Run starts the goroutines; nothing runs before.
func New(cfg Config) (_ *Node, err error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	n := &Node{
		cfg: cfg, log: cfg.Log.With(slog.String("nation", string(cfg.Nation))), metrics: newMetrics(cfg.Registry),
		fatal: make(chan error, 4), rebuild: make(chan string, 1), started: time.Now(),
		finalWait: map[treaty.Hash]*waiting{},
	}
	n.running, n.stop = context.WithCancelCause(context.Background())
	n.events = newEvents(n.running.Done())
	n.arrivals = make(chan arrival, 1024)
	defer func() {
		if err != nil {
			n.stop(err)
			err = errors.Join(err, n.close())
		}
	}()
	for _, step := range []struct {
		name string
		open func() error
	}{
		{"store", n.openStore},
		{"evidence", n.openEvidence},
		{"ledger", n.openLedger},
		{"author", n.openAuthor},
		{"finalizer", n.openFinalizer},
		{"peers", n.openPeers},
		{"order", n.openOrder},
		{"deposer", n.openDeposer},
		{"pipeline", n.openPipeline},
		{"sensors", n.openIntake},
		{"observers", n.openObservers},
	} {
		if err := step.open(); err != nil {
			return nil, fmt.Errorf("%s: open %s: %w", cfg.Nation, step.name, err)
		}
	}
	return n, nil
}

func (n *Node) onClose(name string, f func() error) { n.closers = append(n.closers, closer{name, f}) }

func (n *Node) close() (err error) {
	for i := len(n.closers) - 1; i >= 0; i-- {
		if e := n.closers[i].close(); e != nil {
			err = errors.Join(err, fmt.Errorf("close %s: %w", n.closers[i].name, e))
		}
	}
	n.closers = nil
	return err
}

// fail stops the node: what it knows of its disk is no longer certain, and start-up repairs.
func (n *Node) fail(err error) {
	select {
	case n.fatal <- err:
	default:
	}
}

// Run starts everything, waits until ctx ends or something fatal happens, and closes everything. Input stops first,
// then judging, then the order, then the peers, then the disk.
func (n *Node) Run(ctx context.Context) error {
	cancel := n.stop
	defer cancel(nil)
	outer := ctx
	ctx = n.running
	defer context.AfterFunc(outer, func() { cancel(errStopped) })()
	if err := n.mesh.Start(); err != nil {
		return errors.Join(err, n.close())
	}
	var wg sync.WaitGroup
	start := func(name string, run func(context.Context) error) {
		wg.Go(func() {
			if err := guard(ctx, run); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	start("replay", n.replayEvents)
	start("author", n.author.run)
	start("witness", n.witness.run)
	start("verifier", n.verify)
	start("finality", n.final.run)
	start("leader", func(ctx context.Context) error { return lead(ctx, n.group, n.pool, n.log) })
	start("deposer", n.deposer.run)
	start("repeat", n.repeat)
	start("rebuild", n.rebuildLoop)
	start("pipeline", n.pipeline.run)
	start("sensors", n.intake.Run)
	start("observers", n.serve)
	if t := n.cfg.Tamper; t != nil {
		start("tamper", func(ctx context.Context) error { return t.Run(ctx, Hands{n.mesh.Send, n.author.Submit}) })
	}
	select {
	case <-ctx.Done():
	case err := <-n.fatal:
		cancel(err)
		<-ctx.Done()
	}
	var broken *storeError
	if errors.As(context.Cause(ctx), &broken) {
		// Pebble may hold locks for ever now. Nothing is lost by not closing it: every promise was synced.
		return fmt.Errorf("%s stopped: %w", n.cfg.Nation, broken)
	}
	n.mesh.Close()
	wg.Wait()
	err := n.close()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errStopped) {
		return errors.Join(fmt.Errorf("%s stopped: %w", n.cfg.Nation, cause), err)
	}
	return err
}

// guard runs one of the node's goroutines and turns a failed store into an error.
func guard(ctx context.Context, run func(context.Context) error) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *storeError:
			err = r
		default:
			panic(r)
		}
	}()
	return run(ctx)
}

// errStopped is why a node stops that was asked to.
var errStopped = errors.New("asked to stop")

// repeat sends on, from time to time, what has waited: own records that a peer's full queue lost, and other nations'
// that perhaps never reached the leader (design 7.4: forward).
func (n *Node) repeat(ctx context.Context) error {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-t.C:
			for _, r := range n.pool.Waiting(now, time.Second, 256) {
				n.send("", peer.Records, r.Raw())
			}
			_, leader := n.group.Leader()
			n.metrics.leader.Set(0)
			if leader {
				n.metrics.leader.Set(1)
			}
			n.compact()
			n.checkOrder()
		}
	}
}

// checkOrder asks for a rebuild when the order or the ledger can only go on from the certified point.
func (n *Node) checkOrder() {
	if n.group.Overwritten() {
		n.wantRebuild("a new leader's log overwrote entries that Raft had applied here")
	}
	// A stalled ledger has room again once finality has moved on.
	if err, size := n.ledger.Stalled(), n.ledger.FinalSize(); err != nil && size > n.unstalled {
		n.unstalled = size
		n.wantRebuild(err.Error())
	}
}

func (n *Node) compact() {
	if floor := min(n.floor(), n.group.AppliedIndex()); floor > n.cfg.KeepEntries {
		if err := n.logs.CompactTo(floor - n.cfg.KeepEntries); err != nil {
			n.fail(fmt.Errorf("compact the order's log: %w", err))
		}
	}
}

// Submit makes a record of this nation; see author.Submit.
func (n *Node) Submit(ctx context.Context, body treaty.Body) (*treaty.Record, error) {
	return n.author.Submit(ctx, body)
}

// SubmitFinal makes a record and returns when it is FINAL: under a cosigned checkpoint.
func (n *Node) SubmitFinal(ctx context.Context, body treaty.Body) (*treaty.Record, error) {
	done := make(chan struct{})
	// Asked for before the record leaves, so that it cannot be FINAL yet and need not be looked up.
	r, err := n.author.submit(ctx, body, func(id treaty.Hash) {
		n.finalMu.Lock()
		defer n.finalMu.Unlock()
		n.finalWait[id] = &waiting{done: []chan struct{}{done}}
	})
	if err != nil {
		return nil, err
	}
	return r, n.awaitFinal(ctx, r.ID, done)
}

// waiting is a record that somebody waits for.
type waiting struct {
	done []chan struct{}
	// place is its ledger index plus one, once the order has brought it; 0 before. Then no lookup is needed.
	place uint64
}

// WaitFinal returns when the ledger entry with this id is FINAL.
func (n *Node) WaitFinal(ctx context.Context, id treaty.Hash) error {
	done := make(chan struct{})
	n.finalMu.Lock()
	w := n.finalWait[id]
	if w == nil {
		w = &waiting{}
		if i, _, ok := n.ledger.Find(id); ok {
			if i < n.ledger.CosignedSize() {
				n.finalMu.Unlock()
				return nil
			}
			w.place = i + 1
		}
		n.finalWait[id] = w
	}
	w.done = append(w.done, done)
	n.finalMu.Unlock()
	return n.awaitFinal(ctx, id, done)
}

// awaitFinal waits for what was asked for, and takes the question back when ctx ends.
func (n *Node) awaitFinal(ctx context.Context, id treaty.Hash, done chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		n.finalMu.Lock()
		if w := n.finalWait[id]; w != nil { // others may wait for the same record: only this one goes
			if w.done = slices.DeleteFunc(w.done, func(d chan struct{}) bool { return d == done }); len(w.done) == 0 {
				delete(n.finalWait, id)
			}
		}
		n.finalMu.Unlock()
		return fmt.Errorf("wait for %s to become final: %w", id.Short(), ctx.Err())
	}
}

// IsFinal says whether the ledger entry with this id is FINAL here.
func (n *Node) IsFinal(id treaty.Hash) bool {
	i, _, ok := n.ledger.Find(id)
	return ok && i < n.ledger.CosignedSize()
}

// placed notes where the order has put records that somebody waits for.
func (n *Node) placed(leaves []ledger.Leaf) {
	n.finalMu.Lock()
	defer n.finalMu.Unlock()
	if len(n.finalWait) == 0 {
		return
	}
	for _, l := range leaves {
		if l.Record == nil {
			continue
		}
		if w := n.finalWait[l.Record.ID]; w != nil {
			w.place = l.Index + 1
		}
	}
}

// misplaced forgets those places: the tentative layer was thrown away.
func (n *Node) misplaced() {
	n.finalMu.Lock()
	defer n.finalMu.Unlock()
	for id, w := range n.finalWait {
		w.place = 0
		if i, _, ok := n.ledger.Find(id); ok {
			w.place = i + 1
		}
	}
}

// settled is called by the finalizer after every certificate.
func (n *Node) settled(c treaty.Checkpoint) {
	n.metrics.height.Set(float64(n.final.machine.Height()))
	n.metrics.final.Set(float64(c.Size))
	n.pipeline.wake()
}

// cosigned is called by the finalizer after every cosigned checkpoint.
func (n *Node) cosigned(size uint64) {
	n.metrics.cosigned.Set(float64(size))
	n.finalMu.Lock()
	for id, w := range n.finalWait {
		if w.place != 0 && w.place <= size {
			for _, done := range w.done {
				close(done)
			}
			delete(n.finalWait, id)
		}
	}
	n.finalMu.Unlock()
	n.author.final()
	n.observer.Cosigned(size)
}
