package node

import (
	"bytes"
	"cmp"
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
	index    uint64      // its place in the ledger, once it is ordered
	retryAt  time.Time   // real time; the review queue was full
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

// forget drops what lies behind the horizon.
func (p *pipeline) forget(final treaty.Time) {
	policy := p.cfg.Net.Accord.Policy
	p.evidence.forget(final.Add(-keepEvidence))
	old := treaty.WindowOf(max(0, final.Add(-policy.Horizon())), policy.Window())
	for id, s := range p.seals {
		if s.window < old {
			delete(p.seals, id)
			p.missing.remove(s)
			delete(p.windows, s.window)
		}
	}
	for id, c := range p.cases {
		if c.ledgerAt < final.Add(-policy.Horizon()) {
			delete(p.cases, id)
		}
	}
	// What no incident can cite any more is no evidence: the tally forgets the seals by the same horizon. One nation's
	// batches take at most horizon / window times 2 MiB of the disk, 7 GiB by the default policy.
	if old < p.pruned+pruneEvery {
		return
	}
	p.pruned = old
	if _, err := p.cfg.Store.Prune(old); err != nil {
		p.cfg.Log.Error("old batches cannot be pruned; they only take up disk", slog.Any("error", err))
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
		p.events, p.matchesGood = p.cfg.Judge.Associate(p.evidence.all()), false
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
	for i := range p.events {
		e := p.events[i]
		key := eventKey(e)
		at, ok := p.settled[key]
		if !ok || p.proposedAlready(&p.events[i]) {
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

func (p *pipeline) proposedAlready(e *attribution.Event) bool {
	for _, c := range p.cases {
		if p.matched(c) == e {
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
func (p *pipeline) incident(r *treaty.Record, index uint64) {
	known, attested := false, false
	var view tally.IncidentView
	p.tally(func(s *tally.State) {
		view, known = s.Incident(r.ID)
		attested = s.Attested(r.ID, p.cfg.Nation)
	})
	if c := p.cases[r.ID]; c != nil {
		c.index = index // our own proposal
	}
	if !known || p.cases[r.ID] != nil {
		return
	}
	now := p.cfg.Ledger.TentativeLedgerTime()
	c := &incidentCase{id: r.ID, incident: r.Incident, index: index, seen: time.Now(), ledgerAt: now}
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

// attest answers every incident once this node's evidence for it is complete, in ledger order: of two incidents on one
// event all nations speak to the earlier.
func (p *pipeline) attest(ctx context.Context) error {
	var open []*incidentCase
	for _, c := range p.cases {
		if !c.done && time.Now().After(c.retryAt) {
			open = append(open, c)
		}
	}
	slices.SortFunc(open, func(a, b *incidentCase) int {
		return cmp.Or(cmp.Compare(a.index, b.index), treaty.CompareHash(a.id, b.id))
	})
	for _, c := range open {
		id := c.id
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
			if err := p.review(c, &treaty.Attestation{Incident: id, Assessment: a}); err != nil {
				return err
			}
			continue
		}
		if err := p.sign(ctx, &treaty.Attestation{Incident: id, Assessment: a}); err != nil {
			return err
		}
	}
	return nil
}

// review queues an answer for the duty officer. A full queue holds up this incident and nothing else.
func (p *pipeline) review(c *incidentCase, a *treaty.Attestation) error {
	err := p.cfg.Store.PutReview(a, p.cfg.Clock())
	switch {
	case errors.Is(err, evidence.ErrAttested): // before a restart, or for another incident of the same event
		return nil
	case errors.Is(err, evidence.ErrFull):
		c.done, c.retryAt = false, time.Now().Add(reviewAgain)
		p.cfg.Log.Error("the review queue is full: an incident waits outside; decide what is in it",
			slog.String("incident", a.Incident.Short()))
		return nil
	case err != nil:
		return fmt.Errorf("queue incident %s for review: %w", a.Incident.Short(), err)
	}
	return nil
}

// sign makes an attestation of this nation, once an incident whatever happens.
func (p *pipeline) sign(ctx context.Context, a *treaty.Attestation) error {
	r, err := p.cfg.Submit(ctx, a)
	if errors.Is(err, evidence.ErrAttested) { // before a restart, or for another incident of the same event
		p.cfg.Log.Info("not attested", slog.String("incident", a.Incident.Short()), slog.Any("why", err))
		return nil
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
	best := p.matched(c)
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
	if a.Finding == treaty.Breach {
		left, err := p.cfg.Store.Unspent(c.id, a.Cites)
		switch {
		case err != nil:
			p.cfg.Log.Error("what this nation has attested cannot be read", slog.Any("error", err))
			return treaty.Assessment{}, false
		case 2*left.Len() <= a.Cites.Len():
			return notConfirmed(c.incident), true // mostly what another breach rests on already
		}
		a.Cites = left
	}
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
				Time: e.Time, Position: e.Position, Class: e.ClassGuess, Amends: id,
				// With all that was cited before: the tally asks for more than half of it.
				Cites: treaty.NewCites(slices.AppendSeq(slices.Clone(e.Members), c.incident.Cites.All())),
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
