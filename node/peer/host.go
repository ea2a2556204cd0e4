package peer

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"

	"truceline/treaty"
)

// dialTimeout bounds one dial over all addresses of a peer: three round trips of a slow satellite link with losses.
const dialTimeout = 10 * time.Second

// HostConfig is what a libp2p host of one nation needs.
type HostConfig struct {
	Net    *treaty.Network
	Nation treaty.Nation
	// Key is the private half of the nation's node key in the roster.
	Key ed25519.PrivateKey
	// Listen are multiaddresses, such as /ip4/0.0.0.0/tcp/9000 and /ip4/0.0.0.0/udp/9000/quic-v1.
	Listen []string
	// Options come last and may override: the simulated wire of a test.
	Options []libp2p.Option
	Log     *slog.Logger
}

// Validate reports every problem at once.
func (c HostConfig) Validate() error {
	var errs []error
	if c.Net == nil {
		errs = append(errs, errors.New("no network: load the accord first"))
	} else if m, ok := c.Net.Member(c.Nation); !ok {
		errs = append(errs, fmt.Errorf("%w: %s; check the nation in the node's configuration", treaty.ErrUnknownNation, c.Nation))
	} else if len(c.Key) == ed25519.PrivateKeySize && !m.Node.Equal(c.Key.Public()) {
		errs = append(errs, fmt.Errorf("node key does not belong to %s: the accord names another public key; use the key made for this accord", c.Nation))
	}
	if len(c.Key) != ed25519.PrivateKeySize {
		errs = append(errs, fmt.Errorf("node key has %d bytes, an Ed25519 private key has %d", len(c.Key), ed25519.PrivateKeySize))
	}
	if len(c.Listen) == 0 {
		errs = append(errs, errors.New("no listen address: give at least one, such as /ip4/0.0.0.0/tcp/9000"))
	}
	for _, l := range c.Listen {
		if _, err := ma.NewMultiaddr(l); err != nil {
			errs = append(errs, fmt.Errorf("listen address %q: %w", l, err))
		}
	}
	if c.Log == nil {
		errs = append(errs, errors.New("no logger"))
	}
	return errors.Join(errs...)
}

// PeerID is the libp2p identity of a node key.
func PeerID(pub ed25519.PublicKey) (peer.ID, error) {
	k, err := crypto.UnmarshalEd25519PublicKey(pub)
	if err != nil {
		return "", fmt.Errorf("node key: %w", err)
	}
	id, err := peer.IDFromPublicKey(k)
	if err != nil {
		return "", fmt.Errorf("node key: %w", err)
	}
	return id, nil
}

// NewHost starts listening as one nation: TCP with TLS first, QUIC second, roster members only. There is no DHT, mDNS,
// relay, NAT probing or hole punching: the addresses of a treaty's nodes are configured, not found. Whoever calls it
// closes the host, after everything that uses it.
func NewHost(c HostConfig) (host.Host, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("peer host: %w", err)
	}
	r, err := newRoster(c.Net)
	if err != nil {
		return nil, fmt.Errorf("peer host: %w", err)
	}
	priv, err := crypto.UnmarshalEd25519PrivateKey(c.Key)
	if err != nil {
		return nil, fmt.Errorf("peer host: node key: %w", err)
	}
	limits, err := newResourceManager(c.Net.N)
	if err != nil {
		return nil, fmt.Errorf("peer host: limits: %w", err)
	}
	opts := []libp2p.Option{
		libp2p.Identity(priv),
		libp2p.ListenAddrStrings(c.Listen...),
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Transport(quic.NewTransport),
		libp2p.Security(libp2ptls.ID, libp2ptls.New),
		libp2p.Muxer(yamux.ID, yamux.DefaultTransport),
		libp2p.ConnectionGater(&gater{roster: r, log: c.Log}),
		libp2p.ResourceManager(limits),
		libp2p.SwarmOpts(swarm.WithDialRanker(rankTCPFirst)),
		libp2p.WithDialTimeout(dialTimeout),
		libp2p.UserAgent("truceline"),
		libp2p.DisableRelay(),
		libp2p.Ping(false),
		libp2p.DisableMetrics(),
		libp2p.DisableIdentifyAddressDiscovery(),
		libp2p.ForceReachabilityPublic(), // no autonat probing
	}
	h, err := libp2p.New(append(opts, c.Options...)...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("peer host: listen on %v: %w", c.Listen, err), limits.Close())
	}
	return h, nil
}

// quicDelay is the head start of TCP: loopback and TLS with AES cost half of what QUIC does (performance.md section 1).
const quicDelay = 500 * time.Millisecond

// rankTCPFirst dials TCP addresses at once and the others after quicDelay, or at once where there is no TCP address.
func rankTCPFirst(addrs []ma.Multiaddr) []network.AddrDelay {
	haveTCP := false
	for _, a := range addrs {
		haveTCP = haveTCP || isTCP(a)
	}
	out := make([]network.AddrDelay, 0, len(addrs))
	for _, a := range addrs {
		d := time.Duration(0)
		if haveTCP && !isTCP(a) {
			d = quicDelay
		}
		out = append(out, network.AddrDelay{Addr: a, Delay: d})
	}
	return out
}

func isTCP(a ma.Multiaddr) bool {
	_, err := a.ValueForProtocol(ma.P_TCP)
	return err == nil
}
