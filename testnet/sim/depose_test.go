package sim

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"truceline/node"
	"truceline/node/peer"
	"truceline/treaty"
)

// deaf is a nation that, once it is switched on, does not hear the records of some nations, so that as leader it orders
// nothing of theirs, and is otherwise honest.
type deaf struct {
	on atomic.Bool
	to []treaty.Nation
}

func (d *deaf) In(_ treaty.Nation, c peer.Class, msg []byte) bool {
	if c != peer.Records || !d.on.Load() {
		return true
	}
	r, err := treaty.ParseRecord(msg)
	return err != nil || !slices.Contains(d.to, r.Nation)
}

func (d *deaf) Author(b treaty.Body) treaty.Body { return b }

func (d *deaf) Out(_ treaty.Nation, _ peer.Class, msg []byte) [][]byte { return [][]byte{msg} }
func (d *deaf) Serve(treaty.Nation) bool                               { return true }
func (d *deaf) Run(context.Context, node.Hands) error                  { return nil }

// Of docs/TRUST.md: how long f leaders can keep a record out, one after the other, with the default times.
const (
	complain = 10 * time.Second
	handOver = time.Second
	look     = complain / 40
	sayAgain = complain / 8
)

// censored is the longest time from submitting a record to its being FINAL: f liars lead first, then an honest nation.
func censored(f int, oneWay time.Duration) time.Duration {
	election := 4 * timing.Heartbeat
	return handOver + time.Duration(f)*(complain+2*look+sayAgain+election) + 25*oneWay
}

// led makes the nation of a seat lead, by cutting off whoever else does.
func (w *World) led(by int) {
	w.t.Helper()
	for range 60 {
		l := w.Leader()
		if l == by {
			return
		}
		if l >= 0 {
			w.Cut([]int{l}, slices.DeleteFunc(all(len(w.seats)), func(i int) bool { return i == l }))
			w.Wait("another leader", time.Minute, func() bool { k := w.Leader(); return k >= 0 && k != l })
			w.Heal()
		}
		time.Sleep(2 * time.Second)
	}
	w.t.Fatalf("seat %d never leads", by)
}

// f leaders that leave one nation out, or that order nothing but their own, one after the other: the record must be FINAL
// within the stated time, and nobody honest may be deposed.
func TestCensorsDeposed(t *testing.T) {
	for _, n := range []int{4, 7} {
		for _, zombie := range []bool{false, true} {
			each(t, func(t *testing.T, seed uint64) {
				victim := n - 1
				liars := map[int]*deaf{}
				o := Options{Seed: seed, Nations: n, Hostile: map[int]func(*World, int) node.Tamper{}}
				for i := range treaty.Faulty(n) {
					o.Hostile[i] = func(w *World, i int) node.Tamper {
						d := &deaf{to: w.Net.Nations()[victim:]}
						if zombie {
							d.to = w.Net.Nations()
						}
						liars[i] = d
						return d
					}
				}
				w := New(t, o)
				w.StartAll()
				w.Ready()
				w.led(0)
				w.Settle(time.Minute)
				for _, d := range liars {
					d.on.Store(true)
				}
				limit := censored(len(liars), w.opts.OneWay)
				took := w.SubmitFinal(victim, "left out", limit)
				deposed := w.seats[victim].node.Status().Lead.Deposed
				t.Logf("n = %d, zombie %v: FINAL after %s, stated %s; %s deposed last, %s leads", n, zombie, took, limit,
					deposed, w.seats[w.Leader()].nation)
				if at := slices.Index(w.Net.Nations(), deposed); at < 0 || at >= len(liars) {
					t.Errorf("deposed: %q, which is honest or nobody", deposed)
				}
				if took < complain {
					t.Errorf("the record was not left out: this tests nothing")
				}
				for _, d := range liars {
					d.on.Store(false)
				}
				w.End()
			})
		}
	}
}

