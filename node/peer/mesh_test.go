package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// TestExchange would catch a message that reaches the wrong nation or class, is lost on a sound wire, or changes.
func TestExchange(t *testing.T) {
	bubble(t, 5, nil, func(w *wire, ms []*member) {
		for _, m := range ms {
			if got := len(m.mesh.Connected()); got != 4 {
				t.Fatalf("%s is connected to %d peers, want 4: %+v", m.nation, got, m.mesh.Status())
			}
			for _, c := range Classes {
				if n := m.mesh.Broadcast(c, []byte(fmt.Sprintf("%s says %s", m.nation, c))); n != 4 {
					t.Fatalf("broadcast taken by %d queues", n)
				}
			}
		}
		time.Sleep(time.Second)
		for _, m := range ms {
			for _, o := range ms {
				for _, c := range Classes {
					want := heard{o.nation, c, fmt.Sprintf("%s says %s", o.nation, c)}
					n := m.count(func(h heard) bool { return h == want })
					if o != m && n != 1 || o == m && n != 0 {
						t.Errorf("%s heard %d times: %v", m.nation, n, want)
					}
				}
			}
			if s := m.status(ms[(index(ms, m)+1)%5].nation); s.Transport != "quic" || s.RTT < 2*oneWay || s.RTT > 6*oneWay {
				t.Errorf("status %+v: want quic and an RTT near %v", s, 2*oneWay)
			}
		}
		big := bytes.Repeat([]byte{7}, treaty.MaxBatch)
		if !ms[0].mesh.Send(ms[1].nation, Evidence, big) {
			t.Fatal("a batch of the largest size was refused")
		}
		time.Sleep(10 * time.Second)
		if ms[1].count(func(h heard) bool { return h.msg == string(big) }) != 1 {
			t.Error("the largest batch did not arrive whole")
		}
	})
}

func index(ms []*member, m *member) int {
	for i := range ms {
		if ms[i] == m {
			return i
		}
	}
	return -1
}

// TestOrder would catch batching that reorders or merges messages.
func TestOrder(t *testing.T) {
	bubble(t, 4, nil, func(w *wire, ms []*member) {
		for i := range 2000 {
			ms[0].mesh.Send(ms[1].nation, Records, fmt.Appendf(nil, "%d", i))
		}
		time.Sleep(5 * time.Second)
		if len(ms[1].list()) != 2000 {
			t.Fatalf("%d messages arrived", len(ms[1].list()))
		}
		for i, h := range ms[1].list() {
			if h.msg != fmt.Sprint(i) {
				t.Fatalf("message %d is %q", i, h.msg)
			}
		}
	})
}

// TestCutAndHeal would catch a mesh that does not come back after a partition, that calls a dead connection alive for
// ever, or that does not say why there is none.
func TestCutAndHeal(t *testing.T) {
	bubble(t, 4, nil, func(w *wire, ms []*member) {
		w.setCut(0, true)
		time.Sleep(3 * time.Minute)
		for _, m := range ms[1:] {
			s := m.status(ms[0].nation)
			if s.Connected || s.LastError == "" || s.Dials == 0 {
				t.Errorf("%s after the cut: %+v", m.nation, s)
			}
			if got := len(m.mesh.Connected()); got != 2 {
				t.Errorf("%s lost more than the one: %d", m.nation, got)
			}
		}
		ms[0].mesh.Broadcast(Records, []byte("said on the island"))
		w.setCut(0, false)
		time.Sleep(time.Minute)
		for _, m := range ms[1:] {
			if !m.status(ms[0].nation).Connected {
				t.Errorf("%s did not come back: %+v", m.nation, m.status(ms[0].nation))
			}
			if m.count(func(h heard) bool { return h.msg == "said on the island" }) != 1 {
				t.Errorf("%s did not get what was queued during the cut", m.nation)
			}
		}
		ms[1].mesh.Broadcast(Votes, []byte("after"))
		time.Sleep(5 * time.Second)
		if ms[0].count(func(h heard) bool { return h.msg == "after" }) != 1 {
			t.Error("no vote after healing")
		}
	})
}

