package node

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"truceline/treaty"
)

// What the pipeline does with revealed batches: hold them against their seals, keep them, ask for those that are missing.

// batch checks a revealed batch against its seal and keeps it, synced, before anything is concluded from it.
func (p *pipeline) batch(b arrivedBatch) error {
	if b.err != nil || b.raw == nil {
		return nil
	}
	digest := treaty.HashOf(b.raw)
	if !b.want.IsZero() && digest != b.want {
		p.cfg.Log.Warn("a peer answered with another batch than it was asked for", slog.String("from", string(b.from)))
		return nil
	}
	if len(p.missing[digest]) == 0 {
		// Its seal is not ordered here yet, or it never was, or the batch is here: an honest nation shows it again.
		if _, err := p.cfg.Store.Batch(digest); err != nil {
			p.orphans.keep(b.from, digest, b.raw)
		}
		return nil
	}
	parsed, err := treaty.DecodeBatch(b.raw)
	if err == nil && parsed.Accord != p.cfg.Net.Digest {
		err = fmt.Errorf("%w: a batch under another accord", treaty.ErrMalformed)
	}
	if err != nil {
		for _, s := range p.missing[digest] {
			p.cfg.Log.Error("a sealed batch is malformed: its author sealed what cannot be evidence",
				slog.String("nation", string(s.nation)), slog.Any("error", err))
			s.givenUp = true
		}
		delete(p.missing, digest)
		return nil
	}
	if !slices.ContainsFunc(p.missing[digest], func(s *sealed) bool { return s.fits(parsed) }) {
		// Somebody sealed another nation's digest, or a batch of nobody. Whose it is may have its own seal still on the way.
		p.orphans.keep(b.from, digest, b.raw)
		p.fit(digest, parsed)
		return nil
	}
	if _, err := p.cfg.Store.PutRevealed(b.raw); err != nil {
		return fmt.Errorf("keep a revealed batch: %w", err)
	}
	p.fit(digest, parsed)
	return nil
}

// fit uses a batch under the seal of the nation and window that it names. A digest is public before its batch is, so
// anybody can seal it; but the bytes say whose it is, and whatever other seals name it can never be evidence.
func (p *pipeline) fit(digest treaty.Hash, b *treaty.Batch) {
	for _, s := range p.missing[digest] {
		if !s.fits(b) {
			s.givenUp = true
			p.cfg.Log.Warn("a seal names a batch that is not its own; it is no evidence",
				slog.String("nation", string(s.nation)), slog.Uint64("window", uint64(s.window)),
				slog.String("of", string(b.Nation)), slog.Uint64("of_window", uint64(b.Window)))
			continue
		}
		s.have = true
		delete(p.silent, s.nation)
		if p.evidence.add(s.id, b, !s.late, p.cfg.Net.Accord.Policy.Window()) {
			p.dirty = true
		}
		p.cfg.Metrics.revealed.Inc()
	}
	delete(p.missing, digest)
}

// complete moves through on, window by window, and asks for batches that are missing.
func (p *pipeline) complete(ctx context.Context) {
	final, closed := p.cfg.Ledger.FinalLedgerTime(), p.cfg.Ledger.FinalClosed()
	if closed == 0 {
		return
	}
	last := closed - 1
	if p.through == 0 || last > p.through+1<<20 {
		p.through = max(p.through, p.firstWindow(last))
	}
	// All that is missing is missed at once: who withholds in every window delays by one patience, not by one for each.
	for _, list := range p.missing {
		for _, s := range list {
			if s.window <= last && !s.givenUp {
				p.miss(ctx, s)
			}
		}
	}
	for p.through < last && !slices.ContainsFunc(p.windows[p.through+1], func(s *sealed) bool { return !s.have && !s.givenUp }) {
		p.through++
		p.moved = true
	}
	p.forget(final)
}

// firstWindow is where a node that has just started begins to look: before the first window it knows of.
func (p *pipeline) firstWindow(last treaty.Window) treaty.Window {
	first := last
	for k := range p.windows {
		first = min(first, k-1)
	}
	return first
}

// miss asks for a batch that should be here, and gives it up when its time is over.
func (p *pipeline) miss(ctx context.Context, s *sealed) {
	if s.since.IsZero() {
		s.since = time.Now()
	}
	waited, patience := time.Since(s.since), giveUpAfter
	if p.silent[s.nation] {
		patience = giveUpSoon
	}
	if waited > patience {
		s.givenUp = true
		p.silent[s.nation] = true
		p.cfg.Log.Warn("a sealed batch was not revealed; going on without it",
			slog.String("nation", string(s.nation)), slog.Uint64("window", uint64(s.window)))
		return
	}
	if _, asked := p.fetching[s.digest]; waited <= askAfter || asked || p.fetchingOf(s.nation) >= maxFetching {
		return
	}
	p.fetching[s.digest] = s.nation
	go func() {
		ask, cancel := context.WithTimeout(ctx, giveUpAfter)
		defer cancel()
		raw, err := p.cfg.Fetch(ask, s.nation, s.digest)
		select {
		case p.fetched <- arrivedBatch{from: s.nation, want: s.digest, raw: raw, err: err}:
		case <-ctx.Done():
		}
	}()
}

// fetchingOf is how many batches of a nation are being fetched.
func (p *pipeline) fetchingOf(n treaty.Nation) (k int) {
	for _, of := range p.fetching {
		if of == n {
			k++
		}
	}
	return k
}
