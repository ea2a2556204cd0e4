package ledger

import (
	"crypto/sha256"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/rand"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// counter is an honest small tally: it takes each nation's records in sequence and derives one leaf after every fifth
// record and two after every twentieth. Its state depends on every record it took.
type counter struct {
	Seqs []uint64    `cbor:"1,keyasint"` // in roster order
	N    uint64      `cbor:"2,keyasint"`
	Sum  treaty.Hash `cbor:"3,keyasint"`
	Time treaty.Time `cbor:"4,keyasint"`

	net *treaty.Network
	// derive, if set, makes other leaves: a tally that disagrees.
	derive func(n uint64, leaf []byte) []byte
}

func newCounter(net *treaty.Network) *counter { return &counter{Seqs: make([]uint64, net.N), net: net} }

func (c *counter) Apply(r *treaty.Record) (bool, [][]byte) {
	i := c.net.Index(r.Nation)
	if i < 0 || r.Seq != c.Seqs[i]+1 {
		return false, nil
	}
	c.Seqs[i]++
	c.N++
	c.Time = max(c.Time, r.Time)
	c.Sum = treaty.HashOf(append(c.Sum[:], r.ID[:]...))
	var derived [][]byte
	for k := range c.N {
		if k == 2 || k == 0 && c.N%5 != 0 || k == 1 && c.N%20 != 0 {
			break
		}
		leaf := fmt.Appendf(nil, "derived %d.%d %s", c.N, k, c.Sum)
		if c.derive != nil {
			leaf = c.derive(c.N, leaf)
		}
		derived = append(derived, leaf)
	}
	return true, derived
}

func (c *counter) LedgerTime() treaty.Time { return c.Time }
func (c *counter) Closed() treaty.Window   { return treaty.Window(c.Time) }
func (c *counter) Encode() []byte          { return treaty.Encode(c) }

func (c *counter) Clone() Machine {
	d := *c
	d.Seqs = append([]uint64(nil), c.Seqs...)
	return &d
}

func loadCounter(net *treaty.Network, b []byte) (Machine, error) {
	c := newCounter(net)
	if err := treaty.Decode(b, 1<<16, c); err != nil {
		return nil, err
	}
	return c, nil
}

// rootOf is RFC 6962 section 2.1, from scratch: the slow twin of everything here.
func rootOf(leaves [][]byte) treaty.Hash {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, leaves[0]...))
	}
	k := 1
	for 2*k < len(leaves) {
		k *= 2
	}
	l, r := rootOf(leaves[:k]), rootOf(leaves[k:])
	return sha256.Sum256(append(append([]byte{1}, l[:]...), r[:]...))
}

// entry is one entry of a made-up Raft log, and what the twin says the ledger is behind it.
type entry struct {
	index, term uint64
	records     []*treaty.Record
	size        uint64
	time        treaty.Time
	checkpoint  treaty.Checkpoint // zero when the entry changed nothing
}

// history is a made-up Raft log and the plain slice of leaves that it makes.
type history struct {
	f       *treatytest.Fixture
	rng     *rand.Rand
	tally   *counter
	leaves  [][]byte
	entries []entry
	old     []*treaty.Record
}

func newHistory(f *treatytest.Fixture, seed int64) *history {
	return &history{f: f, rng: rand.New(rand.NewSource(seed)), tally: newCounter(f.Net)}
}

// record signs the next record of a random nation.
func (h *history) record(t testing.TB, seqs []uint64) *treaty.Record {
	t.Helper()
	i := h.rng.Intn(h.f.Net.N)
	seqs[i]++
	at := treatytest.Founded.Add(time.Duration(len(h.old)) * time.Second)
	r, err := h.f.Signers[h.f.Net.Nations()[i]].SignRecord(seqs[i], at, &treaty.Remark{Text: fmt.Sprint("remark ", h.rng.Int())})
	if err != nil {
		t.Fatal(err)
	}
	h.old = append(h.old, r)
	return r
}