// TestRestart would catch an old stream that keeps a restarted peer from being heard.
func TestRestart(t *testing.T) {
	bubble(t, 4, nil, func(w *wire, ms []*member) {
		ms[0].mesh.Broadcast(Votes, []byte("one"))
		time.Sleep(time.Second)
		ms[0].close()
		time.Sleep(5 * time.Second)
		ms[0] = w.member(0, nil)
		time.Sleep(30 * time.Second)
		ms[0].mesh.Broadcast(Votes, []byte("two"))
		ms[1].mesh.Send(ms[0].nation, Votes, []byte("back"))
		time.Sleep(5 * time.Second)
		for _, m := range ms[1:] {
			if m.count(func(h heard) bool { return h.msg == "two" }) != 1 {
				t.Errorf("%s does not hear the restarted peer", m.nation)
			}
		}
		if ms[0].count(func(h heard) bool { return h.msg == "back" }) != 1 {
			t.Error("the restarted peer does not hear")
		}
	})
}

// TestStranger would catch a gater that lets in anybody whose key is not in the roster, or dials one.
func TestStranger(t *testing.T) {
	bubble(t, 4, nil, func(w *wire, ms []*member) {
		// A nation of the larger roster that is not in this one, whose own gater lets it dial everybody.
		large := treatytest.New(9)
		h := w.host(large, large.Net.Nations()[8], 8)
		defer h.Close()
		a, err := ma.NewMultiaddr(addr(0))
		if err != nil {
			t.Fatal(err)
		}
		info := peer.AddrInfo{ID: ms[0].host.ID(), Addrs: []ma.Multiaddr{a}}
		err = h.Connect(context.Background(), info)
		time.Sleep(5 * time.Second) // QUIC says yes first and closes then
		if n := len(ms[0].host.Network().ConnsToPeer(h.ID())); n != 0 {
			t.Fatalf("the stranger is connected %d times (dial said %v)", n, err)
		}
		if _, err := h.NewStream(context.Background(), info.ID, ms[0].mesh.protocol("votes")); err == nil {
			t.Fatal("the stranger opened a stream")
		}
		if err := ms[0].host.Connect(context.Background(), peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()}); err == nil {
			t.Fatal("we dialled a stranger")
		}
	})
}

// TestViolations would catch a frame over its limit or of a foreign type being taken in, its nation not being named,
// or a peer that goes on breaking the protocol not being dropped, or being dropped for ever.
func TestViolations(t *testing.T) {
	bubble(t, 4, nil, func(w *wire, ms []*member) {
		bad := func(frame []byte) {
			s, err := ms[0].host.NewStream(context.Background(), ms[1].host.ID(), ms[0].mesh.protocol("votes"))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = s.Write(frame)
			time.Sleep(time.Second)
			if _, err := s.Read(make([]byte, 1)); err == nil {
				t.Error("the stream is still open")
			}
			_ = s.Reset()
		}
		bad([]byte{0xff, 0xff, 0xff, 0xff, uint8(Votes)})
		s := ms[1].status(ms[0].nation)
		if s.Violations != 1 || !strings.Contains(s.LastViolation, "at most") || !s.DroppedUntil.IsZero() {
			t.Fatalf("after one: %+v", s)
		}
		bad([]byte{0, 0, 0, 1, uint8(Records), 1})
		bad([]byte{0, 0, 0, 1, 99, 1})
		if s = ms[1].status(ms[0].nation); s.Violations != 3 || s.DroppedUntil.IsZero() {
			t.Fatalf("after three: %+v", s)
		}
		ms[0].mesh.Send(ms[1].nation, Records, []byte("while dropped"))
		ms[2].mesh.Send(ms[1].nation, Records, []byte("another"))
		time.Sleep(5 * time.Second)
		if len(ms[1].list()) != 1 || ms[1].list()[0].from != ms[2].nation {
			t.Fatalf("heard %v", ms[1].list())
		}
		time.Sleep(barFor)
		ms[0].mesh.Send(ms[1].nation, Records, []byte("later"))
		time.Sleep(10 * time.Second)
		if ms[1].count(func(h heard) bool { return h.msg == "later" }) != 1 {
			t.Errorf("not heard again after the time: %v, %+v", ms[1].list(), ms[0].status(ms[1].nation))
		}
	})
}

// TestSlowReader would catch a reader that blocks the sender, other classes or other peers, or a queue that grows
// without bound, or that drops the wrong end.
func TestSlowReader(t *testing.T) {
	for _, blocked := range []Class{Votes, Evidence} {
		t.Run(blocked.String(), func(t *testing.T) { testSlowReader(t, blocked) })
	}
}

