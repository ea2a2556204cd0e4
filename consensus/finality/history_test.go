package finality

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"truceline/treaty"
)

// The histories in testdata play the protocol message by message, so that a reader can follow what each rule is for, and a
// rule that changes shows up as a changed history. Real keys, real bytes. Read testdata/README for the language.
func TestHistories(t *testing.T) {
	datadriven.Walk(t, filepath.Join("testdata", "histories"), func(t *testing.T, path string) {
		h := &history{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "play" {
				t.Fatalf("%s: only \"play\" is known, not %q", d.Pos, d.Cmd)
			}
			h.out.Reset()
			for _, line := range strings.Split(d.Input, "\n") {
				f := strings.Fields(line)
				if len(f) == 0 || strings.HasPrefix(f[0], "#") {
					continue
				}
				fmt.Fprintf(&h.out, "> %s\n", line)
				if err := h.do(f); err != nil {
					fmt.Fprintf(&h.out, "  error: %v\n", err)
				}
			}
			return h.out.String()
		})
	})
}

type history struct {
	w       *world
	timeout time.Duration
	quiet   bool
	out     strings.Builder
	wishes  []Wish // every wish ever said, for liars to build proposals and locks from
	certs   []*treaty.Certificate
	commits map[string][]string
}

// words splits key=value words from plain ones.
func words(f []string) (plain []string, kv map[string]string) {
	kv = map[string]string{}
	for _, x := range f {
		if k, v, ok := strings.Cut(x, "="); ok {
			kv[k] = v
		} else {
			plain = append(plain, x)
		}
	}
	return plain, kv
}

func (h *history) seats(list string) ([]*seat, error) {
	if list == "all" || list == "*" || list == "" {
		return h.w.nodes, nil
	}
	var out []*seat
	for _, l := range strings.Split(list, ",") {
		i := slices.IndexFunc(h.w.nodes, func(s *seat) bool { return s.label == l })
		if i < 0 {
			return nil, fmt.Errorf("no nation %q", l)
		}
		out = append(out, h.w.nodes[i])
	}
	return out, nil
}

func number(s string) int { n, _ := strconv.Atoi(s); return n }

func (h *history) do(f []string) error {
	f, kv := words(f)
	if f[0] == "new" {
		h.timeout = 2 * time.Second
		h.wishes, h.certs, h.commits = nil, nil, map[string][]string{}
		w, err := newWorld(number(kv["n"]), h.timeout, false)
		if err != nil {
			return err
		}
		w.note = h.print
		h.w = w
		return nil
	}
	need := map[string]int{"apply": 3, "object": 3, "deliver": 2, "drop": 2, "crash": 2, "liar": 2, "fork": 2, "tick": 2, "lie": 3}
	if len(f) < need[f[0]] {
		return fmt.Errorf("%s needs %d words", f[0], need[f[0]])
	}
	var who []*seat
	if len(f) > 1 && f[0] != "tick" && f[0] != "deliver" && f[0] != "drop" && f[0] != "lie" {
		var err error
		if who, err = h.seats(f[1]); err != nil {
			return err
		}
	}
	switch f[0] {
	case "quiet":
		h.quiet = true
	case "loud":
		h.quiet = false
	case "apply":
		for _, s := range who {
			s.applied = number(f[2])
			if !s.liar {
				if err := h.w.carry(s, s.m.Advance(h.w.now)); err != nil {
					return err
				}
			}
		}
	case "fork", "liar", "object", "crash":
		for _, s := range who {
			switch f[0] {
			case "fork":
				s.forked = true
			case "liar":
				s.liar = true
			case "object":
				s.objects = number(f[2])
			case "crash":
				if err := h.w.start(s, h.timeout); err != nil {
					return err
				}
				if err := h.w.carry(s, s.m.Tick(h.w.now)); err != nil {
					return err
				}
			}
		}
	case "tick":
		d, err := time.ParseDuration(f[1])
		if err != nil {
			return err
		}
		return h.w.tick(d)
	case "deliver", "drop":
		return h.deliver(f, kv)
	case "run":
		return h.run(kv)
	case "lie":
		return h.lie(f, kv)
	case "show":
		for _, s := range h.w.nodes {
			h.show(s)
		}
	case "commits":
		for _, k := range slices.Sorted(func(yield func(string) bool) {
			for k := range h.commits {
				if !yield(k) {
					return
				}
			}
		}) {
			fmt.Fprintf(&h.out, "  %s committed by %s\n", k, strings.Join(h.commits[k], " "))
		}
	default:
		return fmt.Errorf("unknown word %q", f[0])
	}
	return nil
}

