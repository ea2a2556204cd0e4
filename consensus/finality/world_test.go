package finality

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// world is a network of real machines whose messages wait until a test delivers them, one by one. Its keys are real when
// sealed is false; otherwise signatures are taken to be perfect (only a nation's own seat can make them), which is what
// a model check of many thousand runs needs.
type world struct {
	fix    *treatytest.Fixture
	sealed bool
	now    time.Duration
	nodes  []*seat // in the order in which they propose at height 1: p0, p1, ...
	wire   []letter
	wishes map[string]Wish // signed wishes by their bytes, sealed worlds only
	note   func(n *seat, e Effect)
}

// seat is one nation: its machine, its disk, its ledger (a prefix of what all will apply, or of a fork).
type seat struct {
	nation  treaty.Nation
	label   string
	m       *Machine
	disk    *State
	last    *treaty.Certificate
	mine    *treaty.Cosignature
	noted   uint64
	applied int
	forked  bool
	objects int // to checkpoints at or beyond this entry; 0: to none
	liar    bool
	seen    []Message // what reached a liar
}

// letter is a message on its way.
type letter struct {
	from, to *seat
	kind     string
	msg      Message
	raw      []byte // opened on arrival when set
}

func newWorld(n int, timeout time.Duration, sealed bool) (*world, error) {
	w := &world{fix: treatytest.New(n), sealed: sealed, wishes: map[string]Wish{}, note: func(*seat, Effect) {}}
	probe := &Machine{cfg: Config{Net: w.fix.Net}}
	for r := range uint64(n) {
		s := &seat{nation: probe.Proposer(1, r), label: fmt.Sprintf("p%d", r)}
		w.nodes = append(w.nodes, s)
		if err := w.start(s, timeout); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *world) start(s *seat, timeout time.Duration) error {
	m, err := New(Config{Net: w.fix.Net, Self: s.nation, View: s, Timeout: timeout, State: s.disk, Last: s.last}, w.now)
	if err != nil {
		return err
	}
	m.RestoreCosigned(s.noted, s.mine)
	s.m = m
	return nil
}

func (s *seat) Frontier() treaty.Checkpoint { return point(s.applied, s.forked) }
func (s *seat) Boundaries() []treaty.Checkpoint {
	return (&simNode{last: s.last, applied: s.applied, forked: s.forked}).Boundaries()
}

func (s *seat) Holds(c treaty.Checkpoint) bool {
	return int(c.Index) <= s.applied && c == point(int(c.Index), s.forked)
}

func (s *seat) Objection(c treaty.Checkpoint) string {
	if s.objects > 0 && int(c.Index) >= s.objects {
		return "a record was left out"
	}
	return ""
}

// named is an entry's name: e3, e3' in the forked order, or the hash of what is neither.
func named(c treaty.Checkpoint) string {
	for _, forked := range []bool{false, true} {
		if c == point(int(c.Index), forked) {
			return fmt.Sprintf("e%d%s", c.Index, map[bool]string{true: "'"}[forked])
		}
	}
	return c.Root.Short()
}

func (w *world) seat(n treaty.Nation) *seat {
	return w.nodes[slices.IndexFunc(w.nodes, func(s *seat) bool { return s.nation == n })]
}

// seal makes a statement of a nation into a message, signed for real unless signatures are taken to be perfect.
func (w *world) seal(s *seat, say Say) (Message, []byte, error) {
	switch {
	case say.Certificate != nil:
		return Message{From: s.nation, Certificate: say.Certificate}, nil, nil
	case say.Cosignature != nil:
		return Message{From: s.nation, Cosignature: say.Cosignature}, nil, nil
	case !w.sealed:
		raw, err := (&sim{fix: w.fix}).signed(s.nation, &say)
		return Message{From: s.nation}, raw, err
	}
	msg := Message{From: s.nation, Status: say.Status}
	switch {
	case say.Vote != nil:
		msg.Vote = &Vote{Vote: *say.Vote, Sig: treaty.VoteSig{Nation: s.nation, Prepared: say.Vote.Prepared}}
	case say.Wish != nil:
		raw := string(s.nation) + string(treaty.Encode(say.Wish))
		msg.Wish = &Wish{Wish: *say.Wish, From: s.nation, Raw: []byte(raw)}
		w.wishes[raw] = *msg.Wish
	case say.Proposal != nil:
		msg.Proposal = &Proposal{Proposal: *say.Proposal}
		for _, raw := range say.Proposal.Wishes {
			msg.Proposal.Opened = append(msg.Proposal.Opened, w.wishes[string(raw)])
		}
	}
	return msg, nil, nil
}

func kindOf(s Say) string {
	switch {
	case s.Status != nil:
		return "status"
	case s.Proposal != nil:
		return "proposal"
	case s.Vote != nil:
		return s.Vote.Step.String()
	case s.Wish != nil:
		return "wish"
	case s.Certificate != nil:
		return "certificate"
	}
	return "cosignature"
}

// post puts a statement on the wire.
func (w *world) post(s *seat, say Say) (letter, error) {
	msg, raw, err := w.seal(s, say)
	l := letter{from: s, kind: kindOf(say), msg: msg, raw: raw}
	for _, to := range w.nodes {
		if to != s && (say.To == "" || say.To == to.nation) {
			l.to = to
			w.wire = append(w.wire, l)
		}
	}
	return l, err
}

// arrive gives a letter to its reader. An error is a message that the reader refuses before its machine sees it.
func (w *world) arrive(l letter) error {
	msg := l.msg
	if l.raw != nil {
		var err error
		if msg, err = Open(w.fix.Net, l.raw); err != nil {
			return err
		}
	}
	if l.to.liar {
		l.to.seen = append(l.to.seen, msg)
		return nil
	}
	return w.carry(l.to, l.to.m.Step(w.now, msg))
}

// carry does what the driver in package node does.
func (w *world) carry(s *seat, effects []Effect) error {
	for _, e := range effects {
		w.note(s, e)
		switch {
		case e.Persist != nil:
			again, err := DecodeState(e.Persist.Encode())
			if err != nil {
				return err
			}
			s.disk = again
		case e.Say != nil:
			l, err := w.post(s, *e.Say)
			if err != nil {
				return err
			}
			if e.Say.Vote != nil || e.Say.Wish != nil {
				l.to = s
				if err := w.arrive(l); err != nil {
					return fmt.Errorf("%s cannot read its own %s: %w", s.label, l.kind, err)
				}
			}
		case e.Certified != nil:
			if err := w.settle(s, e.Certified); err != nil {
				return err
			}
		case e.Cosigned != nil:
			if !w.sealed {
				if _, err := w.fix.Net.CheckpointNote(e.Cosigned); err != nil {
					return err
				}
			}
			s.noted = e.Cosigned[0].Size
		}
	}
	return nil
}

func (w *world) cosign(s *seat, c treaty.Checkpoint) (*treaty.Cosignature, error) {
	if w.sealed {
		return &treaty.Cosignature{Nation: s.nation, Size: c.Size, Root: c.Root}, nil
	}
	return w.fix.Net.Cosign(s.nation, w.fix.Keys[s.nation].Cosign, c, 1_700_000_000)
}

func (w *world) settle(s *seat, c *treaty.Certificate) error {
	if c.Step != treaty.StepCommit {
		return fmt.Errorf("%s would cosign under a %s certificate", s.label, c.Step)
	}
	if !w.sealed {
		if err := w.fix.Net.VerifyCertificate(c); err != nil {
			return err
		}
	}
	s.last = c
	s.applied = max(s.applied, int(c.Checkpoint.Index))
	if !s.Holds(c.Checkpoint) {
		s.forked = false
	}
	var err error
	if s.mine, err = w.cosign(s, c.Checkpoint); err != nil {
		return err
	}
	return w.carry(s, s.m.Settled(w.now, c, s.mine))
}

// tick lets time pass and rings every clock that is due.
func (w *world) tick(d time.Duration) error {
	w.now += d
	for _, s := range w.nodes {
		if at, ok := s.m.Deadline(); ok && at <= w.now && !s.liar {
			if err := w.carry(s, s.m.Tick(w.now)); err != nil {
				return err
			}
		}
	}
	return nil
}

// labels names signers.
func (w *world) labels(c *treaty.Certificate) string {
	var out []string
	for _, s := range c.Sigs {
		out = append(out, w.seat(s.Nation).label)
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}
