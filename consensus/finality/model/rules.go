package model

import (
	"errors"
	"fmt"
)

// Rules weaken the protocol, one rule of docs/TRUST.md each. The zero value is the protocol as it is.
type Rules struct {
	// VoteTwice drops R1: a nation may prepare, and commit, both values in one round, as if votes were not synced.
	VoteTwice bool
	// NoPrepareRound drops half of R2: a nation commits to what is proposed. Its wish then carries its highest commit, which
	// proves nothing, so a liar may claim any.
	NoPrepareRound bool
	// Forgetful drops the other half of R2, and R3: a wish may carry an older prepare certificate than the highest that its
	// signer committed on, which is also what happens when it may still commit in a round below one it wished for.
	Forgetful bool
	// NoLock drops R4's second half: q wishes allow every value.
	NoLock bool
	// FewWishes drops R4's first half: one wish fewer than q is enough.
	FewWishes bool
	// CosignInCommit drops R5: a commit carries the cosignature, which does not bind the round.
	CosignInCommit bool
	// TwoFPlusOne takes 2f+1 for a quorum. With n = 3f+1 that is right.
	TwoFPlusOne bool
}

// Order says which orders of steps a search takes.
type Order uint8

// The orders.
const (
	// Sorted takes steps by height, then round, then kind, and forgets what no later step reads (see Model.after). It
	// finds all that Free does, as is argued there and tested on bounds that both can exhaust.
	Sorted Order = iota
	// SortedWhole is Sorted but forgets nothing.
	SortedWhole
	// Free takes steps in every order and forgets nothing.
	Free
)

// Bound is what a search exhausts.
type Bound struct {
	Nations int // 4 to 7
	Heights int // 1 or 2
	Rounds  int // 1 to 4
	Rules   Rules
	Order   Order
}

const (
	maxHonest  = 5
	maxHeights = 2
	maxRounds  = 4
)

// Model is a bound made ready.
type Model struct {
	Bound
	honest, liars, quorum int
}

// New checks a bound.
func New(b Bound) (*Model, error) {
	m := &Model{Bound: b, liars: (b.Nations - 1) / 3}
	m.honest, m.quorum = b.Nations-m.liars, (b.Nations+m.liars)/2+1
	if b.Rules.TwoFPlusOne {
		m.quorum = 2*m.liars + 1
	}
	var errs []error
	if b.Nations < 4 || b.Nations > 7 {
		errs = append(errs, fmt.Errorf("model: %d nations, want 4 to 7", b.Nations))
	}
	if b.Heights < 1 || b.Heights > maxHeights {
		errs = append(errs, fmt.Errorf("model: %d heights, want 1 or %d", b.Heights, maxHeights))
	}
	if b.Rounds < 1 || b.Rounds > maxRounds {
		errs = append(errs, fmt.Errorf("model: %d rounds, want 1 to %d", b.Rounds, maxRounds))
	}
	return m, errors.Join(errs...)
}

// Quorum is how many nations decide.
func (m *Model) Quorum() int { return m.quorum }

// Honest is how many nations keep the rules; they are numbered from 0.
func (m *Model) Honest() int { return m.honest }