// match takes the letters that a pattern names off the wire. "p0->p1,p2 prepare", "*->*".
func (h *history) match(f []string) ([]letter, error) {
	from, to, ok := strings.Cut(f[1], "->")
	if !ok {
		return nil, fmt.Errorf("%q is not from->to", f[1])
	}
	froms, err := h.seats(from)
	if err != nil {
		return nil, err
	}
	tos, err := h.seats(to)
	if err != nil {
		return nil, err
	}
	var took, rest []letter
	for _, l := range h.w.wire {
		if slices.Contains(froms, l.from) && slices.Contains(tos, l.to) && (len(f) < 3 || slices.Contains(strings.Split(f[2], ","), l.kind)) {
			took = append(took, l)
		} else {
			rest = append(rest, l)
		}
	}
	h.w.wire = rest
	return took, nil
}

func (h *history) deliver(f []string, kv map[string]string) error {
	took, err := h.match(f)
	if err != nil {
		return err
	}
	if len(took) == 0 {
		return fmt.Errorf("no such message is on the wire")
	}
	if f[0] == "drop" {
		return nil
	}
	for range max(1, number(kv["times"])) {
		for _, l := range took {
			if err := h.w.arrive(l); err != nil {
				fmt.Fprintf(&h.out, "  %s refuses %s of %s: %v\n", l.to.label, l.kind, l.from.label, h.shorten(err))
			}
		}
	}
	return nil
}

// run delivers everything, but what nations in cut= say or hear, until the wire is empty.
func (h *history) run(kv map[string]string) error {
	var cut []*seat
	if kv["cut"] != "" {
		var err error
		if cut, err = h.seats(kv["cut"]); err != nil {
			return err
		}
	}
	for n := 0; len(h.w.wire) > 0; n++ {
		if n > 20_000 {
			return fmt.Errorf("the wire never becomes empty")
		}
		l := h.w.wire[0]
		h.w.wire = h.w.wire[1:]
		if slices.Contains(cut, l.from) || slices.Contains(cut, l.to) {
			continue
		}
		if err := h.w.arrive(l); err != nil {
			fmt.Fprintf(&h.out, "  %s refuses %s of %s: %v\n", l.to.label, l.kind, l.from.label, h.shorten(err))
		}
	}
	return nil
}

// shorten puts labels where nations stand.
func (h *history) shorten(err error) string {
	s := err.Error()
	for _, n := range h.w.nodes {
		s = strings.ReplaceAll(s, string(n.nation), n.label)
	}
	return s
}

