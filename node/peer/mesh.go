package peer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"

	"truceline/treaty"
)

// Handler takes in one message. It is called on the goroutine that reads the stream, one message at a time for each
// nation and class; by blocking it holds back that nation in that class and nobody else. msg is its own to keep.
//
// Over QUIC all streams of a connection share one window (768 KiB at first, libp2p's setting), and a class that is held
// back fills up to 512 KiB of it: two classes held back for long would hold back everything from that nation, Raft too.
// Over TCP each stream has its own window. So: block while a queue drains, never on the network or a person.
type Handler func(from treaty.Nation, c Class, msg []byte)

// Config is what the mesh needs.
type Config struct {
	// Host is shared with Raft's transport; the mesh does not close it.
	Host   host.Host
	Net    *treaty.Network
	Nation treaty.Nation
	// Peers are the multiaddresses of each nation. A nation without any is never dialled, but may dial us.
	Peers      map[treaty.Nation][]string
	Handler    Handler
	Registerer prometheus.Registerer
	Log        *slog.Logger
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	var errs []error
	if c.Host == nil {
		errs = append(errs, errors.New("no libp2p host"))
	}
	if c.Net == nil {
		errs = append(errs, errors.New("no network: load the accord first"))
	} else {
		if _, ok := c.Net.Member(c.Nation); !ok {
			errs = append(errs, fmt.Errorf("%w: %s", treaty.ErrUnknownNation, c.Nation))
		}
		for n := range c.Peers {
			if _, ok := c.Net.Member(n); !ok {
				errs = append(errs, fmt.Errorf("addresses of %s: %w; take it out of the configuration", n, treaty.ErrUnknownNation))
			}
		}
	}
	for n, as := range c.Peers {
		for _, a := range as {
			if _, err := ma.NewMultiaddr(a); err != nil {
				errs = append(errs, fmt.Errorf("address of %s %q: %w", n, a, err))
			}
		}
	}
	if c.Handler == nil {
		errs = append(errs, errors.New("no handler for messages"))
	}
	if c.Registerer == nil {
		errs = append(errs, errors.New("no metrics registerer"))
	}
	if c.Log == nil {
		errs = append(errs, errors.New("no logger"))
	}
	return errors.Join(errs...)
}

// Mesh is this node's end of the full mesh. Safe for concurrent use.
type Mesh struct {
	cfg     Config
	roster  *roster
	links   map[treaty.Nation]*link // without ourselves; immutable
	order   []treaty.Nation         // the same, rising
	metrics *metrics
	serve   map[Method]Serve // immutable after Start
	notify  *network.NotifyBundle

	ctx    context.Context // ends at Close
	cancel context.CancelFunc
	mu     sync.Mutex // guards state, and wg.Add against Close
	state  meshState
	wg     sync.WaitGroup
}

type meshState uint8

const (
	meshNew meshState = iota
	meshRunning
	meshClosed
)

// New prepares a mesh. Nothing runs before Start.
func New(c Config) (*Mesh, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("peer mesh: %w", err)
	}
	r, err := newRoster(c.Net)
	if err != nil {
		return nil, fmt.Errorf("peer mesh: %w", err)
	}
	if got := c.Host.ID(); r.id[c.Nation] != got {
		return nil, fmt.Errorf("peer mesh: the host's identity %s is not %s's node key; make the host with that nation's key", got, c.Nation)
	}
	mt, err := newMetrics(c.Registerer)
	if err != nil {
		return nil, fmt.Errorf("peer mesh: metrics: %w", err)
	}
	m := &Mesh{cfg: c, roster: r, links: map[treaty.Nation]*link{}, metrics: mt, serve: map[Method]Serve{}}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.serve[MethodPing] = func(context.Context, treaty.Nation, []byte) ([]byte, error) { return nil, nil }
	for _, n := range c.Net.Nations() {
		if n != c.Nation {
			m.links[n] = newLink(m, n)
			m.order = append(m.order, n)
		}
	}
	return m, nil
}

// Handle registers what answers a method. Call it before Start.
func (m *Mesh) Handle(k Method, f Serve) { m.serve[k] = f }

// protocols carry the accord's digest: nodes of two accords that share keys by mistake have nothing to say to each
// other.
func (m *Mesh) protocol(what string) protocol.ID {
	return protocol.ID("/truceline/1/" + m.cfg.Net.Digest.Short() + "/" + what)
}

// Start connects and serves until Close.
func (m *Mesh) Start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state != meshNew {
		return errors.New("peer mesh: started before; make a new one")
	}
	m.state = meshRunning
	for _, c := range Classes {
		m.cfg.Host.SetStreamHandler(m.protocol(c.String()), func(s network.Stream) { m.receive(c, s) })
	}
	m.cfg.Host.SetStreamHandler(m.protocol(callName), m.answer)
	m.notify = &network.NotifyBundle{
		ConnectedF:    func(_ network.Network, c network.Conn) { m.connChanged(c) },
		DisconnectedF: func(_ network.Network, c network.Conn) { m.connChanged(c) },
	}
	m.cfg.Host.Network().Notify(m.notify)
	for _, n := range m.order {
		l := m.links[n]
		l.connChanged()
		m.wg.Go(l.keepConnected)
		for _, c := range Classes {
			m.wg.Go(func() { l.write(c) })
		}
	}
	return nil
}

// Close ends every stream and waits for every goroutine of the mesh, so for handlers that are running too: whatever
// they block on must be let go first. The host stays open. Closing twice is harmless.
func (m *Mesh) Close() {
	m.mu.Lock()
	was := m.state
	m.state = meshClosed
	m.mu.Unlock()
	m.cancel()
	if was == meshRunning {
		for _, c := range Classes {
			m.cfg.Host.RemoveStreamHandler(m.protocol(c.String()))
		}
		m.cfg.Host.RemoveStreamHandler(m.protocol(callName))
		m.cfg.Host.Network().StopNotify(m.notify)
	}
	m.wg.Wait()
	if was != meshClosed {
		m.metrics.unregister(m.cfg.Registerer)
	}
}

// enter counts an incoming stream's goroutine in, unless the mesh is closing. It must call wg.Done when it returns.
func (m *Mesh) enter() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state != meshRunning {
		return false
	}
	m.wg.Add(1)
	return true
}

// connChanged tells the link that a connection came or went.
func (m *Mesh) connChanged(c network.Conn) {
	if l := m.links[m.roster.nation[c.RemotePeer()]]; l != nil {
		l.connChanged()
	}
}

// Send queues a message for one nation and returns at once. False: the queue was full and msg was left out (see the
// rules of its class), or msg is over its class's limit, or there is no such nation. msg must not be changed later.
func (m *Mesh) Send(to treaty.Nation, c Class, msg []byte) bool {
	l, rule := m.links[to], rules[c]
	if l == nil || len(msg) == 0 || len(msg) > rule.limit {
		m.metrics.dropped.WithLabelValues(c.String(), "refused").Inc()
		return false
	}
	taken, lost := l.queues[c].put(msg)
	if lost > 0 {
		m.metrics.dropped.WithLabelValues(c.String(), "queue full").Add(float64(lost))
	}
	return taken
}

// Broadcast is Send to every other nation; it returns how many queues took msg. All of them share its bytes.
func (m *Mesh) Broadcast(c Class, msg []byte) int {
	n := 0
	for _, to := range m.order {
		if m.Send(to, c, msg) {
			n++
		}
	}
	return n
}
