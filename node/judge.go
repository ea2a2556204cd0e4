package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"truceline/attribution"
	"truceline/consensus/ledger"
	"truceline/consensus/tally"
	"truceline/node/evidence"
	"truceline/treaty"
)

// incidentCase is an incident in the ledger that this node has yet to speak to, or has spoken to.
type incidentCase struct {
	id       treaty.Hash
	incident *treaty.Incident
	seen     time.Time   // real time
	ledgerAt treaty.Time // ledger time when it was ordered
	done     bool
	finding  treaty.Finding // what we attested, and on how many arrivals
	members  int
	judged   treaty.Cites // the arrivals of the event that we answered with; none if we found no such event
	lateAt   time.Time    // when late evidence first made it a breach for us
	amended  bool         // we have proposed to reopen it
	verdict  *treaty.Verdict
}

// sameEvent is how well an event of our own must match an incident's citations to be what was proposed.
const sameEvent = 0.5

// batch checks a revealed batch against its seal and keeps it, synced, before anything is concluded from it.
func (p *pipeline) batch(b arrivedBatch) error {
	if b.err != nil || b.raw == nil {
		return nil
	}
	digest := treaty.HashOf(b.raw)
	if !b.want.IsZero() && digest != b.want {
		p.cfg.Log.Warn("a peer answered with another batch than it was asked for", slog.String("from", string(b.from)))
		return nil
	}
	s := p.byDigest[digest]
	if s == nil {
		// Its seal is not ordered here yet, or it never was: keep a few, first come.
		if len(b.raw) <= treaty.MaxBatch && len(p.orphans) < maxOrphans {
			p.orphans[digest] = b.raw
		}
		return nil
	}
	parsed, err := treaty.DecodeBatch(b.raw)
	switch {
	case err != nil:
	case parsed.Nation != s.nation || parsed.Window != s.window || parsed.Accord != p.cfg.Net.Digest:
		err = fmt.Errorf("%w: the batch is of %s, window %d; its seal of %s, window %d", treaty.ErrMalformed,
			parsed.Nation, parsed.Window, s.nation, s.window)
	}
	if err != nil {
		p.cfg.Log.Error("a sealed batch is malformed: its author sealed what cannot be evidence",
			slog.String("nation", string(s.nation)), slog.Any("error", err))
		delete(p.byDigest, digest)
		s.givenUp = true
		return nil
	}
	if _, err := p.cfg.Store.PutRevealed(b.raw); err != nil {
		return fmt.Errorf("keep a revealed batch: %w", err)
	}
	p.use(s, parsed)
	return nil
}

func (p *pipeline) use(s *sealed, b *treaty.Batch) {
	delete(p.byDigest, s.digest)
	s.have = true
	if p.evidence.add(s.id, b, !s.late) {
		p.dirty = true
	}
	p.cfg.Metrics.revealed.Inc()
}

// complete moves through on, window by window, and asks for batches that are missing.
func (p *pipeline) complete(ctx context.Context) {
	final, closed := p.cfg.Ledger.FinalLedgerTime(), p.cfg.Ledger.FinalClosed()
	if closed == 0 {
		return
	}
	last := closed - 1
	if p.through == 0 || last > p.through+1<<20 {
		p.through = max(p.through, p.firstWindow(last))
	}
	for p.through < last {
		next := p.through + 1
		for _, s := range p.windows[next] {
			if !s.have && !s.givenUp && !p.miss(ctx, s) {
				return
			}
		}
		p.through = next
		p.moved = true
	}
	p.forget(final)
}

// firstWindow is where a node that has just started begins to look: before the first window it knows of.
func (p *pipeline) firstWindow(last treaty.Window) treaty.Window {
	first := last
	for k := range p.windows {
		first = min(first, k-1)
	}
	return first
}

