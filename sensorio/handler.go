package sensorio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"truceline/sensorio/ndjson"
)

const (
	// MaxBody bounds one POST: 1,000 lines of 4 KiB.
	MaxBody = 4 << 20
	// MaxBodyLines bounds its lines: what an empty queue takes.
	MaxBodyLines = defaultQueueMessages
	// maxTold bounds the lines that an answer explains.
	maxTold = 100
)

// PushSource is the configuration of a source that Handler serves.
func PushSource(id string) SourceConfig { return SourceConfig{ID: id, Decoder: NDJSON{}} }

// Answer is what a POST of lines gets back, as JSON.
type Answer struct {
	// Lines were kept: they survive a power cut. Of them, Accepted decode and pass policy (one that came before is dropped
	// later all the same), DeadLetters do not: mend them and send them again.
	Lines       int        `json:"lines"`
	Accepted    int        `json:"accepted"`
	DeadLetters int        `json:"dead_letters"`
	Problems    []LineFate `json:"problems,omitempty"` // of the first 100 dead letters
	Error       string     `json:"error,omitempty"`    // why nothing was kept
}

// LineFate is what is wrong with one line.
type LineFate struct {
	Line   int    `json:"line"` // from 1
	Reason string `json:"reason"`
}

// Handler takes canonical NDJSON lines by POST for the source id, which must be configured without a Source. It answers
// 200 only when every line is in the raw log, synced; 503 with Retry-After when the queue is full; 413 when the body is
// over MaxBody or MaxBodyLines. It belongs on the operator's listener, never on the public one.
func (in *Intake) Handler(id string) (http.Handler, error) {
	for _, p := range in.inputs {
		if p.cfg.ID == id && p.cfg.Source == nil {
			return &handler{in, p}, nil
		}
	}
	return nil, fmt.Errorf("intake: no source %q to push to: configure PushSource(%q)", id, id)
}

type handler struct {
	in *Intake
	p  *input
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		answer(w, http.StatusMethodNotAllowed, Answer{Error: "use POST"})
		return
	}
	if t := r.Header.Get("Content-Type"); t != "" {
		if m, _, err := mime.ParseMediaType(t); err != nil || m != MediaNDJSON && m != "application/json" && m != "text/plain" {
			answer(w, http.StatusUnsupportedMediaType, Answer{Error: "send " + MediaNDJSON + ": one detection per line"})
			return
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if err != nil {
		var big *http.MaxBytesError
		if errors.As(err, &big) {
			answer(w, http.StatusRequestEntityTooLarge, Answer{Error: fmt.Sprintf("a body has at most %d bytes: send several", MaxBody)})
			return
		}
		answer(w, http.StatusBadRequest, Answer{Error: "the body did not arrive whole; nothing was kept, send it again"})
		return
	}
	lines, numbers := splitLines(body)
	switch {
	case len(lines) == 0:
		answer(w, http.StatusBadRequest, Answer{Error: "no lines"})
		return
	case len(lines) > min(MaxBodyLines, h.p.cfg.QueueMessages):
		answer(w, http.StatusRequestEntityTooLarge, Answer{Error: fmt.Sprintf("a body has at most %d lines: send several", min(MaxBodyLines, h.p.cfg.QueueMessages))})
		return
	}
	h.take(w, r, lines, numbers)
}

// take queues all lines or none, waits until they are kept, and answers.
func (h *handler) take(w http.ResponseWriter, r *http.Request, lines [][]byte, numbers []int) {
	kept := make(chan error, len(lines))
	items := make([]queued, len(lines))
	for i, line := range lines {
		raw := Raw{Peer: r.RemoteAddr, MediaType: MediaNDJSON, Bytes: line}
		items[i] = queued{h.in.stamp(h.p, raw), func(_ context.Context, err error) error { kept <- err; return nil }}
	}
	if !h.p.queue.offer(items...) {
		w.Header().Set("Retry-After", "1")
		answer(w, http.StatusServiceUnavailable, Answer{Error: "the queue is full, or the node is stopping; nothing was kept, send it again"})
		return
	}
	h.in.metrics.inflight.WithLabelValues(h.p.cfg.ID).Set(float64(h.p.queue.len()))
	for range items {
		select {
		case err := <-kept:
			if err != nil {
				w.Header().Set("Retry-After", "5")
				answer(w, http.StatusServiceUnavailable, Answer{Error: "not kept: " + err.Error() + "; send all of it again, what was kept is recognised"})
				return
			}
		case <-r.Context().Done():
			return // nobody listens any more; what was queued is kept all the same
		}
	}
	a := Answer{Lines: len(lines)}
	for i := range items {
		_, err := judge(&h.p.cfg, h.in.cfg.MaxClockError, items[i].raw)
		if err == nil {
			a.Accepted++
			continue
		}
		a.DeadLetters++
		if len(a.Problems) < maxTold {
			a.Problems = append(a.Problems, LineFate{numbers[i], err.Error()})
		}
	}
	answer(w, http.StatusOK, a)
}

// splitLines returns the lines that are not empty, and their numbers from 1.
func splitLines(body []byte) (lines [][]byte, numbers []int) {
	n := 0
	for line := range bytes.Lines(body) {
		n++
		line = bytes.TrimRight(line, "\r\n")
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		lines = append(lines, line[:min(len(line), ndjson.MaxLine+1)])
		numbers = append(numbers, n)
	}
	return lines, numbers
}

func answer(w http.ResponseWriter, status int, a Answer) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(a) // the client may be gone
}