// lie lets a liar say anything: lie p3 prepare|commit|propose|wish|status|cosign to=p0,p1 height= round= entry= fork=1
func (h *history) lie(f []string, kv map[string]string) error {
	who, err := h.seats(f[1])
	if err != nil {
		return err
	}
	to, err := h.seats(cmp.Or(kv["to"], "all"))
	if err != nil {
		return err
	}
	height, round := uint64(max(1, number(kv["height"]))), uint64(number(kv["round"]))
	c := point(number(kv["entry"]), kv["fork"] != "")
	var say Say
	switch f[2] {
	case "prepare":
		say.Vote = &treaty.Vote{Height: height, Round: round, Step: treaty.StepPrepare, Checkpoint: c}
	case "commit":
		say.Vote = &treaty.Vote{Height: height, Round: round, Step: treaty.StepCommit, Checkpoint: c, Prepared: treaty.HashOf([]byte("made up"))}
	case "wish":
		say.Wish = &treaty.Wish{Height: height, Round: round}
		if kv["lock"] != "" {
			say.Wish.Prepared = h.lock(kv, c)
		}
	case "propose":
		say.Proposal = &treaty.Proposal{Height: height, Round: round, Checkpoint: c}
		if kv["wishes"] != "" {
			of, err := h.seats(kv["wishes"])
			if err != nil {
				return err
			}
			for _, s := range of {
				if i := slices.IndexFunc(h.wishes, func(x Wish) bool {
					return x.From == s.nation && x.Round == uint64(number(cmp.Or(kv["of"], kv["round"])))
				}); i >= 0 {
					say.Proposal.Wishes = append(say.Proposal.Wishes, h.wishes[i].Raw)
				}
			}
		}
		if kv["forge"] != "" { // a wish that its signer never said
			s, err := h.seats(kv["forge"])
			if err != nil {
				return err
			}
			raw, _, err := h.signAs(who[0], &treaty.Wish{Height: height, Round: round}, s[0])
			if err != nil {
				return err
			}
			say.Proposal.Wishes = append(say.Proposal.Wishes, raw)
		}
	case "status":
		say.Status = &treaty.Status{Height: height, Frontier: treaty.Checkpoint{Size: uint64(number(kv["size"])), Root: c.Root}}
	case "cosign":
		if say.Cosignature, err = h.w.cosign(who[0], c); err != nil {
			return err
		}
	default:
		return fmt.Errorf("nobody can lie with a %q", f[2])
	}
	before := len(h.w.wire)
	l, err := h.w.post(who[0], say)
	if err != nil {
		return err
	}
	if say.Wish != nil {
		h.wishes = append(h.wishes, Wish{Wish: *say.Wish, From: who[0].nation, Raw: l.raw})
	}
	sent := h.w.wire[before:]
	h.w.wire = slices.Clip(h.w.wire[:before])
	for _, l := range sent {
		if slices.Contains(to, l.to) {
			if err := h.w.arrive(l); err != nil {
				fmt.Fprintf(&h.out, "  %s refuses %s of %s: %v\n", l.to.label, l.kind, l.from.label, h.shorten(err))
			}
		}
	}
	return nil
}

// signAs signs a wish with the liar's key and puts another nation's signature bytes on nothing: the header names the liar's
// victim only if keys were stolen, so the bytes of the victim's own signature are what a forger can bend.
func (h *history) signAs(liar *seat, w *treaty.Wish, victim *seat) ([]byte, []byte, error) {
	raw, err := h.w.fix.Signers[victim.nation].Sign(treaty.TypeWish, treaty.Encode(w))
	if err != nil {
		return nil, nil, err
	}
	other, err := h.w.fix.Signers[liar.nation].Sign(treaty.TypeWish, treaty.Encode(w))
	if err != nil {
		return nil, nil, err
	}
	copy(raw[len(raw)-64:], other[len(other)-64:])
	return raw, other, nil
}

// lock is a prepare certificate for a liar's wish: one seen (lock=ROUND), or bent: short of a signature, of another height.
func (h *history) lock(kv map[string]string, c treaty.Checkpoint) *treaty.Certificate {
	for _, seen := range h.certs {
		if seen.Round == uint64(number(kv["lock"])) {
			bent := *seen
			switch kv["bent"] {
			case "short":
				bent.Sigs = bent.Sigs[1:]
			case "height":
				bent.Height++
			case "other":
				bent.Checkpoint = c
			}
			return &bent
		}
	}
	return &treaty.Certificate{Height: 1, Round: uint64(number(kv["lock"])), Step: treaty.StepPrepare, Checkpoint: c}
}

