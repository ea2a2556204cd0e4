package node

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"truceline/consensus/finality"
	"truceline/consensus/ledger"
	"truceline/consensus/tally"
	"truceline/node/pool"
	"truceline/treaty"
)

// witness turns contradictions that this node has seen with its own eyes into misbehaviour records, each once. It never
// judges: what treaty.CheckMisbehaviour does not prove from the signatures alone is dropped.
//
//	finalizer, Raft, verifier, order ──note──► queue ──► run ──► author
type witness struct {
	cfg   witnessConfig
	queue chan accusation

	mu     sync.Mutex
	recent map[treaty.Nation]*[keepRecent]*treaty.Record // the latest ordered records, by number; guarded by mu
	noted  map[place]bool                                // guarded by mu
	count  map[place]int                                 // noted of one nation and kind (About is zero); guarded by mu
}

// witnessConfig is what the witness needs from the node.
type witnessConfig struct {
	Net    *treaty.Network
	Nation treaty.Nation
	Ledger *ledger.Ledger
	Pool   *pool.Pool
	Submit func(context.Context, treaty.Body) (*treaty.Record, error)
	// Stagger lies between the ranks of the nations that report one thing: usually one of them does.
	Stagger time.Duration
	Log     *slog.Logger
}

// place is where a nation contradicted itself.
type place struct {
	nation treaty.Nation
	kind   treaty.MisbehaviourKind
	about  treaty.Hash
}

// accusation waits for this nation's turn to report it.
type accusation struct {
	place
	body *treaty.Misbehaviour
	due  time.Time
}

// Limits of what a liar can make this node remember. A second record that comes after keepRecent later ones, or beside
// one of over keepBytes, is noticed only if it is ordered too.
const (
	keepRecent = 64
	keepBytes  = 8 << 10
)

func newWitness(cfg witnessConfig) *witness {
	return &witness{
		cfg: cfg, queue: make(chan accusation, 256), recent: map[treaty.Nation]*[keepRecent]*treaty.Record{},
		noted: map[place]bool{}, count: map[place]int{},
	}
}

// votes takes two votes of one nation and step.
func (w *witness) votes(e finality.Equivocation) {
	w.note(e.Nation, treaty.TwoVotes, w.cfg.Net.VoteMessage(e.A.Vote, e.A.Sig), w.cfg.Net.VoteMessage(e.B.Vote, e.B.Sig))
}

// arrived takes a verified record that the pool has no use for: a repeat, or another one of a number that is taken.
func (w *witness) arrived(r *treaty.Record) { w.rivals(r, w.lookup(r.Nation, r.Seq)) }

// ordered takes a record that has become a leaf, before the pool forgets its number.
func (w *witness) ordered(r *treaty.Record) {
	w.rivals(r, nil)
	w.keep(r)
	var first treaty.Hash
	var kind treaty.MisbehaviourKind
	switch {
	case r.Attestation != nil:
		kind = treaty.TwoAttestations
		w.tally(func(s *tally.State) {
			if _, last := s.Contradictions(r.Nation); last.Second == r.ID {
				first = last.First
			}
		})
	case r.Seal != nil:
		kind = treaty.TwoSeals
		w.tally(func(s *tally.State) {
			if id, ok := s.SealAt(r.Nation, r.Seal.Window); ok && id != r.ID {
				first = id
			}
		})
	}
	if first.IsZero() {
		return
	}
	if raw := w.raw(r.Nation, first); raw != nil {
		w.note(r.Nation, kind, raw, r.Raw())
	}
}

// rivals compares a record with what is held of the same number.
func (w *witness) rivals(r, other *treaty.Record) {
	if other == nil {
		other = w.cfg.Pool.Held(r.Nation, r.Seq)
	}
	if other != nil && other.ID != r.ID {
		w.note(r.Nation, treaty.TwoRecords, other.Raw(), r.Raw())
	}
}

