package model

// Kind is what a step does.
type Kind uint8

// The kinds, in the order of a round.
const (
	Wish Kind = iota
	Prepare
	Commit
	Settle
)

func (k Kind) String() string { return [...]string{"wish", "prepare", "commit", "settle"}[k] }

// Step is one thing an honest nation does. Heights, rounds and nations count from 0.
type Step struct {
	Kind          Kind
	Nation        int
	Height, Round int   // Round of a Settle is that of the commits
	Value         Value // not of a wish
	Lock          int   // of a wish: the round of its prepare certificate, or NoLock
}

// place is where a step stands in the sorted order: by height, round, kind; settling ends a height.
func (m *Model) place(t Step) uint8 {
	if t.Kind == Settle {
		return uint8(t.Height*(3*m.Rounds+1) + 3*m.Rounds)
	}
	return uint8(t.Height*(3*m.Rounds+1) + 3*t.Round + int(t.Kind))
}

// Steps lists what may happen next, in a fixed order.
func (m *Model) Steps(s State) (out []Step) {
	add := func(t Step) {
		if m.Allows(&s, t) {
			out = append(out, t)
		}
	}
	for h := range m.Heights {
		for i := range m.honest {
			for r := range m.Rounds {
				if m.Order != Free && int(s.phase) > h*(3*m.Rounds+1)+3*r+int(Commit) {
					continue
				}
				for lock := NoLock; lock < r; lock++ {
					add(Step{Wish, i, h, r, 0, lock})
				}
				for _, v := range values {
					add(Step{Prepare, i, h, r, v, NoLock})
					add(Step{Commit, i, h, r, v, NoLock})
				}
			}
			for _, v := range values {
				if r, ok := m.certifiable(&s, h, v); ok {
					add(Step{Settle, i, h, r, v, NoLock})
				}
			}
		}
	}
	return out
}

// Allows says whether the rules let a nation take a step.
func (m *Model) Allows(s *State, t Step) bool {
	i, h, r := t.Nation, t.Height, t.Round
	switch {
	case m.Order != Free && m.place(t) < s.phase,
		s.get(i, settled(h)) != 0, // it has gone on
		h > 0 && s.get(i, settled(h-1)) == 0,
		t.Kind != Settle && r < m.round(s, i, h): // a wish or vote promised not to
		return false
	}
	switch t.Kind {
	case Wish:
		return r > 0 && s.get(i, wished(h, r)) == 0 && m.mayShow(s, t)
	case Prepare:
		return !m.Rules.NoPrepareRound && m.mayVote(s.get(i, prepared(h, r)), t.Value) && m.justified(s, h, r, t.Value) != nil
	case Commit:
		return m.mayVote(s.get(i, committed(h, r)), t.Value) && m.commits(s, t)
	}
	return m.count(s, committed(h, r), t.Value)+m.liars >= m.quorum
}

func (m *Model) mayVote(was uint8, v Value) bool {
	return was == 0 || m.Rules.VoteTwice && was&uint8(v) == 0
}

func (m *Model) commits(s *State, t Step) bool {
	if m.Rules.NoPrepareRound {
		return m.justified(s, t.Height, t.Round, t.Value) != nil
	}
	return m.count(s, prepared(t.Height, t.Round), t.Value)+m.liars >= m.quorum
}

// mayShow says whether a wish may carry that lock: the highest its signer committed on below the round, no other.
func (m *Model) mayShow(s *State, t Step) bool {
	if m.Rules.Forgetful {
		return t.Lock == NoLock || s.get(t.Nation, committed(t.Height, t.Lock)) != 0
	}
	return t.Lock == m.Lock(s, t.Nation, t.Height, t.Round)
}

// Lock is the round of the highest prepare certificate that a nation committed on below a round, or NoLock.
func (m *Model) Lock(s *State, i, h, below int) int {
	for r := below - 1; r >= 0; r-- {
		if s.get(i, committed(h, r)) != 0 {
			return r
		}
	}
	return NoLock
}

// provable says whether the liars can show a prepare certificate.
func (m *Model) provable(s *State, h, r int, v Value) bool {
	return m.Rules.NoPrepareRound || s.proven[h][r]&uint8(v) != 0 || m.count(s, prepared(h, r), v)+m.liars >= m.quorum
}

// certifiable says whether q commits of one round for a value can be put together, and of which round.
func (m *Model) certifiable(s *State, h int, v Value) (round int, ok bool) {
	for r := range m.Rounds {
		if m.count(s, committed(h, r), v)+m.liars >= m.quorum {
			return r, true
		}
	}
	return 0, false
}

// Proof is which wishes allow a value in a round.
type Proof struct {
	High   int   // the highest lock among them, or NoLock
	Liar   bool  // a liar shows it
	Wishes []int // honest nations whose wishes are among them; liars make up the rest
}

// justified is rule R4: q wishes for the round, and the value of the highest prepare certificate among them, if there is one.
// nil when no choice of wishes allows the value.
func (m *Model) justified(s *State, h, r int, v Value) *Proof {
	if r == 0 {
		return &Proof{High: NoLock}
	}
	for high := NoLock; high < r; high++ {
		p := &Proof{High: high}
		shows := high == NoLock || m.Rules.NoLock
		for i := range m.honest {
			w := s.get(i, wished(h, r))
			if w == 0 || int(w)-2 > high && !m.Rules.NoLock {
				continue
			}
			if int(w)-2 == high && high != NoLock && s.get(i, committed(h, high))&uint8(v) != 0 && !shows {
				shows = true
				p.Wishes = append([]int{i}, p.Wishes...) // first: it must stay among q
				continue
			}
			p.Wishes = append(p.Wishes, i)
		}
		if !shows && m.provable(s, h, high, v) {
			shows, p.Liar = true, true
		}
		need := m.quorum
		if m.Rules.FewWishes {
			need--
		}
		if shows && len(p.Wishes)+m.liars >= need {
			mine := need // as few liars as will do, but one when it must show the certificate
			if p.Liar {
				mine--
			}
			p.Wishes = p.Wishes[:min(mine, len(p.Wishes))]
			return p
		}
	}
	return nil
}
