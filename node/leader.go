package node

import (
	"context"
	"log/slog"
	"time"

	"truceline/consensus/raftnet"
	"truceline/node/pool"
)

// maxProposals bounds the entries of the order under way at once: enough to keep the disk and the wire busy, few enough
// that records gather into large entries under load.
const maxProposals = 4

// lead packs the pool into entries of the order while this node leads it.
func lead(ctx context.Context, g *raftnet.Group, p *pool.Pool, log *slog.Logger) error {
	type outcome struct{ err error }
	done := make(chan outcome, maxProposals)
	under, wasLeader := 0, false
	hold := false                                   // the order took nothing just now: wait for the next tick or outcome
	check := time.NewTicker(250 * time.Millisecond) // leadership may change without a record coming
	defer check.Stop()
	for {
		_, leader := g.Leader()
		if leader && !wasLeader {
			p.Repropose()
		}
		wasLeader = leader
		for leader && !hold && under < maxProposals {
			entry := p.Pack()
			if entry == nil {
				break
			}
			proposal, err := g.Propose(entry)
			if err != nil {
				p.Repropose()
				hold = true
				break
			}
			under++
			go func() { done <- outcome{proposal.Wait(ctx)} }()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.Added():
		case <-check.C:
			hold = false
		case o := <-done:
			under--
			hold = false
			if o.err != nil {
				// Ambiguous: it may still be ordered. Proposing it again is harmless, the tally counts a number once.
				log.Debug("an entry was not ordered", slog.Any("error", o.err))
				if under == 0 {
					p.Repropose()
				}
			}
		}
	}
}
