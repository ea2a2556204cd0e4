package finality

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"truceline/treaty"
)

var walks = flag.Uint64("walks", 2000, "how many random walks TestWalks makes")

var onlyAgreement = flag.Bool("agreement", false, "TestWalks looks for two certifiable checkpoints of one height only, not for broken rules")

// walk is one random run of four nations, one of them a liar that says whatever might hurt: every message order, loss,
// repeat, crash and clock is the dice's. book is what the honest said, kept apart from the machines.
type walk struct {
	*world
	rng  *rand.Rand
	liar *seat
	book *book
}

func newWalk(seed uint64) (*walk, error) {
	w, err := newWorld(4, time.Second, true)
	if err != nil {
		return nil, err
	}
	x := &walk{world: w, rng: rand.New(rand.NewPCG(seed, 11)), book: newBook(w)}
	x.liar = w.nodes[x.rng.IntN(4)]
	x.liar.liar = true
	w.note = x.book.note
	for _, s := range w.nodes {
		s.applied = max(0, 2-x.rng.IntN(5)/2) // some lag
		if !s.liar {
			if err := w.carry(s, s.m.Advance(0)); err != nil {
				return nil, err
			}
		}
	}
	return x, nil
}

// step does one thing of those that may happen.
func (x *walk) step() error {
	switch k := x.rng.IntN(100); {
	case k < 62 && len(x.wire) > 0: // some message arrives, or is lost, or arrives and will again
		i := x.rng.IntN(len(x.wire))
		l := x.wire[i]
		if x.rng.IntN(12) != 0 {
			x.wire = slices.Delete(x.wire, i, i+1)
		}
		if x.rng.IntN(6) == 0 {
			return nil
		}
		x.book.arrives(l)
		return x.arrive(l)
	case k < 70: // one nation's clock rings early, late, whenever
		s := x.nodes[x.rng.IntN(4)]
		at, ok := s.m.Deadline()
		if !ok || s.liar {
			return nil
		}
		x.now = max(x.now, at)
		return x.carry(s, s.m.Tick(x.now))
	case k < 71: // power cut
		s := x.nodes[x.rng.IntN(4)]
		if s.liar {
			return nil
		}
		if err := x.start(s, time.Second); err != nil {
			return err
		}
		return x.carry(s, s.m.Tick(x.now))
	case k < 74: // the ledger grows
		s := x.nodes[x.rng.IntN(4)]
		if s.liar || s.applied >= 4 {
			return nil
		}
		s.applied++
		return x.carry(s, s.m.Advance(x.now))
	}
	return x.lie()
}

// lie sends one nation one lie. The liar aims at what the others are at: that is where lies hurt.
func (x *walk) lie() error {
	to := x.nodes[x.rng.IntN(4)]
	if to == x.liar {
		return nil
	}
	height, round := to.m.Height(), to.m.Round()
	if x.rng.IntN(4) == 0 {
		round = uint64(x.rng.IntN(4))
	}
	from := 0
	if to.last != nil {
		from = int(to.last.Checkpoint.Index)
	}
	c := point(from+1+x.rng.IntN(2), false)
	var say Say
	switch x.rng.IntN(6) {
	case 0, 1:
		if p := to.m.proposal; p != nil && x.rng.IntN(3) > 0 {
			c = p.Checkpoint
		}
		say.Vote = &treaty.Vote{Height: height, Round: round, Step: treaty.StepPrepare, Checkpoint: c}
	case 2:
		say.Vote = &treaty.Vote{Height: height, Round: round, Step: treaty.StepCommit, Checkpoint: c, Prepared: treaty.HashOf([]byte("made up"))}
	case 3, 4: // with any lock it could have been shown, or none
		say.Wish = &treaty.Wish{Height: height, Round: to.m.state.Round}
		if round == to.m.Round() && to.m.state.Round == round {
			say.Wish.Round++
		}
		locks := x.book.locks(height, say.Wish.Round)
		if len(locks) > 0 && x.rng.IntN(3) == 0 {
			say.Wish.Prepared = locks[x.rng.IntN(len(locks))]
		}
	default:
		say.Proposal = x.propose(height, to.m, c)
	}
	if say.Wish != nil && say.Wish.Round == 0 || say.Vote == nil && say.Wish == nil && say.Proposal == nil {
		return nil
	}
	before := len(x.wire)
	if _, err := x.post(x.liar, say); err != nil {
		return err
	}
	sent := x.wire[before:]
	x.wire = x.wire[:before]
	for _, l := range sent {
		if l.to == to {
			x.book.said(x.liar, say)
			x.book.arrives(l)
			return x.arrive(l)
		}
	}
	return nil
}