func testSlowReader(t *testing.T, blocked Class) {
	var block chan struct{} // made in the bubble by whoever comes first
	var once sync.Once
	gate := func() chan struct{} { once.Do(func() { block = make(chan struct{}) }); return block }
	setup := func(i int, m *member) {
		if i == 1 {
			m.hold = func(_ treaty.Nation, c Class) {
				if c == blocked {
					<-gate()
				}
			}
		}
	}
	bubble(t, 4, setup, func(w *wire, ms []*member) {
		msg := func(i, size int) []byte { return fmt.Appendf(bytes.Repeat([]byte{'.'}, size), "%06d", i) }
		const n, size = 200, 190 << 10
		taken := 0
		for i := range n {
			if ms[0].mesh.Send(ms[1].nation, blocked, msg(i, size)) {
				taken++
			}
			ms[0].mesh.Send(ms[2].nation, blocked, msg(i, 10))
			time.Sleep(10 * time.Millisecond)
		}
		if rules[blocked].dropOldest != (taken == n) {
			t.Errorf("%d of %d taken into a queue of %d bytes", taken, n, rules[blocked].maxBytes)
		}
		for _, c := range Classes {
			if c != blocked {
				ms[0].mesh.Send(ms[1].nation, c, []byte("another class"))
			}
		}
		time.Sleep(5 * time.Second)
		if got := ms[1].count(func(h heard) bool { return h.msg == "another class" }); got != 2 {
			t.Errorf("a blocked class blocks others: %d of 2", got)
		}
		if got := len(ms[2].list()); got != n {
			t.Errorf("a blocked peer blocks another: %d of %d", got, n)
		}
		for _, q := range ms[0].status(ms[1].nation).Queues {
			if (q.Class == blocked.String()) != (q.Dropped > 0) {
				t.Errorf("drops are not counted where they happen: %+v", q)
			}
		}
		close(gate())
		time.Sleep(2 * time.Minute)
		last := string(msg(n-1, size))
		if got := ms[1].count(func(h heard) bool { return h.msg == last }); (got > 0) != rules[blocked].dropOldest {
			t.Errorf("the newest arrived %d times", got)
		}
	})
}

// TestQueue would catch the wrong end being dropped, a bound not held, or the bytes being miscounted.
func TestQueue(t *testing.T) {
	for _, oldest := range []bool{false, true} {
		q := newQueue(classRule{maxCount: 4, maxBytes: 100, dropOldest: oldest, flush: 25})
		lost := 0
		for i := range 8 {
			_, l := q.put(bytes.Repeat([]byte{byte(i)}, 10))
			lost += l
		}
		if n, dropped := q.state(); n != 4 || lost != 4 || dropped != 4 {
			t.Fatalf("oldest=%v: queued %d, lost %d, counted %d", oldest, n, lost, dropped)
		}
		first := byte(0)
		if oldest {
			first = 4
		}
		got := q.take()
		if len(got) != 2 || got[0][0] != first {
			t.Fatalf("oldest=%v: took %v", oldest, got)
		}
		if q.bytes != 20 {
			t.Fatalf("%d bytes counted, 20 there", q.bytes)
		}
		q.put(bytes.Repeat([]byte{9}, 75))
		if n, _ := q.state(); q.bytes > 100 || n != 3 {
			t.Fatalf("bytes %d of %d messages", q.bytes, n)
		}
		if got := q.take(); len(got) != 2 {
			t.Fatalf("took %d", len(got))
		}
		if got := q.take(); len(got) != 1 || q.bytes != 0 {
			t.Fatalf("a message over the flush size must go alone: %d, %d bytes left", len(got), q.bytes)
		}
	}
}