// miss asks for a batch that should be here. It says whether to go on without it.
func (p *pipeline) miss(ctx context.Context, s *sealed) bool {
	if s.since.IsZero() {
		s.since = time.Now()
	}
	waited := time.Since(s.since)
	if waited > giveUpAfter {
		s.givenUp = true
		p.cfg.Log.Warn("a sealed batch was not revealed; going on without it",
			slog.String("nation", string(s.nation)), slog.Uint64("window", uint64(s.window)))
		return true
	}
	if waited > askAfter && !p.fetching[s.digest] && len(p.fetching) < 32 {
		p.fetching[s.digest] = true
		go func() {
			raw, err := p.cfg.Fetch(ctx, s.nation, s.digest)
			select {
			case p.fetched <- arrivedBatch{from: s.nation, want: s.digest, raw: raw, err: err}:
			case <-ctx.Done():
			}
		}()
	}
	return false
}

// forget drops what lies behind the horizon.
func (p *pipeline) forget(final treaty.Time) {
	policy := p.cfg.Net.Accord.Policy
	p.evidence.forget(final.Add(-keepEvidence))
	old := treaty.WindowOf(max(0, final.Add(-policy.Horizon())), policy.Window())
	for id, s := range p.seals {
		if s.window < old {
			delete(p.seals, id)
			delete(p.byDigest, s.digest)
			delete(p.windows, s.window)
		}
	}
	for id, c := range p.cases {
		if c.ledgerAt < final.Add(-policy.Horizon()) {
			delete(p.cases, id)
		}
	}
}

// throughTime is the end of the last window that is completely revealed here.
func (p *pipeline) throughTime() treaty.Time { return p.through.End(p.cfg.Net.Accord.Policy.Window()) }

// associate finds the events in the evidence, once for each window that was completed, if anything has changed.
func (p *pipeline) associate() {
	if !p.moved || time.Since(p.judgedAt) < judgeEvery {
		return
	}
	p.moved = false
	if p.dirty {
		p.dirty = false
		p.fresh = true
		p.judgedAt = time.Now()
		p.events = p.cfg.Judge.Associate(p.evidence.all())
		p.cfg.Metrics.events.Set(float64(len(p.events)))
	}
	live := map[treaty.Ref]bool{}
	for _, e := range p.events {
		key := eventKey(e)
		live[key] = true
		if _, known := p.settled[key]; !known && e.LatestArrival <= p.throughTime() {
			p.settled[key] = time.Now()
		}
	}
	for k := range p.settled {
		if !live[k] {
			delete(p.settled, k)
		}
	}
}

// eventKey names an event of our own between two associations: its earliest member.
func eventKey(e attribution.Event) treaty.Ref { return slices.MinFunc(e.Members, treaty.Ref.Compare) }

// propose puts settled events that nobody has proposed yet to the nations. Proposers are staggered by a keyed rank, so
// usually one incident appears, and nobody can prevent it.
func (p *pipeline) propose(ctx context.Context) error {
	for _, e := range p.events {
		key := eventKey(e)
		at, ok := p.settled[key]
		if !ok || p.proposedAlready(e) {
			continue
		}
		if time.Since(at) < time.Duration(p.rank(e))*p.cfg.Stagger {
			p.owed = true
			continue
		}
		delete(p.settled, key)
		in := &treaty.Incident{Time: e.Time, Position: e.Position, Class: e.ClassGuess, Cites: treaty.NewCites(e.Members)}
		if err := in.Check(); err != nil {
			p.cfg.Log.Error("an event cannot be proposed", slog.Any("error", err))
			continue
		}
		r, err := p.cfg.Submit(ctx, in)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("propose an incident: %w", err)
		}
		p.cfg.Log.Info("incident proposed", slog.String("incident", r.ID.Short()), slog.String("time", e.Time.String()),
			slog.String("place", e.Position.String()), slog.Int("arrivals", len(e.Members)))
		p.cases[r.ID] = &incidentCase{id: r.ID, incident: in, seen: time.Now(), ledgerAt: p.cfg.Ledger.FinalLedgerTime()}
	}
	return nil
}

func (p *pipeline) proposedAlready(e attribution.Event) bool {
	for _, c := range p.cases {
		if p.cfg.Judge.Match(e, c.incident.Cites) >= sameEvent {
			return true
		}
	}
	return false
}

