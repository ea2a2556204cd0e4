package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	ucli "github.com/urfave/cli/v2"

	"truceline/consensus/raftnet"
	"truceline/internal/durable"
	"truceline/testnet"
	"truceline/testnet/bench"
	"truceline/testnet/scenarios"
	"truceline/treaty"
)

func benchCommand() *ucli.Command {
	return &ucli.Command{
		Name: "bench", Usage: "measure whole networks on this machine: records a second to FINAL, latency, CPU",
		Description: "Real nodes in this process, loopback sockets, this disk with fsync; every node verifies every record's\n" +
			"signature; a record counts when it is FINAL (cosigned by a quorum). All nodes share this machine's cores, so compare\n" +
			"runs on one quiet machine, and ratios rather than figures. testnet/peers compares with other systems.",
		Flags: []ucli.Flag{
			text("nations", "4,7,16,35", "sizes of the networks, 4 to 40"),
			text("in-flight", "1,16,64,256", "records under way at once"),
			&ucli.DurationFlag{Name: "duration", Value: 4 * time.Second, Usage: "how long each point is measured"},
			&ucli.IntFlag{Name: "bytes", Value: 256, Usage: "size of a signed record"},
			&ucli.BoolFlag{Name: "quick", Usage: "two sizes, two loads, one second each"},
			&ucli.BoolFlag{Name: "attribution", Usage: "measure associating and locating instead"},
			&ucli.BoolFlag{Name: "idle", Usage: "measure one idle node of seven instead, a process each"},
			text("dir", "", "folder on the disk to measure (default: where temporary files go)"),
			jsonFlag(),
		},
		Action: runBench,
	}
}

// benchAnswer is what --json prints; testnet/peers reads points.
type benchAnswer struct {
	Machine     bench.Machine  `json:"machine"`
	RecordBytes int            `json:"record_bytes,omitempty"`
	Points      []bench.Point  `json:"points,omitempty"`
	Attribution *bench.Solving `json:"attribution,omitempty"`
	Idle        *bench.Idle    `json:"idle,omitempty"`
}

// Bounds of a benchmark: less than leastRecord cannot hold a signed remark, more than mostInFlight is a pool that refuses.
const (
	leastRecord  = 230
	mostRecord   = 4000
	mostInFlight = 4096
)

func runBench(c *ucli.Context) error {
	cfg, err := benchConfig(c)
	if err != nil {
		return err
	}
	d := NewDisplay(c.App.ErrWriter)
	defer d.Close()
	machine, err := bench.Probe(cfg.Dir)
	if err != nil {
		return refused(fmt.Errorf("measure the disk: %w (choose another folder with --dir)", err))
	}
	answer := benchAnswer{Machine: machine}
	if !c.Bool("json") {
		say(c, "%d cores, %s, %s, %s; load %s; synced 4 KiB write p50 %s p99 %s\n", machine.Cores, machine.CPU, machine.OS, machine.Go,
			machine.Load, fine(machine.Sync), fine(machine.SyncP99))
	}
	special := c.Bool("attribution") || c.Bool("idle")
	if c.Bool("attribution") {
		if answer.Attribution, err = benchAttribution(d); err != nil {
			return err
		}
	}
	if c.Bool("idle") {
		if answer.Idle, err = benchIdle(c, d, cfg.Dir); err != nil {
			return err
		}
	}
	if !special {
		answer.RecordBytes = cfg.RecordBytes
		if answer.Points, err = benchPoints(c.Context, d, cfg); err != nil {
			return err
		}
	}
	d.Close()
	if c.Bool("json") {
		return printJSON(c, answer)
	}
	if answer.Attribution != nil {
		say(c, "%s\n", answer.Attribution)
	}
	if answer.Idle != nil {
		say(c, "%s\n", answer.Idle)
	}
	if !special {
		say(c, "%d-byte records, fsync on, all nodes of a network on this machine; latency from submission to FINAL\n\n", cfg.RecordBytes)
		for _, l := range benchTable(answer.Points).Lines(0) {
			say(c, "%s\n", l)
		}
	}
	return nil
}

func benchConfig(c *ucli.Context) (cfg bench.Config, err error) {
	if err := want(c, 0, 0, "no arguments"); err != nil {
		return cfg, err
	}
	nations, flight, length := c.String("nations"), c.String("in-flight"), c.Duration("duration")
	if c.Bool("quick") {
		if !c.IsSet("nations") {
			nations = "4,7"
		}
		if !c.IsSet("in-flight") {
			flight = "1,256"
		}
		if !c.IsSet("duration") {
			length = time.Second
		}
	}
	var err1, err2, err3, err4 error
	cfg.Nations, err1 = numberList("nations", nations, treaty.MinNations, treaty.MaxNations)
	cfg.InFlight, err2 = numberList("in-flight", flight, 1, mostInFlight)
	if cfg.Duration = length; length < 100*time.Millisecond || length > 10*time.Minute {
		err3 = fmt.Errorf("--duration %s: give 100ms to 10m", length)
	}
	if cfg.RecordBytes = c.Int("bytes"); cfg.RecordBytes < leastRecord || cfg.RecordBytes > mostRecord {
		err4 = fmt.Errorf("--bytes %d: give %d to %d", cfg.RecordBytes, leastRecord, mostRecord)
	}
	// Raft's words about peers that begin and end beside it would stand between the figures.
	cfg.Dir, cfg.Log = c.String("dir"), slog.New(slog.DiscardHandler)
	return cfg, refused(errors.Join(err1, err2, err3, err4))
}