// propose makes a proposal of wishes that the liar saw or made, chosen to suit it.
func (x *walk) propose(height uint64, m *Machine, c treaty.Checkpoint) *treaty.Proposal {
	round := m.state.Round
	if m.Proposer(height, round) != x.liar.nation {
		round = uint64(x.rng.IntN(4))
	}
	p := &treaty.Proposal{Height: height, Round: round, Checkpoint: c}
	if round == 0 {
		return p
	}
	var mine, opened []Wish
	for _, raw := range slices.Sorted(func(yield func(string) bool) {
		for raw := range x.wishes {
			if !yield(raw) {
				return
			}
		}
	}) {
		if w := x.wishes[raw]; w.Height == height && w.Round == round {
			mine = append(mine, w)
		}
	}
	x.rng.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
	want := 3
	if x.rng.IntN(3) == 0 {
		want = 1 + x.rng.IntN(2) // too few
	}
	for _, w := range mine {
		if len(opened) < want && !slices.ContainsFunc(opened, func(o Wish) bool { return o.From == w.From }) {
			opened = append(opened, w)
			p.Wishes = append(p.Wishes, w.Raw)
		}
	}
	if high := highest(opened); high != nil && x.rng.IntN(4) != 0 {
		p.Checkpoint = high.Checkpoint
	}
	return p
}

// However one liar of four lies and whatever order messages take, the honest keep R1 to R5 of docs/TRUST.md, as checked by
// a book that knows nothing of the machines' insides; no two checkpoints of one height can gather q commits, even with
// every commit the liar might add; and nobody honest is shown to have voted twice. Catches a rule lost or weakened.
func TestWalks(t *testing.T) {
	n := *walks
	if testing.Short() {
		n = min(n, 300)
	}
	certified, rounds := 0, uint64(0)
	for seed := range n {
		x, err := newWalk(seed)
		for i := 0; err == nil && i < 260; i++ {
			if err = x.step(); err == nil {
				err = errors.Join(x.book.wrong...)
			}
		}
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		certified += len(x.book.certified)
		for _, s := range x.nodes {
			rounds = max(rounds, s.m.Round())
		}
	}
	t.Logf("%d walks certified %d heights; the highest round was %d", n, certified, rounds)
	if certified < int(n)/20 || rounds < 3 {
		t.Errorf("the walks go nowhere: %d heights certified, highest round %d", certified, rounds)
	}
}

// place is a height, a round and a step.
type place struct {
	height, round uint64
	step          treaty.Step
}

// book is an independent, slow record of what was said, and the rules of docs/TRUST.md read off it.
type book struct {
	w         *world
	votes     map[place]map[treaty.Nation]treaty.Checkpoint // honest votes, first said
	written   map[treaty.Nation]State                       // last state each nation made durable
	wished    map[treaty.Nation]map[uint64]uint64           // highest wish by height
	shown     map[treaty.Nation][]*treaty.Proposal          // proposals that reached a nation, or that it made
	preps     []*treaty.Certificate                         // prepare certificates that honest nations made
	certified map[uint64]treaty.Checkpoint
	wrong     []error
}

func newBook(w *world) *book {
	return &book{
		w: w, votes: map[place]map[treaty.Nation]treaty.Checkpoint{}, written: map[treaty.Nation]State{},
		wished: map[treaty.Nation]map[uint64]uint64{}, shown: map[treaty.Nation][]*treaty.Proposal{}, certified: map[uint64]treaty.Checkpoint{},
	}
}

func (b *book) breaks(rule, format string, args ...any) {
	if *onlyAgreement && rule != "agreement" {
		return
	}
	b.wrong = append(b.wrong, fmt.Errorf(rule+": "+format, args...))
}

func (b *book) note(s *seat, e Effect) {
	switch {
	case e.Persist != nil:
		b.written[s.nation] = *e.Persist
		if l := e.Persist.Lock; l != nil && (len(b.preps) == 0 || b.preps[len(b.preps)-1] != l) {
			b.preps = append(b.preps, l)
		}
	case e.Say != nil:
		b.said(s, *e.Say)
	case e.Certified != nil: // R5: this is when the driver cosigns
		c := e.Certified
		if c.Step != treaty.StepCommit || len(c.Sigs) < 3 || b.count(place{c.Height, c.Round, treaty.StepCommit}, c.Checkpoint) < 2 {
			b.breaks("R5", "%s cosigns %s without q commits of round %d", s.label, named(c.Checkpoint), c.Round)
		}
		if was, ok := b.certified[c.Height]; ok && was != c.Checkpoint {
			b.breaks("agreement", "%s and %s are certified at height %d", named(was), named(c.Checkpoint), c.Height)
		}
		b.certified[c.Height] = c.Checkpoint
	case e.Equivocation != nil && !b.w.seat(e.Equivocation.Nation).liar:
		b.breaks("framed", "%s is shown to have voted twice", b.w.seat(e.Equivocation.Nation).label)
	}
}

// count is how many honest nations voted so; the liar may always add its own.
func (b *book) count(at place, c treaty.Checkpoint) (n int) {
	for _, v := range b.votes[at] {
		if v == c {
			n++
		}
	}
	return n
}

