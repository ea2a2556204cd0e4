package peer

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"
	"github.com/prometheus/client_golang/prometheus"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// wire is a simulated network whose cables can be cut. The real hosts, the real QUIC and the real mesh run on it.
type wire struct {
	t   *testing.T
	sim *simnet.Simnet
	fix *treatytest.Fixture

	mu  sync.Mutex
	cut map[string]bool // addresses that are off
}

// oneWay is the wire's delay.
const oneWay = 10 * time.Millisecond

func newWire(t *testing.T, n int) *wire {
	w := &wire{t: t, fix: treatytest.New(n), cut: map[string]bool{}}
	w.sim = &simnet.Simnet{
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		LatencyFunc: func(p *simnet.Packet) time.Duration {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.cut[addrOf(p.From)] != w.cut[addrOf(p.To)] {
				return 1000 * time.Hour // lost
			}
			return oneWay
		},
	}
	w.sim.Start()
	return w
}

func addrOf(a net.Addr) string { return a.(*net.UDPAddr).IP.String() }

// setCut puts nation i on an island, or brings it back.
func (w *wire) setCut(i int, off bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut[ip(i)] = off
}

func ip(i int) string { return simnet.IntToPublicIPv4(i).String() }

func addr(i int) string { return fmt.Sprintf("/ip4/%s/udp/9000/quic-v1", ip(i)) }

// host makes the host of a nation of a fixture (the wire's, or a stranger's) at address i.
func (w *wire) host(f *treatytest.Fixture, n treaty.Nation, i int) host.Host {
	w.t.Helper()
	link := simnet.LinkSettings{BitsPerSecond: 100 * simlibp2p.OneMbps}
	h, err := NewHost(HostConfig{
		Net: f.Net, Nation: n, Key: f.Keys[n].Node, Listen: []string{addr(i)}, Log: quiet(),
		Options: []libp2p.Option{simlibp2p.QUICSimnet(w.sim, simnet.NodeBiDiLinkSettings{Downlink: link, Uplink: link})},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return h
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// member is one nation's host, mesh and what it heard.
type member struct {
	nation treaty.Nation
	host   host.Host
	mesh   *Mesh

	mu    sync.Mutex
	heard []heard
	// hold, if set, is called before a message is taken in.
	hold func(from treaty.Nation, c Class)
}

type heard struct {
	from treaty.Nation
	c    Class
	msg  string
}

func (m *member) take(from treaty.Nation, c Class, msg []byte) {
	if m.hold != nil {
		m.hold(from, c)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard = append(m.heard, heard{from, c, string(msg)})
}

func (m *member) list() []heard {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.heard)
}

func (m *member) count(match func(heard) bool) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, h := range m.heard {
		if match(h) {
			n++
		}
	}
	return n
}

// member starts nation i's mesh; setup may be nil and runs before Start.
func (w *wire) member(i int, setup func(*member)) *member {
	w.t.Helper()
	m := &member{nation: w.fix.Net.Nations()[i]}
	m.host = w.host(w.fix, m.nation, i)
	peers := map[treaty.Nation][]string{}
	for j, n := range w.fix.Net.Nations() {
		peers[n] = []string{addr(j)}
	}
	var err error
	m.mesh, err = New(Config{
		Host: m.host, Net: w.fix.Net, Nation: m.nation, Peers: peers, Handler: m.take,
		Registerer: prometheus.NewRegistry(), Log: quiet(),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if setup != nil {
		setup(m)
	}
	if err := m.mesh.Start(); err != nil {
		w.t.Fatal(err)
	}
	return m
}

func (m *member) close() {
	m.mesh.Close()
	m.host.Close()
}

func (m *member) status(n treaty.Nation) PeerStatus {
	for _, s := range m.mesh.Status() {
		if s.Nation == n {
			return s
		}
	}
	return PeerStatus{}
}

// bubble runs n meshes on a simulated wire, lets them find each other, and closes everything. synctest fails the test
// if a single goroutine is left.
func bubble(t *testing.T, n int, setup func(i int, m *member), run func(w *wire, ms []*member)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, n)
		var ms []*member
		for i := range n {
			ms = append(ms, w.member(i, func(m *member) {
				if setup != nil {
					setup(i, m)
				}
			}))
		}
		time.Sleep(5 * time.Second) // virtual: everybody has dialled
		run(w, ms)
		for _, m := range ms {
			m.close()
		}
		w.sim.Close()
	})
}
