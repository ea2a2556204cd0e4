package tally

import (
	"fmt"
	"slices"

	"truceline/treaty"
)

// MaxMisbehaviour is how many misbehaviours of one kind are kept of one nation. More are leaves that anybody can check,
// and change nothing: a nation cannot crowd one kind out with another, nor make everybody remember without end.
const MaxMisbehaviour = 16

// Misbehaviour is a proven contradiction: the first record that proves it, for each nation, kind and place.
type Misbehaviour struct {
	Kind   treaty.MisbehaviourKind `cbor:"1,keyasint"`
	About  treaty.Hash             `cbor:"2,keyasint"` // treaty.Proven.About
	Record treaty.Hash             `cbor:"3,keyasint"` // the leaf that has the statements
	By     treaty.Nation           `cbor:"4,keyasint"` // who brought it; its word counts for nothing
	At     treaty.Time             `cbor:"5,keyasint"` // ledger time when it was taken
}

// takeMisbehaviour keeps what a record proves. It checks the statements' signatures itself: nobody has before.
func (s *State) takeMisbehaviour(r *treaty.Record, now treaty.Time) (rejected string, about treaty.Hash) {
	b := r.Misbehaviour
	p, err := s.net.CheckMisbehaviour(b)
	if err != nil {
		return RejectedUnproven, treaty.Hash{}
	}
	n := &s.nations[s.net.Index(b.Accused)] // a member: its signatures verify
	kept := 0
	for _, m := range n.misbehaviour {
		if m.Kind != b.Kind {
			continue
		}
		if m.About == p.About {
			return RejectedRepeated, m.Record
		}
		kept++
	}
	if kept >= MaxMisbehaviour {
		return RejectedQuota, treaty.Hash{}
	}
	n.misbehaviour = append(n.misbehaviour, Misbehaviour{Kind: b.Kind, About: p.About, Record: r.ID, By: r.Nation, At: now})
	return "", treaty.Hash{}
}

// Misbehaviour is what is proven against a nation, in ledger order.
func (s *State) Misbehaviour(k treaty.Nation) []Misbehaviour {
	if i := s.net.Index(k); i >= 0 {
		return slices.Clone(s.nations[i].misbehaviour)
	}
	return nil
}

// checkMisbehaviour checks a stored list.
func (s *State) checkMisbehaviour(list []Misbehaviour) error {
	type place struct {
		kind  treaty.MisbehaviourKind
		about treaty.Hash
	}
	seen := map[place]bool{}
	kept := map[treaty.MisbehaviourKind]int{}
	for _, m := range list {
		p := place{m.Kind, m.About}
		kept[m.Kind]++
		if !m.Kind.Valid() || m.About.IsZero() || m.Record.IsZero() || s.net.Index(m.By) < 0 || m.At < 0 || m.At > maxTime ||
			seen[p] || kept[m.Kind] > MaxMisbehaviour {
			return fmt.Errorf("%w: tally state: a misbehaviour", treaty.ErrMalformed)
		}
		seen[p] = true
	}
	return nil
}
