package node

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"truceline/consensus/ledger"
	"truceline/node/evidence"
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

// recallSealed tells the intake what this node's latest batches hold: after a crash they may have been sealed without the
// intake having noted it, and must not be sealed twice. The latest seal is in the outbox or, if it was quick, in the
// ledger.
func (n *Node) recallSealed() error {
	var sealed []treaty.Detection
	add := func(r *treaty.Record) error {
		if r.Seal == nil || r.Seal.Count == 0 {
			return nil
		}
		b, err := n.store.Batch(r.Seal.Digest)
		if errors.Is(err, evidence.ErrNotFound) {
			return nil // pruned: long noted
		}
		if err != nil {
			return fmt.Errorf("the batch of own seal %s: %w", r.ID.Short(), err)
		}
		sealed = append(sealed, b.Detections...)
		return nil
	}
	for r, err := range n.store.Outbox() {
		if err != nil {
			return err
		}
		if err := add(r); err != nil {
			return err
		}
	}
	var last treaty.Hash
	n.ledger.With(func(live ledger.Machine, _ uint64) { last, _, _ = live.(tallyMachine).LastSeal(n.cfg.Nation) })
	if i, final, ok := n.ledger.Find(last); ok && final {
		entry, err := n.ledger.Entry(i)
		if err != nil {
			return err
		}
		r, err := treaty.ParseRecord(entry)
		if err != nil {
			return fmt.Errorf("own seal at %d: %w", i, err)
		}
		if err := add(r); err != nil {
			return err
		}
	}
	if len(sealed) == 0 {
		return nil
	}
	return n.intake.Sealed(sealed)
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
