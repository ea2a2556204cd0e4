package model

import (
	"cmp"
	"slices"
)

// Value is one of the two values of a height.
type Value uint8

// The values. V2 conflicts with V1.
const (
	V1 Value = 1
	V2 Value = 2
)

var values = [...]Value{V1, V2}

// NoLock is the Lock of a wish that carries no prepare certificate.
const NoLock = -1

// State is what the honest nations have said and settled; what the liars said need not be kept, as they may say anything at
// any time. It is a comparable value of 56 bytes.
type State struct {
	// nation holds, for each honest nation and height, 30 bits: for each round what it prepared (a set of values, 2 bits),
	// what it committed to (2 bits), and its wish (3 bits: 0 unsaid, else 2 + the round of its certificate, 1 for none);
	// then what it settled (2 bits).
	nation [maxHonest]uint64
	// proven holds, for finished rounds that were forgotten, of which values a prepare certificate can be made.
	proven [maxHeights][maxRounds]uint8
	// phase is the place in the sorted order of the last step.
	phase uint8
}

const (
	roundBits  = 7
	heightBits = maxRounds*roundBits + 2
)

// field is a place within a nation's bits.
type field struct{ shift, mask uint8 }

func prepared(h, r int) field  { return field{uint8(h*heightBits + r*roundBits), 3} }
func committed(h, r int) field { return field{uint8(h*heightBits + r*roundBits + 2), 3} }
func wished(h, r int) field    { return field{uint8(h*heightBits + r*roundBits + 4), 7} }
func settled(h int) field      { return field{uint8(h*heightBits + maxRounds*roundBits), 3} }

func (s *State) get(i int, f field) uint8 { return uint8(s.nation[i]>>f.shift) & f.mask }

func (s *State) set(i int, f field, v uint8) {
	s.nation[i] = s.nation[i]&^(uint64(f.mask)<<f.shift) | uint64(v)<<f.shift
}

// count is how many honest nations have a value in a field that is a set of values.
func (m *Model) count(s *State, f field, v Value) (n int) {
	for i := range m.honest {
		if s.get(i, f)&uint8(v) != 0 {
			n++
		}
	}
	return n
}

// round is the highest round a nation has said anything in, at a height.
func (m *Model) round(s *State, i, h int) int {
	for r := m.Rounds - 1; r > 0; r-- {
		if s.get(i, prepared(h, r)) != 0 || s.get(i, committed(h, r)) != 0 || s.get(i, wished(h, r)) != 0 {
			return r
		}
	}
	return 0
}

// canonical names a state by the least of those that differ only in which honest nation is which, and which value of a height
// is which. All honest nations are alike: proposers have no name here (see the package comment). So are the two values of
// a height: no rule tells them apart. So a state has a conflict before it exactly when its canonical one has.
func (m *Model) canonical(s State) State {
	best := s
	for swap := range 1 << m.Heights {
		x := s
		for h := range m.Heights {
			if swap>>h&1 != 0 {
				x.swapValues(h)
			}
		}
		slices.Sort(x.nation[:m.honest])
		if swap == 0 || x.compare(&best) < 0 {
			best = x
		}
	}
	return best
}

// Sets of values are two bits; low has the low bit of each of a height's sets.
const low = 1 | 1<<2 | 1<<roundBits | 1<<(roundBits+2) | 1<<(2*roundBits) | 1<<(2*roundBits+2) |
	1<<(3*roundBits) | 1<<(3*roundBits+2) | 1<<(maxRounds*roundBits)

func (s *State) swapValues(h int) {
	const both = uint64(low | low<<1)
	sets := both << (h * heightBits)
	ones := uint64(low) << (h * heightBits)
	for i, b := range s.nation {
		s.nation[i] = b&^sets | b>>1&ones | b&ones<<1
	}
	for r, p := range s.proven[h] {
		s.proven[h][r] = p>>1 | p&1<<1
	}
}

func (s *State) compare(o *State) int {
	if c := slices.Compare(s.nation[:], o.nation[:]); c != 0 {
		return c
	}
	for h := range s.proven {
		if c := slices.Compare(s.proven[h][:], o.proven[h][:]); c != 0 {
			return c
		}
	}
	return cmp.Compare(s.phase, o.phase)
}
