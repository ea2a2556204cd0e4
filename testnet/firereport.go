package testnet

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"truceline/treaty"
)

// FireReport compares the verdicts on a recording with what was surveyed.
type FireReport struct {
	Name  string       `json:"name"`
	Party treaty.Party `json:"party"`
	LineM float64      `json:"line_m"`

	Tests int `json:"tests"`
	Shots int `json:"shots"`
	// Found are the shots that a verdict is about; Spurious the verdicts that are about no shot.
	Found    int       `json:"found"`
	Spurious int       `json:"spurious"`
	ErrorsM  []float64 `json:"errors_m"` // of place, rising, one for each found shot
	// Right are found shots that were laid at the shooter's side, Undecided those that were called INCONCLUSIVE. Wrong are
	// all other verdicts: another party's breach, a breach that was no shot, or no breach at all.
	Right     int    `json:"right"`
	Undecided int    `json:"inconclusive"`
	Wrong     int    `json:"wrong"`
	Beyond    Spread `json:"to_final"` // from a shot to FINAL, sensor time

	Rows []FireRow `json:"rows"`
	Outcome
}

// FireRow is one shot, one verdict, or both.
type FireRow struct {
	Test    string      `json:"test,omitempty"` // empty: no shot
	Shot    int         `json:"shot,omitempty"`
	Time    treaty.Time `json:"time"`
	Decided string      `json:"decided,omitempty"` // empty: no verdict
	ErrorM  float64     `json:"error_m,omitempty"`
	Result  string      `json:"result"`
	Class   string      `json:"class,omitempty"`
	Why     string      `json:"why,omitempty"`
}

// How far a verdict may lie from the shot that it is about.
const (
	gateTime = 250 * time.Millisecond
	gateM    = 25.0
)

// score matches verdicts and shots, the nearest pair first.
func (r *FireReport) score(tests int, shots []Shot, verdicts []Sighting) {
	r.Tests, r.Shots = tests, len(shots)
	type pair struct {
		shot, verdict int
		dist          float64
		dt            time.Duration
	}
	var pairs []pair
	for i, s := range shots {
		for j, v := range verdicts {
			d, dt := apart(s.Position, v.Verdict.Position), v.Verdict.Time.Sub(s.Time).Abs()
			if d <= gateM && dt <= gateTime {
				pairs = append(pairs, pair{i, j, d, dt})
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Compare(a.dist+a.dt.Seconds()*343, b.dist+b.dt.Seconds()*343) })
	of, taken := map[int]pair{}, map[int]bool{}
	for _, p := range pairs {
		if _, ok := of[p.shot]; !ok && !taken[p.verdict] {
			of[p.shot], taken[p.verdict] = p, true
		}
	}
	var final []time.Duration
	for i, s := range shots {
		row := FireRow{Test: s.Test, Shot: s.Index, Time: s.Time, Result: "missed"}
		if p, ok := of[i]; ok {
			v := verdicts[p.verdict]
			r.Found++
			r.ErrorsM = append(r.ErrorsM, p.dist)
			row.ErrorM, row.Result = p.dist, r.side(v.Verdict)
			row.Decided, row.Class, row.Why = decided(v.Verdict), v.Verdict.Class.String(), why(v.Verdict)
			if v.Final != 0 {
				final = append(final, v.Final.Sub(s.Time))
			}
		}
		r.Rows = append(r.Rows, row)
	}
	for j, v := range verdicts {
		if taken[j] {
			continue
		}
		r.Spurious++
		row := FireRow{Time: v.Verdict.Time, Decided: decided(v.Verdict), Result: "spurious", Class: v.Verdict.Class.String(), Why: why(v.Verdict)}
		if v.Verdict.Outcome == treaty.Breach {
			r.Wrong++
			row.Result = "WRONG"
		}
		r.Rows = append(r.Rows, row)
	}
	slices.Sort(r.ErrorsM)
	slices.SortStableFunc(r.Rows, func(a, b FireRow) int { return cmp.Compare(a.Time, b.Time) })
	r.Beyond = spreadOf(final)
}

func (r *FireReport) side(v *treaty.Verdict) string {
	switch {
	case v.Outcome == treaty.Breach && v.Party == r.Party:
		r.Right++
		return "right"
	case v.Outcome == treaty.Inconclusive:
		r.Undecided++
		return "inconclusive"
	}
	r.Wrong++
	return "WRONG"
}

func decided(v *treaty.Verdict) string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", v.Outcome, v.Party, v.Clause))
}

