package sim

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"truceline/node"
	"truceline/sensorio"
	"truceline/sensorio/ndjson"
	"truceline/testnet/feed"
	"truceline/treaty"
)

// up is the node of a seat that has power, nil otherwise. Any goroutine may ask.
func (s *seat) up() *node.Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dark || s.node == nil {
		return nil
	}
	return s.node
}

// acknowledge remembers a record that a node with power has acknowledged.
func (w *World) acknowledge(s *seat, n *node.Node, id treaty.Hash) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dark || s.node != n {
		return false // nobody has heard of it
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked = append(w.acked, id)
	return true
}

// Submit makes a remark at a nation that is up; it must become FINAL in the end. It returns its id.
func (w *World) Submit(i int, text string) treaty.Hash {
	w.t.Helper()
	s := w.seats[i]
	n := s.up()
	if n == nil {
		return treaty.Hash{}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := n.Submit(ctx, &treaty.Remark{Text: text})
	if err != nil {
		if s.up() == n {
			w.t.Errorf("submit at %s: %v", s.nation, err)
		}
		return treaty.Hash{}
	}
	if !w.acknowledge(s, n, r.ID) {
		return treaty.Hash{}
	}
	return r.ID
}

// SubmitFinal makes a remark and waits until the nation calls it FINAL; it returns how long that took.
func (w *World) SubmitFinal(i int, text string, limit time.Duration) time.Duration {
	w.t.Helper()
	s := w.seats[i]
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	began := time.Now()
	n := s.up()
	r, err := n.SubmitFinal(ctx, &treaty.Remark{Text: text})
	if err != nil {
		w.dump()
		w.t.Fatalf("%s: %v", s.nation, err)
	}
	w.acknowledge(s, n, r.ID)
	return time.Since(began)
}

// Chatter submits a remark at a random honest nation that is up, about every d, until the returned function is called.
func (w *World) Chatter(d time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	rng := w.fork()
	var done sync.WaitGroup
	done.Go(func() {
		for k := 0; sleep(ctx, time.Duration(rng.Int64N(int64(2*d)))); k++ {
			i := rng.IntN(len(w.seats))
			s := w.seats[i]
			n := s.up()
			if n == nil || s.tamper != nil {
				continue
			}
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			if r, err := n.Submit(ctx, &treaty.Remark{Text: "chatter"}); err == nil {
				w.acknowledge(s, n, r.ID)
			}
			cancel()
		}
	})
	return func() { cancel(); done.Wait() }
}

// Junk posts lines that are no detections to every nation that is up, every d: they go to the raw log, synced, and from
// there to the dead letters, and stop nothing.
func (w *World) Junk(d time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	for _, s := range w.seats {
		done.Go(func() {
			for sleep(ctx, d) {
				w.post(s, []byte("{\"junk\":true}\n"))
			}
		})
	}
	return func() { cancel(); done.Wait() }
}

// sleep waits and says whether to go on.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// Play begins the night of the scenario in a second from now. Each nation's sensors post to its node's operator
// listener, and again every second until the node has them on its disk; nations that are mute have none.
func (w *World) Play(mute ...int) *feed.Night {
	w.t.Helper()
	return w.playAs(nil, nil, mute...)
}

// playAs is Play of a changed scenario, where the sensors of hostile nations report another night on the same land: all
// of one lie, all in good time. Nil changes nothing.
func (w *World) playAs(truth, lie func(*feed.Scenario), mute ...int) *feed.Night {
	w.t.Helper()
	start := time.Now().Add(time.Second)
	play := func(change func(*feed.Scenario)) *feed.Night {
		s := *w.Scenario
		s.Start = start
		if change != nil {
			change(&s)
		}
		night, err := s.Play(w.Net.Nations())
		if err != nil {
			w.t.Fatal(err)
		}
		return night
	}
	night, told := play(truth), play(lie)
	for _, seat := range w.seats {
		items := night.Feed[seat.nation]
		if lie != nil && seat.tamper != nil {
			items = told.Feed[seat.nation]
		}
		for _, m := range mute {
			if m == seat.i {
				items = nil
			}
		}
		w.playing.Go(func() { w.sensors(seat, items) })
	}
	return night
}

// sensors plays one nation's reports.
func (w *World) sensors(s *seat, items []feed.Timed) {
	for len(items) > 0 {
		time.Sleep(items[0].At.Sub(treaty.TimeOf(time.Now())))
		now := treaty.TimeOf(time.Now())
		n := 0
		var body bytes.Buffer
		for n < len(items) && n < 200 && items[n].At <= now {
			line, err := ndjson.Encode(&items[n].Detection)
			if err != nil {
				w.t.Errorf("sensors of %s: %v", s.nation, err)
				return
			}
			body.Write(append(line, '\n'))
			n++
		}
		items = items[n:]
		for tries := 0; !w.post(s, body.Bytes()); tries++ {
			if tries == 600 {
				w.t.Errorf("sensors of %s: their node has not taken them in for ten minutes", s.nation)
				return
			}
			time.Sleep(time.Second)
		}
	}
}

// post hands lines over and says whether they are kept.
func (w *World) post(s *seat, body []byte) bool {
	n := s.up()
	if n == nil {
		return false
	}
	h, err := n.Operator()
	if err != nil {
		w.t.Errorf("%s: %v", s.nation, err)
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, "http://localhost/v1/detections", bytes.NewReader(body))
	req.Host = "localhost" // the listener takes no requests under other names
	req.Header.Set("Content-Type", sensorio.MediaNDJSON)
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	if rec.Code != http.StatusOK {
		w.note("sensors of %s: %d %s", s.nation, rec.Code, bytes.TrimSpace(rec.Body.Bytes()))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return rec.Code == http.StatusOK && !s.dark && s.node == n
}
