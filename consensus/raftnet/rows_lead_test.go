//lint:file-ignore SA1019 raft still reads the deprecated identity fields of a request, so what stands in them is checked too

package raftnet

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/hashicorp/raft"

	"truceline/treaty"
)

// Rows 10 and 26: what this node signs as a voter and as a leader, and what it holds of other leaders.

// memory is a raft.StableStore.
type memory struct {
	raft.StableStore
	val  []byte
	full bool
}

func (m *memory) Get([]byte) ([]byte, error) {
	if m.val == nil {
		return nil, errors.New("not found")
	}
	return m.val, nil
}

func (m *memory) Set(_, v []byte) error {
	if m.full {
		return io.ErrShortWrite
	}
	m.val = v
	return nil
}

// Would catch two votes of one nation in a term: by asking twice, across a restart, for a candidate restored from a
// backup, against a leader that is known; and a vote that is said before it is kept.
func TestRow10VoteOnce(t *testing.T) {
	disk := &memory{}
	open := func() *ballots {
		b, err := newBallots(fix.Signers["AUT"], disk)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	may := func(b *ballots, term uint64, who treaty.Nation, run string) bool {
		v := treaty.ElectionVote{Term: term, Candidate: who, Start: treaty.HashOf([]byte(run))}
		sig, err := b.sign(v)
		if err == nil && fix.Net.VerifyElectionSig(v, sig) != nil {
			t.Errorf("the vote for %s does not verify", who)
		}
		return err == nil
	}
	b := open()
	disk.full = true
	if may(b, 5, "BEL", "1") {
		t.Error("signed a vote that could not be kept")
	}
	disk.full = false
	for range 2 {
		if !may(b, 5, "BEL", "1") {
			t.Error("refused its vote, or to repeat it")
		}
	}
	for i, b := range []*ballots{b, open()} { // as it runs, and after a restart
		if !may(b, 5, "BEL", "1") {
			t.Errorf("%d: the vote is forgotten", i)
		}
		if may(b, 5, "CZE", "1") || may(b, 4, "CZE", "1") || may(b, 5, "BEL", "2") {
			t.Errorf("%d: voted twice, or in a past term", i)
		}
	}
	*disk = memory{} // an old backup
	b = open()
	b.elected(treaty.ElectionVote{Term: 5, Candidate: "BEL", Start: treaty.HashOf([]byte("1"))})
	if may(b, 5, "CZE", "1") || may(b, 4, "CZE", "1") || !may(b, 6, "CZE", "1") {
		t.Error("a restored disk voted against the leader that it knows, or does not vote at all")
	}
	disk.val = []byte("rot")
	if _, err := newBallots(fix.Signers["AUT"], disk); err == nil {
		t.Error("an unreadable vote was taken for none")
	}
}

// led is a tenure of BEL in term 6 over a log that ends at 10, and calls it sends.
func led(t *testing.T) (*tenure, treaty.ElectionVote) {
	t.Helper()
	e := &treaty.Election{Term: 6, Candidate: "BEL", Start: start}
	return newTenure(fix.Signers["BEL"], e), e.Vote()
}

func send(t *testing.T, l *tenure, prev, prevTerm uint64, es ...*raft.Log) *appendCall {
	t.Helper()
	c, err := l.cover(&appends{Term: 6, PrevLogEntry: prev, PrevLogTerm: prevTerm, Entries: es})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Would catch a leader that orders without signing, signs another order than it sends, or changes it later.
func TestRow26Heads(t *testing.T) {
	l, run := led(t)
	first := func() *appendCall {
		return send(t, l, 10, 4, entry(11, 5, raft.LogCommand, "old"), entry(12, 6, raft.LogNoop, ""), entry(13, 6, raft.LogCommand, "x"))
	}
	second := func() *appendCall { return send(t, l, 13, 6, entry(14, 6, raft.LogCommand, "y")) }
	o := newOrders(fix.Net, nil)
	for i, a := range []*appendCall{first(), second(), second(), first(), send(t, l, 9, 4, entry(10, 4, raft.LogCommand, "older"))} {
		if got := o.follow(run, a); got != allowed {
			t.Errorf("honest call %d: %q", i, got)
		}
	}
	for name, change := range map[string]func(a *appendCall){
		"no head":                  func(a *appendCall) { a.heads = nil },
		"head of other entries":    func(a *appendCall) { a.Entries[2].Data = []byte("z") },
		"chain from somewhere":     func(a *appendCall) { a.prev = start },
		"head of another index":    func(a *appendCall) { a.heads = second().heads },
		"two heads":                func(a *appendCall) { a.heads = append(a.heads, a.heads...) },
		"no head's bytes":          func(a *appendCall) { a.heads = [][]byte{nil} },
		"head without own entries": func(a *appendCall) { a.Entries = a.Entries[:1] },
	} {
		a, o := first(), newOrders(fix.Net, nil)
		if got := o.follow(run, first()); got != allowed {
			t.Fatalf("before %s: %q", name, got)
		}
		change(a)
		if got := o.follow(run, a); got != refusedHead {
			t.Errorf("%s: %q", name, got)
		}
		if got := o.follow(run, send(t, l, 13, 6)); got != refusedHead {
			t.Errorf("a heartbeat after %s: %q", name, got)
		}
		next := run
		next.Term++
		if got := o.follow(next, send(t, l, 13, 6)); got != allowed {
			t.Errorf("the next leader after %s: %q", name, got)
		}
	}
	other := run
	other.Start = treaty.HashOf([]byte("another run"))
	if got := newOrders(fix.Net, nil).follow(other, first()); got != refusedHead {
		t.Errorf("heads of another run: %q", got)
	}
	if got := o.follow(other, first()); got != refusedElection {
		t.Errorf("a second leader of the term: %q", got)
	}
	old := run
	old.Term--
	if got := o.follow(old, first()); got != allowed {
		t.Errorf("a leader that is gone is left to raft: %q", got)
	}
	liar, _ := led(t)
	send(t, liar, 10, 4, entry(11, 6, raft.LogNoop, ""), entry(12, 6, raft.LogCommand, "x"), entry(13, 6, raft.LogCommand, "other"))
	if got := o.follow(run, send(t, liar, 13, 6, entry(14, 6, raft.LogCommand, "y"))); got != refusedHead {
		t.Errorf("another order than before: %q", got)
	}
	// A leader that loses its place in the chain says nothing rather than something else.
	if _, err := l.cover(&appends{Term: 6, PrevLogEntry: 99, PrevLogTerm: 6, Entries: []*raft.Log{entry(100, 6, raft.LogCommand, "x")}}); err == nil {
		t.Error("signed behind a gap")
	}
	o = newOrders(fix.Net, nil)
	if c := send(t, l, 12, 6, entry(13, 6, raft.LogCommand, "changed")); o.follow(run, c) != refusedHead {
		t.Error("a changed entry under the old head was taken")
	}
}

// Would catch two orders that nobody notices because their AppendEntries end at different entries, evidence that does not
// convict, and an honest leader, or an honest witness, accused.
func TestRow26Exchange(t *testing.T) {
	type follower struct {
		*orders
		evidence [][2][]byte
	}
	follow := func(l *tenure, run treaty.ElectionVote, step int, data string) *follower {
		f := &follower{}
		f.orders = newOrders(fix.Net, func(a, b []byte) { f.evidence = append(f.evidence, [2][]byte{a, b}) })
		prev, prevTerm := uint64(10), uint64(4)
		for i := uint64(11); i < 3*headStride; {
			var es []*raft.Log
			for range step {
				e := entry(i, 6, raft.LogCommand, data)
				if i == 11 {
					e = entry(i, 6, raft.LogNoop, "")
				}
				es, i = append(es, e), i+1
			}
			if got := f.follow(run, send(t, l, prev, prevTerm, es...)); got != allowed {
				t.Fatalf("entry %d: %q", i, got)
			}
			prev, prevTerm = i-1, 6
		}
		if w := f.now; len(w.held) > keepHeads || len(w.steps) != len(w.held) {
			t.Fatalf("%d heads held, %d steps", len(w.held), len(w.steps))
		}
		return f
	}
	show := func(from string, a, b *follower) (why refusal) {
		raws, _, forged := a.latest()
		if forged != "" {
			t.Errorf("forged by %s", forged)
		}
		for _, raw := range raws {
			if w := b.hear(from, raw); w != allowed {
				why = w
			}
		}
		return why
	}
	l, run := led(t)
	liar, _ := led(t)
	a, b := follow(l, run, 100, "x"), follow(l, run, 77, "x")
	c := follow(liar, run, 91, "y")
	if show("AUT", a, b) != allowed || show("CZE", b, a) != allowed || len(a.evidence)+len(b.evidence) > 0 {
		t.Error("an honest leader or witness was accused")
	}
	for range 3 {
		if why := show("AUT", a, c); why != allowed {
			t.Errorf("an honest witness was refused: %q", why)
		}
	}
	if len(c.evidence) != 1 {
		t.Fatalf("%d pieces of evidence, want 1", len(c.evidence))
	}
	if got := c.follow(run, send(t, liar, 10, 4)); got != refusedHead {
		t.Errorf("a convicted leader is obeyed: %q", got)
	}
	if show("CZE", c, a) != allowed || len(a.evidence) != 1 {
		t.Error("who holds the evidence does not show it to others")
	}
	a.evidence = nil
	if who, err := fix.Net.CheckHeads(c.evidence[0][0], c.evidence[0][1]); err != nil || who != "BEL" {
		t.Errorf("the evidence convicts %q: %v", who, err)
	}
	// A witness that makes heads up accuses nobody but itself.
	raws, _, _ := a.latest()
	both := raws[len(raws)-1] // at a multiple of headStride: a and b hold it both
	forged := bytes.Clone(both)
	forged[len(forged)-1] ^= 1
	_, h, _ := treaty.ParseHead(both)
	h.Chain = start
	wrong, err := fix.Signers["CZE"].SignHead(h)
	if err != nil {
		t.Fatal(err)
	}
	made := bytes.Replace(wrong, []byte("CZE"), []byte("BEL"), 1)
	if why := b.hear("CZE", made); why != refusedHead || len(b.evidence) > 0 {
		t.Errorf("a head made up in the leader's name: %q, %d pieces of evidence", why, len(b.evidence))
	}
	if got := b.hear("CZE", forged); got != allowed {
		t.Errorf("the same order, whatever its signature: %q", got)
	}
	if b.hear("CZE", wrong) != refusedHead || b.hear("CZE", []byte("x")) != refusedFrame || len(b.evidence) > 0 {
		t.Error("a head of its own for the leader's run, or noise, was taken")
	}
	// A head that comes before the entries is compared when they are there.
	d := &follower{}
	d.orders = newOrders(fix.Net, func(a, b []byte) { d.evidence = append(d.evidence, [2][]byte{a, b}) })
	early := follow(liar, run, 91, "y")
	raws, _, _ = a.latest()
	for _, raw := range raws {
		d.hear("AUT", raw)
	}
	d.now = early.now
	if d.latest(); len(d.evidence) != 1 {
		t.Errorf("a head that came early: %d pieces of evidence", len(d.evidence))
	}
	// A leader whose signatures are wrong gives nobody evidence: it is refused once that is seen.
	bad := newOrders(fix.Net, nil)
	unsigned, _ := led(t)
	unsigned.signer = &treaty.Signer{Nation: "BEL", Accord: fix.Net.Digest, Epoch: 1, Key: fix.Keys["CZE"].Treaty}
	if got := bad.follow(run, send(t, unsigned, 10, 4, entry(11, 6, raft.LogNoop, ""))); got != allowed {
		t.Fatalf("signatures are not looked at one by one: %q", got)
	}
	if _, _, who := bad.latest(); who != "BEL" {
		t.Errorf("named %q", who)
	}
	if got := bad.follow(run, send(t, unsigned, 11, 6, entry(12, 6, raft.LogCommand, "x"))); got != refusedHead {
		t.Errorf("a leader that does not sign: %q", got)
	}
}
