package node

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"truceline/consensus/raftnet"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// freePorts finds n free TCP ports on loopback.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// cluster is a whole network in this process, on real sockets and a real disk.
type cluster struct {
	fix   *treatytest.Fixture
	nodes map[treaty.Nation]*Node
	cfg   map[treaty.Nation]Config
	stop  map[treaty.Nation]func()
	wg    sync.WaitGroup
	t     testing.TB
}

func newCluster(t testing.TB, n int) *cluster {
	t.Helper()
	c := &cluster{fix: treatytest.New(n), nodes: map[treaty.Nation]*Node{}, cfg: map[treaty.Nation]Config{}, stop: map[treaty.Nation]func(){}, t: t}
	ports := freePorts(t, n)
	peers := map[treaty.Nation][]string{}
	for i, k := range c.fix.Net.Nations() {
		peers[k] = []string{fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", ports[i])}
	}
	level := slog.LevelError
	if os.Getenv("TRUCELINE_LOG") != "" {
		level = slog.LevelDebug
	}
	for _, k := range c.fix.Net.Nations() {
		ks := c.fix.Keys[k]
		c.cfg[k] = Config{
			Dir: t.TempDir(), Net: c.fix.Net, Nation: k, Keys: Keys{Treaty: ks.Treaty, Cosign: ks.Cosign, Node: ks.Node},
			Listen: peers[k], Peers: peers, Observe: "127.0.0.1:0",
			Timing:       raftnet.Timing{Heartbeat: 500 * time.Millisecond, Election: 500 * time.Millisecond, Lease: 250 * time.Millisecond, Commit: 50 * time.Millisecond},
			RoundTimeout: time.Second,
			Log:          slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
		}
		c.start(k)
	}
	t.Cleanup(func() {
		for _, s := range c.stop {
			s()
		}
		c.wg.Wait()
	})
	return c
}

func (c *cluster) start(k treaty.Nation) {
	c.t.Helper()
	n, err := New(c.cfg[k])
	if err != nil {
		c.t.Fatal(err)
	}
	c.nodes[k] = n
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	c.stop[k] = func() { cancel(); <-done }
	c.wg.Go(func() {
		defer close(done)
		if err := n.Run(ctx); err != nil {
			c.t.Errorf("%s: %v", k, err)
		}
	})
}

// A record submitted anywhere must become FINAL everywhere, with any f nations down, and a nation that was down must
// catch up.
func TestRecordsBecomeFinal(t *testing.T) {
	c := newCluster(t, 4)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	ks := c.fix.Net.Nations()
	for _, k := range ks {
		if _, err := c.nodes[k].SubmitFinal(ctx, &treaty.Remark{Text: "from " + string(k)}); err != nil {
			t.Fatal(err)
		}
	}
	c.stop[ks[3]]()
	r, err := c.nodes[ks[0]].SubmitFinal(ctx, &treaty.Remark{Text: "one is down"})
	if err != nil {
		t.Fatal(err)
	}
	c.start(ks[3])
	if err := c.nodes[ks[3]].WaitFinal(ctx, r.ID); err != nil {
		t.Fatalf("the nation that was down does not catch up: %v", err)
	}
}