func why(v *treaty.Verdict) string {
	var out []string
	for _, r := range v.Reasons {
		out = append(out, r.String())
	}
	return strings.Join(out, " ")
}

// ErrorM is the p-quantile of the error of place; NaN without any.
func (r *FireReport) ErrorM(p float64) float64 {
	if len(r.ErrorsM) == 0 {
		return math.NaN()
	}
	return r.ErrorsM[min(len(r.ErrorsM)-1, int(p*float64(len(r.ErrorsM))))]
}

// OK says that nothing was laid at the wrong side and that the network itself held.
func (r *FireReport) OK() bool { return r.Wrong == 0 && r.Sound() }

// Meets lists which of the aims of the acceptance test are missed.
func (r *FireReport) Meets() []string {
	var out []string
	miss := func(is bool, format string, args ...any) {
		if is {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	miss(float64(r.Found) < 0.97*float64(r.Shots), "found %d of %d shots, want 97 %%", r.Found, r.Shots)
	miss(float64(r.Spurious) > 0.1*float64(r.Tests), "%d spurious verdicts in %d tests, want at most 0.1 a test", r.Spurious, r.Tests)
	miss(!(r.ErrorM(0.5) <= 4.5), "median error %.2f m, want at most 4.5 m", r.ErrorM(0.5))
	miss(!(r.ErrorM(0.95) <= 9), "95 %% error %.2f m, want at most 9 m", r.ErrorM(0.95))
	miss(r.Wrong > 0, "%d verdicts name the wrong side, or deny a breach", r.Wrong)
	miss(!r.Sound(), "%d of %d verdicts verified, %d violations", r.Proofs.Verified, r.Proofs.Verdicts, len(r.Violations))
	return out
}

// Total sums reports of several firing positions.
func Total(name string, rs []*FireReport) *FireReport {
	t := &FireReport{Name: name}
	for _, r := range rs {
		t.Party, t.LineM = r.Party, r.LineM
		t.Tests += r.Tests
		t.Shots += r.Shots
		t.Found += r.Found
		t.Spurious += r.Spurious
		t.Right += r.Right
		t.Undecided += r.Undecided
		t.Wrong += r.Wrong
		t.ErrorsM = append(t.ErrorsM, r.ErrorsM...)
		t.Proofs.Verdicts += r.Proofs.Verdicts
		t.Proofs.Verified += r.Proofs.Verified
		t.Violations = append(t.Violations, r.Violations...)
	}
	slices.Sort(t.ErrorsM)
	return t
}

// FireTable is a line for each report.
func FireTable(rs []*FireReport) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tTESTS\tSHOTS\tFOUND\t\tSPURIOUS\tA TEST\tMEDIAN\t95 %\tRIGHT\tINCONCLUSIVE\tWRONG\tVERIFIED\t")
	for _, r := range rs {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%.1f %%\t%d\t%.3f\t%.2f m\t%.2f m\t%d\t%d\t%d\t%d of %d\t\n", r.Name, r.Tests, r.Shots, r.Found,
			100*float64(r.Found)/float64(max(1, r.Shots)), r.Spurious, float64(r.Spurious)/float64(max(1, r.Tests)),
			r.ErrorM(0.5), r.ErrorM(0.95), r.Right, r.Undecided, r.Wrong, r.Proofs.Verified, r.Proofs.Verdicts)
	}
	_ = w.Flush() // a Builder takes everything
	return b.String()
}

// String is a line for each shot and verdict.
func (r *FireReport) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "TIME\tTEST\tSHOT\tDECIDED\tCLASS\tERROR\tRESULT\tREASONS")
	for _, x := range r.Rows {
		shot, off := "-", ""
		if x.Test != "" {
			shot = fmt.Sprint(x.Shot)
		}
		if x.Test != "" && x.Decided != "" {
			off = fmt.Sprintf("%.1f m", x.ErrorM)
		}
		fmt.Fprintln(w, strings.Join([]string{
			x.Time.Std().Format("15:04:05.000"), cmp.Or(x.Test, "-"), shot, cmp.Or(x.Decided, "-"), x.Class, off, x.Result, x.Why,
		}, "\t"))
	}
	_ = w.Flush() // a Builder takes everything
	return b.String()
}
