package sim

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"truceline/consensus/raftnet"
	"truceline/node"
	"truceline/sensorio"
	"truceline/testnet/feed"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// Options are what a World is made of. The zero value is four nations, 20 ms apart, on the land of scenario "breach".
type Options struct {
	Nations int
	// Seed is what the run's own choices follow; it is printed.
	Seed uint64
	// OneWay is how long a packet takes; 0 is 20 ms.
	OneWay time.Duration
	// Scenario is the land and the night; "" is "breach".
	Scenario string
	// Offset is by how much a nation's sensor clock is wrong.
	Offset map[int]time.Duration
	// Hostile makes the adversary of a seat that has one, once; it lives through its node's restarts. What must hold in
	// the end must hold at the other seats.
	Hostile map[int]func(*World, int) node.Tamper
	// KeepEntries is node.Config.KeepEntries.
	KeepEntries uint64
	// MemTable is Pebble's write buffer, small so that flushes and compactions happen; 0 is 64 KiB.
	MemTable int64
}

// World is a network and what is done to it. Its methods are for the bubble's main goroutine, except where they say
// otherwise.
type World struct {
	t    testing.TB
	opts Options
	rng  *rand.Rand
	wire *wire

	Net      *treaty.Network
	Scenario *feed.Scenario
	keys     map[treaty.Nation]treatytest.Keys
	seats    []*seat
	log      *journal
	playing  sync.WaitGroup // sensors

	closed    bool
	convicted map[treaty.Nation][]treaty.MisbehaviourKind // by the ledger, once End has read it

	mu    sync.Mutex
	acked []treaty.Hash // what some node has acknowledged while it had power
}

// seat is one nation's place: its disk, and its node while that runs.
type seat struct {
	i      int
	nation treaty.Nation

	mu   sync.Mutex // guards what follows; held for a moment only
	disk *disk
	node *node.Node // nil while it is down
	dark bool       // the power went; what the node still does never happened

	stop context.CancelFunc
	done chan error

	tamper node.Tamper // nil for an honest nation
}

// New makes a network whose nodes are all down. Close it with End or Close inside the bubble.
func New(t testing.TB, o Options) *World {
	if o.Nations == 0 {
		o.Nations = 4
	}
	if o.OneWay == 0 {
		o.OneWay = 20 * time.Millisecond
	}
	if o.Scenario == "" {
		o.Scenario = "breach"
	}
	if o.MemTable == 0 {
		o.MemTable = 64 << 10
	}
	w := &World{t: t, opts: o, rng: rand.New(rand.NewPCG(o.Seed, 1)), wire: newWire(o.Nations, o.OneWay), keys: treatytest.New(o.Nations).Keys, log: &journal{}}
	t.Logf("seed %d", o.Seed)
	w.found()
	for i, k := range w.Net.Nations() {
		s := &seat{i: i, nation: k}
		s.disk = w.disk(s, vfs.NewCrashableMem())
		w.seats = append(w.seats, s)
	}
	for i, make := range o.Hostile {
		w.seats[i].tamper = make(w, i)
	}
	t.Cleanup(func() { // a test that gave up must not leave nodes in its bubble
		if !w.closed {
			w.Close()
		}
	})
	return w
}

// found makes the accord of the scenario's land for the roster of treatytest.
func (w *World) found() {
	s, err := feed.Builtin(w.opts.Scenario)
	if err != nil {
		w.t.Fatal(err)
	}
	accord, err := s.Accord(treatytest.Accord(w.opts.Nations, nil).Members, treatytest.Founded)
	if err == nil {
		w.Net, err = treaty.NewNetwork(accord)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.Scenario = s
}

func (w *World) disk(s *seat, mem *vfs.MemFS) *disk {
	rng := rand.New(rand.NewPCG(w.rng.Uint64(), 2))
	return newDisk(mem, rng, func() {
		w.wire.set(func() { w.wire.dark[s.i] = true })
		s.mu.Lock()
		s.dark = true
		s.mu.Unlock()
	})
}

// timing is Raft's in the simulator: a leader that is gone is missed after one to two seconds.
var timing = raftnet.Timing{
	Heartbeat: time.Second, Election: time.Second, Lease: 500 * time.Millisecond, Commit: 100 * time.Millisecond,
}

// Start starts nations that are down.
func (w *World) Start(is ...int) {
	w.t.Helper()
	peers := map[treaty.Nation][]string{}
	for _, s := range w.seats {
		peers[s.nation] = []string{address(s.i)}
	}
	for _, i := range is {
		s := w.seats[i]
		if s.node != nil {
			w.t.Fatalf("%s runs already", s.nation)
		}
		s.mu.Lock()
		s.dark = false
		s.mu.Unlock()
		w.wire.set(func() { w.wire.dark[i] = false })
		ks := w.keys[s.nation]
		clock, err := sensorio.NewClock(time.Now(), treaty.TimeOf(time.Now()).Add(w.opts.Offset[i]), 1)
		if err != nil {
			w.t.Fatal(err)
		}
		n, err := node.New(node.Config{
			Dir: "/data", FS: s.disk.fs(), Net: w.Net, Nation: s.nation,
			Keys:   node.Keys{Treaty: ks.Treaty, Cosign: ks.Cosign, Node: ks.Node},
			Listen: []string{address(i)}, Peers: peers, HostOptions: w.wire.plug(), Clock: clock, Timing: timing,
			KeepEntries: w.opts.KeepEntries, Tamper: s.tamper, CacheBytes: 1 << 20, MemTableBytes: w.opts.MemTable,
			Log: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelInfo})),
		})
		if err != nil {
			w.t.Fatalf("start %s: %v", s.nation, err)
		}
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		s.mu.Lock()
		s.node, s.stop, s.done = n, stop, done
		s.mu.Unlock()
		go func() { done <- n.Run(ctx) }()
	}
}

