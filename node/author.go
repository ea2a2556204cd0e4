package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"time"

	"truceline/node/evidence"
	"truceline/node/pool"
	"truceline/treaty"
)

// author makes this nation's records: it numbers them, writes them down, synced, and only then sends them to everybody.
// One goroutine (run) numbers; what is submitted together shares one write to the disk.
type author struct {
	signer *treaty.Signer
	store  *evidence.Store
	pool   *pool.Pool
	clock  func() treaty.Time
	send   func([]byte) // one record to every nation
	log    *slog.Logger
	queue  chan submission

	finals  chan struct{}
	isFinal func(treaty.Hash) bool
	unfinal []ownRecord // owned by run
	outside uint64      // first own record that the pool had no room for, 0 for none; owned by run
}

type ownRecord struct {
	seq uint64
	id  treaty.Hash
}

// submission is one body that wants to become a record.
type submission struct {
	body   treaty.Body
	before func(treaty.Hash) // called with the record's id before it leaves; may be nil
	done   chan submitted
}

type submitted struct {
	record *treaty.Record
	err    error
}

// maxTogether bounds the records that share one write.
const maxTogether = 256

func newAuthor(signer *treaty.Signer, store *evidence.Store, p *pool.Pool, clock func() treaty.Time, send func([]byte),
	isFinal func(treaty.Hash) bool, log *slog.Logger,
) *author {
	return &author{
		signer: signer, store: store, pool: p, clock: clock, send: send, log: log, queue: make(chan submission, 1024),
		finals: make(chan struct{}, 1), isFinal: isFinal,
	}
}

// Submit makes a record of body and returns it when it is durable here and on its way to everybody. It will be ordered
// and final unless more than f nations stand against it; if this node crashes it is sent again after the restart.
func (a *author) Submit(ctx context.Context, body treaty.Body) (*treaty.Record, error) {
	return a.submit(ctx, body, nil)
}

func (a *author) submit(ctx context.Context, body treaty.Body, before func(treaty.Hash)) (*treaty.Record, error) {
	if err := body.Check(); err != nil {
		return nil, err
	}
	s := submission{body, before, make(chan submitted, 1)}
	select {
	case a.queue <- s:
	case <-ctx.Done():
		return nil, fmt.Errorf("submit a record: this node is overloaded or stopping: %w", ctx.Err())
	}
	select {
	case got := <-s.done:
		return got.record, got.err
	case <-ctx.Done():
		return nil, fmt.Errorf("submit a record: %w", ctx.Err())
	}
}

// run numbers, signs and sends until ctx ends. It first takes up what an earlier run left unsent.
func (a *author) run(ctx context.Context) error {
	if err := a.recover(); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.finals:
			if err := a.markFinal(); err != nil {
				return err
			}
		case first := <-a.queue:
			batch := []submission{first}
			for len(batch) < maxTogether {
				select {
				case s := <-a.queue:
					batch = append(batch, s)
					continue
				default:
				}
				break
			}
			if err := a.publish(batch); err != nil {
				return err
			}
		}
	}
}

// publish is the one durable order of records:
//
//  1. number and sign, in memory
//  2. write all of it down, synced; fatal if that fails, because the numbers may or may not be used
//  3. into our own pool, then to everybody
//  4. tell the submitters
//
// Attestations bind this nation and are written down one by one, with what they bind it to.
func (a *author) publish(batch []submission) error {
	for len(batch) > 0 {
		k := 0
		for k < len(batch) && !attests(batch[k]) {
			k++
		}
		var err error
		if k == 0 {
			err = a.publishAttestation(batch[0])
			k = 1
		} else {
			err = a.publishTogether(batch[:k])
		}
		if err != nil {
			return err
		}
		batch = batch[k:]
	}
	return nil
}

func attests(s submission) bool { _, ok := s.body.(*treaty.Attestation); return ok }

