package testnet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"truceline/sensorio"
	"truceline/testnet/feed"
	"truceline/testnet/scenarios"
	"truceline/treaty"
)

// EvaluateConfig is a set of recordings to send through the real pipeline.
type EvaluateConfig struct {
	// Data holds a folder for each firing position, or is one.
	Data    string
	Nations int
	Speed   float64
	// LineM and Party say where the shooters stand.
	LineM float64
	Party treaty.Party
	// Only plays every so-many-th test; 0: all.
	Only int
	// Dir keeps the networks' files, in a folder for each position; "": temporary folders.
	Dir   string
	Watch Watch
}

// Evaluate plays every firing position into a network of its own, in this process, and returns a report for each: the
// positions have the same sensors at other places.
func Evaluate(ctx context.Context, c EvaluateConfig) ([]*FireReport, error) {
	dirs, err := filepath.Glob(filepath.Join(c.Data, "FP*"))
	if err != nil {
		return nil, err
	}
	if len(dirs) == 0 {
		dirs = []string{c.Data}
	}
	var out []*FireReport
	for _, d := range dirs {
		r, err := evaluate(ctx, c, d)
		if err != nil {
			return out, fmt.Errorf("%s: %w", d, err)
		}
		out = append(out, r)
	}
	return out, nil
}

func evaluate(ctx context.Context, c EvaluateConfig, recording string) (_ *FireReport, err error) {
	keep := ""
	if c.Dir != "" {
		keep = filepath.Join(c.Dir, filepath.Base(recording))
	}
	dir, cleanup, err := demoDir(keep)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cleanup()) }()
	log, closeLog, err := logTo(filepath.Join(dir, "nodes.log"), slog.LevelInfo)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeLog()) }()
	land, err := feed.Builtin(scenarios.Default)
	if err != nil {
		return nil, err
	}
	t, err := Found(Founding{
		Dir: dir, Nations: c.Nations, Scenario: land, Founded: treaty.TimeOf(land.Start.Add(-24 * time.Hour)),
	})
	if err != nil {
		return nil, err
	}
	clock, err := sensorio.NewClock(time.Now(), treaty.TimeOf(land.Start), c.Speed)
	if err != nil {
		return nil, err
	}
	ctx, l, err := startLocal(ctx, t, clock, log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	n := &Session{Net: t, Clients: l.clients, Clock: clock, Watch: c.Watch}
	if err := n.Join(ctx); err != nil {
		return nil, errors.Join(err, context.Cause(ctx))
	}
	r, err := n.Recording(ctx, RecordingConfig{Dir: recording, LineM: c.LineM, Party: c.Party, Only: c.Only})
	if err != nil {
		return nil, errors.Join(err, context.Cause(ctx))
	}
	return r, nil
}
