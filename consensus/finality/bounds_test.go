package finality

import (
	"testing"
	"time"

	"truceline/treaty"
)

// One nation, or all, floods a machine with all that its seat can sign: votes for every round and height, wishes, statuses,
// cosignatures of made-up sizes. Memory must stay within the bounds that the machine's constants state.
func TestFloodIsBounded(t *testing.T) {
	for _, flooders := range []int{1, 3} {
		w, err := newWorld(4, time.Second, true)
		if err != nil {
			t.Fatal(err)
		}
		s := w.nodes[0]
		s.applied = 2
		m := s.m
		m.Advance(0)
		step := func(msg Message) { m.Step(w.now, msg) }
		for i := range uint64(1000) {
			for _, from := range w.nodes[1 : 1+flooders] {
				k := from.nation
				c := point(int(i%50)+1, i%2 == 0)
				for _, h := range []uint64{1, 2, 3, i + 4} {
					for _, st := range []treaty.Step{treaty.StepPrepare, treaty.StepCommit} {
						step(Message{From: k, Vote: &Vote{Vote: treaty.Vote{Height: h, Round: i, Step: st, Checkpoint: c}, Sig: treaty.VoteSig{Nation: k}}})
					}
					step(Message{From: k, Status: &treaty.Status{Height: h, Frontier: c}})
					if h != 1 || flooders == 1 { // q nations may open rounds; that is no flood
						step(Message{From: k, Wish: &Wish{Wish: treaty.Wish{Height: h, Round: i + 1}, From: k}})
					}
				}
				step(Message{From: k, Cosignature: &treaty.Cosignature{Nation: k, Size: 1000 + i, Root: c.Root}})
				m.Late(w.now, k, i)
			}
		}
		const n = 4
		rounds := int(m.Round()) + maxAhead + 1
		got, most := m.Sizes(), Sizes{
			Statuses: n, VoteRounds: 2 * rounds, Votes: 2 * rounds * n, Wishes: n, Opening: n, Early: maxEarly * n, Later: n,
			Answered: n, Suspects: n, CosignedSizes: keepSizes * flooders, Cosignatures: keepSizes * flooders, Roots: keepSizes + 1, Heard: n,
		}
		for _, x := range []struct {
			name      string
			got, most int
		}{
			{"statuses", got.Statuses, most.Statuses},
			{"rounds of votes", got.VoteRounds, most.VoteRounds},
			{"votes", got.Votes, most.Votes},
			{"wishes", got.Wishes, most.Wishes},
			{"opening wishes", got.Opening, most.Opening},
			{"early messages", got.Early, most.Early},
			{"heights seen", got.Later, most.Later},
			{"answered", got.Answered, most.Answered},
			{"suspects", got.Suspects, most.Suspects},
			{"cosigned sizes", got.CosignedSizes, most.CosignedSizes},
			{"cosignatures", got.Cosignatures, most.Cosignatures},
			{"roots", got.Roots, most.Roots},
			{"unneeded cosignatures", got.Heard, most.Heard},
		} {
			if x.got > x.most {
				t.Errorf("%d flooders: %d %s, bound %d", flooders, x.got, x.name, x.most)
			}
		}
		if m.Round() != 0 || got.Cosignatures == 0 || got.Votes == 0 || got.Early == 0 {
			t.Errorf("%d flooders: the flood did not arrive: round %d, %+v", flooders, m.Round(), got)
		}
	}
}

// One nation's made-up cosignatures must not keep the others' from adding up, however many it sends in between.
func TestCosignatureFloodDoesNotCensor(t *testing.T) {
	w, err := newWorld(4, time.Second, true)
	if err != nil {
		t.Fatal(err)
	}
	s, c := w.nodes[0], point(1, false)
	liar := w.nodes[3].nation
	s.applied = 1
	next := uint64(1000)
	flood := func() {
		for range 4 * keepSizes {
			next++
			s.m.Step(0, Message{From: liar, Cosignature: &treaty.Cosignature{Nation: liar, Size: next}})
		}
	}
	for _, from := range w.nodes[1:3] {
		flood()
		s.m.Step(0, Message{From: from.nation, Cosignature: &treaty.Cosignature{Nation: from.nation, Size: c.Size, Root: c.Root}})
	}
	flood()
	cert := &treaty.Certificate{Height: 1, Step: treaty.StepCommit, Checkpoint: c}
	s.m.Step(0, Message{From: liar, Certificate: cert})
	s.m.Settled(0, cert, &treaty.Cosignature{Nation: s.nation, Size: c.Size, Root: c.Root})
	if s.m.Cosigned() != c.Size {
		t.Errorf("cosigned %d, want %d: a flood of one nation drove out the cosignatures of the others", s.m.Cosigned(), c.Size)
	}
}
