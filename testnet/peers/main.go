// Command peers measures Truceline against CometBFT v1.0.1 and plain hashicorp/raft with raft-wal, in turn, on this
// machine, with fsync, and prints the ratios of that one run: absolute figures move with the machine, ratios far less.
// It is a module of its own, so that nothing else compiles the peers. README.md says how to run it and how to read it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

type options struct {
	nations  []int
	flat     []int
	inFlight []int
	length   time.Duration
	rounds   int
	binary   string
	dir      string
	json     bool
	comet    bool
}

// key names one point of one system.
type key struct {
	system  string
	nations int
	flight  int
}

// Names of the systems.
const (
	sysOurs  = "truceline"
	sysComet = "cometbft"
	sysRaft  = "raft+wal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "peers: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var o options
	nations := flag.String("nations", "4", "networks to compare, as 4,7")
	flat := flag.String("flat", "4,7,16,35", "network sizes of truceline alone, for the CPU per record and node; empty: none")
	flight := flag.String("in-flight", "1,256", "entries in flight, as 1,16,64,256")
	flag.DurationVar(&o.length, "duration", 4*time.Second, "how long each point is measured")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds; the systems take turns in each, figures are medians")
	flag.StringVar(&o.binary, "truceline", "", "truceline binary; empty: build it from ../..")
	flag.StringVar(&o.dir, "dir", "", "folder on the disk to measure; empty: a temporary one")
	flag.BoolVar(&o.json, "json", false, "answer in JSON")
	flag.BoolVar(&o.comet, "comet", true, "measure CometBFT too")
	flag.Parse()
	var err error
	if o.nations, err = numbers(*nations); err != nil {
		return err
	}
	if o.flat, err = numbers(*flat); err != nil {
		return err
	}
	if o.inFlight, err = numbers(*flight); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.dir, "peers-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if o.binary == "" {
		fmt.Fprintln(os.Stderr, "building truceline")
		if o.binary, err = build(ctx, dir); err != nil {
			return err
		}
	}
	got, err := measureAll(ctx, o, dir)
	if err != nil {
		return err
	}
	return report(o, got)
}

// measureAll runs the rounds: within a round the systems take turns.
func measureAll(ctx context.Context, o options, dir string) (map[key][]Point, error) {
	got := map[key][]Point{}
	add := func(system string, p Point) {
		k := key{system, p.Nations, p.InFlight}
		got[k] = append(got[k], p)
		fmt.Fprintf(os.Stderr, "%-10s %s\n", system, p)
	}
	for round := range o.rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, o.rounds)
		for _, n := range o.nations {
			ps, err := ours(ctx, o.binary, n, o.inFlight, o.length, dir)
			if err != nil {
				return nil, err
			}
			for _, p := range ps {
				add(sysOurs, p)
			}
			starts := []struct {
				name  string
				start func(context.Context, int, string) (system, error)
			}{{sysRaft, startRaft}, {sysComet, startComet}}
			if !o.comet {
				starts = starts[:1]
			}
			for _, s := range starts {
				if err := one(ctx, o, n, filepath.Join(dir, fmt.Sprintf("%s-%d-%d", s.name, n, round)), s.start, func(p Point) { add(s.name, p) }); err != nil {
					return nil, fmt.Errorf("%s, n=%d: %w", s.name, n, err)
				}
			}
		}
		most := o.inFlight[len(o.inFlight)-1]
		for _, n := range o.flat {
			if len(got[key{sysOurs, n, most}]) > round {
				continue // measured above
			}
			ps, err := ours(ctx, o.binary, n, []int{most}, o.length, dir)
			if err != nil {
				return nil, err
			}
			add(sysOurs, ps[0])
		}
	}
	return got, nil
}

func one(ctx context.Context, o options, n int, dir string, start func(context.Context, int, string) (system, error), each func(Point)) error {
	defer func() { _ = os.RemoveAll(dir) }()
	s, err := start(ctx, n, dir)
	if err != nil {
		return err
	}
	defer s.close()
	for _, c := range o.inFlight {
		p, err := measure(ctx, s, c, o.length)
		if err != nil {
			return err
		}
		each(p)
	}
	return nil
}

func numbers(s string) (out []int, err error) {
	for f := range strings.SplitSeq(s, ",") {
		if f = strings.TrimSpace(f); f == "" {
			continue
		}
		n, err := strconv.Atoi(f)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is no list of numbers, as 4,7,16", s)
		}
		out = append(out, n)
	}
	return out, nil
}

// report prints medians and ratios.
func report(o options, got map[key][]Point) error {
	type row struct {
		System string `json:"system"`
		Point
	}
	var rows []row
	for _, s := range []string{sysOurs, sysRaft, sysComet} {
		for n := range 64 {
			for _, c := range o.inFlight {
				if ps := got[key{s, n, c}]; len(ps) > 0 {
					rows = append(rows, row{s, median(ps)})
				}
			}
		}
	}
	rs := ratios(o, got)
	if o.json {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(map[string]any{"cores": runtime.NumCPU(), "rounds": o.rounds, "points": rows, "ratios": rs})
	}
	fmt.Printf("\n%d cores, %d-byte entries, fsync on, all nodes of a network on this machine; medians of %d rounds\n\n", runtime.NumCPU(), entryBytes, o.rounds)
	for _, r := range rows {
		fmt.Printf("%-10s %s\n", r.System, r.Point)
	}
	fmt.Println()
	for _, r := range rs {
		fmt.Println(r)
	}
	return nil
}
