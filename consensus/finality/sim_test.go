package finality

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

var seeds = flag.Uint64("seeds", 6, "how many seeds TestSimulation draws")

// simNode is one nation in the simulator: the real machine, a disk that keeps what was persisted, a ledger that is a
// prefix of what everybody will apply.
type simNode struct {
	nation  treaty.Nation
	m       *Machine
	disk    *State
	last    *treaty.Certificate
	mine    *treaty.Cosignature
	noted   uint64 // size of the cosigned checkpoint stored
	applied int
	liar    bool
	forked  bool // holds another order than the honest one
}

// sim is a whole network in virtual time with a seeded, lossy, reordering wire.
type sim struct {
	t     *testing.T
	rng   *rand.Rand
	fix   *treatytest.Fixture
	nodes map[treaty.Nation]*simNode
	wire  []delivery
	now   time.Duration
	certs map[uint64]treaty.Checkpoint // by height: what any honest node saw certified
	sizes map[uint64]treaty.Hash       // by size: roots honest nations cosigned
	loss  float64

	// What every reader would check again is checked once: signing and verifying were nine tenths of the time.
	signatures map[string][]byte
	read       map[string]readOnce
	verified   map[treaty.Hash]bool
	cosigned   map[string]*treaty.Cosignature
}

type delivery struct {
	at   time.Duration
	to   treaty.Nation
	raw  []byte
	self *Message // passed on without signing
}

// point is the checkpoint after k entries of the common order, or of a forked one.
func point(k int, forked bool) treaty.Checkpoint {
	return treaty.Checkpoint{
		Size: uint64(3 * k), Root: treaty.HashOf(fmt.Appendf(nil, "%d %v", k, forked && k > 5)), Index: uint64(k), Term: 1,
	}
}

func (n *simNode) Frontier() treaty.Checkpoint { return point(n.applied, n.forked) }
func (n *simNode) Objection(treaty.Checkpoint) string {
	return ""
}

func (n *simNode) Holds(c treaty.Checkpoint) bool {
	return int(c.Index) <= n.applied && c == point(int(c.Index), n.forked)
}

func (n *simNode) Boundaries() (bs []treaty.Checkpoint) {
	from := 0
	if n.last != nil {
		from = int(n.last.Checkpoint.Index)
	}
	for k := from + 1; k <= n.applied; k++ {
		bs = append(bs, point(k, n.forked))
	}
	return bs
}

func newSim(t *testing.T, n int, seed uint64, liars int) *sim {
	s := &sim{
		t: t, rng: rand.New(rand.NewPCG(seed, 7)), fix: treatytest.New(n), nodes: map[treaty.Nation]*simNode{},
		signatures: map[string][]byte{}, read: map[string]readOnce{}, verified: map[treaty.Hash]bool{},
		cosigned: map[string]*treaty.Cosignature{},
		certs:    map[uint64]treaty.Checkpoint{}, sizes: map[uint64]treaty.Hash{},
	}
	for i, k := range s.fix.Net.Nations() {
		s.nodes[k] = &simNode{nation: k, liar: i < liars}
		s.start(s.nodes[k])
	}
	return s
}

func (s *sim) start(n *simNode) {
	m, err := New(Config{
		Net: s.fix.Net, Self: n.nation, View: n, Timeout: time.Second, State: n.disk, Last: n.last,
	}, s.now)
	if err != nil {
		s.t.Fatal(err)
	}
	m.RestoreCosigned(n.noted, n.mine)
	n.m = m
}

func (s *sim) sign(n *simNode, say *Say) []byte {
	raw, err := s.signed(n.nation, say)
	if err != nil {
		s.t.Fatal(err)
	}
	return raw
}

// signed signs a statement, or gives back what was signed before: signatures are the same every time.
func (s *sim) signed(n treaty.Nation, say *Say) ([]byte, error) {
	var t treaty.ContentType
	var v any
	switch {
	case say.Status != nil:
		t, v = treaty.TypeStatus, say.Status
	case say.Proposal != nil:
		t, v = treaty.TypeProposal, say.Proposal
	case say.Vote != nil:
		t, v = treaty.TypeVote, say.Vote
	case say.Wish != nil:
		t, v = treaty.TypeWish, say.Wish
	}
	payload := treaty.Encode(v)
	k := string(n) + string(t) + string(payload)
	if raw, ok := s.signatures[k]; ok {
		return raw, nil
	}
	raw, err := s.fix.Signers[n].Sign(t, payload)
	if s.signatures != nil {
		s.signatures[k] = raw
	}
	return raw, err
}

