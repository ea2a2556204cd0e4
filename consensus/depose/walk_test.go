package depose

import (
	"math/rand/v2"
	"testing"
	"time"

	"truceline/treaty"
)

// Would catch f liars that depose an honest leader: they say what they like about it, to whom they like, as often as they
// like, while the leader orders every record within its time.
func TestLiarsCannotDepose(t *testing.T) {
	for n := 4; n <= 10; n++ {
		for seed := range uint64(20) {
			rng := rand.New(rand.NewPCG(seed, uint64(n)))
			w := newWorld(n, rng.Perm(n)[:treaty.Faulty(n)]...)
			w.lead(w.anyHonest(rng))
			honest := w.leader
			w.route = func(from, _ treaty.Nation) bool { return w.honest[from] != nil || rng.IntN(2) == 0 }
			for range 400 {
				if rng.IntN(4) == 0 && len(w.waiting) == 0 {
					w.hold("r"+w.at.String(), w.nations[rng.IntN(n)], w.nations...)
				}
				if len(w.waiting) > 0 && rng.IntN(8) == 0 || len(w.waiting) > 0 && w.at-w.waiting[0].held[honest] > complain-2*time.Second {
					w.order(w.waiting[0].name)
				}
				for _, k := range w.nations {
					if w.honest[k] == nil {
						c := treaty.Complaint{
							Term: w.term + rng.Uint64N(3) - 1, Leader: honest, About: treaty.Grievance(1 + rng.IntN(3)),
							Record: treaty.HashOf([]byte{byte(rng.IntN(3))}),
						}
						w.accuse[k] = &c
					}
				}
				w.pass(time.Duration(1+rng.IntN(4)) * tick)
				if w.acted() > 0 {
					t.Fatalf("n = %d, seed %d: %s: an honest leader is deposed: %+v", n, seed, w, w.acts)
				}
			}
		}
	}
}

func (w *world) anyHonest(rng *rand.Rand) treaty.Nation {
	for {
		if k := w.nations[rng.IntN(w.n)]; w.honest[k] != nil {
			return k
		}
	}
}

// Would catch a leader that some honest nations shut out and others follow: liars say what they like to whom they like, and
// a record is held by whom chance will.
func TestAllOrNobody(t *testing.T) {
	acted, idle := 0, 0
	for n := 4; n <= 10; n++ {
		for seed := range uint64(60) {
			rng := rand.New(rand.NewPCG(seed, uint64(n)))
			liars := rng.Perm(n)[:treaty.Faulty(n)]
			w := newWorld(n, liars...)
			w.lead(w.nations[liars[0]])
			w.route = func(from, _ treaty.Nation) bool { return w.honest[from] != nil || rng.IntN(3) == 0 }
			var by []treaty.Nation
			for _, k := range w.nations {
				if rng.IntN(3) > 0 {
					by = append(by, k)
				}
			}
			w.hold("r", w.nations[rng.IntN(n)], by...)
			for _, i := range liars[1:] {
				w.accuse[w.nations[i]] = &treaty.Complaint{Term: w.term, Leader: w.leader, About: treaty.GrievanceProgress}
			}
			for range 80 {
				w.pass(tick)
				if w.acted() > 0 {
					w.pass(complain / 4)
					break
				}
			}
			switch {
			case w.acted() == 0:
				idle++
			case w.acted() == len(w.honest):
				acted++
			default:
				t.Errorf("n = %d, seed %d: %s: %d of %d honest nations shut the leader out", n, seed, w, w.acted(), len(w.honest))
			}
		}
	}
	t.Logf("%d times all, %d times nobody", acted, idle)
	if acted < 20 || idle < 20 {
		t.Error("this tests nothing")
	}
}

// Would catch leaders that gain time by passing the order on before their time is up: f liars lead in turn for as long as
// they like, and between them they have f times Complain, and four elections each.
func TestPassingOnGainsNothing(t *testing.T) {
	for n := 4; n <= 10; n++ {
		for seed := range uint64(20) {
			rng := rand.New(rand.NewPCG(seed, uint64(n)))
			liars := rng.Perm(n)[:treaty.Faulty(n)]
			w := newWorld(n, liars...)
			w.hold("r", w.anyHonest(rng), w.nations...)
			free := append([]int(nil), liars...)
			elections := 0
			for len(free) > 0 && elections < 1000 {
				k := rng.IntN(len(free))
				w.lead(w.nations[free[k]])
				elections++
				longest := complain
				if seed%2 == 0 {
					longest = time.Second // gone as soon as elected
				}
				for end := w.at + time.Duration(rng.Int64N(int64(longest))); w.at < end && w.acted() == 0; {
					w.pass(tick)
				}
				if w.acted() > 0 {
					free = append(free[:k], free[k+1:]...)
				}
			}
			f := len(liars)
			if limit := time.Duration(f) * (complain + 4*tick); w.at > limit || elections > 5*f {
				t.Errorf("n = %d, seed %d: the record was left out for %s in %d tenures; stated %s, %d", n, seed, w.at, elections, limit, 5*f)
			}
			if len(w.honest) < n-f {
				t.Error("nobody is left")
			}
		}
	}
}