func (a *author) publishAttestation(s submission) error {
	r, err := a.store.NextRecord(func(seq uint64) (*treaty.Record, error) { return a.signer.SignRecord(seq, a.clock(), s.body) })
	switch {
	case errors.Is(err, evidence.ErrAttested) || errors.Is(err, treaty.ErrTooLarge) || errors.Is(err, treaty.ErrMalformed):
		s.done <- submitted{nil, err}
		return nil
	case err != nil:
		s.done <- submitted{nil, err}
		return fmt.Errorf("write own attestation down: %w", err)
	}
	a.release(r, s.before)
	s.done <- submitted{r, nil}
	return nil
}

func (a *author) publishTogether(batch []submission) error {
	rs, errs, err := a.store.NextRecords(len(batch), func(i int, seq uint64) (*treaty.Record, error) {
		return a.signer.SignRecord(seq, a.clock(), batch[i].body)
	})
	if err != nil {
		for _, s := range batch {
			s.done <- submitted{nil, err}
		}
		return fmt.Errorf("write own records down: %w", err)
	}
	for i, s := range batch {
		if errs[i] == nil {
			a.release(rs[i], s.before)
		}
		s.done <- submitted{rs[i], errs[i]}
	}
	return nil
}

// release puts a durable record into our own pool and sends it to everybody.
func (a *author) release(r *treaty.Record, before func(treaty.Hash)) {
	if before != nil {
		before(r.ID)
	}
	if a.outside == 0 {
		if _, err := a.pool.Add(r, time.Now()); err != nil {
			a.outside = r.Seq
			a.log.Warn("own records wait outside the pool until it has room", slog.Uint64("seq", r.Seq), slog.Any("error", err))
		}
	}
	a.remember(r)
	a.send(r.Raw())
}

// remember keeps the ids of own records that are not FINAL yet.
func (a *author) remember(r *treaty.Record) {
	a.unfinal = append(a.unfinal, ownRecord{r.Seq, r.ID})
}

// final tells the author that more has become FINAL. It never blocks.
func (a *author) final() {
	select {
	case a.finals <- struct{}{}:
	default:
	}
}

// markFinal forgets own records that have become FINAL: the ledger holds them.
func (a *author) markFinal() error {
	// Own records enter the ledger in the order of their numbers, so the final ones come first.
	k := sort.Search(len(a.unfinal), func(i int) bool { return !a.isFinal(a.unfinal[i].id) })
	if k == 0 {
		return nil
	}
	last := a.unfinal[k-1].seq
	a.unfinal = append(a.unfinal[:0], a.unfinal[k:]...)
	if err := a.store.MarkFinal(last); err != nil {
		return fmt.Errorf("note own records as final: %w", err)
	}
	return a.refill()
}

// refill puts the own records that found the pool full into it, as room is made: the order takes an author's records
// without gaps, so nothing behind the first of them could ever be ordered.
func (a *author) refill() error {
	if a.outside == 0 {
		return nil
	}
	for r, err := range a.store.Outbox() {
		switch {
		case err != nil:
			return fmt.Errorf("own records waiting to become final: %w", err)
		case r.Seq < a.outside:
			continue
		}
		if _, err := a.pool.Add(r, time.Now()); err != nil {
			a.outside = r.Seq
			return nil
		}
		a.send(r.Raw())
	}
	a.outside = 0
	return nil
}

// recover puts own records that are not final yet back into the pool; the repeater sends them on.
func (a *author) recover() error {
	n := 0
	for r, err := range a.store.Outbox() {
		if err != nil {
			return fmt.Errorf("own records waiting to become final: %w", err)
		}
		if a.outside == 0 {
			if _, err := a.pool.Add(r, time.Now()); err != nil {
				a.outside = r.Seq
			}
		}
		n++
		a.remember(r)
	}
	if n > 0 {
		a.log.Info("own records from before are sent again", slog.Int("records", n))
	}
	return nil
}
