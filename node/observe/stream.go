package observe

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits of server-sent event streams and of requests from one address.
const (
	maxStreams    = 256
	streamBacklog = 64 // verdicts a slow reader may be behind before it is cut off; it resumes by Last-Event-ID
	keepAlive     = 20 * time.Second
	perSecond     = 50
	burst         = 200
	maxAddresses  = 8192
)

// streams are the observers that wait for new verdicts.
type streams struct {
	mu     sync.Mutex
	open   map[chan VerdictView]bool
	closed bool
}

func newStreams() *streams { return &streams{open: map[chan VerdictView]bool{}} }

func (s *streams) add() (chan VerdictView, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.open) >= maxStreams {
		return nil, false
	}
	c := make(chan VerdictView, streamBacklog)
	s.open[c] = true
	return c, true
}

func (s *streams) remove(c chan VerdictView) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// publish gives a verdict to every stream; one that does not keep up is closed and may resume.
func (s *streams) publish(v VerdictView) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		select {
		case c <- v:
		default:
			delete(s.open, c)
			close(c)
		}
	}
}

func (s *streams) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.open {
		delete(s.open, c)
		close(c)
	}
}

// stream sends every new FINAL verdict as a server-sent event. Its id is the ledger index, so that a reader that was cut
// off resumes with Last-Event-ID and misses nothing.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	var since uint64
	resume := false
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		n, err := strconv.ParseUint(id, 10, 63)
		if err != nil {
			s.fail(w, http.StatusBadRequest, "Last-Event-ID is %q, must be a ledger index", id)
			return
		}
		since, resume = n+1, true
	}
	c, ok := s.streams.add()
	if !ok {
		w.Header().Set("Retry-After", "30")
		s.fail(w, http.StatusServiceUnavailable, "too many streams are open; try again, or ask another nation's node")
		return
	}
	defer s.streams.remove(c)
	rc := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	send := func(v VerdictView) error {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if err := rc.SetWriteDeadline(time.Now().Add(writeWithin)); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "id: %d\nevent: verdict\ndata: %s\n\n", v.Index, b); err != nil {
			return err
		}
		return rc.Flush()
	}
	next := since
	if resume {
		missed, err := s.verdictsBefore(1<<62, maxPage)
		if err != nil {
			return
		}
		for k := len(missed) - 1; k >= 0; k-- {
			if missed[k] < since {
				continue
			}
			v, err := s.view(missed[k])
			if err != nil || send(v) != nil {
				return
			}
			next = missed[k] + 1
		}
	}
	if _, err := fmt.Fprint(w, ": waiting for verdicts\n\n"); err != nil || rc.Flush() != nil {
		return
	}
	beat := time.NewTicker(keepAlive)
	defer beat.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case v, open := <-c:
			if !open {
				return
			}
			if v.Index < next {
				continue
			}
			if send(v) != nil {
				return
			}
		case <-beat.C:
			if rc.SetWriteDeadline(time.Now().Add(writeWithin)) != nil {
				return
			}
			if _, err := fmt.Fprint(w, ": still here\n\n"); err != nil || rc.Flush() != nil {
				return
			}
		}
	}
}

// limiter is a token bucket for each address, for a bounded number of addresses.
type limiter struct {
	mu sync.Mutex
	by map[string]*rate.Limiter
}

func newLimiter() *limiter { return &limiter{by: map[string]*rate.Limiter{}} }

func (l *limiter) allow(host string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.by[host]
	if b == nil {
		if len(l.by) >= maxAddresses { // forget everybody: cheaper than remembering who came last, and they begin full
			clear(l.by)
		}
		b = rate.NewLimiter(perSecond, burst)
		l.by[host] = b
	}
	return b.Allow()
}
