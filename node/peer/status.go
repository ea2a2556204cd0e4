package peer

import (
	"time"

	"truceline/treaty"
)

// When a peer that breaks the protocol is dropped.
const (
	maxViolations   = 3
	violationWindow = 10 * time.Minute
	barFor          = time.Minute
)

// PeerStatus is what an operator needs to know about one peer.
type PeerStatus struct {
	Nation    treaty.Nation `json:"nation"`
	Peer      string        `json:"peer"`
	Connected bool          `json:"connected"`
	// Since is when the connection came up or went; zero if there has been none.
	Since     time.Time     `json:"since,omitzero"`
	Transport string        `json:"transport,omitempty"` // tcp or quic
	Address   string        `json:"address,omitempty"`
	RTT       time.Duration `json:"rtt_ns,omitempty"`
	// LastError is the last failed dial, stream or ping.
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
	Dials       uint64    `json:"dials"`
	// Violations counts breaches of the protocol since the node started.
	Violations    uint64 `json:"violations"`
	LastViolation string `json:"last_violation,omitempty"`
	// DroppedUntil is set while nothing is taken in from the peer because of them.
	DroppedUntil time.Time     `json:"dropped_until,omitzero"`
	Queues       []QueueStatus `json:"queues"`
}

// QueueStatus is one outgoing queue: its length, and what was given up since the node started.
type QueueStatus struct {
	Class   string `json:"class"`
	Queued  int    `json:"queued"`
	Dropped uint64 `json:"dropped"`
}

// Status is every other nation's, in roster order.
func (m *Mesh) Status() []PeerStatus {
	out := make([]PeerStatus, 0, len(m.order))
	for _, n := range m.order {
		l := m.links[n]
		l.mu.Lock()
		s := l.status
		l.mu.Unlock()
		if !time.Now().Before(s.DroppedUntil) {
			s.DroppedUntil = time.Time{}
		}
		for _, c := range Classes {
			queued, dropped := l.queues[c].state()
			s.Queues = append(s.Queues, QueueStatus{Class: c.String(), Queued: queued, Dropped: dropped})
		}
		out = append(out, s)
	}
	return out
}

// Connected is the nations with a connection now, rising.
func (m *Mesh) Connected() []treaty.Nation {
	var out []treaty.Nation
	for _, n := range m.order {
		if up, _ := m.links[n].state(); up {
			out = append(out, n)
		}
	}
	return out
}

// Violation counts a breach of the protocol against a nation. Users of the mesh report what only they can see, such as
// a record that does not parse. After maxViolations within violationWindow nothing is taken in from the nation for
// barFor; we go on sending to it, because its votes are its own affair and what it hears from us may mend it.
func (m *Mesh) Violation(n treaty.Nation, reason string) {
	l := m.links[n]
	if l == nil {
		return
	}
	now := time.Now()
	l.mu.Lock()
	l.status.Violations++
	l.status.LastViolation = reason
	l.recent = append(l.recent, now)
	for len(l.recent) > 0 && now.Sub(l.recent[0]) > violationWindow {
		l.recent = l.recent[1:]
	}
	drop := len(l.recent) >= maxViolations
	if drop {
		l.recent = nil
		l.status.DroppedUntil = now.Add(barFor)
	}
	l.mu.Unlock()
	m.metrics.violations.WithLabelValues(string(n)).Inc()
	m.cfg.Log.Warn("peer broke the protocol", "peer", n, "reason", reason, "dropped", drop)
	if drop {
		for _, c := range Classes {
			l.in[c].drop()
		}
	}
}

// barred says whether nothing is taken in from the peer now.
func (l *link) barred() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(l.status.DroppedUntil)
}
