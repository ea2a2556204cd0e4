package testnet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports are those of one node, all on 127.0.0.1.
type Ports struct {
	Peer     int `yaml:"peer" json:"peer"` // libp2p, TCP and QUIC (UDP)
	Observe  int `yaml:"observe" json:"observe"`
	Operator int `yaml:"operator" json:"operator"`
}

// The range lies below those that kernels give to outgoing connections, so that a port is still free when a node that
// was killed comes back.
const (
	lowestPort  = 18_000
	highestPort = 32_000
)

// freePorts finds distinct ports that nobody listens on now.
func freePorts(n int) ([]Ports, error) {
	out := make([]Ports, n)
	next := lowestPort + rand.IntN(highestPort-lowestPort) //nolint:gosec // which ports is no secret
	tried := 0
	pick := func() (int, error) {
		for tried < highestPort-lowestPort {
			p := next
			tried++
			if next++; next == highestPort {
				next = lowestPort
			}
			if portFree(p) {
				return p, nil
			}
		}
		return 0, errors.New("no free port left between 18000 and 32000 on 127.0.0.1")
	}
	for i := range out {
		for _, p := range []*int{&out[i].Peer, &out[i].Observe, &out[i].Operator} {
			var err error
			if *p, err = pick(); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// portFree says whether both TCP and UDP listeners can be had.
func portFree(p int) bool {
	at := fmt.Sprintf("127.0.0.1:%d", p)
	l, err := net.Listen("tcp", at)
	if err != nil {
		return false
	}
	defer func() { _ = l.Close() }()
	u, err := net.ListenPacket("udp", at)
	if err != nil {
		return false
	}
	return u.Close() == nil
}

// Multiaddrs are where the node listens for its peers.
func (p Ports) Multiaddrs() []string {
	return []string{fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", p.Peer), fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1", p.Peer)}
}

// ObserveAddr and OperatorAddr are the node's HTTP listeners.
func (p Ports) ObserveAddr() string { return fmt.Sprintf("127.0.0.1:%d", p.Observe) }

// OperatorAddr is the operator's.
func (p Ports) OperatorAddr() string { return fmt.Sprintf("127.0.0.1:%d", p.Operator) }
