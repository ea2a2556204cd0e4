package sim

import (
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"
)

// lost is a delay that no run outlasts: the packet does not arrive.
const lost = 1000 * time.Hour

// wire is the network between the nations: packets with a delay, cables that can be cut.
type wire struct {
	sim    *simnet.Simnet
	oneWay time.Duration

	mu    sync.Mutex
	seat  map[string]int // by IP
	group []int          // packets pass between nations of one group only
	dark  []bool         // without power: nothing goes in or out
	slow  []time.Duration
}

func newWire(n int, oneWay time.Duration) *wire {
	w := &wire{oneWay: oneWay, seat: map[string]int{}, group: make([]int, n), dark: make([]bool, n), slow: make([]time.Duration, n)}
	for i := range n {
		w.seat[simnet.IntToPublicIPv4(i).String()] = i
	}
	w.sim = &simnet.Simnet{Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), LatencyFunc: w.delay}
	w.sim.Start()
	return w
}

func (w *wire) delay(p *simnet.Packet) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, b := w.of(p.From), w.of(p.To)
	if w.dark[a] || w.dark[b] || w.group[a] != w.group[b] {
		return lost
	}
	return w.oneWay + w.slow[a] + w.slow[b]
}

func (w *wire) of(a net.Addr) int { return w.seat[a.(*net.UDPAddr).IP.String()] }

func (w *wire) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func address(i int) string {
	return "/ip4/" + simnet.IntToPublicIPv4(i).String() + "/udp/9000/quic-v1"
}

// plug makes a libp2p host use the wire.
func (w *wire) plug() []libp2p.Option {
	link := simnet.LinkSettings{BitsPerSecond: 100 * simlibp2p.OneMbps}
	return []libp2p.Option{simlibp2p.QUICSimnet(w.sim, simnet.NodeBiDiLinkSettings{Downlink: link, Uplink: link})}
}