// grow adds n Raft entries of up to four records, some of them repeats that the tally refuses, some empty of effect.
func (h *history) grow(t testing.TB, n int) {
	t.Helper()
	for range n {
		e := entry{index: 2, term: 1}
		if k := len(h.entries); k > 0 {
			last := h.entries[k-1]
			e.index, e.term = last.index+1+uint64(h.rng.Intn(2)), last.term+uint64(h.rng.Intn(20)/19)
		}
		before := len(h.leaves)
		seqs := append([]uint64(nil), h.tally.Seqs...)
		for range 1 + h.rng.Intn(4) {
			var r *treaty.Record
			if len(h.old) > 0 && h.rng.Intn(4) == 0 {
				r = h.old[h.rng.Intn(len(h.old))]
			} else {
				r = h.record(t, seqs)
			}
			e.records = append(e.records, r)
			if taken, derived := h.tally.Apply(r); taken {
				h.leaves = append(append(h.leaves, r.Raw()), derived...)
			}
		}
		e.size, e.time = uint64(len(h.leaves)), h.tally.Time
		if len(h.leaves) > before {
			e.checkpoint = treaty.Checkpoint{Size: e.size, Root: rootOf(h.leaves), Index: e.index, Term: e.term}
		}
		h.entries = append(h.entries, e)
	}
}

// boundaries are the twin's checkpoints above a size, up to a Raft index.
func (h *history) boundaries(above, index uint64) []entry {
	var out []entry
	for _, e := range h.entries {
		if e.checkpoint.Size > above && e.index <= index {
			out = append(out, e)
		}
	}
	return out
}

// certify signs a commit certificate by the first q nations.
func certify(t testing.TB, f *treatytest.Fixture, height uint64, c treaty.Checkpoint) *treaty.Certificate {
	t.Helper()
	cert := &treaty.Certificate{Height: height, Round: 0, Step: treaty.StepCommit, Checkpoint: c}
	v := treaty.Vote{Height: height, Step: treaty.StepCommit, Checkpoint: c, Prepared: treaty.HashOf([]byte("prepared"))}
	for _, k := range f.Net.Nations()[:f.Net.Q] {
		raw, err := f.Signers[k].SignVote(v)
		if err != nil {
			t.Fatal(err)
		}
		s, err := treaty.ParseSigned(raw, treaty.MaxVote)
		if err != nil {
			t.Fatal(err)
		}
		cert.Sigs = append(cert.Sigs, treaty.VoteSigOf(s, v))
	}
	return cert
}

// cosign makes the cosigned checkpoint of q nations.
func cosign(t testing.TB, f *treatytest.Fixture, c treaty.Checkpoint) []byte {
	t.Helper()
	var cs []*treaty.Cosignature
	for _, k := range f.Net.Nations()[:f.Net.Q] {
		s, err := f.Net.Cosign(k, f.Keys[k].Cosign, c, 1_700_000_000)
		if err != nil {
			t.Fatal(err)
		}
		cs = append(cs, s)
	}
	note, err := f.Net.CheckpointNote(cs)
	if err != nil {
		t.Fatal(err)
	}
	return note
}

// node is a ledger on a disk in memory.
type node struct {
	t   testing.TB
	f   *treatytest.Fixture
	fs  vfs.FS
	db  *pebble.DB
	cfg func(*Config)
	*Ledger
}

