package raftnet_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peerstore"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"

	"truceline/consensus/raftlog"
	"truceline/consensus/raftnet"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// counter is an Applier that only counts.
type counter struct{ n int }

func (c *counter) Apply(uint64, uint64, []byte)       { c.n++ }
func (c *counter) ApplyBatch(entries []raftnet.Entry) { c.n += len(entries) }
func (c *counter) Restore([]byte) error               { return nil }

// none is a node before its first certificate.
type none struct{}

func (none) Latest() (uint64, uint64, []byte, bool) { return 0, 0, nil, false }
func (none) Accept(uint64, uint64, []byte) error    { return nil }

// BenchmarkCommit is raft's own commit of 256-byte entries at n = 4 on loopback TCP with TLS, fsync on, all nodes in
// this process on one disk, with 1 and 256 proposals in flight.
func BenchmarkCommit(b *testing.B) {
	const n = 4
	fix := treatytest.New(n)
	dir := b.TempDir()
	var hosts []host.Host
	var members []raftnet.Member
	for _, id := range names(n) {
		h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.Transport(tcp.NewTCPTransport),
			libp2p.Security(libp2ptls.ID, libp2ptls.New), libp2p.DisableRelay(), libp2p.DisableMetrics(),
			libp2p.ResourceManager(&network.NullResourceManager{}))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = h.Close() })
		hosts = append(hosts, h)
		members = append(members, raftnet.Member{ID: id, Peer: h.ID()})
	}
	var groups []*raftnet.Group
	for i, h := range hosts {
		for _, o := range hosts {
			h.Peerstore().AddAddrs(o.ID(), o.Addrs(), peerstore.PermanentAddrTTL)
		}
		db, err := pebble.Open(fmt.Sprintf("%s/%d", dir, i), &pebble.Options{
			Logger: quiet{}, MemTableSize: 64 << 20, MemTableStopWritesThreshold: 4, L0CompactionThreshold: 4,
		})
		if err != nil {
			b.Fatal(err)
		}
		fatal := func(err error) { b.Error(err) }
		store, err := raftlog.Open(raftlog.Config{DB: db, Floor: func() uint64 { return 0 }, OnTruncate: func(uint64) {}, OnFatal: fatal})
		if err != nil {
			b.Fatal(err)
		}
		snaps, err := raftlog.NewSnapshots(raftlog.SnapshotsConfig{
			Certified: none{}, Configuration: func() raft.Configuration { return raftnet.Roster(members) }, Log: store,
			OnDiverged: func(uint64) {},
		})
		if err != nil {
			b.Fatal(err)
		}
		g, err := raftnet.Open(raftnet.Config{
			Self: members[i].ID, Members: members, Host: h, Logs: store, Stable: store, Snapshots: snaps, Applier: &counter{},
			Net: fix.Net, Signer: fix.Signers[treaty.Nation(members[i].ID)],
			Certified: func() uint64 { return 1 << 40 }, // the bench never certifies, and is not to wait for it
			Accept:    none{}.Accept,
			Log:       slog.New(slog.DiscardHandler), OnFatal: fatal, Timing: raftnet.Timing{
				Heartbeat: 500 * time.Millisecond, Election: 500 * time.Millisecond, Lease: 250 * time.Millisecond, Commit: 50 * time.Millisecond,
			},
		})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _, _ = g.Close(), db.Close() })
		groups = append(groups, g)
	}
	led := make(chan *raftnet.Group, 16)
	for _, g := range groups {
		g.WatchLeader(func(_ string, self bool) {
			if self {
				led <- g
			}
		})
	}
	l := <-led
	for _, c := range []int{1, 256} {
		b.Run(fmt.Sprintf("inflight=%d", c), func(b *testing.B) { load(b, l, c) })
	}
}

func load(b *testing.B, l *raftnet.Group, c int) {
	data := make([]byte, 256)
	var mu sync.Mutex
	var took []time.Duration
	left := b.N
	cpu := rusage()
	var wg sync.WaitGroup
	b.ResetTimer()
	for range c {
		wg.Go(func() {
			var mine []time.Duration
			for {
				mu.Lock()
				left--
				more := left >= 0
				mu.Unlock()
				if !more {
					break
				}
				start := time.Now()
				p, err := l.Propose(data)
				if err == nil {
					err = p.Wait(context.Background())
				}
				if err != nil {
					b.Error(err)
					break
				}
				mine = append(mine, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		})
	}
	wg.Wait()
	b.StopTimer()
	slices.Sort(took)
	if len(took) == 0 {
		return
	}
	b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "entries/s")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64((rusage()-cpu).Microseconds())/float64(len(took)), "cpu-us/entry")
}

// rusage is the processor time of the whole process: all nodes and the load.
func rusage() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
