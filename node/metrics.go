package node

import "github.com/prometheus/client_golang/prometheus"

// metrics are the node's own; rooms below have theirs.
type metrics struct {
	sealed, revealed prometheus.Counter
	attested         *prometheus.CounterVec
	verdicts         *prometheus.CounterVec
	events           prometheus.Gauge
	height, final    prometheus.Gauge
	cosigned, leader prometheus.Gauge
	lag              prometheus.Histogram

	complaints *prometheus.CounterVec
	deposed    *prometheus.CounterVec
	tenure     prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		sealed:   prometheus.NewCounter(prometheus.CounterOpts{Name: "truceline_windows_sealed_total", Help: "Own windows with detections that were sealed."}),
		revealed: prometheus.NewCounter(prometheus.CounterOpts{Name: "truceline_batches_revealed_total", Help: "Batches of all nations that are here and match their seal."}),
		attested: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "truceline_attestations_total", Help: "Own attestations by finding."}, []string{"finding"}),
		verdicts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "truceline_verdicts_total", Help: "Verdicts that became FINAL by outcome."}, []string{"outcome"}),
		events:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "truceline_events", Help: "Events in the rolling window of evidence."}),
		height:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "truceline_finality_height", Help: "Height of the last certificate."}),
		final:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "truceline_ledger_final_size", Help: "Ledger size under the last certificate."}),
		cosigned: prometheus.NewGauge(prometheus.GaugeOpts{Name: "truceline_ledger_cosigned_size", Help: "Ledger size under the last cosigned checkpoint."}),
		leader:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "truceline_order_leader", Help: "1 while this node leads the order."}),
		lag:      prometheus.NewHistogram(prometheus.HistogramOpts{Name: "truceline_final_seconds", Help: "From making an own record to its being FINAL.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 16)}),

		complaints: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "truceline_order_complaints_total", Help: "Complaints this node made about leaders of the order, by what they were about."}, []string{"about"}),
		deposed:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "truceline_order_deposed_total", Help: "Leaders that q nations shut out, or that resigned, by nation and reason."}, []string{"leader", "about"}),
		tenure:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "truceline_order_tenure_seconds", Help: "For how long the present leader has led."}),
	}
	r.MustRegister(m.complaints, m.deposed, m.tenure, m.sealed, m.revealed, m.attested, m.verdicts, m.events, m.height, m.final, m.cosigned, m.leader, m.lag)
	return m
}