// reopened says whether somebody has proposed to amend an incident.
func (p *pipeline) reopened(id treaty.Hash) bool {
	for _, c := range p.cases {
		if c.incident.Amends == id {
			return true
		}
	}
	return false
}

// rank is this nation's turn to propose an event: a permutation of the roster keyed by the event's second.
func (p *pipeline) rank(e attribution.Event) int {
	second := int64(e.Time) / int64(10*time.Second)
	score := func(n treaty.Nation) treaty.Hash {
		return treaty.HashOf(fmt.Appendf(p.cfg.Net.Digest[:], "incident %d %s", second, n))
	}
	own := score(p.cfg.Nation)
	rank := 0
	for _, n := range p.cfg.Net.Nations() {
		if s := score(n); bytes.Compare(s[:], own[:]) < 0 {
			rank++
		}
	}
	return rank
}

// incident takes an ordered incident in, unless the tally refused it.
func (p *pipeline) incident(r *treaty.Record) {
	known, attested := false, false
	var view tally.IncidentView
	p.tally(func(s *tally.State) {
		view, known = s.Incident(r.ID)
		attested = s.Attested(r.ID, p.cfg.Nation)
	})
	if !known || p.cases[r.ID] != nil {
		return
	}
	now := p.cfg.Ledger.TentativeLedgerTime()
	c := &incidentCase{id: r.ID, incident: r.Incident, seen: time.Now(), ledgerAt: now}
	// After a restart: what was answered is answered, and what was decided while we were away and whose evidence is gone
	// is not ours to doubt.
	c.done = attested || !view.Open() && r.Incident.Time < now.Add(-keepEvidence)
	p.cases[r.ID] = c
}

// verdict notes a derived verdict.
func (p *pipeline) verdict(l ledger.Leaf) {
	v, err := p.cfg.Net.ParseVerdict(l.Entry)
	if err != nil {
		return
	}
	if c := p.cases[v.Incident]; c != nil {
		c.verdict = v
	}
}