func (h *history) show(s *seat) {
	st := &s.m.state
	fmt.Fprintf(&h.out, "  %s: height %d round %d", s.label, s.m.Height(), s.m.Round())
	if s.m.wishing() {
		fmt.Fprintf(&h.out, " wishing %d", st.Round)
	}
	if st.Prepared != nil {
		fmt.Fprintf(&h.out, " prepared %s in %d", named(st.Prepared.Checkpoint), st.Prepared.Round)
	}
	if st.Committed != nil {
		fmt.Fprintf(&h.out, " committed %s in %d", named(st.Committed.Checkpoint), st.Committed.Round)
	}
	if l := s.m.Last(); l != nil {
		fmt.Fprintf(&h.out, " certified %s", named(l.Checkpoint))
	}
	fmt.Fprintf(&h.out, " cosigned size %d\n", s.m.Cosigned())
}

// print writes one effect as a line.
func (h *history) print(s *seat, e Effect) {
	p := func(format string, args ...any) { fmt.Fprintf(&h.out, "  "+s.label+" "+format+"\n", args...) }
	to := "all"
	if e.Say != nil && e.Say.To != "" {
		to = h.w.seat(e.Say.To).label
	}
	switch {
	case e.Certified != nil:
		c := e.Certified
		p("CERTIFIED %s at height %d, round %d by %s", named(c.Checkpoint), c.Height, c.Round, h.w.labels(c))
	case e.Cosigned != nil:
		p("COSIGNED size %d by %d nations", e.Cosigned[0].Size, len(e.Cosigned))
	case e.Equivocation != nil:
		q := e.Equivocation
		p("has evidence: %s said %s and %s in round %d", h.w.seat(q.Nation).label, named(q.A.Checkpoint), named(q.B.Checkpoint), q.A.Round)
	case e.Persist != nil:
		if l := e.Persist.Lock; l != nil {
			h.certs = append(h.certs, l)
		}
		if h.quiet {
			return
		}
		line := fmt.Sprintf("writes round %d", e.Persist.Round)
		if v := e.Persist.Prepared; v != nil {
			line += fmt.Sprintf(", prepared %s in %d", named(v.Checkpoint), v.Round)
		}
		if v := e.Persist.Committed; v != nil {
			line += fmt.Sprintf(", committed %s in %d", named(v.Checkpoint), v.Round)
		}
		p("%s", line)
	default:
		h.printSay(p, e.Say, to, s)
	}
}

func (h *history) printSay(p func(string, ...any), say *Say, to string, s *seat) {
	if say.Wish != nil {
		if raw, err := (&sim{fix: h.w.fix}).signed(s.nation, say); err == nil {
			h.wishes = append(h.wishes, Wish{Wish: *say.Wish, From: s.nation, Raw: raw})
		}
	}
	if v := say.Vote; v != nil && v.Step == treaty.StepCommit {
		k := fmt.Sprintf("height %d %s", v.Height, named(v.Checkpoint))
		if by := fmt.Sprintf("%s in round %d", s.label, v.Round); !slices.Contains(h.commits[k], by) {
			h.commits[k] = append(h.commits[k], by)
		}
	}
	if h.quiet {
		return
	}
	switch {
	case say.Status != nil:
		p("-> %s: status, applied %s", to, named(say.Status.Frontier))
	case say.Proposal != nil:
		p("-> %s: propose %s in round %d, %d wishes", to, named(say.Proposal.Checkpoint), say.Proposal.Round, len(say.Proposal.Wishes))
	case say.Vote != nil:
		p("-> %s: %s %s in round %d", to, say.Vote.Step, named(say.Vote.Checkpoint), say.Vote.Round)
	case say.Wish != nil:
		lock := "no lock"
		if c := say.Wish.Prepared; c != nil {
			lock = fmt.Sprintf("locked on %s of round %d", named(c.Checkpoint), c.Round)
		}
		p("-> %s: wish for round %d, %s", to, say.Wish.Round, lock)
	case say.Certificate != nil:
		p("-> %s: certificate of height %d", to, say.Certificate.Height)
	case say.Cosignature != nil:
		p("-> %s: cosignature of size %d", to, say.Cosignature.Size)
	}
}
