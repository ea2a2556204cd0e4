package tally_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"truceline/consensus/tally"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// twin is the tally again, slow and obvious: it keeps everything for ever and counts from the start every time. It
// takes the tally's word for which records are taken and rejected, and for nothing else.
type twin struct {
	net      *treaty.Network
	times    map[treaty.Nation]treaty.Time
	late     map[treaty.Hash]bool
	sealer   map[treaty.Hash]treaty.Nation
	said     map[treaty.Hash]map[treaty.Nation]*treaty.Assessment
	deadline map[treaty.Hash]treaty.Time
	root     map[treaty.Hash]treaty.Hash
	stands   map[treaty.Hash]treaty.Hash // by root: the verdict
	outcome  map[treaty.Hash]treaty.Finding
	sealed   map[treaty.Nation]treaty.Window
	moments  []moment
	decided  map[treaty.Hash]treaty.Finding
	order    []treaty.Hash
}

func newTwin(net *treaty.Network) *twin {
	return &twin{
		net: net, times: map[treaty.Nation]treaty.Time{}, late: map[treaty.Hash]bool{}, sealer: map[treaty.Hash]treaty.Nation{},
		said: map[treaty.Hash]map[treaty.Nation]*treaty.Assessment{}, deadline: map[treaty.Hash]treaty.Time{},
		root: map[treaty.Hash]treaty.Hash{}, decided: map[treaty.Hash]treaty.Finding{}, stands: map[treaty.Hash]treaty.Hash{},
		outcome: map[treaty.Hash]treaty.Finding{}, sealed: map[treaty.Nation]treaty.Window{},
	}
}

// moment is the ledger time behind some record, and each nation's last sealed window; nations that never sealed are not in it.
type moment struct {
	now    treaty.Time
	sealed map[treaty.Nation]treaty.Window
}

// closed says whether a window could have been revealed at any moment so far.
func (w *twin) closed(k treaty.Window) bool {
	p := w.net.Accord.Policy
	end := k.End(p.Window())
	return slices.ContainsFunc(w.moments, func(m moment) bool {
		waits := false
		for _, last := range m.sealed { // any of them: the order does not matter
			silent := m.now > last.End(p.Window()).Add(p.Heartbeat()).Add(p.SealWait())
			waits = waits || last < k && !silent
		}
		return m.now > end.Add(p.SealWait()) || m.now > end.Add(p.Grace()) && !waits
	})
}

// remember notes the moment behind a record, if it differs from the last.
func (w *twin) remember() {
	m := moment{w.ledgerTime(), maps.Clone(w.sealed)}
	if n := len(w.moments); n == 0 || w.moments[n-1].now != m.now || !maps.Equal(w.moments[n-1].sealed, m.sealed) {
		w.moments = append(w.moments, m)
	}
}

// amends is the verdict that a new one on an incident must supersede, and takes note of it.
func (w *twin) amends(v *treaty.Verdict, id treaty.Hash) (superseded treaty.Hash) {
	root := w.root[v.Incident]
	superseded = w.stands[root]
	if v.Outcome == treaty.Inconclusive && w.outcome[superseded] != 0 && w.outcome[superseded] != treaty.Inconclusive {
		superseded = treaty.Hash{}
	} else {
		w.stands[root] = id
	}
	w.outcome[id] = v.Outcome
	return superseded
}

// middle is the smallest value that at least half of the values do not exceed.
func middle(vs []int64) int64 {
	best, found := int64(0), false
	for _, v := range vs {
		k := 0
		for _, u := range vs {
			if u <= v {
				k++
			}
		}
		if 2*k >= len(vs) && (!found || v < best) {
			best, found = v, true
		}
	}
	return best
}

func (w *twin) ledgerTime() treaty.Time {
	var vs []int64
	for _, k := range w.net.Nations() {
		vs = append(vs, int64(w.times[k]))
	}
	return treaty.Time(middle(vs))
}

// take applies a taken record and says which incidents have a new verdict: what, in order.
func (w *twin) take(r *treaty.Record, rejected string) (want []string) {
	p := w.net.Accord.Policy
	before := w.ledgerTime()
	w.times[r.Nation] = max(w.times[r.Nation], min(r.Time, 1<<62))
	now := w.ledgerTime()
	if before == 0 && now > 0 {
		for id := range w.deadline {
			w.deadline[id] = now.Add(p.Deadline())
		}
		for k, last := range w.sealed {
			w.sealed[k] = min(last, treaty.Window(now.Add(p.SealAhead())/treaty.Time(p.WindowNs))-1)
		}
	}
	defer w.remember()
	if rejected == "" {
		switch {
		case r.Seal != nil:
			w.late[r.ID] = w.closed(r.Seal.Window)
			w.sealer[r.ID], w.sealed[r.Nation] = r.Nation, r.Seal.Window
		case r.Incident != nil:
			w.deadline[r.ID], w.said[r.ID] = now.Add(p.Deadline()), map[treaty.Nation]*treaty.Assessment{}
			w.order = append(w.order, r.ID)
			if w.root[r.ID] = r.ID; !r.Incident.Amends.IsZero() {
				w.root[r.ID] = w.root[r.Incident.Amends]
			}
		case r.Attestation != nil:
			id := r.Attestation.Incident
			w.said[id][r.Nation] = &r.Attestation.Assessment
			want = w.judge(want, id, false)
		}
	}
	judged := len(want) > 0
	for _, id := range w.order {
		if judged && id == r.Attestation.Incident {
			continue
		}
		if now > before && w.decided[id] == 0 && now > w.deadline[id] {
			want = w.judge(want, id, true)
		}
	}
	return want
}

