package testnet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"truceline/consensus/raftnet"
	"truceline/node"
	"truceline/sensorio"
)

// local is a testnet whose nodes all run in this process, each with its own libp2p host, Raft, Pebble and listeners.
type local struct {
	clients []*Client
	nodes   []*node.Node
	stop    context.CancelFunc
	wg      sync.WaitGroup

	mu     sync.Mutex
	failed error
	broken context.CancelCauseFunc
}

// Pace is how patient the nodes of a network on one machine are.
type Pace struct {
	Timing       raftnet.Timing
	RoundTimeout time.Duration
}

// PaceFor fits n nodes that share one machine: on loopback half a second is long, but n nodes share the cores, and the
// messages of an election grow with the square of n: 0.5 s up to 11 nodes, 1.5 s for 16, 5 s for 35.
func PaceFor(n int) Pace {
	beat := 500 * time.Millisecond * time.Duration(1+n*n/128)
	return Pace{
		Timing:       raftnet.Timing{Heartbeat: beat, Election: beat, Lease: beat / 2, Commit: 500 * time.Millisecond},
		RoundTimeout: 2 * beat,
	}
}

// startLocal starts every node. The context that it returns ends when a node stops by itself; close stops them all.
func startLocal(ctx context.Context, t *Testnet, clock *sensorio.Clock, log *slog.Logger) (_ context.Context, _ *local, err error) {
	l := &local{}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	watched, broken := context.WithCancelCause(ctx)
	l.broken = broken
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	pace := PaceFor(t.Net.N)
	for _, s := range t.Seats {
		n, err := node.New(node.Config{
			Dir: filepath.Join(s.Dir, DataName), Net: t.Net, Nation: s.Nation, Keys: s.Keys,
			Listen: s.Peers[s.Nation], Peers: s.Peers, Observe: s.Ports.ObserveAddr(), Operator: s.Ports.OperatorAddr(),
			Clock: clock, Timing: pace.Timing, RoundTimeout: pace.RoundTimeout, CacheBytes: 4 << 20, MemTableBytes: 4 << 20,
			Log: log,
		})
		if err != nil {
			return watched, l, err
		}
		l.nodes = append(l.nodes, n)
		l.clients = append(l.clients, NewClient(s.Nation, n.ObserveAddr(), n.OperatorAddr()))
		l.wg.Go(func() {
			if err := n.Run(run); err != nil {
				l.mu.Lock()
				l.failed = errors.Join(l.failed, err)
				l.mu.Unlock()
				broken(err)
			}
		})
	}
	return watched, l, nil
}

// close stops all nodes and says what stopped by itself.
func (l *local) close() error {
	l.stop()
	l.wg.Wait()
	l.broken(nil)
	for _, c := range l.clients {
		c.Close()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// logTo opens a log file in a folder.
func logTo(path string, level slog.Level) (*slog.Logger, func() error, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("testnet: open the log: %w", err)
	}
	return slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{Level: level})), f.Close, nil
}
