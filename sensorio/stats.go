package sensorio

import (
	"context"
	"fmt"

	"truceline/sensorio/rawlog"
)

// Stats is the intake's state for status displays.
type Stats struct {
	Sources     []SourceStats `json:"sources"`
	Accepted    uint64        `json:"accepted"`     // detections handed over since start
	Duplicates  uint64        `json:"duplicates"`   // detections dropped since start because they had come before
	DeadLetters uint64        `json:"dead_letters"` // messages that went to the dead letters since start
	Pending     int           `json:"pending"`      // detections handed over and not sealed
	Backlog     int64         `json:"backlog"`      // bytes of the raw log not decoded yet
	RawBytes    int64         `json:"raw_bytes"`
	DeadBytes   int64         `json:"dead_bytes"`
}

// SourceStats is one source's.
type SourceStats struct {
	ID        string `json:"id"`
	Connected bool   `json:"connected"`
	Ended     bool   `json:"ended,omitempty"`
	Kept      uint64 `json:"kept"`   // messages kept since start
	Queued    int    `json:"queued"` // messages read and not kept yet
	LastError string `json:"last_error,omitempty"`
}

// Stats measures.
func (in *Intake) Stats() Stats {
	var s Stats
	for _, p := range in.inputs {
		p.mu.Lock()
		s.Sources = append(s.Sources, SourceStats{
			ID: p.cfg.ID, Connected: p.connected || p.cfg.Source == nil, Ended: p.ended, Kept: p.kept,
			Queued: p.queue.len(), LastError: p.lastErr,
		})
		p.mu.Unlock()
	}
	u := in.cfg.RawLog.Usage()
	s.RawBytes, s.DeadBytes = u.RawBytes, u.DeadBytes
	in.mu.Lock()
	defer in.mu.Unlock()
	s.Accepted, s.Duplicates, s.DeadLetters = in.accepted, in.duplicates, in.deadLetters
	s.Pending = in.track.pending()
	s.Backlog = max(0, int64(in.cfg.RawLog.End())-int64(in.consumed))
	return s
}

// Redriven says what Redrive did.
type Redriven struct {
	Letters int `json:"letters"` // dead letters looked at
	Again   int `json:"again"`   // of them put back for decoding, because they decode now
}

// Redrive tries every dead letter with the configured decoders and puts those that decode now back into the raw log,
// where they take the usual way; what had been decoded from them before is passed over. It works while Run runs, and
// without: then the next Run decodes them.
func (in *Intake) Redrive(ctx context.Context) (done Redriven, err error) {
	err = in.cfg.RawLog.Letters(func(m rawlog.Letter) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		done.Letters++
		if _, err := judge(in.configFor(m.Raw), in.cfg.MaxClockError, m.Raw); err != nil {
			return nil
		}
		done.Again++
		return in.cfg.RawLog.Redrive(m)
	})
	if err != nil {
		return done, fmt.Errorf("redrive dead letters: %w", err)
	}
	return done, nil
}