// judge says what a verdict on an incident must be, if there must be one; without the rules on amending.
func (w *twin) judge(want []string, id treaty.Hash, expired bool) []string {
	outcome, detail := w.count(w.said[id])
	switch {
	case w.decided[id] == 0 && outcome == 0 && !expired && len(w.said[id]) < w.net.N:
		return want
	case w.decided[id] == 0 && outcome == 0:
		outcome = treaty.Inconclusive
	case w.decided[id] != 0 && (w.decided[id] != treaty.Inconclusive || outcome == 0 || outcome == treaty.Inconclusive):
		return want
	}
	return append(want, fmt.Sprintf("%s %s%s", id.Short(), outcome, detail))
}

// count says what attestations come to, one rule after the other.
func (w *twin) count(said map[treaty.Nation]*treaty.Assessment) (treaty.Finding, string) {
	for _, f := range []treaty.Finding{treaty.Breach, treaty.NoBreach, treaty.Inconclusive} {
		for _, p := range []treaty.Party{"", "A", "B"} {
			var agree []*treaty.Assessment
			for _, k := range w.net.Nations() {
				if a := said[k]; a != nil && a.Finding == f && a.Party == p {
					agree = append(agree, a)
				}
			}
			if len(agree) < w.net.Q {
				continue
			}
			clause := ""
			var contributors []treaty.Nation
			if f == treaty.Breach {
				if clause, contributors = w.clause(agree), w.independent(agree); clause == "" || !w.carries(agree, len(contributors)) {
					return 0, ""
				}
			} else {
				contributors = w.independent(agree)
			}
			var lat, lon, hae, at, odds, sure []int64
			for _, a := range agree {
				lat, lon, hae = append(lat, a.Position.LatE7), append(lon, a.Position.LonE7), append(hae, a.Position.HAEmm)
				at, odds, sure = append(at, int64(a.Time)), append(odds, int64(a.Likelihood)), append(sure, int64(a.Confidence))
			}
			return f, fmt.Sprint(" ", p, clause, contributors, middle(lat), middle(lon), middle(hae), middle(at), middle(odds), middle(sure), class(agree))
		}
	}
	return 0, ""
}

func detail(v *treaty.Verdict) string {
	return fmt.Sprint(" ", v.Party, string(v.Clause), v.Independent, v.Position.LatE7, v.Position.LonE7, v.Position.HAEmm,
		int64(v.Time), int64(v.Likelihood), int64(v.Confidence), v.Class)
}

func class(agree []*treaty.Assessment) treaty.EventClass {
	best, most := treaty.EventClass(0), 0
	for c := treaty.EventClass(1); c < 64; c++ {
		k := 0
		for _, a := range agree {
			if a.Class == c {
				k++
			}
		}
		if k > most {
			best, most = c, k
		}
	}
	return best
}

func (w *twin) independent(agree []*treaty.Assessment) []treaty.Nation {
	out := []treaty.Nation{}
	for _, k := range w.net.Nations() {
		n := 0
		for _, a := range agree {
			if slices.ContainsFunc(a.Cites, func(c treaty.SealCite) bool { return w.sealer[c.Seal] == k && !w.late[c.Seal] }) {
				n++
			}
		}
		if n >= w.net.F+1 {
			out = append(out, k)
		}
	}
	return out
}

func (w *twin) carries(agree []*treaty.Assessment, contributors int) bool {
	e := max(1, (contributors-1)/3, int(w.net.Accord.Policy.Resilience))
	tested, modalities := 0, 0
	for _, a := range agree {
		if int(a.Resilience) >= e {
			tested++
		}
	}
	for m := treaty.Modality(0); m < 64; m++ {
		k := 0
		for _, a := range agree {
			if slices.Contains(a.Modalities, m) {
				k++
			}
		}
		if k > w.net.F {
			modalities++
		}
	}
	return contributors >= 2 && contributors > e && tested >= w.net.Q &&
		(modalities > 1 || contributors >= int(w.net.Accord.Policy.OneModalityNations))
}