func openDB(t testing.TB, fs vfs.FS) *pebble.DB {
	t.Helper()
	db, err := pebble.Open("db", &pebble.Options{FS: fs, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// quiet is pebble's logger; it turns Fatalf, which pebble calls when its log cannot be written, into a panic.
type quiet struct{}

func (quiet) Infof(string, ...any)           {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }

func config(f *treatytest.Fixture, db *pebble.DB) Config {
	return Config{
		DB: db, Net: f.Net, MarkEvery: 16, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		New:  func() Machine { return newCounter(f.Net) },
		Load: func(b []byte) (Machine, error) { return loadCounter(f.Net, b) },
	}
}

func newNode(t testing.TB, f *treatytest.Fixture, fs vfs.FS) *node {
	t.Helper()
	n := &node{t: t, f: f, fs: fs, db: openDB(t, fs)}
	n.open()
	t.Cleanup(func() { n.db.Close() })
	return n
}

func (n *node) open() {
	n.t.Helper()
	cfg := config(n.f, n.db)
	if n.cfg != nil {
		n.cfg(&cfg)
	}
	l, err := Open(cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	n.Ledger = l
}

func (n *node) reopen() {
	n.t.Helper()
	if err := n.db.Close(); err != nil {
		n.t.Fatal(err)
	}
	n.db = openDB(n.t, n.fs)
	n.open()
}

func (n *node) apply(es ...entry) {
	for _, e := range es {
		n.Apply(e.index, e.term, e.records)
	}
}

// settle commits what fill stages and calls Done.
func (n *node) settle(fill func(b *pebble.Batch) (*Staged, error)) {
	n.t.Helper()
	b := n.db.NewBatch()
	defer b.Close()
	s, err := fill(b)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := b.Commit(pebble.Sync); err != nil {
		n.t.Fatal(err)
	}
	s.Done()
}

// certify stages a certificate that the ledger holds, as the driver does.
func (n *node) certify(c treaty.Checkpoint) *treaty.Certificate {
	n.t.Helper()
	cert := certify(n.t, n.f, n.height()+1, c)
	n.settle(func(b *pebble.Batch) (*Staged, error) { return n.Stage(b, cert) })
	return cert
}

func (n *node) cosign(c treaty.Checkpoint) {
	n.t.Helper()
	note := cosign(n.t, n.f, c)
	n.settle(func(b *pebble.Batch) (*Staged, error) { return n.SetCosigned(b, c.Size, note) })
}

func (n *node) height() uint64 {
	if c := n.Certified(); c != nil {
		return c.Height
	}
	return 0
}

// peer sends leaves as a peer would.
func peer(leaves [][]byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, e := range leaves {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// check holds everything the ledger says against the history, applied up to a Raft index.
func (n *node) check(h *history, index uint64) {
	n.t.Helper()
	final := n.FinalSize()
	var want treaty.Checkpoint
	var finalTime, liveTime treaty.Time
	for _, e := range h.entries {
		if e.index <= index && e.checkpoint.Size > 0 {
			want, liveTime = e.checkpoint, e.time
		}
		if e.checkpoint.Size == final && final > 0 {
			finalTime = e.time
		}
	}
	if got := n.Frontier(); got != want {
		n.t.Fatalf("frontier %+v, want %+v", got, want)
	}
	if n.FinalLedgerTime() != finalTime || n.TentativeLedgerTime() != liveTime {
		n.t.Fatalf("ledger times %s, %s, want %s, %s", n.FinalLedgerTime(), n.TentativeLedgerTime(), finalTime, liveTime)
	}
	if closed := n.FinalClosed(); closed != treaty.Window(finalTime) {
		n.t.Fatalf("closed up to %d in the final state, want %d", closed, finalTime)
	}
	bs := h.boundaries(final, index)
	got := n.Boundaries()
	if len(got) != len(bs) {
		n.t.Fatalf("%d boundaries, want %d", len(got), len(bs))
	}
	for i, e := range bs {
		if got[i] != e.checkpoint {
			n.t.Fatalf("boundary %d: %+v, want %+v", i, got[i], e.checkpoint)
		}
		if at, ok := n.TimeAt(e.checkpoint); !ok || at != e.time {
			n.t.Fatalf("boundary %d: not held, or at time %s instead of %s", i, at, e.time)
		}
		wrong := e.checkpoint
		wrong.Term++
		if n.Holds(wrong) {
			n.t.Fatalf("boundary %d is held under another term", i)
		}
		wrong = e.checkpoint
		wrong.Root[0] ^= 1
		if n.Holds(wrong) {
			n.t.Fatalf("boundary %d is held with another root", i)
		}
	}
	if root, err := n.RootAt(final); err != nil || root != rootOf(h.leaves[:final]) {
		n.t.Fatalf("final root at %d: %s, %v", final, root, err)
	}
	seq, failed := n.Entries(0, final)
	count := uint64(0)
	for i, e := range seq {
		if i != count || string(e) != string(h.leaves[i]) {
			n.t.Fatalf("entry %d is not what the twin has at %d", i, count)
		}
		count++
	}
	if err := failed(); err != nil || count != final {
		n.t.Fatalf("%d of %d entries, %v", count, final, err)
	}
	for i, leaf := range h.leaves {
		at, isFinal, ok := n.Find(treaty.HashOf(leaf))
		if applied := uint64(i) < want.Size; ok != applied || ok && (at != uint64(i) || isFinal != (at < final)) {
			n.t.Fatalf("leaf %d: found %v at %d, final %v (final size %d, applied %d)", i, ok, at, isFinal, final, want.Size)
		}
	}
}
