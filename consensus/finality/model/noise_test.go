package model

import (
	"errors"
	"math/rand/v2"

	"truceline/consensus/finality"
	"truceline/treaty"
)

// noise lets something happen to somebody that fits no plan, mostly in the round it is in, where it hurts: votes, wishes,
// proposals and certificates, honest or made up, justified or not, repeated, of other rounds; a clock rings; a nation
// restarts. The machines may do whatever the model allows.
func (g *stage) noise(rng *rand.Rand) error {
	s := g.seats[rng.IntN(g.m.Honest())]
	h, r, v := int(s.m.Height())-1, int(s.m.Round()), values[rng.IntN(2)]
	if h >= g.m.Heights {
		return nil
	}
	if rng.IntN(3) == 0 {
		r = rng.IntN(g.m.Rounds)
	}
	switch k := Prepare + Kind(rng.IntN(2)); rng.IntN(10) {
	case 0, 1: // all votes for a value, wherever the nation is
		return g.votesTo(s, Step{Kind: k + 1, Nation: s.number, Height: h, Round: r, Value: v})
	case 2: // a certificate, if there is one, of commits or only of prepares
		c, err := g.certificate(k, h, r, v)
		if err != nil || len(c.Sigs) < g.m.Quorum() {
			return err
		}
		return g.hear(s, finality.Message{From: s.nation, Certificate: c}, h, v)
	case 3:
		if i := rng.IntN(g.m.Honest()); g.state.get(i, wished(h, r)) != 0 {
			w := g.wishOf(i, h, r)
			return g.hear(s, finality.Message{From: w.From, Wish: &w}, h, v)
		}
	case 4, 5:
		return g.tempt(rng, s, h)
	case 6:
		if at, ok := s.m.Deadline(); ok && int(s.m.Round())+1 < g.m.Rounds {
			g.now = max(g.now, at)
			return g.carry(s, s.m.Tick(g.now))
		}
	case 7:
		return g.start(s)
	case 8: // what it would propose, if it were its turn and q nations had got there
		s.likes = g.checkpoint(h, v)
		s.holds = s.likes
		err := g.carry(s, s.m.Advance(g.now))
		s.holds = treaty.Checkpoint{}
		return err
	case 9:
		return g.late(s, Step{Prepare, s.number, h, int(s.m.Round()), v, NoLock})
	}
	return nil
}

// tempt brings a nation into a round and proposes a value that the model forbids there, if there is one, in several ways.
func (g *stage) tempt(rng *rand.Rand, s *seat, h int) error {
	for r := g.m.Rounds - 1; r >= int(s.m.Round()); r-- {
		for _, v := range values {
			other := (s.number + 1) % g.m.Honest() // its wish and the liar's are f+1, which the nation joins
			if g.m.Allows(&g.state, Step{Prepare, s.number, h, r, v, NoLock}) || r > 0 && g.state.get(other, wished(h, r)) == 0 {
				continue
			}
			if err := g.enter(s, h, r); err != nil {
				return err
			}
			for range 4 {
				opened, err := g.someWishes(rng, h, r, v)
				if err != nil {
					return err
				}
				msg, err := g.propose(h, r, v, opened)
				if errors.Is(err, treaty.ErrMalformed) {
					continue // refused before any machine saw it: a wish twice, or one of another round
				}
				if err != nil {
					return err
				}
				if err := g.hear(s, msg, h, v*Value(rng.IntN(2))); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return nil
}

// late proposes to a nation what it may prepare but does not hold; it gives the round up; then its ledger catches up.
func (g *stage) late(s *seat, t Step) error {
	next := Step{Wish, t.Nation, t.Height, t.Round + 1, 0, g.m.Lock(&g.state, t.Nation, t.Height, t.Round+1)}
	if next.Round == g.m.Rounds || !g.m.Allows(&g.state, t) || !g.m.Allows(&g.state, next) {
		return nil
	}
	msg, err := g.fit(t)
	if err != nil {
		return err
	}
	if err := g.hear(s, msg, t.Height, 0); err != nil {
		return err
	}
	if _, err := g.driveWish(s, next); err != nil {
		return err
	}
	s.holds = g.checkpoint(t.Height, t.Value)
	err = g.carry(s, s.m.Advance(g.now))
	s.holds = treaty.Checkpoint{}
	return err
}

// someWishes are wishes that may justify a proposal of v, or be too few, or of another round, or one said twice.
func (g *stage) someWishes(rng *rand.Rand, h, r int, v Value) (opened []finality.Wish, err error) {
	if rng.IntN(4) == 0 && r > 0 {
		r--
	}
	for i := range g.m.Honest() {
		if g.state.get(i, wished(h, r)) != 0 && rng.IntN(3) > 0 {
			opened = append(opened, g.wishOf(i, h, r))
		}
	}
	if r > 0 && rng.IntN(4) > 0 {
		lock := rng.IntN(r+1) - 1
		if lock != NoLock && !g.m.provable(&g.state, h, lock, v) {
			lock = NoLock
		}
		w, err := g.liarWish(h, r, lock, v)
		if err != nil {
			return nil, err
		}
		opened = append(opened, w)
	}
	for repeat := rng.IntN(3) == 0; repeat && len(opened) > 0 && len(opened) < g.m.Quorum(); {
		opened = append(opened, opened[0])
	}
	return opened, nil
}
