package sensorio

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"truceline/treaty"
)

// metrics are the intake's counters, named as in the reference (sensorio.md section 10).
type metrics struct {
	raw, detections, decodeErrors, rejected, gaps *prometheus.CounterVec
	deadBytes, rawBytes, lag, pending             prometheus.Gauge
	inflight, up                                  *prometheus.GaugeVec
	clockError, lastSeen                          *prometheus.GaugeVec

	mu      sync.Mutex
	sensors map[treaty.SensorID]string
}

// maxSensorLabels bounds the label values that sensors' names make; the rest share one.
const maxSensorLabels = 1024

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	gauges := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		raw:          counter("sensorio_raw_total", "Messages kept in the raw log.", "source"),
		detections:   counter("sensorio_detections_total", "Detections handed to the sealer.", "source", "modality"),
		decodeErrors: counter("sensorio_decode_errors_total", "Messages that went to the dead letters.", "source", "reason"),
		rejected:     counter("sensorio_rejected_total", "Detections kept from the sealer by policy.", "source", "reason"),
		gaps:         counter("sensorio_gaps_total", "Gaps that sensors reported.", "source"),
		deadBytes:    gauge("sensorio_deadletter_bytes", "Size of the dead letters on disk."),
		rawBytes:     gauge("sensorio_rawlog_bytes", "Size of the messages on disk."),
		lag:          gauge("sensorio_ingest_lag_seconds", "From arrival to hand-over, of the message handed over last, on the sensor clock."),
		pending:      gauge("sensorio_pending", "Detections handed over and not sealed yet."),
		inflight:     gauges("sensorio_inflight", "Messages read and not in the raw log yet.", "source"),
		up:           gauges("sensorio_source_up", "1 while the source is connected.", "source"),
		clockError:   gauges("sensorio_clock_error_seconds", "The sensor's own estimate of its clock's error.", "sensor"),
		lastSeen:     gauges("sensorio_last_seen_timestamp_seconds", "Arrival of the sensor's latest detection.", "sensor"),
		sensors:      map[treaty.SensorID]string{},
	}
	for _, c := range []prometheus.Collector{
		m.raw, m.detections, m.decodeErrors, m.rejected, m.gaps, m.deadBytes, m.rawBytes, m.lag, m.pending, m.inflight,
		m.up, m.clockError, m.lastSeen,
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) sensor(id treaty.SensorID) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, ok := m.sensors[id]; ok {
		return s
	}
	if len(m.sensors) >= maxSensorLabels {
		return "other"
	}
	m.sensors[id] = string(id)
	return string(id)
}

// accepted counts a detection that goes to the sealer.
func (m *metrics) accepted(source string, recv treaty.Time, d *treaty.Detection) {
	m.detections.WithLabelValues(source, d.Modality.String()).Inc()
	label := m.sensor(d.Sensor)
	m.lastSeen.WithLabelValues(label).Set(float64(recv) / 1e9)
	if d.Status != nil && d.Status.ClockNs != 0 {
		m.clockError.WithLabelValues(label).Set(float64(d.Status.ClockNs) / 1e9)
	}
	if d.Gap != nil {
		m.gaps.WithLabelValues(source).Inc()
	}
}