func (w *witness) keep(r *treaty.Record) {
	if len(r.Raw()) > keepBytes {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	ring := w.recent[r.Nation]
	if ring == nil {
		ring = new([keepRecent]*treaty.Record)
		w.recent[r.Nation] = ring
	}
	ring[r.Seq%keepRecent] = r
}

func (w *witness) lookup(k treaty.Nation, seq uint64) *treaty.Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ring := w.recent[k]; ring != nil {
		if r := ring[seq%keepRecent]; r != nil && r.Seq == seq {
			return r
		}
	}
	return nil
}

// raw finds a record of the ledger: of late among the recent ones, else among the final. Nil when it is in between.
func (w *witness) raw(k treaty.Nation, id treaty.Hash) []byte {
	w.mu.Lock()
	if ring := w.recent[k]; ring != nil {
		if i := slices.IndexFunc(ring[:], func(r *treaty.Record) bool { return r != nil && r.ID == id }); i >= 0 {
			w.mu.Unlock()
			return ring[i].Raw()
		}
	}
	w.mu.Unlock()
	i, final, ok := w.cfg.Ledger.Find(id)
	if !ok || !final {
		return nil
	}
	raw, err := w.cfg.Ledger.Entry(i)
	if err != nil {
		return nil
	}
	return raw
}

func (w *witness) tally(read func(*tally.State)) {
	w.cfg.Ledger.With(func(live ledger.Machine, _ uint64) { read(live.(tallyMachine).State) })
}

// note queues what two statements prove, once. It never blocks: when the queue is full, others have seen it too.
func (w *witness) note(accused treaty.Nation, kind treaty.MisbehaviourKind, a, b []byte) {
	log := w.cfg.Log.With(slog.String("nation", string(accused)), slog.String("kind", kind.String()))
	m, err := treaty.NewMisbehaviour(accused, kind, a, b)
	if err != nil {
		log.Debug("a contradiction cannot be recorded", slog.Any("error", err))
		return
	}
	proven, err := w.cfg.Net.CheckMisbehaviour(m)
	if err != nil {
		return // identical repeats, other signatures over the same words: no misbehaviour
	}
	p := place{accused, kind, proven.About}
	all := place{nation: accused, kind: kind}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.noted[p] || w.count[all] >= tally.MaxMisbehaviour {
		return
	}
	select {
	case w.queue <- accusation{p, m, time.Now().Add(time.Duration(w.rank(p.about)) * w.cfg.Stagger)}:
		w.noted[p] = true
		w.count[all]++
		log.Error(proven.Text)
	default:
	}
}

// rank is this nation's turn to report: a permutation of the roster keyed by what is reported.
func (w *witness) rank(about treaty.Hash) int {
	score := func(k treaty.Nation) treaty.Hash { return treaty.HashOf(append(about[:], k...)) }
	own, rank := score(w.cfg.Nation), 0
	for _, k := range w.cfg.Net.Nations() {
		if treaty.CompareHash(score(k), own) < 0 {
			rank++
		}
	}
	return rank
}

// recorded says whether the ledger has it already, tentatively or not.
func (w *witness) recorded(p place) (yes bool) {
	w.tally(func(s *tally.State) {
		yes = slices.ContainsFunc(s.Misbehaviour(p.nation), func(m tally.Misbehaviour) bool {
			return m.Kind == p.kind && m.About == p.about
		})
	})
	return yes
}

// run reports what was noted and nobody else has reported by this nation's turn.
func (w *witness) run(ctx context.Context) error {
	var pending []accusation
	for {
		var turn <-chan time.Time
		if len(pending) > 0 {
			turn = time.After(time.Until(pending[0].due))
		}
		select {
		case <-ctx.Done():
			return nil
		case a := <-w.queue:
			pending = append(pending, a)
			slices.SortStableFunc(pending, func(a, b accusation) int { return a.due.Compare(b.due) })
		case <-turn:
			a := pending[0]
			pending = pending[1:]
			if w.recorded(a.place) {
				continue
			}
			r, err := w.cfg.Submit(ctx, a.body)
			if err != nil {
				if ctx.Err() == nil {
					w.cfg.Log.Error("a misbehaviour is not reported", slog.Any("error", err))
				}
				continue
			}
			w.cfg.Log.Info("misbehaviour reported", slog.String("nation", string(a.nation)),
				slog.String("kind", a.kind.String()), slog.String("record", r.ID.Short()))
		}
	}
}
