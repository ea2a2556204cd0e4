package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// entryBytes is the size of one entry, as in truceline bench.
const entryBytes = 256

// Point is one measurement of one system; the fields are those of truceline bench --json.
type Point struct {
	Nations   int           `json:"nations"`
	InFlight  int           `json:"in_flight"`
	PerSecond float64       `json:"per_second"`
	P50       time.Duration `json:"p50_ns"`
	P99       time.Duration `json:"p99_ns"`
	CPU       time.Duration `json:"cpu_ns"`      // of the whole process, for one entry
	CPUNode   time.Duration `json:"cpu_node_ns"` // that, divided by the nodes
}

// system is a network under test: submit returns when the entry counts as done there.
type system interface {
	// submit sends entry k of a worker and waits until it is final (or, for plain Raft, committed).
	submit(ctx context.Context, worker int, k uint64) error
	nodes() int
	close()
}

// measure keeps c entries in flight and takes the figures of the middle: a closed loop, as truceline bench has it.
func measure(ctx context.Context, s system, c int, length time.Duration) (Point, error) {
	ctx, cancel := context.WithTimeout(ctx, 4*length+time.Minute)
	defer cancel()
	var mu sync.Mutex
	var took []time.Duration
	var counting atomic.Bool
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for w := range c {
		wg.Go(func() {
			for k := uint64(1); ctx.Err() == nil; k++ {
				begin := time.Now()
				if err := s.submit(ctx, w, k); err != nil {
					if ctx.Err() == nil {
						failed.Store(&err)
						cancel()
					}
					return
				}
				if d := time.Since(begin); counting.Load() {
					mu.Lock()
					took = append(took, d)
					mu.Unlock()
				}
			}
		})
	}
	pause(ctx, length/4)
	cpu, begin := cpuTime(), time.Now()
	counting.Store(true)
	pause(ctx, length)
	counting.Store(false)
	wall, used := time.Since(begin), cpuTime()-cpu
	cancel()
	wg.Wait()
	if err := failed.Load(); err != nil {
		return Point{}, *err
	}
	if len(took) == 0 {
		return Point{}, errors.New("nothing became final in time")
	}
	slices.Sort(took)
	p := Point{
		Nations: s.nodes(), InFlight: c, PerSecond: float64(len(took)) / wall.Seconds(),
		P50: took[len(took)/2], P99: took[min(len(took)-1, len(took)*99/100)], CPU: used / time.Duration(len(took)),
	}
	p.CPUNode = p.CPU / time.Duration(p.Nations)
	return p, nil
}

func pause(ctx context.Context, d time.Duration) {
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

// String is one line of the table.
func (p Point) String() string {
	return fmt.Sprintf("n=%-3d in flight %-4d %9.0f/s   p50 %8.2f ms   p99 %8.2f ms   CPU %8.1f us (%6.1f a node)",
		p.Nations, p.InFlight, p.PerSecond, ms(p.P50), ms(p.P99), us(p.CPU), us(p.CPUNode))
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }
func us(d time.Duration) float64 { return float64(d) / 1e3 }

// median of the rounds of one point, figure by figure.
func median(ps []Point) Point {
	m := ps[0]
	m.PerSecond = middle(ps, func(p Point) float64 { return p.PerSecond })
	m.P50 = time.Duration(middle(ps, func(p Point) float64 { return float64(p.P50) }))
	m.P99 = time.Duration(middle(ps, func(p Point) float64 { return float64(p.P99) }))
	m.CPU = time.Duration(middle(ps, func(p Point) float64 { return float64(p.CPU) }))
	m.CPUNode = time.Duration(middle(ps, func(p Point) float64 { return float64(p.CPUNode) }))
	return m
}

func middle(ps []Point, of func(Point) float64) float64 {
	var vs []float64
	for _, p := range ps {
		vs = append(vs, of(p))
	}
	slices.Sort(vs)
	if len(vs) == 0 {
		return math.NaN()
	}
	return (vs[(len(vs)-1)/2] + vs[len(vs)/2]) / 2
}
