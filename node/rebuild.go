package node

import (
	"context"
	"fmt"
	"log/slog"

	"truceline/consensus/ledger"
	"truceline/treaty"
)

// wantRebuild asks for the tentative layer to be thrown away. It never blocks: it is called from Raft's own goroutines.
func (n *Node) wantRebuild(reason string) {
	select {
	case n.rebuild <- reason:
	default:
	}
}

// rebuildLoop throws the tentative layer away and opens Raft again at the certified point, when something showed that
// what this node had applied is not the order (design 7.2). Nothing final is touched.
func (n *Node) rebuildLoop(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case reason := <-n.rebuild:
			n.log.Error("throwing the tentative layer away and starting again at the certified point",
				slog.String("reason", reason), slog.Uint64("final", n.ledger.FinalSize()))
			err := n.group.Reopen(ctx, func() error { return n.final.alone(ctx, n.startAgain) })
			if err != nil && ctx.Err() == nil {
				return fmt.Errorf("start again at the certified point: %w", err)
			}
			n.final.advance()
		}
	}
}

// startAgain resets ledger, pool and the order's log to the last certificate. Raft is stopped, and the finalizer waits.
func (n *Node) startAgain() error {
	if err := n.ledger.Reset(); err != nil {
		return err
	}
	n.syncPool(n.pool.Rewind)
	n.misplaced()
	if c := n.ledger.Certified(); c != nil {
		_, err := n.logs.Align(c.Checkpoint.Index, c.Checkpoint.Term)
		return err
	}
	return nil
}

// grafted is called by the finalizer after entries came from a peer instead of from the order. The graft threw the
// tentative layer away; what Raft has handed over beyond the grafted index went with it and must come again.
func (n *Node) grafted(from, to, index uint64, conflict bool) {
	n.syncPool(n.pool.Applied)
	n.misplaced()
	if err := n.pushEvents(from, to); err != nil {
		n.fail(err)
		return
	}
	switch {
	case conflict:
		n.wantRebuild("the nations have certified another order than this node had applied")
	case n.group.AppliedIndex() > index:
		n.wantRebuild("the order went on while this node caught up")
	}
}

// pushEvents hands final entries to the pipeline as if the order had just brought them.
func (n *Node) pushEvents(from, to uint64) error {
	entries, failed := n.ledger.Entries(from, to)
	for i, e := range entries {
		leaf := ledger.Leaf{Index: i, Entry: e}
		if !treaty.IsVerdict(e) {
			r, err := treaty.ParseRecord(e)
			if err != nil {
				return fmt.Errorf("ledger entry %d: %w", i, err)
			}
			leaf.Record = r
		}
		n.events.push([]ledger.Leaf{leaf})
	}
	return failed()
}

// replayDepth is how many of the newest final entries the pipeline looks at again after a start: the policy's deadline
// at 35 nations that seal every window is about 2,100 entries.
const replayDepth = 8192

// replayEvents shows the pipeline the recent past, so that incidents still open are answered after a restart.
func (n *Node) replayEvents(ctx context.Context) error {
	size := n.ledger.FinalSize()
	return n.pushEvents(size-min(size, replayDepth), size)
}
