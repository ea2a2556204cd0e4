package peer

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the mesh's counters. Labels are bounded: classes, methods, and at most treaty.MaxNations nations.
type metrics struct {
	sent, sentBytes, received, receivedBytes *prometheus.CounterVec // by class
	dropped                                  *prometheus.CounterVec // by class, reason
	violations                               *prometheus.CounterVec // by nation
	connected, rtt                           *prometheus.GaugeVec   // by nation
	calls                                    *prometheus.CounterVec // by method, result
	callSeconds                              *prometheus.HistogramVec
	all                                      []prometheus.Collector
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "truceline", Subsystem: "peer", Name: name, Help: help}, labels)
		m.all = append(m.all, c)
		return c
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "truceline", Subsystem: "peer", Name: name, Help: help}, labels)
		m.all = append(m.all, g)
		return g
	}
	m.sent = counter("sent_messages_total", "Messages written to peers.", "class")
	m.sentBytes = counter("sent_bytes_total", "Bytes written to peers, frames included.", "class")
	m.received = counter("received_messages_total", "Messages read from peers.", "class")
	m.receivedBytes = counter("received_bytes_total", "Bytes read from peers, frames included.", "class")
	m.dropped = counter("dropped_messages_total", "Outgoing messages given up.", "class", "reason")
	m.violations = counter("violations_total", "Breaches of the protocol.", "nation")
	m.connected = gauge("connected", "1 while there is a connection to the nation.", "nation")
	m.rtt = gauge("rtt_seconds", "Last measured round trip.", "nation")
	m.calls = counter("calls_total", "Requests made of peers.", "method", "result")
	m.callSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "truceline", Subsystem: "peer", Name: "call_seconds", Help: "Time a request took.",
		Buckets: prometheus.ExponentialBuckets(0.0002, 4, 9),
	}, []string{"method"})
	m.all = append(m.all, m.callSeconds)
	for i, c := range m.all {
		if err := reg.Register(c); err != nil {
			for _, d := range m.all[:i] {
				reg.Unregister(d)
			}
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) unregister(reg prometheus.Registerer) {
	for _, c := range m.all {
		reg.Unregister(c)
	}
}

func b2f(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
