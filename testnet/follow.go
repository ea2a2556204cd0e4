package testnet

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"filippo.io/torchwood"

	"truceline/consensus/tally"
	"truceline/node/observe"
	"truceline/treaty"
)

// Sighting is a verdict and when a node first showed it as FINAL.
type Sighting struct {
	observe.VerdictView
	// Final is the sensor clock's time of that moment; From the node that was first.
	Final treaty.Time
	From  treaty.Nation
}

// Case is one incident as the ledger's FINAL entries tell it.
type Case struct {
	ID       treaty.Hash
	Seen     treaty.Time // sensor clock, when this process first read it
	Incident treaty.Incident
	Proposer treaty.Nation
	// Attested is what each nation says, in the order in which they came.
	Attested []Said
	// Verdict is the newest; nil while it is open.
	Verdict *treaty.Verdict
}

// Said is one nation's finding.
type Said struct {
	Nation  treaty.Nation
	Finding treaty.Finding
	Party   treaty.Party
}

// Follower watches a network from outside: verdicts over event streams of some nodes, incidents out of one node's log.
type Follower struct {
	net     *treaty.Network
	clients []*Client
	now     func() treaty.Time
	changed func()

	mu       sync.Mutex
	verdicts map[treaty.Hash]*Sighting
	order    []treaty.Hash
	cases    map[treaty.Hash]*Case
	opened   []treaty.Hash
	tally    *tally.State // over the entries read, signatures not checked: it tells which incidents wait for a verdict
	read     uint64       // ledger entries read
}

// streamsOpen bounds how many nodes are listened to: any one of them is enough, and the first to show a verdict counts.
const streamsOpen = 4

// Follow makes a follower; changed is called after anything new, from its goroutines, and may be nil.
func Follow(net *treaty.Network, clients []*Client, now func() treaty.Time, changed func()) *Follower {
	if changed == nil {
		changed = func() {}
	}
	return &Follower{
		net: net, clients: clients, now: now, changed: changed,
		verdicts: map[treaty.Hash]*Sighting{}, cases: map[treaty.Hash]*Case{}, tally: tally.New(net),
	}
}

// Run follows until ctx ends. Nodes may come and go.
func (f *Follower) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, c := range f.clients[:min(streamsOpen, len(f.clients))] {
		wg.Go(func() { f.stream(ctx, c) })
	}
	wg.Go(func() { f.tail(ctx) })
	wg.Wait()
}

func (f *Follower) stream(ctx context.Context, c *Client) {
	last := int64(0) // no verdict is the first entry
	for ctx.Err() == nil {
		_ = c.Stream(ctx, last, func(v observe.VerdictView) { // when it breaks it is taken up where it broke
			last = int64(v.Index)
			f.saw(c.Nation, v)
		})
		if pause(ctx, 300*time.Millisecond) != nil {
			return
		}
	}
}

func (f *Follower) saw(from treaty.Nation, v observe.VerdictView) {
	f.mu.Lock()
	_, known := f.verdicts[v.ID]
	if !known {
		f.verdicts[v.ID] = &Sighting{VerdictView: v, Final: f.now(), From: from}
		f.order = append(f.order, v.ID)
	}
	f.mu.Unlock()
	if !known {
		f.changed()
	}
}

// tail reads new FINAL entries of the log, of the first node that answers.
func (f *Follower) tail(ctx context.Context) {
	at := 0
	for ctx.Err() == nil {
		c := f.clients[at%len(f.clients)]
		fresh, err := f.more(ctx, c)
		if err != nil && !errors.Is(err, errGone) {
			at++
		}
		if fresh {
			f.changed()
		}
		if pause(ctx, 250*time.Millisecond) != nil {
			return
		}
	}
}

func (f *Follower) more(ctx context.Context, c *Client) (fresh bool, err error) {
	size, err := checkpointSize(ctx, c)
	f.mu.Lock()
	from := f.read
	f.mu.Unlock()
	if err != nil || size <= from {
		return false, err
	}
	entries, err := c.Entries(ctx, from, size, size)
	if err != nil {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range entries {
		if f.entry(e) {
			fresh = true
		}
	}
	f.read = size
	return fresh, nil
}

// entry takes one ledger entry in, for display: nothing here is verified.
func (f *Follower) entry(e []byte) bool {
	if treaty.IsVerdict(e) {
		v, err := f.net.ParseVerdict(e)
		if err != nil || f.cases[v.Incident] == nil {
			return false
		}
		f.cases[v.Incident].Verdict = v
		return true
	}
	r, err := treaty.ParseRecord(e)
	if err != nil {
		return false
	}
	if got := f.tally.Apply(r); !got.Taken || got.Rejected != "" {
		return false // a proposal on an event that had one already, for instance
	}
	switch {
	case r.Incident != nil:
		f.cases[r.ID] = &Case{ID: r.ID, Seen: f.now(), Incident: *r.Incident, Proposer: r.Nation}
		f.opened = append(f.opened, r.ID)
		return true
	case r.Attestation != nil && f.cases[r.Attestation.Incident] != nil:
		c, a := f.cases[r.Attestation.Incident], &r.Attestation.Assessment
		c.Attested = append(c.Attested, Said{r.Nation, a.Finding, a.Party})
		return true
	}
	return false
}

// Cases are the incidents so far, oldest first.
func (f *Follower) Cases() []Case {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]Case, 0, len(f.opened))
	for _, id := range f.opened {
		c := *f.cases[id]
		c.Attested = slices.Clone(c.Attested)
		out = append(out, c)
	}
	return out
}

// Verdicts are the verdicts so far, in the order in which they were seen.
func (f *Follower) Verdicts() []Sighting {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]Sighting, 0, len(f.order))
	for _, id := range f.order {
		out = append(out, *f.verdicts[id])
	}
	return out
}

// Open is how many incidents wait for their first verdict, in the FINAL ledger as far as it was read, and that ledger's
// time.
func (f *Follower) Open() (incidents int, ledger treaty.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.tally.Incidents()), f.tally.LedgerTime()
}

// Standing are the verdicts that nothing supersedes, but an INCONCLUSIVE that left another one standing, and when each
// event's first verdict was FINAL.
func Standing(all []Sighting) []Sighting {
	byID := map[treaty.Hash]Sighting{}
	gone := map[treaty.Hash]bool{}
	for _, s := range all {
		byID[s.ID] = s
		if !s.Verdict.Amends.IsZero() {
			gone[s.Verdict.Amends] = true
		}
	}
	var out []Sighting
	for _, s := range all {
		if gone[s.ID] || !s.Standing.IsZero() {
			continue
		}
		for prev, ok := byID[s.Verdict.Amends]; ok; prev, ok = byID[prev.Verdict.Amends] {
			if prev.Verdict.Outcome != s.Verdict.Outcome || prev.Verdict.Party != s.Verdict.Party {
				break // it says something else: only then was this known
			}
			s.Final = prev.Final
		}
		out = append(out, s)
	}
	return out
}

// checkpointSize is the size of a node's newest cosigned checkpoint, not verified.
func checkpointSize(ctx context.Context, c *Client) (uint64, error) {
	note, err := c.Checkpoint(ctx)
	if err != nil {
		return 0, err
	}
	text, _, ok := cutNote(note)
	if !ok {
		return 0, treaty.ErrMalformed
	}
	cp, err := torchwood.ParseCheckpoint(text)
	if err != nil || cp.N < 0 {
		return 0, errors.Join(treaty.ErrMalformed, err)
	}
	return uint64(cp.N), nil
}
