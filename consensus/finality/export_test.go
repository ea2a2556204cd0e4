package finality

// Sizes is how much a machine holds from outside, for the tests that flood it.
type Sizes struct {
	Statuses, VoteRounds, Votes, Wishes, Opening, Early, Later, Answered, Suspects, CosignedSizes, Cosignatures, Roots, Heard int
}

// Sizes counts.
func (m *Machine) Sizes() Sizes {
	s := Sizes{
		Statuses: len(m.statuses), VoteRounds: len(m.votes), Wishes: len(m.wishes), Opening: len(m.opening), Later: len(m.later),
		Answered: len(m.answered), Suspects: len(m.suspects), CosignedSizes: len(m.cosigs), Roots: len(m.roots), Heard: len(m.heard),
	}
	for _, v := range m.votes {
		s.Votes += len(v)
	}
	for _, e := range m.early {
		s.Early += len(e)
	}
	for _, c := range m.cosigs {
		s.Cosignatures += len(c)
	}
	return s
}