func (w *twin) clause(agree []*treaty.Assessment) string {
	best, depth := "", -1
	for _, c := range w.net.Accord.Clauses {
		k := 0
		for _, a := range agree {
			if a.Clause == c.ID || strings.HasPrefix(string(a.Clause), string(c.ID)+".") {
				k++
			}
		}
		if d := len(strings.Split(string(c.ID), ".")); k >= w.net.Q && d > depth {
			best, depth = string(c.ID), d
		}
	}
	return best
}

// The fast rules (sorted medians, bit sets, votes on ancestors, the queue of deadlines) must say what the slow ones do.
func TestTwin(t *testing.T) {
	seed := rand.Uint64()
	if v, err := strconv.ParseUint(os.Getenv("TRUCELINE_SEED"), 10, 64); err == nil {
		seed = v
	}
	t.Logf("seed %d (TRUCELINE_SEED=%d runs it again)", seed, seed)
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24), byte(seed >> 32)})
	seen := map[string]int{}
	rounds := 300
	if testing.Short() {
		rounds = 60
	}
	for round := range rounds {
		net := nets[round%len(nets)]
		data := make([]byte, 24_000)
		rng.Read(data)
		g, s, w := newGenerator(net, data), tally.New(net), newTwin(net)
		for !g.done() {
			r := g.next()
			res := s.Apply(r)
			seen[res.Rejected+res.Refused]++
			if !res.Taken {
				continue
			}
			g.taken(r, res.Rejected)
			want := w.take(r, res.Rejected)
			if w.late[r.ID] {
				seen["LATE"]++
			}
			var got []string
			for _, e := range res.Derived {
				v, err := net.ParseVerdict(e)
				if err != nil {
					t.Fatal(err)
				}
				d := detail(v)
				if len(v.Attesters) < net.Q {
					d = "" // without a quorum there is nothing to compare but the outcome
				}
				got = append(got, fmt.Sprintf("%s %s%s", v.Incident.Short(), v.Outcome, d))
				if want := w.amends(v, treaty.HashOf(e)); v.Amends != want {
					t.Fatalf("seed %d, round %d, record %d: %s on %s supersedes %s, want %s\n%s", seed, round, len(g.made), v.Outcome,
						v.Incident.Short(), v.Amends.Short(), want.Short(), s.Describe(nil))
				}
				w.decided[v.Incident] = v.Outcome
				seen[v.Outcome.String()]++
				if !v.Amends.IsZero() {
					seen["superseding"]++
				}
			}
			// A late verdict on an incident may be barred by an amending one, which the twin does not know.
			if len(want) == 1 && len(got) == 0 && r.Attestation != nil && barred(s, r.Attestation.Incident) {
				want = nil
			}
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d, round %d, record %d:\n got %q\nwant %q\n%s", seed, round, len(g.made), got, want, s.Describe(nil))
			}
			if len(g.made)%500 == 0 { // nothing remembered by the way differs from what is stored
				d, err := tally.Decode(net, s.Encode())
				if err != nil || d.Describe(nil) != s.Describe(nil) {
					t.Fatalf("seed %d: decoded: %v", seed, err)
				}
			}
			if s.LedgerTime() != w.ledgerTime() {
				t.Fatalf("seed %d: ledger time %v, want %v", seed, s.LedgerTime(), w.ledgerTime())
			}
		}
	}
	for _, what := range []string{
		"BREACH", "NO_BREACH", "INCONCLUSIVE", "superseding", tally.RejectedSealOrder, tally.RejectedSealEarly,
		tally.RejectedSealChain, tally.RejectedSealAhead, tally.RejectedOtherEvent, "LATE", tally.RejectedUnknownSeal, tally.RejectedUnknownIndex, tally.RejectedSameEvent,
		tally.RejectedUnknownIncident, tally.RejectedNotDecided, tally.RejectedContradiction, tally.RejectedSecondBreach,
		tally.RejectedUnknownParty, tally.RejectedUnknownClause, tally.RefusedGap, tally.RefusedMalformed, tally.RefusedStranger,
	} {
		if seen[what] == 0 {
			t.Errorf("seed %d: no %s in the whole run: the generator tests less than it says", seed, what)
		}
	}
	t.Log(seen)
}

// barred: the case has a verdict of a quorum, or of another incident, already.
func barred(s *tally.State, id treaty.Hash) bool {
	v, ok := s.Incident(id)
	return ok && v.CurrentOutcome != treaty.Inconclusive
}

var nets = []*treaty.Network{
	treatytest.New(4).Net, treatytest.New(5).Net, treatytest.New(6).Net, treatytest.New(7).Net, treatytest.New(40).Net,
	treatytest.NewWith(7, func(a *treaty.Accord) { a.Policy.Resilience, a.Policy.OneModalityNations = 2, 2 }).Net,
	treatytest.NewWith(4, func(a *treaty.Accord) { // incidents are forgotten before the seals of the future
		a.Policy.DeadlineNs, a.Policy.HorizonNs = int64(10*time.Second), int64(10*time.Second)
	}).Net,
}
