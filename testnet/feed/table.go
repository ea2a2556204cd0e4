package feed

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// OK says that nobody was shown a breach that did not happen.
func (t *Table) OK() bool { return t.Count[ResultWrong] == 0 && t.Count[ResultTwice] == 0 }

// Beyond is the p-quantile (nearest rank) of the time from the sound's last arrival to FINAL, false when none is known.
func (t *Table) Beyond(p float64) (time.Duration, bool) {
	var all []time.Duration
	for _, r := range t.Rows {
		if r.Event != nil && r.Verdict != nil && r.Verdict.Final != 0 {
			all = append(all, r.Beyond)
		}
	}
	if len(all) == 0 {
		return 0, false
	}
	slices.Sort(all)
	i := int(math.Ceil(p*float64(len(all)))) - 1
	return all[min(max(i, 0), len(all)-1)], true
}

// ErrorM is the p-quantile of the error of place over the verdicts on point sources, m; false when there is none.
func (t *Table) ErrorM(p float64) (float64, bool) {
	var all []float64
	for _, r := range t.Rows {
		if r.Event != nil && r.Verdict != nil && !r.Event.extended() {
			all = append(all, r.ErrorM)
		}
	}
	if len(all) == 0 {
		return 0, false
	}
	slices.Sort(all)
	i := int(math.Ceil(p*float64(len(all)))) - 1
	return all[min(max(i, 0), len(all)-1)], true
}

// String is the table for a person: a line an event or verdict, then the sums.
func (t *Table) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "TIME\tEVENT\tWHAT\tBY\tFROM LINE\tHEARD BY\tDECIDED\tERROR\tBEYOND SOUND\tRESULT")
	for _, r := range t.Rows {
		id, what, by, line, heard := "-", "nothing", "", "", ""
		if e := r.Event; e != nil {
			id, what, by = e.ID, string(e.Kind), string(e.Party)
			line, heard = fmt.Sprintf("%.0f m", e.LineM), fmt.Sprintf("%d of %d nations", e.Heard, e.Nations)
		}
		decided, off, beyond := "-", "", ""
		if v := r.Verdict; v != nil {
			decided = strings.TrimSpace(fmt.Sprintf("%s %s", v.Outcome, v.Party))
			if r.Event != nil {
				off = fmt.Sprintf("%.0f m", r.ErrorM)
				if v.Final != 0 {
					beyond = r.Beyond.Round(100 * time.Millisecond).String()
				}
			}
		}
		fmt.Fprintln(w, strings.Join([]string{
			r.time().Std().Format("15:04:05"), id, what, by, line, heard, decided, off, beyond, string(r.Result),
		}, "\t"))
	}
	w.Flush() // a Builder takes everything
	fmt.Fprintln(&b, t.Summary())
	return b.String()
}

// Summary is the sums in one line.
func (t *Table) Summary() string {
	var parts []string
	for _, r := range results {
		if n := t.Count[r]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", r, n))
		}
	}
	if n := t.Matched; n > 0 {
		parts = append(parts, fmt.Sprintf("class right %d, coarser %d of %d", t.ClassRight, t.ClassCoarse, n))
	}
	if m, ok := t.ErrorM(0.5); ok {
		parts = append(parts, fmt.Sprintf("error of place p50 %.0f m", m))
	}
	if p50, ok := t.Beyond(0.5); ok {
		p99, _ := t.Beyond(0.99)
		parts = append(parts, fmt.Sprintf("FINAL after the sound p50 %s p99 %s", p50.Round(time.Millisecond), p99.Round(time.Millisecond)))
	}
	return strings.Join(parts, ", ")
}