func (b *book) arrives(l letter) {
	if p := l.msg.Proposal; p != nil {
		b.shown[l.to.nation] = append(b.shown[l.to.nation], &p.Proposal)
	}
}

func (b *book) said(s *seat, say Say) {
	if p := say.Proposal; p != nil {
		b.shown[s.nation] = append(b.shown[s.nation], p)
	}
	switch {
	case s.liar:
	case say.Wish != nil:
		b.wish(s, say.Wish)
	case say.Vote != nil:
		b.vote(s, say.Vote)
	}
}

func (b *book) wish(s *seat, w *treaty.Wish) {
	if d := b.written[s.nation]; d.Height != w.Height || d.Round < w.Round {
		b.breaks("R1", "%s wishes for round %d before that is written", s.label, w.Round)
	}
	high, none := uint64(0), true // R2: the wish carries the highest round this nation committed in
	for at, by := range b.votes {
		if _, ok := by[s.nation]; ok && at.height == w.Height && at.step == treaty.StepCommit {
			high, none = max(high, at.round), false
		}
	}
	if !none && (w.Prepared == nil || w.Prepared.Round < high && high < w.Round) {
		b.breaks("R2", "%s committed in round %d and wishes for %d without that lock", s.label, high, w.Round)
	}
	if b.wished[s.nation] == nil {
		b.wished[s.nation] = map[uint64]uint64{}
	}
	b.wished[s.nation][w.Height] = max(b.wished[s.nation][w.Height], w.Round)
}

func (b *book) vote(s *seat, v *treaty.Vote) {
	at := place{v.Height, v.Round, v.Step}
	if was, again := b.votes[at][s.nation]; again {
		if was != v.Checkpoint {
			b.breaks("R1", "%s gives two votes of step %s in round %d", s.label, v.Step, v.Round)
		}
		return
	}
	d := b.written[s.nation]
	cast := d.Prepared
	if v.Step == treaty.StepCommit {
		cast = d.Committed
	}
	if d.Height != v.Height || cast == nil || cast.Round != v.Round || cast.Checkpoint != v.Checkpoint {
		b.breaks("R1", "%s says its %s of round %d before it is written", s.label, v.Step, v.Round)
	}
	if r := b.wished[s.nation][v.Height]; r > v.Round {
		b.breaks("R3", "%s wished for round %d and now votes in %d", s.label, r, v.Round)
	}
	if v.Step == treaty.StepCommit && b.count(place{v.Height, v.Round, treaty.StepPrepare}, v.Checkpoint) < 2 {
		b.breaks("R2", "%s commits %s in round %d, which q nations cannot have prepared", s.label, named(v.Checkpoint), v.Round)
	}
	if v.Step == treaty.StepPrepare && v.Round > 0 && !slices.ContainsFunc(b.shown[s.nation], func(p *treaty.Proposal) bool { return b.allows(p, v) }) {
		b.breaks("R4", "%s prepares %s in round %d, which no proposal it saw allows", s.label, named(v.Checkpoint), v.Round)
	}
	if b.votes[at] == nil {
		b.votes[at] = map[treaty.Nation]treaty.Checkpoint{}
	}
	b.votes[at][s.nation] = v.Checkpoint
	b.agreed(v)
}

// allows is R4 for one proposal.
func (b *book) allows(p *treaty.Proposal, v *treaty.Vote) bool {
	from := map[treaty.Nation]bool{}
	var high *treaty.Certificate
	for _, raw := range p.Wishes {
		w := b.w.wishes[string(raw)]
		if w.Height != v.Height || w.Round != v.Round {
			return false
		}
		from[w.From] = true
		if c := w.Prepared; c != nil && (high == nil || c.Round > high.Round) {
			high = c
		}
	}
	return p.Height == v.Height && p.Round == v.Round && p.Checkpoint == v.Checkpoint && len(from) >= 3 &&
		(high == nil || high.Checkpoint == v.Checkpoint)
}

// agreed looks whether two checkpoints of a height could be certified, seen or not, with the liar's help.
func (b *book) agreed(v *treaty.Vote) {
	able := map[treaty.Checkpoint]uint64{}
	for at, by := range b.votes {
		for _, c := range by {
			if at.height == v.Height && at.step == treaty.StepCommit && b.count(at, c) >= 2 {
				able[c] = at.round
			}
		}
	}
	if len(able) > 1 {
		b.breaks("agreement", "height %d can be certified for %d checkpoints: %v", v.Height, len(able), able)
	}
}

// locks are the prepare certificates of rounds below one that the liar may carry in a wish.
func (b *book) locks(height, below uint64) (out []*treaty.Certificate) {
	for _, c := range b.preps {
		if c.Height == height && c.Round < below {
			out = append(out, c)
		}
	}
	return out
}
