package model

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"truceline/consensus/finality"
)

// drive gives a nation's machine exactly the messages that a step of the model rests on. ok is false when the machine has no
// such way: it gives up one round at a time, or joins a wish.
func (g *stage) drive(t Step) (ok bool, err error) {
	s, h, r := g.seats[t.Nation], t.Height, t.Round
	switch t.Kind {
	case Wish:
		return g.driveWish(s, t)
	case Prepare:
		if r < int(s.m.Round()) {
			return false, nil // entered a later round with others' wishes, which the model need not note
		}
		msg, err := g.fit(t)
		if err != nil {
			return false, err
		}
		err = g.hear(s, msg, h, t.Value)
		own, has := g.proposals[said{0, t.Nation, h, r, 0}]
		return !has || own == t.Value, err // an honest proposer prepares no other than its own
	case Commit:
		if r < int(s.m.Round()) {
			return false, nil
		}
		if err := g.enter(s, h, r); err != nil {
			return false, err
		}
	}
	return true, g.votesTo(s, t)
}

// fit is a proposal that justifies a prepare.
func (g *stage) fit(t Step) (finality.Message, error) {
	p := g.m.justified(&g.state, t.Height, t.Round, t.Value)
	var opened []finality.Wish
	for _, i := range p.Wishes {
		opened = append(opened, g.wishOf(i, t.Height, t.Round))
	}
	if t.Round > 0 && len(opened) < g.m.Quorum() {
		lock := NoLock
		if p.Liar {
			lock = p.High
		}
		w, err := g.liarWish(t.Height, t.Round, lock, t.Value)
		if err != nil {
			return finality.Message{}, err
		}
		opened = append(opened, w)
	}
	return g.propose(t.Height, t.Round, t.Value, opened)
}

// lead drives all of a run. Steps of one place need not come in the order given: who joins a wish must hear one first.
func (g *stage) lead(run []Step) error {
	run = slices.Clone(run)
	for len(run) > 0 {
		k := 0
		for ; k < len(run) && g.m.place(run[k]) == g.m.place(run[0]); k++ {
			if _, err := g.drive(run[k]); err != nil {
				return err
			}
			if g.has(run[k]) {
				break
			}
		}
		if k == len(run) || !g.has(run[k]) {
			return fmt.Errorf("the machine does not take %+v", run[0])
		}
		run = slices.Delete(run, k, k+1)
	}
	return nil
}

func (g *stage) driveWish(s *seat, t Step) (bool, error) {
	h, r := t.Height, t.Round
	if at, rings := s.m.Deadline(); rings && r == int(s.m.Round())+1 {
		for range 64 { // the clock that says things again rings more often than the round's
			g.now = max(g.now, at)
			if err := g.carry(s, s.m.Tick(g.now)); err != nil || g.has(t) {
				return true, err
			}
			at, _ = s.m.Deadline()
		}
		return true, nil
	}
	for i := range g.m.Honest() { // join: f+1 wishes
		if i != s.number && r > int(s.m.Round())+1 && g.state.get(i, wished(h, r)) != 0 {
			mine, err := g.liarWish(h, r, NoLock, 0)
			if err != nil {
				return false, err
			}
			theirs := g.wishOf(i, h, r)
			if err := g.hear(s, finality.Message{From: mine.From, Wish: &mine}, h, 0); err != nil {
				return false, err
			}
			return true, g.hear(s, finality.Message{From: theirs.From, Wish: &theirs}, h, 0)
		}
	}
	return false, nil
}

// enter lets a nation hear q wishes for a round.
func (g *stage) enter(s *seat, h, r int) error {
	if r == int(s.m.Round()) {
		return nil
	}
	w, err := g.liarWish(h, r, NoLock, 0)
	if err != nil {
		return err
	}
	opened := []finality.Wish{w}
	for i := range g.m.Honest() {
		if g.state.get(i, wished(h, r)) != 0 {
			opened = append(opened, g.wishOf(i, h, r))
		}
	}
	for i := range opened {
		if err := g.hear(s, finality.Message{From: opened[i].From, Wish: &opened[i]}, h, 0); err != nil {
			return err
		}
	}
	return nil
}

// votesTo lets a nation hear the votes that its commit or settle rests on: the honest ones and the liar's.
func (g *stage) votesTo(s *seat, t Step) error {
	k := Prepare
	if t.Kind == Settle {
		k = Commit
	}
	for i := range g.m.Honest() {
		if vote, ok := g.votes[said{k, i, t.Height, t.Round, int(t.Value)}]; ok {
			if err := g.hear(s, finality.Message{From: g.seats[i].nation, Vote: &vote}, t.Height, 0); err != nil {
				return err
			}
		}
	}
	if g.has(t) {
		return nil
	}
	msg, err := g.liarVote(k, t.Height, t.Round, t.Value)
	if err != nil {
		return err
	}
	return g.hear(s, msg, t.Height, 0)
}

// pick draws a step, each kind as often as the others.
func (g *stage) pick(rng *rand.Rand) (Step, bool) {
	var by [Settle + 1][]Step
	for _, t := range g.m.Steps(g.state) {
		by[t.Kind] = append(by[t.Kind], t)
	}
	for range 8 {
		if k := rng.IntN(len(by)); len(by[k]) > 0 {
			return by[k][rng.IntN(len(by[k]))], true
		}
	}
	return Step{}, false
}

// tally counts, for each kind of step, how many were asked of the machines and how many they took.
type tally [Settle + 1]struct{ asked, took int }

// play walks one random path of the model with real machines. With noise the machines also hear and suffer what is on no path.
func play(seed uint64, noisy bool, sum *tally) error {
	rng := rand.New(rand.NewPCG(seed, 3))
	g, err := newStage(rng.IntN(4))
	if err != nil {
		return err
	}
	for range 40 {
		if noisy && rng.IntN(2) == 0 {
			if err := g.noise(rng); err != nil {
				return err
			}
			continue
		}
		t, more := g.pick(rng)
		if !more {
			break
		}
		tried, err := g.drive(t)
		if err != nil {
			return fmt.Errorf("asked for %+v: %w", t, err)
		}
		if tried {
			sum[t.Kind].asked++
		}
		if tried && g.has(t) {
			sum[t.Kind].took++
		}
	}
	return g.share()
}

// share lets everybody hear all cosignatures, among them the liar's for every value.
func (g *stage) share() error {
	liar := g.seats[g.m.Honest()]
	all := g.cosigs
	for h := range g.m.Heights {
		for _, v := range values {
			c, err := g.fix.Net.Cosign(liar.nation, g.fix.Keys[liar.nation].Cosign, g.checkpoint(h, v), 1_700_000_000)
			if err != nil {
				return err
			}
			all = append(all, c)
		}
	}
	for _, c := range all {
		for _, s := range g.seats[:g.m.Honest()] {
			if err := g.hear(s, finality.Message{From: c.Nation, Cosignature: c}, 0, 0); err != nil {
				return err
			}
		}
	}
	return nil
}