// StartAll starts every nation that is down.
func (w *World) StartAll() {
	w.t.Helper()
	for i, s := range w.seats {
		if s.node == nil {
			w.Start(i)
		}
	}
}

// Stop stops nations in good order.
func (w *World) Stop(is ...int) {
	w.t.Helper()
	for _, i := range is {
		s := w.seats[i]
		n := s.node
		if n == nil {
			continue
		}
		s.stop()
		if err := <-s.done; err != nil && !s.isDark() {
			w.t.Errorf("%s: %v", s.nation, err)
		}
		s.mu.Lock()
		s.node = nil
		s.mu.Unlock()
	}
}

func (s *seat) isDark() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dark
}

// PowerCut takes the power of a nation away: nothing it does from now on leaves it, and Start finds a disk that has
// everything that was synced, and some of what was not. If the power has failed already, by Arm, that moment holds.
func (w *World) PowerCut(i int) {
	w.t.Helper()
	s := w.seats[i]
	s.disk.cut()
	w.note("power cut at %s", s.nation)
	w.Stop(i)
	s.disk = w.disk(s, s.disk.after)
}

// Arm lets the power of a nation fail at the k-th operation of a kind from now; see disk.
func (w *World) Arm(i int, kind string, k int) { w.seats[i].disk.arm(kind, k) }

// Failed says whether the power of a nation has failed since it was armed.
func (w *World) Failed(i int) bool { return w.seats[i].isDark() }

// Cut leaves packets only between nations of one group; who is in no group is alone with the others in none.
func (w *World) Cut(groups ...[]int) {
	w.note("cut %v", groups)
	w.wire.set(func() {
		clear(w.wire.group)
		for g, is := range groups {
			for _, i := range is {
				w.wire.group[i] = g + 1
			}
		}
	})
}

// Heal mends all cables.
func (w *World) Heal() {
	w.note("heal")
	w.wire.set(func() { clear(w.wire.group); clear(w.wire.slow) })
}

// Slow makes every packet of a nation take so much longer, each way.
func (w *World) Slow(i int, by time.Duration) { w.wire.set(func() { w.wire.slow[i] = by }) }

// Leader is the seat that leads the order, -1 if nobody is known to.
func (w *World) Leader() int {
	for _, s := range w.seats {
		if s.node == nil {
			continue
		}
		if v := s.node.Network().Node; v.Leader == string(s.nation) {
			return s.i
		}
	}
	return -1
}

// Wait lets time pass until what holds, and fails the test if that takes longer than limit.
func (w *World) Wait(what string, limit time.Duration, holds func() bool) {
	w.t.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			w.dump()
			w.t.Fatalf("after %s: not %s", limit, what)
		}
	}
}

// Ready waits until every running honest nation's first record is FINAL everywhere that runs.
func (w *World) Ready() {
	w.t.Helper()
	for i, s := range w.seats {
		if s.node != nil && s.tamper == nil {
			w.Submit(i, fmt.Sprintf("%s takes part", s.nation))
		}
	}
	w.Settle(2 * time.Minute)
}

// note writes a line into the journal, between those of the nodes.
func (w *World) note(format string, args ...any) {
	fmt.Fprintf(w.log, "%s ------- %s\n", time.Now().Format("04:05.000"), fmt.Sprintf(format, args...))
}

// dump prints what the nodes logged and how they stand.
func (w *World) dump() {
	w.t.Helper()
	w.t.Logf("the nodes' logs:\n%s", w.log.String())
	for _, s := range w.seats {
		if s.node == nil {
			w.t.Logf("%s is down", s.nation)
			continue
		}
		st := s.node.Status()
		w.t.Logf("%s: %+v term %d index %d", s.nation, st.Network.Node, st.Term, st.Index)
		for _, m := range st.Network.Members {
			if m.Problem != "" || len(m.Refused) > 0 {
				w.t.Logf("   %s: %s %v", m.Nation, m.Problem, m.Refused)
			}
		}
	}
}

// journal keeps the end of what the nodes log.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// maxJournal bounds what is kept.
const maxJournal = 256 << 10

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if os.Getenv("TRUCELINE_LOG") != "" {
		_, _ = os.Stderr.Write(p)
	}
	if j.buf.Len() > maxJournal {
		j.buf.Next(j.buf.Len() - maxJournal/2)
	}
	return j.buf.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}
