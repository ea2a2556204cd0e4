package observe

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Limits of server-sent event streams.
const (
	maxStreams          = 256
	maxStreamsOfAddress = 32
	streamPage          = 64 // verdicts read from the index at a time
	keepAlive           = 20 * time.Second
)

// streams are the observers that wait for new verdicts. They hold no queue: each reads the index from where it is, so a
// slow reader costs nothing and misses nothing.
type streams struct {
	mu     sync.Mutex
	open   map[string]int // by address
	all    int
	fresh  chan struct{} // closed, and replaced, when the index has grown
	ended  chan struct{} // closed when the server stops
	closed bool
}

func newStreams() *streams {
	return &streams{open: map[string]int{}, fresh: make(chan struct{}), ended: make(chan struct{})}
}

func (s *streams) add(address string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.all >= maxStreams || s.open[address] >= maxStreamsOfAddress {
		return false
	}
	s.all++
	s.open[address]++
	return true
}

func (s *streams) remove(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.open[address]--; s.open[address] == 0 {
		delete(s.open, address)
	}
}

func (s *streams) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

// wait is the channel that closes at the next growth. Ask for it before reading the index, or a growth is missed.
func (s *streams) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fresh
}

func (s *streams) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.fresh)
	s.fresh = make(chan struct{})
}

func (s *streams) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.ended)
	}
}

// events writes one stream, with a deadline on every write.
type events struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func (e events) send(format string, args ...any) error {
	err := e.rc.SetWriteDeadline(time.Now().Add(writeWithin))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := fmt.Fprintf(e.w, format, args...); err != nil {
		return err
	}
	return e.rc.Flush()
}

// stream sends every new FINAL verdict as a server-sent event. Its id is the ledger index, so that a reader that was cut
// off resumes with Last-Event-ID and misses nothing.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	next := s.indexed.Load()
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		n, err := strconv.ParseUint(id, 10, 62)
		if err != nil {
			s.fail(w, http.StatusBadRequest, "Last-Event-ID is %q, must be a ledger index", id)
			return
		}
		next = n + 1
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // a proxy must not keep events back
	if r.Method == http.MethodHead {
		return
	}
	address := addressOf(r.RemoteAddr)
	if !s.streams.add(address) {
		h.Set("Retry-After", "30")
		s.fail(w, http.StatusServiceUnavailable, "too many streams are open; try again, or ask another nation's node")
		return
	}
	defer s.streams.remove(address)
	e := events{w, http.NewResponseController(w)}
	// The server's ReadTimeout is for requests; on a stream it would pass for the client's going away.
	if err := e.rc.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return
	}
	if e.send("retry: 3000\n: waiting for verdicts\n\n") != nil {
		return
	}
	beat := time.NewTicker(keepAlive)
	defer beat.Stop()
	for {
		fresh := s.streams.wait()
		for r.Context().Err() == nil {
			n, err := s.sendFrom(e, next)
			if err != nil {
				return
			}
			if n == next {
				break
			}
			next = n
		}
		select {
		case <-r.Context().Done():
			return
		case <-s.streams.ended:
			return
		case <-fresh:
		case <-beat.C:
			if e.send(": still here\n\n") != nil {
				return
			}
		}
	}
}

// sendFrom sends a page of verdicts from a ledger index on, and returns where to go on: next itself if there were none.
func (s *Server) sendFrom(e events, next uint64) (uint64, error) {
	indexes, err := s.rising(key(kindVerdict), next, s.indexed.Load(), streamPage)
	if err != nil {
		return next, err
	}
	for _, i := range indexes {
		v, err := s.view(i)
		if err != nil {
			return next, err
		}
		b, err := json.Marshal(v)
		if err != nil {
			return next, err
		}
		if err := e.send("id: %d\nevent: verdict\ndata: %s\n\n", i, b); err != nil {
			return next, err
		}
		next = i + 1
	}
	return next, nil
}
