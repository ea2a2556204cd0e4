package node

import (
	"context"
	"fmt"
	"slices"

	"truceline/sensorio"
	"truceline/sensorio/rawlog"
	"truceline/treaty"
)

// PushSource is the source that POST /v1/detections on the operator's listener feeds.
const PushSource = "http"

func (n *Node) openIntake() error {
	raw, err := rawlog.Open(rawlog.Config{FS: n.cfg.FS, Dir: n.cfg.FS.PathJoin(n.cfg.Dir, "raw"), Log: n.log})
	if err != nil {
		return err
	}
	n.onClose("raw log", raw.Close)
	sources := append(slices.Clone(n.cfg.Sources), sensorio.SourceConfig{ID: PushSource, Decoder: sensorio.NDJSON{}})
	n.intake, err = sensorio.NewIntake(sensorio.IntakeConfig{
		RawLog: raw, Clock: n.cfg.Clock, Sources: sources, Hand: n.pipeline.Take, Registerer: n.cfg.Registry, Log: n.log,
	})
	if err != nil {
		return err
	}
	n.pipeline.cfg.Sealed = n.intake.Sealed
	return n.recallSealed()
}

// recallSealed tells the intake what this node's latest batch holds: after a crash it may have been sealed without the
// intake having noted it, and must not be sealed twice.
func (n *Node) recallSealed() error {
	var latest *treaty.Batch
	for r, err := range n.store.Outbox() {
		if err != nil {
			return err
		}
		if r.Seal == nil || r.Seal.Count == 0 {
			continue
		}
		b, err := n.store.Batch(r.Seal.Digest)
		if err != nil {
			return fmt.Errorf("the batch of own seal %s: %w", r.ID.Short(), err)
		}
		latest = b
		if err := n.intake.Sealed(latest.Detections); err != nil {
			return err
		}
	}
	return nil
}

// Ingest hands detections to the pipeline as if a source had brought them, without raw bytes: for simulations in one
// process. Whatever they are marked, they must not be REAL.
func (n *Node) Ingest(ctx context.Context, ds []treaty.Detection) error {
	for i := range ds {
		if err := ds[i].Check(); err != nil {
			return err
		}
		if ds[i].Mode == treaty.ModeReal {
			return fmt.Errorf("%w: simulated input is marked REAL", treaty.ErrMalformed)
		}
	}
	return n.pipeline.Take(ctx, ds)
}
