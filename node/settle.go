package node

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"truceline/consensus/finality"
	"truceline/consensus/ledger"
	"truceline/treaty"
)

type reachRequest struct {
	cert *treaty.Certificate
	done chan error
}

type fetchResult struct {
	cert    *treaty.Certificate
	entries [][]byte
	err     error
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
//
// While at most f nations lie, a node that lost step 2 in a power cut could only make the same certificate again. It is
// synced for the day when more lie: a node that forgot what it cosigned could then be led to cosign a second root, and
// prove-fork would name an honest nation.
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
	f.unsynced = false
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
	if f.fetching || time.Now().Before(f.fetchAt) || !conflict && len(f.waiting) == 0 && time.Since(f.behindAt) < f.cfg.CatchUp {
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
		at, entries, err := f.cfg.Fetch(ctx, from, cert)
		f.fetched <- fetchResult{at, entries, err}
	}()
	return nil
}

// graft replaces this node's tentative state by what a certificate covers.
func (f *finalizer) graft(ctx context.Context, got fetchResult, effects *[]finality.Effect) error {
	if got.err != nil {
		f.fetchAt = time.Now().Add(f.cfg.CatchUp / 2)
		f.cfg.Log.Warn("fetching the ledger failed; trying again", slog.Any("error", got.err))
		return nil
	}
	if last := f.cfg.Ledger.Certified(); last != nil && last.Checkpoint.Size >= got.cert.Checkpoint.Size {
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
		f.fetchAt = time.Now().Add(f.cfg.CatchUp / 2)
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
	// Not synced here: it can be made again from the certificate, which is. The next synced write carries it along, or
	// rest does when there is none.
	if err := b.Commit(pebble.NoSync); err != nil {
		staged.Drop()
		return fmt.Errorf("write the cosigned checkpoint: %w", err)
	}
	staged.Done()
	f.unsynced = true
	f.cfg.Cosigned(cosigs[0].Size)
	return nil
}

func (f *finalizer) noteEquivocation(e finality.Equivocation) {
	f.cfg.Equivocated(e)
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
