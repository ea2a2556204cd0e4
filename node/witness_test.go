package node

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"truceline/consensus/finality"
	"truceline/consensus/ledger"
	"truceline/consensus/tally"
	"truceline/node/pool"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// stand is AUT's witness over a real ledger and pool; what it reports is ordered at once.
type stand struct {
	t        *testing.T
	f        *treatytest.Fixture
	w        *witness
	seq      uint64
	mu       sync.Mutex // one at a time orders, as Raft does
	index    uint64     // guarded by mu
	reported chan *treaty.Misbehaviour
}

func newStand(t *testing.T) *stand {
	db, err := pebble.Open("db", &pebble.Options{FS: vfs.NewMem(), Logger: quietLog{}})
	if err != nil {
		t.Fatal(err)
	}
	s := &stand{t: t, f: treatytest.New(4), index: 1, reported: make(chan *treaty.Misbehaviour, 64)}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	l, err := ledger.Open(ledger.Config{
		DB: db, Net: s.f.Net, Log: log,
		New: func() ledger.Machine { return tallyMachine{tally.New(s.f.Net)} },
		Load: func(b []byte) (ledger.Machine, error) {
			st, err := tally.Decode(s.f.Net, b)
			return tallyMachine{st}, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.w = newWitness(witnessConfig{
		Net: s.f.Net, Nation: "AUT", Ledger: l, Pool: pool.New(s.f.Net.Nations()), Log: log,
		Submit: func(_ context.Context, body treaty.Body) (*treaty.Record, error) {
			r := s.sign("AUT", s.seq+1, body)
			s.seq++
			s.order(r)
			s.reported <- r.Misbehaviour
			return r, nil
		},
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.w.run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = db.Close()
	})
	return s
}

func (s *stand) sign(k treaty.Nation, seq uint64, body treaty.Body) *treaty.Record {
	r, err := s.f.Signers[k].SignRecord(seq, treatytest.Founded.Add(time.Hour), body)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// order does what order.Apply does with a record.
func (s *stand) order(r *treaty.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index++
	for _, leaf := range s.w.cfg.Ledger.Apply(s.index, 1, []*treaty.Record{r}) {
		if leaf.Record != nil {
			s.w.ordered(leaf.Record)
			s.w.cfg.Pool.Applied(leaf.Record.Nation, leaf.Record.Seq)
		}
	}
}

// arrive does what Node.verify does with a record.
func (s *stand) arrive(r *treaty.Record) {
	if fresh, _ := s.w.cfg.Pool.Add(r, time.Now()); !fresh {
		s.w.arrived(r)
	}
}

// want waits for one report, which must convict.
func (s *stand) want(what string, kind treaty.MisbehaviourKind, accused treaty.Nation) {
	s.t.Helper()
	m := <-s.reported
	if m.Kind != kind || m.Accused != accused {
		s.t.Fatalf("%s: reported two %s of %s", what, m.Kind, m.Accused)
	}
	if _, err := s.f.Net.CheckMisbehaviour(m); err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
}

func (s *stand) vote(round uint64, root string) finality.Vote {
	v := treaty.Vote{
		Height: 1, Round: round, Step: treaty.StepPrepare,
		Checkpoint: treaty.Checkpoint{Size: 3, Root: treaty.HashOf([]byte(root)), Index: 1, Term: 1},
	}
	raw, err := s.f.Signers["DNK"].SignVote(v)
	if err != nil {
		s.t.Fatal(err)
	}
	m, err := finality.Open(s.f.Net, raw)
	if err != nil {
		s.t.Fatal(err)
	}
	return *m.Vote
}

// Would catch a contradiction that reaches this node and never the ledger, by each way it can come; one reported twice;
// and a report of what is none. Reports come in the order of their being seen, so one too many shows as a wrong next one.
func TestWitness(t *testing.T) {
	s := newStand(t)
	remark := func(text string) treaty.Body { return &treaty.Remark{Text: text} }
	seal := func(w treaty.Window, digest string, prev treaty.Hash) treaty.Body {
		return &treaty.Seal{Window: w, Count: 1, Digest: treaty.HashOf([]byte(digest)), Prev: prev}
	}
	// Votes; the same pair again, and a pair that is none, say nothing.
	x, y := s.vote(0, "x"), s.vote(0, "y")
	s.w.votes(finality.Equivocation{Nation: "DNK", A: x, B: y})
	s.want("votes", treaty.TwoVotes, "DNK")
	s.w.votes(finality.Equivocation{Nation: "DNK", A: y, B: x})
	s.w.votes(finality.Equivocation{Nation: "DNK", A: x, B: s.vote(1, "y")})

	// A second record of a number that waits, of one that was ordered a moment ago, and ordered before the one that waits.
	s.arrive(s.sign("BEL", 1, remark("one")))
	s.arrive(s.sign("BEL", 1, remark("one")))
	s.arrive(s.sign("BEL", 1, remark("other")))
	s.want("while it waits", treaty.TwoRecords, "BEL")
	s.order(s.sign("CZE", 1, remark("one")))
	s.arrive(s.sign("CZE", 1, remark("other")))
	s.want("after it was ordered", treaty.TwoRecords, "CZE")
	s.arrive(s.sign("CZE", 2, remark("one")))
	s.order(s.sign("CZE", 2, remark("other")))
	s.want("before the one that waits", treaty.TwoRecords, "CZE")

	// Two seals of one window, both in the ledger, under two numbers.
	w := treaty.WindowOf(treatytest.Founded, s.f.Net.Accord.Policy.Window())
	first := s.sign("DNK", 1, seal(w, "batch", treaty.Hash{}))
	s.order(first)
	s.order(s.sign("DNK", 2, seal(w+1, "next", first.ID)))
	s.order(s.sign("DNK", 3, seal(w, "other batch", first.ID)))
	s.want("seals", treaty.TwoSeals, "DNK")

	// Two attestations to one incident.
	cites := treaty.NewCites([]treaty.Ref{{Seal: first.ID}})
	incident := s.sign("DNK", 4, &treaty.Incident{Time: treatytest.Founded, Class: treaty.ClassMortar, Cites: cites})
	s.order(incident)
	attest := func(likelihood treaty.PPM) treaty.Body {
		return &treaty.Attestation{Incident: incident.ID, Assessment: treaty.Assessment{
			Finding: treaty.NoBreach, Class: treaty.ClassThunder, Time: treatytest.Founded, Likelihood: likelihood,
			Confidence: treaty.ConfidenceLow, Control: treaty.PartyOdds{Neither: treaty.Certain},
			Covariance: treaty.Covariance{EE: 1, NN: 1}, Cites: cites,
		}}
	}
	s.order(s.sign("DNK", 5, attest(1)))
	s.order(s.sign("DNK", 6, attest(1))) // a repeat
	s.order(s.sign("DNK", 7, attest(2)))
	s.want("attestations", treaty.TwoAttestations, "DNK")

	// What another nation has reported already is not reported again.
	head := func(chain string) []byte {
		raw, err := s.f.Signers["BEL"].SignHead(treaty.Head{
			Term: 1, Start: treaty.HashOf([]byte("run")), Index: 1, Chain: treaty.HashOf([]byte(chain)),
		})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	m, err := treaty.NewMisbehaviour("BEL", treaty.TwoHeads, head("one"), head("two"))
	if err != nil {
		t.Fatal(err)
	}
	s.order(s.sign("CZE", 3, m))
	s.w.note("BEL", treaty.TwoHeads, head("one"), head("two"))
	s.w.votes(finality.Equivocation{Nation: "DNK", A: s.vote(2, "x"), B: s.vote(2, "y")})
	s.want("after one that is known", treaty.TwoVotes, "DNK")
	if len(s.reported) != 0 {
		t.Errorf("%d reports too many", len(s.reported))
	}
}

// Would catch a liar that makes this node remember, or report, without end.
func TestWitnessIsBounded(t *testing.T) {
	s := newStand(t)
	for round := range uint64(3 * tally.MaxMisbehaviour) {
		s.w.votes(finality.Equivocation{Nation: "DNK", A: s.vote(round, "x"), B: s.vote(round, "y")})
	}
	for range tally.MaxMisbehaviour {
		s.want("a vote", treaty.TwoVotes, "DNK")
	}
	s.w.note("BEL", treaty.TwoVotes, nil, nil) // and nonsense is no statement
	s.w.mu.Lock()
	noted := len(s.w.noted)
	s.w.mu.Unlock()
	if noted != tally.MaxMisbehaviour || len(s.w.queue) != 0 {
		t.Errorf("%d noted, %d queued", noted, len(s.w.queue))
	}
}