// Would catch more than f nations shut out at a time, a sentence that does not grow, and patience that does not grow when
// more than f leaders in a row are found wanting: then the network is slow, and not all of them lie.
func TestSentences(t *testing.T) {
	w := newWorld(7)
	m := w.honest[w.nations[0]]
	shut := map[treaty.Nation]bool{}
	var last []time.Duration
	for round := range 3 {
		for _, k := range w.nations[1:4] {
			w.lead(k)
			w.hold("r", w.nations[5], w.nations...)
			patience := m.Patience()
			w.pass(patience + 2*tick)
			d := w.acts[w.nations[0]]
			if d == nil {
				t.Fatalf("round %d: %s is not deposed after %s", round, k, patience)
			}
			if shut[k] = true; k == w.nations[1] {
				last = append(last, d.For)
			}
			if len(m.shut) > w.f {
				t.Errorf("%d nations are shut out; f is %d", len(m.shut), w.f)
			}
			w.order("r")
		}
		if want := complain << (round + 1); m.Patience() != want {
			t.Errorf("after %d depositions in a row patience is %s, want %s", 3*(round+1), m.Patience(), want)
		}
	}
	if last[0] != sentence || last[1] != 2*sentence || last[2] != 4*sentence {
		t.Errorf("sentences of one nation: %v", last)
	}
	w.lead(w.nations[6])
	w.pass(2*m.Patience() + time.Minute)
	if m.Patience() != complain {
		t.Errorf("after a leader without complaint patience is %s", m.Patience())
	}
}

// Would catch a nation that blames the leader for the time in which it slept itself, or for a flood's own queue.
func TestNoBlame(t *testing.T) {
	w := newWorld(4)
	w.lead(w.nations[1])
	w.hold("r", w.nations[2], w.nations...)
	w.look()
	w.at += 5 * time.Minute // everybody's process is stopped
	w.look()
	w.pass(complain / 2)
	if len(w.honest[w.nations[0]].Complaining()) > 0 {
		t.Error("five minutes of sleep were counted")
	}
	w.order("r")
	w.pass(tick)
	for range 200 { // one record each half second, out of a queue that is minutes long
		x := w.hold("q"+w.at.String(), w.nations[2], w.nations...)
		x.flood = true
		for k := range x.held {
			x.held[k] = 0
		}
		w.pass(2 * tick)
		w.order(x.name)
	}
	if got := w.honest[w.nations[0]].Complaining(); len(got) > 0 || w.acted() > 0 {
		t.Errorf("%v blame the leader for a flood", got)
	}
}

// Would catch a leader that orders one record of a nation each time before the clock is up.
func TestOneAtATime(t *testing.T) {
	w := newWorld(4, 1)
	w.lead(w.nations[1])
	n := 0
	for ; n < 20 && w.acted() == 0; n++ {
		for k := range 3 { // three more wait behind it
			if name := "r" + string(rune('a'+n+k)); n == 0 || k == 2 {
				w.hold(name, w.nations[2], w.nations...)
			}
		}
		w.pass(complain - time.Second)
		w.order("r" + string(rune('a'+n)))
	}
	if n > 3 {
		t.Errorf("the leader ordered %d records, one in %s, and is not deposed", n, complain-time.Second)
	}
}

// Would catch a censor that gets away with the end of a tenure because one liar says so, and complaints of one term that
// count in the next.
func TestWhatCounts(t *testing.T) {
	w := newWorld(7, 0, 1)
	w.lead(w.nations[1])
	w.hold("r", w.nations[2], w.nations...)
	w.accuse[w.nations[0]] = &treaty.Complaint{Term: w.term, Leader: w.leader, About: treaty.GrievanceTenure}
	w.pass(complain + 2*tick)
	if w.acted() != len(w.honest) {
		t.Fatalf("%d of %d shut the censor out", w.acted(), len(w.honest))
	}
	for k, d := range w.acts {
		if d.Served || d.For != sentence {
			t.Errorf("%s lets the censor off: %+v", k, d)
		}
	}

	w = newWorld(4, 0)
	w.lead(w.nations[1])
	w.say(w.nations[0], treaty.Complaint{Term: w.term, Leader: w.leader, About: treaty.GrievanceProgress})
	w.deliver()
	m := w.honest[w.nations[2]]
	if got := m.Complaining(); len(got) != 1 {
		t.Fatalf("%v complain; one does", got)
	}
	w.lead(w.nations[1])
	if got := m.Complaining(); len(got) != 0 {
		t.Errorf("%v complain, of a term that is past", got)
	}
}
