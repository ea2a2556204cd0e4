package model

import (
	"fmt"
	"slices"
	"time"

	"truceline/consensus/finality"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// stage is four nations: three real machines (h1 to h3 of the model) and the liar, with real keys and real bytes, beside a state
// of the model. Whatever a machine says is looked up in the model, which must allow it; then the model takes the same step.
type stage struct {
	m      *Model
	state  State
	fix    *treatytest.Fixture
	seats  []*seat // the honest ones, by their number in the model; the liar is the last
	now    time.Duration
	wishes map[said]finality.Wish
	votes  map[said]finality.Vote
	// proposals are the values that machines proposed of themselves.
	proposals map[said]Value
	cosigs    []*treaty.Cosignature
	opened    map[string]finality.Message
	parents   [maxHeights + 1]treaty.Checkpoint // what height h extends
}

// seat is one nation. Its ledger is whatever the test lets it hold.
type seat struct {
	number int
	nation treaty.Nation
	m      *finality.Machine
	disk   *finality.State
	last   *treaty.Certificate
	mine   *treaty.Cosignature
	holds  treaty.Checkpoint // what it would prepare now
	likes  treaty.Checkpoint // what it proposes when free to choose; size 0: nothing
	tip    treaty.Checkpoint
}

func (s *seat) Frontier() treaty.Checkpoint        { return s.tip }
func (s *seat) Holds(c treaty.Checkpoint) bool     { return c == s.holds }
func (s *seat) Objection(treaty.Checkpoint) string { return "" }
func (s *seat) Boundaries() []treaty.Checkpoint {
	if s.likes.Size == 0 {
		return nil
	}
	return []treaty.Checkpoint{s.likes}
}

// said is one statement; Lock of the liar's wishes is the round of the certificate it chose.
type said struct {
	kind                       Kind
	nation, height, round, arg int // arg: the value of a vote, the lock of a wish
}

var fixtureOf4 = treatytest.New(4)

func newStage(liar int) (*stage, error) {
	m, err := New(Bound{Nations: 4, Heights: 2, Rounds: 4, Order: Free})
	if err != nil {
		return nil, err
	}
	g := &stage{
		m: m, fix: fixtureOf4, wishes: map[said]finality.Wish{}, votes: map[said]finality.Vote{},
		proposals: map[said]Value{}, opened: map[string]finality.Message{},
	}
	nations := slices.Clone(g.fix.Net.Nations())
	nations = append(slices.Delete(slices.Clone(nations), liar, liar+1), nations[liar])
	for i, n := range nations {
		s := &seat{number: i, nation: n, tip: treaty.Checkpoint{Size: 100, Root: treaty.HashOf([]byte(n)), Index: 100, Term: 1}}
		g.seats = append(g.seats, s)
		if i < m.Honest() {
			if err := g.start(s); err != nil {
				return nil, err
			}
		}
	}
	return g, nil
}

// start is a nation's start, or its restart from what it wrote down.
func (g *stage) start(s *seat) error {
	m, err := finality.New(finality.Config{
		Net: g.fix.Net, Self: s.nation, View: s, Timeout: time.Second, State: s.disk, Last: s.last,
	}, g.now)
	if err != nil {
		return err
	}
	m.RestoreCosigned(0, s.mine)
	s.m = m
	return g.carry(s, m.Advance(g.now))
}

// checkpoint is a value of a height that extends what the height before settled.
func (g *stage) checkpoint(h int, v Value) treaty.Checkpoint {
	at := uint64(h + 1)
	return treaty.Checkpoint{Size: 3 * at, Root: treaty.HashOf(fmt.Appendf(nil, "%x %d", g.parents[h].Root, v)), Index: at, Term: 1}
}

func (g *stage) value(h int, c treaty.Checkpoint) (Value, error) {
	for _, v := range values {
		if g.checkpoint(h, v) == c {
			return v, nil
		}
	}
	return 0, fmt.Errorf("no value of height %d is %+v", h, c)
}

// sign makes a real message of a statement and reads it as every receiver does.
func (g *stage) sign(s *seat, t treaty.ContentType, v any) ([]byte, finality.Message, error) {
	raw, err := g.fix.Signers[s.nation].Sign(t, treaty.Encode(v))
	if err != nil {
		return nil, finality.Message{}, err
	}
	msg, ok := g.opened[string(raw)]
	if !ok {
		if msg, err = finality.Open(g.fix.Net, raw); err != nil {
			return nil, msg, err
		}
		g.opened[string(raw)] = msg
	}
	return raw, msg, nil
}

// carry does what the driver in package node does, and holds each statement against the model.
func (g *stage) carry(s *seat, effects []finality.Effect) error {
	for _, e := range effects {
		var err error
		switch {
		case e.Persist != nil:
			s.disk, err = finality.DecodeState(e.Persist.Encode())
		case e.Say != nil && e.Say.Status != nil:
			err = g.told(s, e.Say)
		case e.Say != nil && e.Say.Proposal != nil:
			p := e.Say.Proposal
			g.proposals[said{0, s.number, int(p.Height) - 1, int(p.Round), 0}], err = g.value(int(p.Height)-1, p.Checkpoint)
		case e.Say != nil && e.Say.Vote != nil:
			err = g.voted(s, e.Say.Vote)
		case e.Say != nil && e.Say.Wish != nil:
			err = g.wished(s, e.Say.Wish)
		case e.Certified != nil:
			err = g.certified(s, e.Certified)
		case e.Cosigned != nil:
			err = g.cosigned(e.Cosigned)
		case e.Equivocation != nil && e.Equivocation.Nation != g.seats[g.m.Honest()].nation:
			err = fmt.Errorf("%s is shown to have voted twice", e.Equivocation.Nation)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// told hands a status to a proposer that could use it. Statuses are in no rule, so not in the model.
func (g *stage) told(s *seat, say *finality.Say) error {
	_, msg, err := g.sign(s, treaty.TypeStatus, say.Status)
	if err != nil {
		return err
	}
	for _, to := range g.seats[:g.m.Honest()] {
		if to != s && to.nation == say.To && to.likes.Size != 0 {
			return g.hear(to, msg, 0, 0)
		}
	}
	return nil
}

// take lets the model follow a machine; a step that the rules do not allow is what this all looks for.
func (g *stage) take(t Step) error {
	if !g.m.Allows(&g.state, t) {
		return fmt.Errorf("the model does not allow h%d: %+v", t.Nation+1, t)
	}
	g.state = g.m.Take(g.state, t)
	if c := g.m.Conflict(&g.state); c != "" {
		return fmt.Errorf("%s", c)
	}
	return nil
}

// has says whether the model has taken a step. A settle counts whatever round's commits it rests on.
func (g *stage) has(t Step) bool {
	i, h, r := t.Nation, t.Height, t.Round
	switch t.Kind {
	case Wish:
		return g.state.get(i, wished(h, r)) == uint8(t.Lock+2)
	case Prepare:
		return g.state.get(i, prepared(h, r)) == uint8(t.Value)
	case Commit:
		return g.state.get(i, committed(h, r)) == uint8(t.Value)
	}
	return g.state.get(i, settled(h)) == uint8(t.Value)
}

func (g *stage) voted(s *seat, v *treaty.Vote) error {
	h := int(v.Height) - 1
	value, err := g.value(h, v.Checkpoint)
	if err != nil {
		return err
	}
	t := Step{Kind: Prepare, Nation: s.number, Height: h, Round: int(v.Round), Value: value, Lock: NoLock}
	if v.Step == treaty.StepCommit {
		t.Kind = Commit
	}
	_, msg, err := g.sign(s, treaty.TypeVote, v)
	if err != nil {
		return err
	}
	if !g.has(t) { // else it says the same again
		if err := g.take(t); err != nil {
			return err
		}
		g.votes[said{t.Kind, s.number, h, t.Round, int(value)}] = *msg.Vote
	}
	return g.carry(s, s.m.Step(g.now, msg))
}

func (g *stage) wished(s *seat, w *treaty.Wish) error {
	h := int(w.Height) - 1
	t := Step{Kind: Wish, Nation: s.number, Height: h, Round: int(w.Round), Lock: NoLock}
	if c := w.Prepared; c != nil {
		t.Lock = int(c.Round)
		if v, err := g.value(h, c.Checkpoint); err != nil || g.state.get(s.number, committed(h, t.Lock)) != uint8(v) {
			return fmt.Errorf("h%d shows a certificate that it did not commit on: %+v, %w", s.number+1, t, err)
		}
	}
	_, msg, err := g.sign(s, treaty.TypeWish, w)
	if err != nil {
		return err
	}
	if !g.has(t) {
		if err := g.take(t); err != nil {
			return err
		}
		g.wishes[said{Wish, s.number, h, t.Round, t.Lock}] = *msg.Wish
	}
	return g.carry(s, s.m.Step(g.now, msg))
}

func (g *stage) certified(s *seat, c *treaty.Certificate) error {
	if err := g.fix.Net.VerifyCertificate(c); err != nil {
		return err
	}
	h := int(c.Height) - 1
	v, err := g.value(h, c.Checkpoint)
	if err != nil {
		return err
	}
	if err := g.take(Step{Settle, s.number, h, int(c.Round), v, NoLock}); err != nil {
		return err
	}
	g.parents[h+1] = c.Checkpoint
	s.last, s.likes = c, treaty.Checkpoint{}
	if h+1 == g.m.Heights {
		s.tip = c.Checkpoint // nothing to agree on beyond the bound
	}
	if s.mine, err = g.fix.Net.Cosign(s.nation, g.fix.Keys[s.nation].Cosign, c.Checkpoint, 1_700_000_000); err != nil {
		return err
	}
	g.cosigs = append(g.cosigs, s.mine)
	return g.carry(s, s.m.Settled(g.now, c, s.mine))
}

// cosigned checks that q cosignatures are of a value that was settled.
func (g *stage) cosigned(list []*treaty.Cosignature) error {
	if _, err := g.fix.Net.CheckpointNote(list); err != nil {
		return err
	}
	h := int(list[0].Size)/3 - 1
	for _, v := range values {
		if c := g.checkpoint(h, v); c.Root == list[0].Root && g.m.cosigned(&g.state, h, v) {
			return nil
		}
	}
	return fmt.Errorf("cosigned without being settled: size %d", list[0].Size)
}

// liarVote is the liar's vote for anything.
func (g *stage) liarVote(k Kind, h, r int, v Value) (finality.Message, error) {
	vote := &treaty.Vote{Height: uint64(h + 1), Round: uint64(r), Step: treaty.StepPrepare, Checkpoint: g.checkpoint(h, v)}
	if k == Commit {
		vote.Step, vote.Prepared = treaty.StepCommit, treaty.HashOf([]byte("made up"))
	}
	_, msg, err := g.sign(g.seats[g.m.Honest()], treaty.TypeVote, vote)
	return msg, err
}

// certificate is what the liar makes of the votes of a round: as many honest ones as there are, and its own.
func (g *stage) certificate(k Kind, h, r int, v Value) (*treaty.Certificate, error) {
	c := &treaty.Certificate{Height: uint64(h + 1), Round: uint64(r), Step: treaty.StepPrepare, Checkpoint: g.checkpoint(h, v)}
	if k == Commit {
		c.Step = treaty.StepCommit
	}
	msg, err := g.liarVote(k, h, r, v)
	if err != nil {
		return nil, err
	}
	c.Sigs = append(c.Sigs, msg.Vote.Sig)
	for i := range g.m.Honest() {
		if vote, ok := g.votes[said{k, i, h, r, int(v)}]; ok && len(c.Sigs) < g.m.Quorum() {
			c.Sigs = append(c.Sigs, vote.Sig)
		}
	}
	bySigner(c)
	return c, nil
}

func bySigner(c *treaty.Certificate) {
	slices.SortFunc(c.Sigs, func(a, b treaty.VoteSig) int {
		if a.Nation < b.Nation {
			return -1
		}
		return 1
	})
}

// liarWish is the liar's wish, with a prepare certificate that it can make, or none.
func (g *stage) liarWish(h, r, lock int, v Value) (finality.Wish, error) {
	w := &treaty.Wish{Height: uint64(h + 1), Round: uint64(r)}
	if lock != NoLock {
		var err error
		if w.Prepared, err = g.certificate(Prepare, h, lock, v); err != nil {
			return finality.Wish{}, err
		}
	}
	_, msg, err := g.sign(g.seats[g.m.Honest()], treaty.TypeWish, w)
	if err != nil {
		return finality.Wish{}, err
	}
	return *msg.Wish, nil
}

// wishOf is the wish that an honest nation said for a round.
func (g *stage) wishOf(i, h, r int) finality.Wish {
	return g.wishes[said{Wish, i, h, r, int(g.state.get(i, wished(h, r))) - 2}]
}

// propose signs a proposal in the name of the round's proposer, whoever that is: in the model each may be a liar.
func (g *stage) propose(h, r int, v Value, opened []finality.Wish) (finality.Message, error) {
	p := &treaty.Proposal{Height: uint64(h + 1), Round: uint64(r), Checkpoint: g.checkpoint(h, v)}
	for _, w := range opened {
		p.Wishes = append(p.Wishes, w.Raw)
	}
	who := g.seats[0].m.Proposer(p.Height, p.Round)
	at := slices.IndexFunc(g.seats, func(s *seat) bool { return s.nation == who })
	_, msg, err := g.sign(g.seats[at], treaty.TypeProposal, p)
	return msg, err
}

// hear gives a message to a nation, which would prepare one value at this moment, or none.
func (g *stage) hear(s *seat, msg finality.Message, h int, would Value) error {
	s.holds = treaty.Checkpoint{}
	if would != 0 {
		s.holds = g.checkpoint(h, would)
	}
	err := g.carry(s, s.m.Step(g.now, msg))
	s.holds = treaty.Checkpoint{}
	return err
}