// TestCalls would catch an answer that reaches the wrong caller, a call that outlives its deadline, limits that are not
// held at both ends, and errors that cannot be told apart.
func TestCalls(t *testing.T) {
	setup := func(i int, m *member) {
		m.mesh.Handle(MethodBatch, func(ctx context.Context, from treaty.Nation, req []byte) ([]byte, error) {
			switch string(req) {
			case "none":
				return nil, fmt.Errorf("batch: %w", ErrNotFound)
			case "bad":
				return nil, errors.New("no \x1b[31m such")
			case "huge":
				return make([]byte, treaty.MaxBatch+1), nil
			case "hang":
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return append([]byte(from), req...), nil
		})
	}
	bubble(t, 4, setup, func(w *wire, ms []*member) {
		ctx, to := context.Background(), ms[1].nation
		call := func(req string) (string, error) {
			b, err := ms[0].mesh.Call(ctx, to, MethodBatch, []byte(req))
			return string(b), err
		}
		if got, err := call("x"); got != string(ms[0].nation)+"x" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if _, err := call("none"); !errors.Is(err, ErrNotFound) {
			t.Errorf("want ErrNotFound: %v", err)
		}
		var refused *RefusedError
		if _, err := call("bad"); !errors.As(err, &refused) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("want the peer's words, quoted: %v", err)
		}
		if _, err := call("huge"); !errors.As(err, &refused) {
			t.Errorf("want a refusal: %v", err)
		}
		if _, err := call(strings.Repeat("x", 65)); !errors.Is(err, treaty.ErrTooLarge) {
			t.Errorf("want ErrTooLarge: %v", err)
		}
		if _, err := ms[0].mesh.Call(ctx, to, MethodEntries, nil); !errors.As(err, &refused) {
			t.Errorf("want 'not served': %v", err)
		}
		began := time.Now()
		if _, err := call("hang"); err == nil {
			t.Error("a call that hangs came back")
		} else if d := time.Since(began); d > methods[MethodBatch].deadline+time.Second {
			t.Errorf("it took %v", d)
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		began = time.Now()
		if _, err := ms[0].mesh.Call(short, to, MethodBatch, []byte("hang")); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 1500*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		// Many calls that hang: the others wait for their turn and no longer than their deadline.
		var wg sync.WaitGroup
		for range 3 * maxCalls {
			wg.Go(func() {
				c, cancel := context.WithTimeout(ctx, 2*time.Second)
				defer cancel()
				if _, err := ms[2].mesh.Call(c, to, MethodBatch, []byte("hang")); err == nil {
					t.Error("a call that hangs came back")
				}
			})
		}
		wg.Wait()
		if got, err := ms[2].mesh.Call(ctx, to, MethodBatch, []byte("y")); err != nil {
			t.Errorf("slots are not given back: %q %v", got, err)
		}
		w.setCut(3, true)
		time.Sleep(2 * time.Minute)
		if _, err := ms[0].mesh.Call(ctx, ms[3].nation, MethodPing, nil); !errors.Is(err, ErrNotConnected) {
			t.Errorf("want ErrNotConnected: %v", err)
		}
	})
}

// TestAnswerLimit would catch a peer that answers with more than the method allows being believed.
func TestAnswerLimit(t *testing.T) {
	bubble(t, 4, nil, func(w *wire, ms []*member) {
		ms[1].host.SetStreamHandler(ms[1].mesh.protocol(callName), func(s network.Stream) {
			_, _ = s.Write([]byte{0x7f, 0, 0, 0, answerOK})
			_ = s.Close()
		})
		if _, err := ms[0].mesh.Call(context.Background(), ms[1].nation, MethodEntries, nil); !errors.Is(err, errFrame) {
			t.Errorf("want a bad frame: %v", err)
		}
		if s := ms[0].status(ms[1].nation); s.Violations != 1 {
			t.Errorf("not counted: %+v", s)
		}
	})
}

// TestConfig would catch a key, address or nation that is wrong being found out only at run time, or one at a time.
func TestConfig(t *testing.T) {
	f := treatytest.New(4)
	_, err := NewHost(HostConfig{Net: f.Net, Nation: "AUT", Key: f.Keys["BEL"].Node, Listen: []string{"nonsense"}, Log: quiet()})
	if err == nil || !strings.Contains(err.Error(), "does not belong to AUT") || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("host: %v", err)
	}
	_, err = New(Config{Net: f.Net, Nation: "XXX", Peers: map[treaty.Nation][]string{"YYY": {"bad"}}})
	for _, want := range []string{"XXX", "YYY", "bad", "handler", "registerer", "logger", "host"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("mesh: %q is missing in %v", want, err)
		}
	}
}

// FuzzFrame would catch a frame reader that panics, reads past its limit, or accepts what the writer does not write.
func FuzzFrame(f *testing.F) {
	f.Add(appendFrame(nil, 1, []byte("abc")))
	f.Add([]byte{0, 0, 1, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		kind, size, err := readHeader(r, func(k uint8) int {
			if k == 1 {
				return 100_000
			}
			return -1
		})
		if err != nil {
			return
		}
		if kind != 1 || size > 100_000 {
			t.Fatalf("type %d, size %d", kind, size)
		}
		body, err := readBody(r, size)
		if err != nil {
			return
		}
		if got := appendFrame(nil, kind, body); !bytes.HasPrefix(b, got) {
			t.Fatalf("%x read as %x", b, got)
		}
	})
}
