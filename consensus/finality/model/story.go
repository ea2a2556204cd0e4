package model

import (
	"fmt"
	"strings"
)

// Story tells a run in words, one step a line, with what each step rests on. h1, h2, ... are honest, m lies (m1, m2 when there
// are two); v and v' are the values of a height.
func (m *Model) Story(run []Step) string {
	whole := *m
	whole.Order = Free // any order is one of these, and nothing is forgotten
	var b strings.Builder
	s := State{}
	for _, t := range run {
		fmt.Fprintf(&b, "%s%s\n", whole.at(t.Height), whole.tell(&s, t))
		s = whole.Take(s, t)
	}
	if c := whole.Conflict(&s); c != "" {
		fmt.Fprintf(&b, "%s:\n", c)
		whole.sum(&b, &s)
	}
	return b.String()
}

func (m *Model) at(h int) string {
	if m.Heights == 1 {
		return ""
	}
	return fmt.Sprintf("height %d: ", h+1)
}

func (v Value) String() string { return [...]string{"", "v", "v'"}[v] }

// who lists honest nations, and as many liars as are needed to make up k.
func (m *Model) who(honest []int, k int) string {
	var names []string
	for _, i := range honest {
		names = append(names, fmt.Sprintf("h%d", i+1))
	}
	for l := 0; l < m.liars && len(names) < k; l++ {
		names = append(names, m.liar(l))
	}
	return strings.Join(names, " ")
}

func (m *Model) liar(l int) string {
	if m.liars == 1 {
		return "m"
	}
	return fmt.Sprintf("m%d", l+1)
}

func (m *Model) holders(s *State, f field, v Value) (out []int) {
	for i := range m.honest {
		if s.get(i, f)&uint8(v) != 0 && len(out) < m.quorum {
			out = append(out, i)
		}
	}
	return out
}

func (m *Model) tell(s *State, t Step) string {
	h, r := t.Height, t.Round
	head := fmt.Sprintf("h%d ", t.Nation+1)
	switch t.Kind {
	case Wish:
		return head + fmt.Sprintf("wishes for round %d, showing %s", r, m.shown(s, t.Nation, h, t.Lock))
	case Prepare:
		return head + fmt.Sprintf("prepares %s in round %d%s", t.Value, r, m.because(s, t))
	case Commit:
		if m.Rules.NoPrepareRound {
			return head + fmt.Sprintf("commits %s in round %d%s", t.Value, r, m.because(s, t))
		}
		by := m.who(m.holders(s, prepared(h, r), t.Value), m.quorum)
		return head + fmt.Sprintf("commits %s in round %d: prepared by %s", t.Value, r, by)
	}
	by := m.who(m.holders(s, committed(h, r), t.Value), m.quorum)
	return head + fmt.Sprintf("settles and cosigns %s: committed in round %d by %s", t.Value, r, by)
}

func (m *Model) shown(s *State, i, h, lock int) string {
	if lock == NoLock {
		return "no certificate"
	}
	for _, v := range values {
		if s.get(i, committed(h, lock))&uint8(v) != 0 {
			return fmt.Sprintf("%s of round %d", v, lock)
		}
	}
	return ""
}

// because says which wishes a proposal showed.
func (m *Model) because(s *State, t Step) string {
	p := m.justified(s, t.Height, t.Round, t.Value)
	if t.Round == 0 {
		return ""
	}
	need := m.quorum
	if m.Rules.FewWishes {
		need--
	}
	out := fmt.Sprintf(": wishes of %s", m.who(p.Wishes, need))
	switch {
	case m.Rules.NoLock:
		return out
	case p.High == NoLock:
		return out + " show no certificate"
	case p.Liar:
		return out + fmt.Sprintf(" show at most %s of round %d, by %s", t.Value, p.High, m.liar(0))
	}
	return out + fmt.Sprintf(" show at most %s of round %d", t.Value, p.High)
}

// sum says who stands for what in the end.
func (m *Model) sum(b *strings.Builder, s *State) {
	for h := range m.Heights {
		for _, v := range values {
			var by []string
			for r := range m.Rounds {
				for _, i := range m.holders(s, committed(h, r), v) {
					by = append(by, fmt.Sprintf("h%d in round %d", i+1, r))
				}
			}
			if len(by) > 0 {
				fmt.Fprintf(b, "  %s%s has commits of %s, and m's\n", m.at(h), v, strings.Join(by, ", "))
			}
		}
	}
}
