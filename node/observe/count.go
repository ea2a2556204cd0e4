package observe

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// counts are the server's own metrics.
type counts struct {
	requests *prometheus.CounterVec
}

func newCounts(r prometheus.Registerer, open *streams) (*counts, error) {
	c := &counts{requests: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "truceline_observe_requests_total", Help: "Observers' requests by route and status.",
	}, []string{"route", "status"})}
	if r == nil {
		return c, nil
	}
	gauge := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "truceline_observe_streams", Help: "Open streams of verdicts.",
	}, func() float64 { return float64(open.count()) })
	return c, errors.Join(r.Register(c.requests), r.Register(gauge))
}

// seen counts a request. Routes are those of the source and statuses those it writes: a bounded number of series.
func (c *counts) seen(r *http.Request, code int) {
	route := r.Pattern
	if route == "" {
		route = "refused"
	}
	if code == 0 {
		code = http.StatusOK
	}
	c.requests.WithLabelValues(route, strconv.Itoa(code)).Inc()
}

// statusWriter remembers the status for the counters.
type statusWriter struct {
	http.ResponseWriter
	code int
}

func (w *statusWriter) WriteHeader(code int) {
	if w.code == 0 {
		w.code = code
	}
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// networkAge is how old the view of the network may be: it takes locks of the order and may be a megabyte.
const networkAge = time.Second

// networkCache keeps the view of the network, so that many observers cost as much as one.
type networkCache struct {
	mu   sync.Mutex
	at   time.Time
	view NetworkView
	body []byte
}

func (c *networkCache) get(ask func() NetworkView) ([]byte, NetworkView, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); c.body == nil || now.Sub(c.at) >= networkAge {
		v := ask()
		b, err := json.Marshal(v)
		if err != nil {
			return nil, v, err
		}
		c.at, c.view, c.body = now, v, append(b, '\n')
	}
	return c.body, c.view, nil
}
