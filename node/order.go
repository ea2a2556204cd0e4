package node

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"truceline/consensus/ledger"
	"truceline/consensus/tally"
	"truceline/node/pool"
	"truceline/treaty"
)

// tallyMachine is the tally as the ledger drives it.
type tallyMachine struct{ *tally.State }

func (m tallyMachine) Apply(r *treaty.Record) (taken bool, derived [][]byte) {
	res := m.State.Apply(r)
	return res.Taken, res.Derived
}

func (m tallyMachine) Clone() ledger.Machine { return tallyMachine{m.State.Clone()} }

// order is what Raft delivers to: it decodes, checks every signature again and applies. It is called from one
// goroutine, Raft's; what it keeps is guarded by the rooms it calls.
type order struct {
	net    *treaty.Network
	pool   *pool.Pool
	ledger *ledger.Ledger
	events *events
	final  *finalizer
	placed func([]ledger.Leaf)
	seen   func(*treaty.Record) // the witness
	log    *slog.Logger
	// running ends when the node stops: then nothing waits any more.
	running context.Context
}

// Apply takes one entry of the order. Nothing in it is trusted: the leader that packed it may lie. What does not parse
// or verify is left out, by every node alike, because both are pure functions of the bytes.
func (o *order) Apply(index, term uint64, data []byte) {
	if index <= o.ledger.LastIndex() {
		return // below what a certificate already covers
	}
	raws, err := pool.SplitEntry(data)
	if err != nil {
		o.log.Warn("the leader ordered an entry that is malformed; it is left out",
			slog.Uint64("index", index), slog.Any("error", err))
	}
	rs := o.verified(raws)
	leaves := o.ledger.Apply(index, term, rs)
	for _, l := range leaves {
		if l.Record != nil {
			o.seen(l.Record)
			o.pool.Applied(l.Record.Nation, l.Record.Seq)
		}
	}
	if len(leaves) > 0 {
		o.placed(leaves)
		o.events.push(leaves)
		o.final.advance()
	}
}

// verified returns the records of an entry whose signatures hold. Those in the pool were verified when they came.
func (o *order) verified(raws [][]byte) []*treaty.Record {
	rs := make([]*treaty.Record, 0, len(raws))
	var unsure []*treaty.Signed
	var at []int
	for _, raw := range raws {
		if r, ok := o.pool.Get(treaty.HashOf(raw)); ok {
			rs = append(rs, r)
			continue
		}
		r, err := o.net.ParseRecord(raw)
		if err != nil {
			continue
		}
		unsure = append(unsure, r.Signed)
		at = append(at, len(rs))
		rs = append(rs, r)
	}
	bad := false
	for i, err := range o.net.VerifyAll(unsure) {
		if err != nil {
			o.log.Warn("the leader ordered a record that does not verify; it is left out", slog.Any("error", err))
			rs[at[i]] = nil
			bad = true
		}
	}
	if !bad {
		return rs
	}
	good := rs[:0]
	for _, r := range rs {
		if r != nil {
			good = append(good, r)
		}
	}
	return good
}

// restoreLimit bounds how long fetching what a snapshot stands for may take before the leader must try again.
const restoreLimit = 2 * time.Minute

// Restore is called by Raft with a certificate in place of a snapshot: the state is fetched from peers and checked
// against it (design 7.2).
func (o *order) Restore(data []byte) error {
	cert, err := treaty.DecodeCertificate(data)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	if err := o.net.VerifyCertificate(cert); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	ctx, cancel := context.WithTimeout(o.running, restoreLimit)
	defer cancel()
	return o.final.reach(ctx, cert)
}

// events carries new leaves from the order to the pipeline, in order; the pipeline is the only reader. When the queue is
// full the order waits for the pipeline: nothing is dropped.
type events struct {
	queue chan []ledger.Leaf
	done  <-chan struct{}
}

func newEvents(done <-chan struct{}) *events { return &events{make(chan []ledger.Leaf, 4096), done} }

func (e *events) push(ls []ledger.Leaf) {
	select {
	case e.queue <- ls:
	case <-e.done: // the node is stopping; after the start the ledger is read again
	}
}
