// Package bench measures a whole network on this machine: real nodes in one process, real loopback sockets, real disks
// with fsync, every record's signature verified by every node, from submission to FINAL (cosigned). It prints figures
// and judges none.
package bench

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"truceline/consensus/raftnet"
	"truceline/node"
	"truceline/treaty"
)

// Config is what to measure.
type Config struct {
	Nations []int
	// InFlight are the numbers of records under way at once.
	InFlight []int
	// Duration is how long each point is measured.
	Duration time.Duration
	// RecordBytes is the size of one signed record.
	RecordBytes int
	Dir         string // a folder on the disk to measure; "" is the one for temporary files
	// Warm is how long each point runs before it counts; 0: a quarter of Duration.
	Warm time.Duration
	// Starting is called before each network is founded; may be nil.
	Starting func(nations int)
	Log      *slog.Logger
}

// Point is one measurement. Latencies are from submission to FINAL.
type Point struct {
	Nations   int           `json:"nations"`
	InFlight  int           `json:"in_flight"`
	PerSecond float64       `json:"per_second"`
	P50       time.Duration `json:"p50_ns"`
	P99       time.Duration `json:"p99_ns"`
	// CPU is the process's CPU time for one record, all nodes and the load together; CPUNode is that for one node.
	CPU     time.Duration `json:"cpu_ns"`
	CPUNode time.Duration `json:"cpu_node_ns"`
	Records int           `json:"records"`
	Heights uint64        `json:"heights"` // certificates made meanwhile
}

// String is one line of the table.
func (p Point) String() string {
	return fmt.Sprintf("n=%-3d in flight %-4d %9.0f records/s   p50 %8.2f ms   p99 %8.2f ms   CPU %7.1f us/record (%5.1f a node)   %6.1f records a certificate",
		p.Nations, p.InFlight, p.PerSecond, ms(p.P50), ms(p.P99), us(p.CPU), us(p.CPUNode), float64(p.Records)/float64(max(1, p.Heights)))
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }
func us(d time.Duration) float64 { return float64(d) / 1e3 }

// Run measures every point and calls each as it is done.
func Run(ctx context.Context, cfg Config, each func(Point)) error {
	for _, n := range cfg.Nations {
		if cfg.Starting != nil {
			cfg.Starting(n)
		}
		if err := runNations(ctx, cfg, n, each); err != nil {
			return fmt.Errorf("n=%d: %w", n, err)
		}
	}
	return nil
}

func runNations(ctx context.Context, cfg Config, n int, each func(Point)) (err error) {
	dir, err := os.MkdirTemp(cfg.Dir, fmt.Sprintf("bench-%d-", n))
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	net, keys, err := Roster(n)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	nodes, wait, err := start(ctx, cfg, net, keys, dir, cancel)
	defer func() {
		if why := context.Cause(ctx); err != nil && why != nil {
			err = why // a node that stopped says more than whoever waited for it
		}
		cancel(nil)
		wait()
	}()
	if err != nil {
		return err
	}
	for _, k := range nodes { // until everybody takes part
		if _, err := k.SubmitFinal(ctx, remark(cfg.RecordBytes, 0)); err != nil {
			return err
		}
	}
	for _, c := range cfg.InFlight {
		p, err := measure(ctx, cfg, nodes, c)
		if err != nil {
			return err
		}
		each(p)
	}
	return nil
}

// overhead is what header, signature, number and time take beside a remark's text.
const overhead = 210

func remark(size int, i uint64) *treaty.Remark {
	text := fmt.Sprintf("%d ", i)
	return &treaty.Remark{Text: text + strings.Repeat("x", max(1, size-overhead-len(text)))}
}