// An honest leader serves for its tenure, hands the order on, and nobody is deposed for anything else.
func TestTenure(t *testing.T) {
	each(t, func(t *testing.T, seed uint64) {
		w := New(t, Options{Seed: seed})
		w.StartAll()
		w.Ready()
		stop := w.Chatter(5 * time.Second)
		first := w.Leader()
		term := w.seats[0].node.Status().Term
		time.Sleep(9 * time.Minute)
		if l, now := w.Leader(), w.seats[0].node.Status().Term; l != first || now != term {
			t.Errorf("leader %d of term %d became %d of term %d without need", first, term, l, now)
		}
		time.Sleep(2 * time.Minute)
		stop()
		for i, s := range w.seats {
			if i == first {
				continue // it went by itself
			}
			st := s.node.Status().Lead
			if st.Deposed != w.seats[first].nation || st.About != treaty.GrievanceTenure.String() {
				t.Errorf("%s: %q left the lead about %q; want %q about its tenure", s.nation, st.Deposed, st.About, w.seats[first].nation)
			}
		}
		if l := w.Leader(); l != (first+1)%4 {
			t.Errorf("%d leads; the next of the roster is %d", l, (first+1)%4)
		}
		w.End()
	})
}

// accuser is a nation that complains of every leader without cause, all the time, in its own name and with what others
// have said.
type accuser struct {
	deaf
	w    *World
	i    int
	mu   sync.Mutex
	said [][]byte
}

// wireComplaint begins a complaint on the wire.
const wireComplaint = 4

func (a *accuser) In(_ treaty.Nation, c peer.Class, msg []byte) bool {
	if c == peer.Votes && len(msg) > 0 && msg[0] == wireComplaint {
		a.mu.Lock()
		a.said = append(a.said, slices.Clone(msg))
		a.mu.Unlock()
	}
	return true
}

func (a *accuser) Run(ctx context.Context, hands node.Hands) error {
	me := a.w.Net.Nations()[a.i]
	signer, err := treaty.NewSigner(a.w.Net, me, a.w.keys[me].Treaty)
	if err != nil {
		return err
	}
	for k := 0; sleep(ctx, 300*time.Millisecond); k++ {
		n := a.w.seats[a.i].up()
		if n == nil {
			continue
		}
		st := n.Status()
		c := treaty.Complaint{Term: st.Term, Leader: treaty.Nation(st.Network.Node.Leader), About: treaty.GrievanceProgress}
		if k%2 == 0 {
			c.About, c.Record = treaty.GrievanceRecord, treaty.HashOf([]byte("made up"))
		}
		if c.Check() != nil || c.Leader == me {
			continue // of itself it would be a resignation
		}
		raw, err := signer.SignComplaint(c)
		if err != nil {
			return err
		}
		a.mu.Lock()
		again := a.said
		a.said = nil
		a.mu.Unlock()
		for _, to := range a.w.Net.Nations() {
			hands.Send(to, peer.Votes, append([]byte{wireComplaint}, raw...))
			for _, msg := range again {
				hands.Send(to, peer.Votes, msg)
			}
		}
	}
	return nil
}

// f nations that accuse every leader: records go on becoming FINAL, nobody is deposed, and the term stays.
func TestAccusersDeposeNobody(t *testing.T) {
	for _, n := range []int{4, 7} {
		each(t, func(t *testing.T, seed uint64) {
			o := Options{Seed: seed, Nations: n, Hostile: map[int]func(*World, int) node.Tamper{}}
			for i := range treaty.Faulty(n) {
				o.Hostile[i] = func(w *World, i int) node.Tamper { return &accuser{w: w, i: i} }
			}
			w := New(t, o)
			w.StartAll()
			w.Ready()
			term := w.seats[n-1].node.Status().Term
			for range 10 {
				w.SubmitFinal(n-1, "in spite of them", 5*time.Second)
				time.Sleep(6 * time.Second)
			}
			st := w.seats[n-1].node.Status()
			if st.Term != term || st.Lead.Deposed != "" {
				t.Errorf("term %d became %d, %q is deposed", term, st.Term, st.Lead.Deposed)
			}
			heard := len(st.Lead.Complaining)
			if leads := w.Leader(); heard == 0 && leads >= treaty.Faulty(n) {
				t.Error("nobody complains: this tests nothing")
			}
			w.End()
		})
	}
}