// opened is Open, once for each message instead of once for each reader.
func (s *sim) opened(raw []byte) (Message, error) {
	o, ok := s.read[string(raw)]
	if !ok {
		o.msg, o.err = Open(s.fix.Net, raw)
		s.read[string(raw)] = o
	}
	return o.msg, o.err
}

type readOnce struct {
	msg Message
	err error
}

func (s *sim) send(to treaty.Nation, d delivery) {
	if s.rng.Float64() < s.loss {
		return
	}
	d.to, d.at = to, s.now+time.Duration(s.rng.IntN(80))*time.Millisecond
	s.wire = append(s.wire, d)
}

// do carries out effects in order, as the driver does.
func (s *sim) do(n *simNode, effects []Effect) {
	for _, e := range effects {
		switch {
		case e.Persist != nil:
			again, err := DecodeState(e.Persist.Encode())
			if err != nil {
				s.t.Fatal(err)
			}
			n.disk = again
		case e.Say != nil:
			s.say(n, e.Say)
		case e.Certified != nil:
			s.settle(n, e.Certified)
		case e.Cosigned != nil:
			s.check(n, e.Cosigned)
		case e.Equivocation != nil && !s.nodes[e.Equivocation.Nation].liar:
			s.t.Fatalf("honest %s is shown to have voted twice: %+v", e.Equivocation.Nation, e.Equivocation)
		}
	}
}

func (s *sim) say(n *simNode, say *Say) {
	d := delivery{}
	switch {
	case say.Certificate != nil:
		d.self = &Message{From: n.nation, Certificate: say.Certificate}
	case say.Cosignature != nil:
		d.self = &Message{From: n.nation, Cosignature: say.Cosignature}
	default:
		d.raw = s.sign(n, say)
		if say.Vote != nil || say.Wish != nil {
			msg, err := s.opened(d.raw)
			if err != nil {
				s.t.Fatalf("%s made a message that it cannot read: %v", n.nation, err)
			}
			defer func() { s.do(n, n.m.Step(s.now, msg)) }()
		}
	}
	for _, to := range s.fix.Net.Nations() {
		if to != n.nation && (say.To == "" || say.To == to) {
			if n.liar && say.To == "" && s.rng.IntN(2) == 0 {
				d.raw = s.lie(n, say, d.raw)
			}
			s.send(to, d)
		}
	}
}

// lie tells some nations something else: another root in a vote or proposal, or no lock in a wish.
func (s *sim) lie(n *simNode, say *Say, honest []byte) []byte {
	other := treaty.HashOf([]byte{byte(s.rng.IntN(3))})
	switch {
	case say.Vote != nil:
		v := *say.Vote
		v.Checkpoint.Root = other
		return s.sign(n, &Say{Vote: &v})
	case say.Proposal != nil:
		p := *say.Proposal
		if s.rng.IntN(2) == 0 {
			p.Checkpoint.Root = other
		} else {
			p.Checkpoint = point(max(1, int(p.Checkpoint.Index)-1), false)
		}
		return s.sign(n, &Say{Proposal: &p})
	case say.Wish != nil:
		return s.sign(n, &Say{Wish: &treaty.Wish{Height: say.Wish.Height, Round: say.Wish.Round}})
	}
	return honest
}