// measure keeps c records in flight, spread over the nodes, and takes the figures of the middle.
func measure(ctx context.Context, cfg Config, nodes []*node.Node, c int) (Point, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var took []time.Duration
	var counting atomic.Bool
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for i := range c {
		wg.Go(func() {
			at := nodes[i%len(nodes)]
			for k := uint64(1); ctx.Err() == nil; k++ {
				begin := time.Now()
				if _, err := at.SubmitFinal(ctx, remark(cfg.RecordBytes, k)); err != nil {
					if ctx.Err() == nil {
						failed.Store(&err)
						cancel()
					}
					return
				}
				if counting.Load() {
					d := time.Since(begin)
					mu.Lock()
					took = append(took, d)
					mu.Unlock()
				}
			}
		})
	}
	sleep(ctx, cmp.Or(cfg.Warm, cfg.Duration/4))
	height := nodes[0].Network().Node.Height
	cpu, begin := cpuTime(), time.Now()
	counting.Store(true)
	sleep(ctx, cfg.Duration)
	counting.Store(false)
	wall, used := time.Since(begin), cpuTime()-cpu
	heights := nodes[0].Network().Node.Height - height
	cancel()
	wg.Wait()
	if err := failed.Load(); err != nil {
		return Point{}, *err
	}
	if len(took) == 0 {
		return Point{}, fmt.Errorf("no record became FINAL within %s", cfg.Duration)
	}
	slices.Sort(took)
	p := Point{
		Nations: len(nodes), InFlight: c, Records: len(took), Heights: heights, PerSecond: float64(len(took)) / wall.Seconds(),
		P50: took[len(took)/2], P99: took[min(len(took)-1, len(took)*99/100)], CPU: used / time.Duration(len(took)),
	}
	p.CPUNode = p.CPU / time.Duration(len(nodes))
	return p, nil
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// Roster makes an exercise accord of n made-up nations with fresh keys.
func Roster(n int) (*treaty.Network, map[treaty.Nation]node.Keys, error) {
	now := treaty.TimeOf(time.Now().Add(-time.Hour))
	a := &treaty.Accord{
		Name: "Benchmark", Origin: "EXERCISE.bench.truceline/1", Epoch: 1, Exercise: true, Founded: now,
		Parties: []treaty.PartyInfo{{Code: "A", Name: "A"}, {Code: "B", Name: "B"}},
		Lines: []treaty.Line{{
			From: now, SigmaMm: 20_000, Vertices: []treaty.Position{{LatE7: 48e7, LonE7: 37e7}, {LatE7: 48e7, LonE7: 39e7}},
		}},
		Clauses: []treaty.Clause{{ID: "1", Text: "No fire.", Act: treaty.ActFire, Classes: []treaty.EventClass{treaty.ClassShot}, From: now}},
		Policy:  treaty.DefaultPolicy(),
	}
	members, keys, err := members(n)
	if err != nil {
		return nil, nil, err
	}
	a.Members = members
	net, err := treaty.NewNetwork(a)
	return net, keys, err
}

// members are n made-up nations with fresh keys.
func members(n int) (out []treaty.Member, keys map[treaty.Nation]node.Keys, err error) {
	keys = map[treaty.Nation]node.Keys{}
	for i := range n {
		k := treaty.Nation([]byte{'X', 'A' + byte(i/26), 'A' + byte(i%26)})
		var priv [3]ed25519.PrivateKey
		m := treaty.Member{Nation: k, Name: "Nation " + string(k)}
		for r := range priv {
			pub, p, err := ed25519.GenerateKey(nil)
			if err != nil {
				return nil, nil, err
			}
			priv[r] = p
			m.Keys = append(m.Keys, treaty.Key{Role: treaty.KeyRole(r + 1), Kind: treaty.KindEd25519, Public: pub})
		}
		out = append(out, m)
		keys[k] = node.Keys{Treaty: priv[0], Cosign: priv[1], Node: priv[2]}
	}
	return out, keys, nil
}

// start runs all nodes; wait returns when they have ended. A node that stops by itself ends the run.
func start(ctx context.Context, cfg Config, tn *treaty.Network, keys map[treaty.Nation]node.Keys, dir string, stop context.CancelCauseFunc) (nodes []*node.Node, wait func(), err error) {
	var wg sync.WaitGroup
	wait = wg.Wait
	peers := map[treaty.Nation][]string{}
	for _, k := range tn.Nations() {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, wait, err
		}
		defer func() { _ = l.Close() }()
		peers[k] = []string{fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", l.Addr().(*net.TCPAddr).Port)}
		_ = l.Close()
	}
	beat := 500 * time.Millisecond * time.Duration(1+tn.N/8)
	for _, k := range tn.Nations() {
		x, err := node.New(node.Config{
			Dir: filepath.Join(dir, string(k)), Net: tn, Nation: k, Keys: keys[k], Listen: peers[k], Peers: peers, Log: cfg.Log,
			Timing:       raftnet.Timing{Heartbeat: beat, Election: beat, Lease: beat / 2, Commit: 500 * time.Millisecond},
			RoundTimeout: 2 * beat,
		})
		if err != nil {
			return nodes, wait, err
		}
		nodes = append(nodes, x)
		wg.Go(func() {
			if err := x.Run(ctx); err != nil {
				stop(fmt.Errorf("the node of %s stopped: %w", k, err))
			}
		})
	}
	return nodes, wait, nil
}
