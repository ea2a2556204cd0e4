package feed

import (
	"cmp"
	"math"
	"slices"
	"time"

	"truceline/treaty"
)

// Judged is what the network decided, in as many words as scoring needs. Give only verdicts that nothing supersedes.
type Judged struct {
	ID       string // of the verdict, for printing
	Outcome  treaty.Finding
	Party    treaty.Party
	Clause   treaty.ClauseID
	Class    treaty.EventClass
	Time     treaty.Time
	Position treaty.Position
	// Final is when the verdict was FINAL, in the night's time; 0 where that is not known.
	Final treaty.Time
}

// JudgedOf takes what scoring needs out of a verdict. final is when it was FINAL in the night's time, 0 if unknown.
func JudgedOf(id string, v *treaty.Verdict, final treaty.Time) Judged {
	return Judged{
		ID: id, Outcome: v.Outcome, Party: v.Party, Clause: v.Clause, Class: v.Class, Time: v.Time, Position: v.Position,
		Final: final,
	}
}

// Result is how a verdict and the truth stand to each other.
type Result string

// The results. Only the Wrong ones are a network's failure to be honest; the others are counted apart.
const (
	ResultRight     Result = "right"     // as a fair judge would have it
	ResultUndecided Result = "undecided" // INCONCLUSIVE on something that can be told
	ResultDenied    Result = "denied"    // NO_BREACH on a breach
	ResultMissed    Result = "missed"    // no verdict on a breach that enough sensors heard
	ResultUnseen    Result = "unseen"    // no verdict on a breach that too few sensors heard
	ResultQuiet     Result = "quiet"     // no verdict on what was no breach: as good as right
	ResultSpurious  Result = "spurious"  // INCONCLUSIVE or NO_BREACH on nothing that happened
	ResultWrong     Result = "WRONG"     // a breach that did not happen, or the wrong party
	ResultTwice     Result = "TWICE"     // a second breach for one that was already judged
)

// results is their order for printing.
var results = []Result{
	ResultRight, ResultUndecided, ResultDenied, ResultMissed, ResultUnseen, ResultQuiet, ResultSpurious, ResultWrong, ResultTwice,
}

// Row is one line of the table: an event, a verdict, or both.
type Row struct {
	Event   *Event
	Verdict *Judged
	Result  Result
	ErrorM  float64       // between the two places
	Beyond  time.Duration // from the sound's last arrival to FINAL; 0 where unknown
	Class   bool          // the class is right too
	Coarse  bool          // the class is a coarser word for the right one
}

// Table is the whole comparison. Rows are by time.
type Table struct {
	Rows  []Row
	Count map[Result]int
	// Matched is how many events have a verdict, ClassRight how many of those name the class, and ClassCoarse how many do
	// so in a coarser word. The others name a wrong one.
	Matched, ClassRight, ClassCoarse int
}

// gate is how far in time and place a verdict may lie from what it is about.
func gate(e *Event) (time.Duration, float64) {
	if e.extended() {
		return 15 * time.Second, 8000
	}
	return 5 * time.Second, 2500
}

// Score compares what happened with what was decided. Every event takes the verdict nearest to it, the nearest pair
// first; what then is left over on either side is judged alone.
func Score(truth []Event, verdicts []Judged) *Table {
	type pair struct {
		e, v       int
		cost, dist float64
	}
	var pairs []pair
	for i := range truth {
		dt, dm := gate(&truth[i])
		for j := range verdicts {
			t, d := verdicts[j].Time.Sub(truth[i].Time).Abs(), apart(truth[i].Position, verdicts[j].Position)
			if t <= dt && d <= dm {
				pairs = append(pairs, pair{i, j, t.Seconds()*343 + d, d})
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Compare(a.cost, b.cost) })
	ofEvent, ofVerdict := map[int]int{}, map[int]int{}
	out := &Table{Count: map[Result]int{}}
	for _, q := range pairs {
		_, e := ofEvent[q.e]
		_, v := ofVerdict[q.v]
		if e || v {
			continue
		}
		ofEvent[q.e], ofVerdict[q.v] = q.v, q.e
		ev, ju := &truth[q.e], &verdicts[q.v]
		r := Row{Event: ev, Verdict: ju, Result: compare(ev, ju), ErrorM: q.dist, Class: ev.Class == ju.Class}
		r.Coarse = !r.Class && coarser(ju.Class, ev.Class)
		if ju.Final != 0 {
			r.Beyond = ju.Final.Sub(ev.LastArrival)
		}
		out.Matched++
		if r.Class {
			out.ClassRight++
		}
		if r.Coarse {
			out.ClassCoarse++
		}
		out.add(r)
	}
	for i := range truth {
		if _, ok := ofEvent[i]; !ok {
			out.add(Row{Event: &truth[i], Result: unjudged(&truth[i])})
		}
	}
	for j := range verdicts {
		if _, ok := ofVerdict[j]; ok {
			continue
		}
		r := Row{Verdict: &verdicts[j], Result: ResultSpurious}
		if verdicts[j].Outcome == treaty.Breach {
			r.Result = ResultWrong
			for _, q := range pairs {
				if q.v == j && truth[q.e].Party == verdicts[j].Party && truth[q.e].Expect != ExpectNoBreach {
					r.Result = ResultTwice
				}
			}
		}
		out.add(r)
	}
	slices.SortStableFunc(out.Rows, func(a, b Row) int { return cmp.Compare(a.time(), b.time()) })
	return out
}

// coarser says whether a word is true of a class without naming it.
func coarser(word, class treaty.EventClass) bool {
	switch word {
	case treaty.ClassUndetermined:
		return true
	case treaty.ClassLaunch:
		return class == treaty.ClassArtillery || class == treaty.ClassMortar || class == treaty.ClassRocketArtillery
	case treaty.ClassOther:
		return class == treaty.ClassThunder || class == treaty.ClassQuarryBlast
	}
	return false
}

func (t *Table) add(r Row) {
	t.Rows = append(t.Rows, r)
	t.Count[r.Result]++
}

func (r Row) time() treaty.Time {
	if r.Event != nil {
		return r.Event.Time
	}
	return r.Verdict.Time
}

func apart(a, b treaty.Position) float64 {
	o := offset(a, b)
	return math.Hypot(o.x, o.y)
}

func compare(e *Event, v *Judged) Result {
	switch {
	case v.Outcome == treaty.Breach && (e.Expect == ExpectNoBreach || v.Party != e.Party):
		return ResultWrong
	case v.Outcome == treaty.Breach, e.Expect == ExpectNoBreach:
		return ResultRight
	case v.Outcome == treaty.Inconclusive && e.Expect == ExpectOpen:
		return ResultRight
	case v.Outcome == treaty.NoBreach && e.Expect == ExpectBreach:
		return ResultDenied
	case v.Outcome == treaty.NoBreach && e.Kind != KindImpact:
		return ResultDenied
	case v.Outcome == treaty.NoBreach:
		return ResultRight // a round that lands is nobody's fire from there
	}
	return ResultUndecided
}

func unjudged(e *Event) Result {
	switch {
	case e.Expect == ExpectNoBreach || e.Kind == KindImpact:
		return ResultQuiet
	case e.Seeable():
		return ResultMissed
	}
	return ResultUnseen
}