func (s *sim) settle(n *simNode, c *treaty.Certificate) {
	if d := c.Digest(); !s.verified[d] {
		if err := s.fix.Net.VerifyCertificate(c); err != nil {
			s.t.Fatalf("%s holds a certificate that does not verify: %v", n.nation, err)
		}
		s.verified[d] = true
	}
	if was, ok := s.certs[c.Height]; ok && was != c.Checkpoint {
		s.t.Fatalf("two certificates at height %d: %+v and %+v", c.Height, was, c.Checkpoint)
	}
	s.certs[c.Height] = c.Checkpoint
	n.last = c
	n.applied = max(n.applied, int(c.Checkpoint.Index)) // what it lacks it fetches
	if !n.Holds(c.Checkpoint) {
		n.forked = false // its tentative layer is thrown away
	}
	k := fmt.Sprint(n.nation, c.Checkpoint)
	cosig := s.cosigned[k]
	if cosig == nil {
		var err error
		if cosig, err = s.fix.Net.Cosign(n.nation, s.fix.Keys[n.nation].Cosign, c.Checkpoint, 1_700_000_000); err != nil {
			s.t.Fatal(err)
		}
		s.cosigned[k] = cosig
	}
	if was, ok := s.sizes[c.Checkpoint.Size]; ok && was != c.Checkpoint.Root && !n.liar {
		s.t.Fatalf("honest nations cosigned two roots of size %d", c.Checkpoint.Size)
	}
	s.sizes[c.Checkpoint.Size] = c.Checkpoint.Root
	n.mine = cosig
	s.do(n, n.m.Settled(s.now, c, cosig))
}

func (s *sim) check(n *simNode, list []*treaty.Cosignature) {
	if _, err := s.fix.Net.CheckpointNote(list); err != nil {
		s.t.Fatalf("%s: %v", n.nation, err)
	}
	n.noted = list[0].Size
}

// run lets virtual time pass in steps of 10 ms.
func (s *sim) run(d time.Duration, each func()) {
	for end := s.now + d; s.now < end; {
		s.now += 10 * time.Millisecond
		due := s.wire
		s.wire = nil
		s.rng.Shuffle(len(due), func(i, j int) { due[i], due[j] = due[j], due[i] })
		for _, w := range due {
			if w.at > s.now {
				s.wire = append(s.wire, w)
				continue
			}
			n := s.nodes[w.to]
			msg := w.self
			if msg == nil {
				o, err := s.opened(w.raw)
				if err != nil {
					continue // a liar's message that no honest node can read
				}
				msg = &o
			}
			s.do(n, n.m.Step(s.now, *msg))
		}
		for _, k := range s.fix.Net.Nations() {
			n := s.nodes[k]
			if at, ok := n.m.Deadline(); ok && at <= s.now {
				s.do(n, n.m.Tick(s.now))
			}
		}
		if each != nil {
			each()
		}
	}
}

// Whatever f liars, losses, crashes and a forked order do, no two certificates of one height and no two cosigned roots
// of one size may exist; and once the wire heals, everybody catches up.
func TestSimulation(t *testing.T) {
	draws := *seeds
	if testing.Short() {
		draws = min(draws, 2) // one honest, one with liars
	}
	for seed := range draws {
		for _, n := range []int{4, 5, 6, 7} {
			t.Run(fmt.Sprintf("n=%d/seed=%d", n, seed), func(t *testing.T) {
				t.Parallel()
				s := newSim(t, n, seed, treaty.Faulty(n)*int(seed%2))
				s.loss = 0.3 * s.rng.Float64()
				if seed%3 == 0 { // an order that forked: one nation holds another suffix
					s.nodes[s.fix.Net.Nations()[n-1]].forked = true
				}
				target := 0
				s.run(40*time.Second, func() {
					if s.rng.IntN(20) == 0 && target < 200 {
						target++
					}
					for _, k := range s.fix.Net.Nations() {
						x := s.nodes[k]
						if x.applied < target && s.rng.IntN(3) == 0 {
							x.applied++
							s.do(x, x.m.Advance(s.now))
						}
						if s.rng.IntN(3000) == 0 { // power cut: what was not persisted is gone
							s.start(x)
						}
					}
				})
				s.loss = 0
				for _, x := range s.nodes {
					x.applied = max(x.applied, target)
					x.forked = false
					s.do(x, x.m.Advance(s.now))
				}
				s.run(60*time.Second, nil)
				for k, x := range s.nodes {
					if !x.liar && (x.last == nil || x.last.Checkpoint.Index < uint64(target)) {
						t.Errorf("%s is behind at %d, round %d wish %d, entry %d of %d", k, x.m.Height(), x.m.Round(), x.m.state.Round, x.m.certified().Index, target)
					}
					if !x.liar && x.m.Cosigned() < uint64(3*target) {
						t.Errorf("%s has cosigned checkpoints to size %d, want %d", k, x.m.Cosigned(), 3*target)
					}
				}
			})
		}
	}
}
