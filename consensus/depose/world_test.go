package depose

import (
	"fmt"
	"slices"
	"time"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

const (
	tick     = 250 * time.Millisecond
	complain = 10 * time.Second
	progress = 30 * time.Second
	tenure   = 10 * time.Minute
	sentence = time.Minute
)

// world is a network of machines: honest ones, and liars that say what a test makes them say. It knows which records are
// held by whom; a complaint is with everybody at once, unless route says otherwise.
type world struct {
	nations []treaty.Nation
	n, f, q int
	at      time.Duration
	honest  map[treaty.Nation]*Machine
	term    uint64
	leader  treaty.Nation
	waiting []*waiting
	final   uint64
	open    bool // there is something to finalise
	cut     map[treaty.Nation]bool
	accuse  map[treaty.Nation]*treaty.Complaint // what liars say, at every tick

	mail  []said
	route func(from, to treaty.Nation) bool
	acts  map[treaty.Nation]*Deposition // of this tenure
	log   func(format string, args ...any)
}

type waiting struct {
	name   string
	author treaty.Nation
	id     treaty.Hash
	held   map[treaty.Nation]time.Duration // since
	flood  bool
}

func newWorld(n int, liars ...int) *world {
	w := &world{
		nations: treatytest.Names[:n], n: n, f: treaty.Faulty(n), q: treaty.Quorum(n), honest: map[treaty.Nation]*Machine{},
		cut: map[treaty.Nation]bool{}, accuse: map[treaty.Nation]*treaty.Complaint{}, acts: map[treaty.Nation]*Deposition{},
		route: func(_, _ treaty.Nation) bool { return true }, log: func(string, ...any) {},
	}
	for i, k := range w.nations {
		if !slices.Contains(liars, i) {
			w.honest[k] = New(Config{
				Nations: w.nations, Self: k, F: w.f, Q: w.q, Complain: complain, Progress: progress, Tenure: tenure, Sentence: sentence,
			})
		}
	}
	return w
}

// lead begins a tenure.
func (w *world) lead(k treaty.Nation) {
	w.term, w.leader = w.term+1, k
	clear(w.acts)
	w.look()
}

// hold has nations hold a record from now on, and hand it on.
func (w *world) hold(name string, author treaty.Nation, by ...treaty.Nation) *waiting {
	x := &waiting{name: name, author: author, id: treaty.HashOf([]byte(name)), held: map[treaty.Nation]time.Duration{}}
	for _, k := range by {
		x.held[k] = w.at
	}
	w.waiting = append(w.waiting, x)
	return x
}

// order has the leader order a record: nobody waits for it any more.
func (w *world) order(name string) {
	w.waiting = slices.DeleteFunc(w.waiting, func(x *waiting) bool { return x.name == name })
}

func (w *world) view(k treaty.Nation) View {
	v := View{Term: w.term, Leader: w.leader, Reachable: w.leader != "" && !w.cut[k], Final: w.final, Tentative: w.open}
	if d := w.acts[k]; d != nil {
		v.Leader = "" // it is shut out
	}
	seen := map[treaty.Nation]bool{}
	for _, x := range w.waiting {
		if since, ok := x.held[k]; ok && !seen[x.author] {
			seen[x.author] = true
			v.Heads = append(v.Heads, Head{Author: x.author, Record: x.id, Held: w.at - since, Flooded: x.flood})
		}
	}
	return v
}

// look has every honest nation look once, and the liars speak.
func (w *world) look() {
	for _, k := range w.nations {
		if m := w.honest[k]; m != nil {
			w.carry(k, m.Step(w.at, w.view(k)))
		} else if c := w.accuse[k]; c != nil {
			w.say(k, *c)
		}
	}
	w.deliver()
}

// said is a complaint on its way.
type said struct {
	from treaty.Nation
	treaty.Complaint
}

func (w *world) say(from treaty.Nation, c treaty.Complaint) { w.mail = append(w.mail, said{from, c}) }

// deliver brings what was said, and what is said in answer.
func (w *world) deliver() {
	for len(w.mail) > 0 {
		x := w.mail[0]
		w.mail = w.mail[1:]
		for _, k := range w.nations {
			if m := w.honest[k]; m != nil && k != x.from && w.route(x.from, k) {
				w.carry(k, m.Hear(w.at, x.from, x.Complaint))
			}
		}
	}
}

func (w *world) carry(k treaty.Nation, es []Effect) {
	for _, e := range es {
		switch {
		case e.Say != nil:
			about := e.Say.About.String()
			for _, x := range w.waiting {
				if x.id == e.Say.Record {
					about += " " + x.name
				}
			}
			w.log("%s complains of %s: %s, %s", k, e.Say.Leader, about, time.Duration(e.Say.Waited)*time.Millisecond)
			w.say(k, *e.Say)
		case e.Depose != nil:
			d := e.Depose
			how := ""
			if d.Served {
				how = ", which has served"
			}
			w.log("%s shuts out %s for %s%s; %s is next", k, d.Leader, d.For, how, d.Successor)
			w.acts[k] = d
		case e.Release != "":
			w.log("%s hears %s again", k, e.Release)
		}
	}
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	for end := w.at + d; w.at < end; {
		w.at += tick
		w.look()
	}
}

// acted says how many honest nations have shut the leader out.
func (w *world) acted() int { return len(w.acts) }

func (w *world) String() string { return fmt.Sprintf("%s term %d under %s", w.at, w.term, w.leader) }
