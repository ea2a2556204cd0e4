package tally

import (
	"fmt"
	"strings"

	"truceline/treaty"
)

// summary says a verdict in plain English, in integers only. Likelihood and confidence never share a sentence (ICD
// 203, D.6.e.(2)(b)). other is the verdict of the case that goes on to stand, zero if this one does.
func (s *State) summary(v *treaty.Verdict, other treaty.Hash) string {
	var b strings.Builder
	if v.Exercise {
		b.WriteString("EXERCISE. ")
	}
	where := fmt.Sprintf("%s at %s, %s", words(v.Class.String()), place(v.Position), moment(v.Time))
	nations := fmt.Sprintf("%d of %d nations", len(v.Attesters), s.net.N)
	switch v.Outcome {
	case treaty.Breach:
		fmt.Fprintf(&b, "Breach by %s of clause %s, %s: %s; it is %s (%s) that the accord was broken, say %s.",
			s.party(v.Party), v.Clause, s.clauseText(v.Clause), where, treaty.Likelihood(v.Likelihood), percent(v.Likelihood), nations)
	case treaty.NoBreach:
		fmt.Fprintf(&b, "No breach: %s; it is %s (%s) that the accord was not broken, say %s.",
			where, treaty.Likelihood(v.Likelihood), percent(v.Likelihood), nations)
	default:
		fmt.Fprintf(&b, "Inconclusive: possible %s; %d of %d nations attested", where, s.net.N-len(v.Missing), s.net.N)
		for i, r := range v.Reasons {
			if i == 0 {
				b.WriteString(" (")
			} else {
				b.WriteString(", ")
			}
			b.WriteString(words(r.String()))
		}
		if len(v.Reasons) > 0 {
			b.WriteString(")")
		}
		b.WriteString(".")
	}
	if len(v.Attesters) >= s.net.Q { // else the nations were confident of different things
		fmt.Fprintf(&b, " Confidence is %s.", v.Confidence)
	}
	switch {
	case !other.IsZero():
		fmt.Fprintf(&b, " The earlier verdict %s stands; this does not supersede it.", other.Short())
	case !v.Amends.IsZero():
		b.WriteString(" This supersedes an earlier verdict.")
	}
	return b.String()
}

// party is a side's name and code.
func (s *State) party(p treaty.Party) string {
	for _, q := range s.net.Accord.Parties {
		if q.Code == p {
			return fmt.Sprintf("%s (%s)", q.Name, q.Code)
		}
	}
	return string(p)
}

// clauseText is a clause's words in quotation marks, on one line.
func (s *State) clauseText(id treaty.ClauseID) string {
	k := s.clause(id)
	if k == nil {
		return `""`
	}
	return `"` + strings.TrimSuffix(strings.Join(strings.Fields(k.Text), " "), ".") + `"`
}

// words makes a code such as ROCKET_ARTILLERY readable.
func words(code string) string { return strings.ToLower(strings.ReplaceAll(code, "_", " ")) }

// place is degrees with five decimals, about a metre, cut off rather than rounded.
func place(p treaty.Position) string {
	return degrees(p.LatE7, "N", "S") + " " + degrees(p.LonE7, "E", "W")
}

func degrees(e7 int64, plus, minus string) string {
	side := plus
	if e7 < 0 {
		side, e7 = minus, -e7
	}
	return fmt.Sprintf("%d.%05d %s", e7/1e7, e7%1e7/100, side)
}

// moment is a time in UTC to the second.
func moment(t treaty.Time) string { return t.Std().Format("2006-01-02 15:04:05 UTC") }

// percent is a probability in percent with one decimal, cut off: only a certain thing is 100 %.
func percent(p treaty.PPM) string { return fmt.Sprintf("%d.%d %%", p/10_000, p%10_000/1_000) }
