package model

import "fmt"

// Take is the state after a step, which must be allowed.
func (m *Model) Take(s State, t Step) State {
	i, h, r := t.Nation, t.Height, t.Round
	if m.Order != Free {
		s = m.after(s, t)
	}
	switch t.Kind {
	case Wish:
		s.set(i, wished(h, r), uint8(t.Lock+2))
	case Prepare:
		s.set(i, prepared(h, r), s.get(i, prepared(h, r))|uint8(t.Value))
	case Commit:
		s.set(i, committed(h, r), s.get(i, committed(h, r))|uint8(t.Value))
	case Settle:
		s.set(i, settled(h), uint8(t.Value))
	}
	return s
}

// after moves a sorted run on to the place of a step.
//
// Why sorted runs are enough. Take any run, and in it a step b of nation j followed at once by a step a of nation i whose
// place is lower. If i is j, the two are of one round, since a nation's rounds only rise, and may be swapped: a wish for a
// round reads only its signer's commits of lower rounds, a prepare neither its own wish nor its own commit; and a nation
// settles a height last. If i is not j: a prepare reads the wishes for its round and the commits and prepares of lower
// rounds behind the certificates in them, a commit the prepares of its round, a settle the commits of its height. So a reads
// only what has a lower place than its own, so lower than b's, and does not need b. And what others said can only allow a
// step, never forbid one, so b is still allowed after a. Swap them; the state after both is the same. Repeat until the
// run is sorted. A conflict is a state, so each conflict has a sorted run, as long as the first.
func (m *Model) after(s State, t Step) State {
	s.phase = m.place(t)
	if m.Order == SortedWhole {
		return s
	}
	if t.Kind == Settle {
		t.Round = m.Rounds
	}
	return m.forget(s, t.Height, t.Round)
}

// forget drops what nobody reads any more in a sorted run that is in this round; the round after the last settles. Once the
// run has passed a round's commits, nobody reads again who wished for it, nor who prepared in it, but for whether a prepare
// certificate can be made, which wishes of later rounds ask. Once it has passed a height, nobody reads that height's
// commits (but for the cosignatures that they carried, under CosignInCommit), only who settled: a conflict there would have
// been found.
func (m *Model) forget(s State, height, round int) State {
	for h := range height + 1 {
		past := h < height
		for r := range m.Rounds {
			if !past && r >= round {
				break
			}
			for _, v := range values {
				if m.count(&s, prepared(h, r), v)+m.liars >= m.quorum {
					s.proven[h][r] |= uint8(v)
				}
			}
			if past || round == m.Rounds {
				s.proven[h][r] = 0
			}
			for i := range m.honest {
				s.set(i, prepared(h, r), 0)
				s.set(i, wished(h, r), 0)
				if past && !m.Rules.CosignInCommit {
					s.set(i, committed(h, r), 0)
				}
			}
		}
	}
	return s
}

// Conflict says what went wrong in a state, "" when nothing did. Whatever the liars could add counts as added.
func (m *Model) Conflict(s *State) string {
	for h := range m.Heights {
		_, one := m.certifiable(s, h, V1)
		_, two := m.certifiable(s, h, V2)
		if one && two {
			return fmt.Sprintf("two certificates at height %d", h+1)
		}
		if m.cosigned(s, h, V1) && m.cosigned(s, h, V2) {
			return fmt.Sprintf("two cosigned checkpoints at height %d", h+1)
		}
	}
	return ""
}

// cosigned says whether q cosignatures of a value can be put together.
func (m *Model) cosigned(s *State, h int, v Value) bool {
	n := m.liars
	for i := range m.honest {
		has := s.get(i, settled(h)) == uint8(v)
		for r := 0; r < m.Rounds && m.Rules.CosignInCommit; r++ {
			has = has || s.get(i, committed(h, r))&uint8(v) != 0
		}
		if has {
			n++
		}
	}
	return n >= m.quorum
}

// Result is what a search found.
type Result struct {
	States int // canonical states visited
	Steps  int // steps taken between them
	Depth  int // longest of the shortest runs to a state, in steps
	// Conflict is "" when the bound was exhausted and holds none. Else Run is a shortest run to it.
	Conflict string
	Run      []Step
	// Settled is how many of the states have a nation that settled every height: a search that never gets there shows nothing.
	Settled int
}

// Search visits every state within the bound, breadth first, until it finds a conflict.
func (m *Model) Search() (res Result) {
	path := m.walk(func(s *State, depth int) bool {
		res.Depth = depth
		if m.count(s, settled(m.Heights-1), V1)+m.count(s, settled(m.Heights-1), V2) > 0 {
			res.Settled++
		}
		res.Conflict = m.Conflict(s)
		return res.Conflict == ""
	}, &res)
	if path != nil {
		res.Run = m.replay(path)
	}
	return res
}

// walk shows each canonical state once, until it is told to stop, and then returns the states that led there, last first.
func (m *Model) walk(show func(s *State, depth int) bool, res *Result) []State {
	type node struct {
		state State
		from  int32
	}
	nodes := []node{{m.canonical(State{}), -1}}
	seen := map[State]struct{}{nodes[0].state: {}}
	depth, end := 0, 1
	for at := 0; at < len(nodes); at++ {
		if at == end {
			depth, end = depth+1, len(nodes)
		}
		s := nodes[at].state
		res.States = at + 1
		if !show(&s, depth) {
			var path []State
			for k := at; k >= 0; k = int(nodes[k].from) {
				path = append(path, nodes[k].state)
			}
			return path
		}
		for _, t := range m.Steps(s) {
			res.Steps++
			next := m.canonical(m.Take(s, t))
			if _, have := seen[next]; !have {
				seen[next] = struct{}{}
				nodes = append(nodes, node{next, int32(at)})
			}
		}
	}
	return nil
}

// replay finds one run of named nations and values through canonical states, last first.
func (m *Model) replay(path []State) (run []Step) {
	s := State{}
	for k := len(path) - 2; k >= 0; k-- {
		for _, t := range m.Steps(s) {
			if next := m.Take(s, t); m.canonical(next) == path[k] {
				run, s = append(run, t), next
				break
			}
		}
	}
	return run
}