// attest answers every incident once this node's evidence for it is complete.
func (p *pipeline) attest(ctx context.Context) error {
	ids := make([]treaty.Hash, 0, len(p.cases))
	for id, c := range p.cases {
		if !c.done {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, treaty.CompareHash)
	for _, id := range ids {
		c := p.cases[id]
		known := false
		p.tally(func(s *tally.State) { _, known = s.Incident(id) })
		if !known {
			continue // our own proposal, not ordered yet
		}
		a, ok := p.answer(c)
		if !ok {
			p.owed = true
			continue
		}
		c.done = true
		c.finding = a.Finding
		if p.cfg.Review {
			if err := p.cfg.Store.PutReview(&treaty.Attestation{Incident: id, Assessment: a}, p.cfg.Clock()); err != nil {
				return fmt.Errorf("queue incident %s for review: %w", id.Short(), err)
			}
			continue
		}
		if err := p.sign(ctx, &treaty.Attestation{Incident: id, Assessment: a}); err != nil {
			return err
		}
	}
	return nil
}

// sign makes an attestation of this nation, once an incident whatever happens.
func (p *pipeline) sign(ctx context.Context, a *treaty.Attestation) error {
	r, err := p.cfg.Submit(ctx, a)
	if errors.Is(err, evidence.ErrAttested) {
		return nil // before a restart, or for another incident of the same event
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("attest incident %s: %w", a.Incident.Short(), err)
	}
	p.cfg.Metrics.attested.WithLabelValues(a.Assessment.Finding.String()).Inc()
	p.cfg.Log.Info("attested", slog.String("incident", a.Incident.Short()), slog.String("record", r.ID.Short()),
		slog.String("finding", a.Assessment.Finding.String()), slog.String("party", string(a.Assessment.Party)))
	return nil
}

// answer is this nation's assessment of an incident, once it can be given.
func (p *pipeline) answer(c *incidentCase) (treaty.Assessment, bool) {
	var best *attribution.Event
	match := 0.0
	for i := range p.events {
		if m := p.cfg.Judge.Match(p.events[i], c.incident.Cites); m >= sameEvent && m > match {
			best, match = &p.events[i], m
		}
	}
	policy := p.cfg.Net.Accord.Policy
	outOfTime := p.cfg.Ledger.TentativeLedgerTime() > c.ledgerAt.Add(policy.Deadline()/2)
	if best == nil {
		// Evidence may still be coming: sound needs 45 s for 15 km.
		if !outOfTime && p.throughTime() < c.incident.Time.Add(time.Minute) {
			return treaty.Assessment{}, false
		}
		return notConfirmed(c.incident), true
	}
	if !outOfTime && best.LatestArrival > p.throughTime() {
		return treaty.Assessment{}, false
	}
	if p.judgedElsewhere(c, *best) {
		return notConfirmed(c.incident), true // one event is judged once
	}
	a := p.cfg.Judge.Assess(p.evidence.all(), *best)
	if err := a.Check(); err != nil {
		p.cfg.Log.Error("an assessment breaks its own rules and is not signed", slog.Any("error", err))
		return notConfirmed(c.incident), true
	}
	c.judged, c.members = treaty.NewCites(best.Members), len(best.Members)
	return a, true
}

// judgedElsewhere says whether this node has judged an event for another incident, be it with fewer or more arrivals,
// that this one does not amend.
func (p *pipeline) judgedElsewhere(c *incidentCase, e attribution.Event) bool {
	if !c.incident.Amends.IsZero() {
		return false
	}
	for id, other := range p.cases { // any of them: the order does not matter
		if id != c.id && p.cfg.Judge.Match(e, other.judged) >= sameEvent {
			return true
		}
	}
	return false
}

// reopen proposes to amend incidents that were left INCONCLUSIVE and that this node, with evidence that came late, now
// finds a breach: deadlines defer, they never exclude (design section 6).
func (p *pipeline) reopen(ctx context.Context) error {
	for _, id := range slices.SortedFunc(maps.Keys(p.cases), treaty.CompareHash) {
		c := p.cases[id]
		if !c.done || c.amended || c.verdict == nil || c.verdict.Outcome != treaty.Inconclusive || c.finding == treaty.Breach {
			continue
		}
		for _, e := range p.events {
			if len(e.Members) <= c.members || p.cfg.Judge.Match(e, c.incident.Cites) < sameEvent {
				continue
			}
			if c.lateAt.IsZero() {
				if a := p.cfg.Judge.Assess(p.evidence.all(), e); a.Finding != treaty.Breach {
					c.members = len(e.Members)
					continue
				}
				c.lateAt = time.Now()
			}
			if time.Since(c.lateAt) < time.Duration(p.rank(e))*p.cfg.Stagger {
				p.owed, p.fresh = true, true // our turn may come
				continue
			}
			c.amended = true
			if p.reopened(id) {
				break
			}
			in := &treaty.Incident{
				Time: e.Time, Position: e.Position, Class: e.ClassGuess, Cites: treaty.NewCites(e.Members), Amends: id,
			}
			if _, err := p.cfg.Submit(ctx, in); err != nil && ctx.Err() == nil {
				return fmt.Errorf("reopen incident %s: %w", id.Short(), err)
			}
		}
	}
	return nil
}

// notConfirmed is what a nation says whose own computation finds no such event.
func notConfirmed(in *treaty.Incident) treaty.Assessment {
	const wide = 1_000_000_000_000 // (1 km)^2 in mm^2: nothing is known
	return treaty.Assessment{
		Finding: treaty.Inconclusive, Class: treaty.ClassUndetermined, Time: in.Time, Position: in.Position,
		Covariance: treaty.Covariance{EE: wide, NN: wide}, Likelihood: 0, Confidence: treaty.ConfidenceLow,
		Control: treaty.PartyOdds{Neither: treaty.Certain}, Reasons: []treaty.Reason{treaty.ReasonNotConfirmed},
		Cites: in.Cites, Method: attribution.Method,
	}
}
