package observe

import (
	"net"
	"net/http"
	"net/netip"
	"sync"

	"golang.org/x/time/rate"
)

// Limits of what one address, and all of them, may ask. Behind a reverse proxy all observers have the proxy's address:
// the proxy must then limit, and these are the whole node's limits.
const (
	perSecond           = 50
	burst               = 200
	maxAddresses        = 8192
	maxConns            = 1024
	maxConnsOfAddress   = 128
	ipv6NetworkOfPerson = 64 // a household holds 2^64 addresses: they count as one
)

// addressOf is what limits are kept by: an IPv4 address, or an IPv6 network.
func addressOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(ipv6NetworkOfPerson); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// limiter is a token bucket for each address, for a bounded number of addresses: two generations of them. When the
// young are full the old are forgotten, so whoever asks often is never forgotten, and a flood of addresses does not
// refill the bucket of one that floods.
type limiter struct {
	mu         sync.Mutex
	young, old map[string]*rate.Limiter
}

func newLimiter() *limiter { return &limiter{young: map[string]*rate.Limiter{}} }

func (l *limiter) allow(address string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.young[address]
	if b == nil {
		if b = l.old[address]; b == nil {
			b = rate.NewLimiter(perSecond, burst)
		}
		if len(l.young) >= maxAddresses {
			l.old, l.young = l.young, make(map[string]*rate.Limiter, maxAddresses)
		}
		l.young[address] = b
	}
	return b.Allow()
}

// conns bounds open connections: idle and slow ones are limited by this and the timeouts, not by the rate of requests.
type conns struct {
	mu   sync.Mutex
	open map[net.Conn]string
	by   map[string]int
}

func newConns() *conns { return &conns{open: map[net.Conn]string{}, by: map[string]int{}} }

// state is http.Server.ConnState. A connection too many is closed before anything is read from it.
func (c *conns) state(conn net.Conn, s http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch s {
	case http.StateNew:
		address := addressOf(conn.RemoteAddr().String())
		if len(c.open) >= maxConns || c.by[address] >= maxConnsOfAddress {
			_ = conn.Close()
			return
		}
		c.open[conn] = address
		c.by[address]++
	case http.StateClosed, http.StateHijacked:
		address, ok := c.open[conn]
		if !ok {
			return
		}
		delete(c.open, conn)
		if c.by[address]--; c.by[address] == 0 {
			delete(c.by, address)
		}
	}
}