// numberList reads a flag such as 4,7,16.
func numberList(flag, s string, least, most int) (out []int, err error) {
	for f := range strings.SplitSeq(s, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(f))
		if err != nil || n < least || n > most {
			return nil, fmt.Errorf("--%s %q: give numbers from %d to %d with commas between them", flag, s, least, most)
		}
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out, nil
}

// benchPoints measures all points and shows each as it is there.
func benchPoints(ctx context.Context, d *Display, cfg bench.Config) (out []bench.Point, err error) {
	total := int64(len(cfg.Nations) * len(cfg.InFlight))
	show := func(note string) {
		d.Progress(Bar{Label: "bench", Done: int64(len(out)), Total: total, Unit: "points", Note: note})
	}
	cfg.Starting = func(n int) { show(fmt.Sprintf("%d nations", n)) }
	err = bench.Run(ctx, cfg, func(p bench.Point) {
		out = append(out, p)
		d.Line("%s", p)
		show(fmt.Sprintf("%d nations", p.Nations))
	})
	return out, err
}

func benchTable(ps []bench.Point) Table {
	t := Table{Head: []string{"nations", "in flight", "records/s", "p50", "p99", "CPU/record", "CPU/record/node", "records/certificate"}}
	for _, p := range ps {
		t.Rows = append(t.Rows, []string{
			strconv.Itoa(p.Nations), strconv.Itoa(p.InFlight), fmt.Sprintf("%.0f", p.PerSecond), fine(p.P50), fine(p.P99),
			fine(p.CPU), fine(p.CPUNode), fmt.Sprintf("%.1f", float64(p.Records)/float64(max(1, p.Heights))),
		})
	}
	return t
}

// fine is a short time to three digits.
func fine(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%.0f us", float64(d)/1e3)
	case d < time.Second:
		return fmt.Sprintf("%.2f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func benchAttribution(d *Display) (*bench.Solving, error) {
	d.Show(func(int) []string { return []string{"associating a made-up hour"} })
	s, err := bench.Attribution()
	return &s, err
}

// How an idle node is watched: after what starting left behind is done, over several leaderships of the finality rounds.
const (
	idleNations = 7
	idleSettle  = 10 * time.Second
	idleOver    = 20 * time.Second
)

// benchIdle starts a testnet of processes with the times of a real node, leaves it alone, and takes it down again.
func benchIdle(c *ucli.Context, d *Display, under string) (_ *bench.Idle, err error) {
	dir, err := os.MkdirTemp(under, "bench-idle-")
	if err != nil {
		return nil, refused(err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	land, err := scenarioBytes(scenarios.Default)
	if err != nil {
		return nil, err
	}
	// A testnet's own pace is ten heartbeats more a second than a nation's node sends.
	patient := func(s testnet.Seat, accord treaty.Hash, _ testnet.Pace, clock *testnet.ClockBase) ([]byte, error) {
		return nodeFileOf(s, accord, testnet.Pace{Timing: raftnet.DefaultTiming(), RoundTimeout: 2 * time.Second}, clock)
	}
	p, err := testnet.Up(testnet.UpConfig{Dir: filepath.Join(dir, "net"), Nations: idleNations, Land: land, Speed: 1, NodeFile: patient})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Down(context.WithoutCancel(c.Context))) }()
	s := p.Session(newNightView(d).watch())
	err = s.Join(c.Context)
	s.Close()
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, seat := range p.Seats {
		b, err := durable.ReadFile(filepath.Join(seat.Dir, runningFileName), maxNodeFile)
		if err != nil {
			return nil, fmt.Errorf("the process of %s: %w", seat.Nation, err)
		}
		var r running
		if err := json.Unmarshal(b, &r); err != nil {
			return nil, fmt.Errorf("the process of %s: %w", seat.Nation, err)
		}
		pids = append(pids, r.PID)
	}
	bar := func(label string, of time.Duration) func(time.Duration) {
		return func(t time.Duration) {
			d.Progress(Bar{Label: label, Done: int64(t.Seconds()), Total: int64(of.Seconds()), Unit: "s"})
		}
	}
	if _, err := bench.WatchIdle(c.Context, pids, idleSettle, bar("settling", idleSettle)); err != nil {
		return nil, err
	}
	got, err := bench.WatchIdle(c.Context, pids, idleOver, bar("idle", idleOver))
	return &got, err
}
