package peer

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/x/rate"
	ma "github.com/multiformats/go-multiaddr"

	"truceline/treaty"
)

// roster maps libp2p identities to nations and back. It is immutable.
type roster struct {
	nation map[peer.ID]treaty.Nation
	id     map[treaty.Nation]peer.ID
}

func newRoster(n *treaty.Network) (*roster, error) {
	r := &roster{nation: map[peer.ID]treaty.Nation{}, id: map[treaty.Nation]peer.ID{}}
	for _, m := range n.Members() {
		id, err := PeerID(m.Node)
		if err != nil {
			return nil, fmt.Errorf("accord: %s: %w", m.Nation, err)
		}
		r.nation[id], r.id[m.Nation] = m.Nation, id
	}
	return r, nil
}

// gater admits roster members and nobody else. A stranger gets as far as the TLS handshake, which shows its key.
type gater struct {
	roster *roster
	log    *slog.Logger
}

var _ connmgr.ConnectionGater = (*gater)(nil)

func (g *gater) member(p peer.ID) bool { _, ok := g.roster.nation[p]; return ok }

// InterceptPeerDial refuses to dial strangers.
func (g *gater) InterceptPeerDial(p peer.ID) bool { return g.member(p) }

// InterceptAddrDial refuses to dial strangers.
func (g *gater) InterceptAddrDial(p peer.ID, _ ma.Multiaddr) bool { return g.member(p) }

// InterceptAccept lets the handshake begin: who it is is not known yet. The resource manager bounds how many.
func (g *gater) InterceptAccept(network.ConnMultiaddrs) bool { return true }

// InterceptSecured decides, now that the key is proven.
func (g *gater) InterceptSecured(_ network.Direction, p peer.ID, a network.ConnMultiaddrs) bool {
	if g.member(p) {
		return true
	}
	g.log.Debug("refused a stranger", "peer", p, "addr", a.RemoteMultiaddr())
	return false
}

// InterceptUpgraded decides once more, for transports that skip a step.
func (g *gater) InterceptUpgraded(c network.Conn) (bool, control.DisconnectReason) {
	return g.member(c.RemotePeer()), 0
}

// Sums behind the resource limits. One peer may have two transports in both directions for a moment (4 connections)
// and the streams of the mesh (3), of calls (maxCalls), of Raft (about 16) and of libp2p's identify (2), each way.
const (
	connsPerPeer   = 4
	streamsPerPeer = 128
	memoryPerPeer  = 64 << 20 // flow-control windows: yamux grows a stream's to 16 MiB, QUIC a connection's to 15 MiB
	memoryTotal    = 1 << 30
	// transientConns are handshakes under way: every member at once, and as many strangers.
	transientConns = 2 * treaty.MaxNations
)

// newResourceManager bounds what all peers together and each alone may take of connections, streams and memory.
// Several nations may share one address (a data centre, a NAT, a test machine), so an address may carry the whole
// roster's connections.
func newResourceManager(n int) (network.ResourceManager, error) {
	conns := func(k int) rcmgr.ResourceLimits {
		return rcmgr.ResourceLimits{
			Conns: rcmgr.LimitVal(k), ConnsInbound: rcmgr.LimitVal(k), ConnsOutbound: rcmgr.LimitVal(k), FD: rcmgr.LimitVal(k),
			Streams:        rcmgr.LimitVal(2 * streamsPerPeer * k / connsPerPeer),
			StreamsInbound: rcmgr.LimitVal(streamsPerPeer * k / connsPerPeer), StreamsOutbound: rcmgr.LimitVal(streamsPerPeer * k / connsPerPeer),
			Memory: memoryTotal,
		}
	}
	one := conns(connsPerPeer)
	one.Memory = memoryPerPeer
	roster := conns(connsPerPeer * n)
	system := conns(connsPerPeer*n + transientConns)
	transient := conns(transientConns)
	transient.Memory = memoryTotal / 4
	limits := rcmgr.PartialLimitConfig{
		System: system, Transient: transient,
		ServiceDefault: roster, ServicePeerDefault: one,
		ProtocolDefault: roster, ProtocolPeerDefault: one,
		PeerDefault: one,
	}.Build(rcmgr.DefaultLimits.Scale(memoryTotal, connsPerPeer*n+transientConns))
	perAddress := connsPerPeer*treaty.MaxNations + transientConns
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits), rcmgr.WithMetricsDisabled(),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: perAddress}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: perAddress}}),
		rcmgr.WithConnRateLimiters(&rate.Limiter{
			// libp2p's own limit, 16 new connections and then one in 5 s for an address, would keep a roster behind one
			// address from ever forming its mesh.
			GlobalLimit: rate.Limit{RPS: 100, Burst: perAddress},
			SubnetRateLimiter: rate.SubnetLimiter{
				IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: rate.Limit{RPS: 20, Burst: perAddress}}},
				IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: rate.Limit{RPS: 20, Burst: perAddress}}},
				GracePeriod:      time.Minute,
			},
		}))
}
