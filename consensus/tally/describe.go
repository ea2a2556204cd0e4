package tally

import (
	"fmt"
	"strings"

	"truceline/treaty"
)

// Describe prints the state for people: tests compare it, and an operator can read it. name turns an id into a word;
// nil prints the first 12 characters.
func (s *State) Describe(name func(treaty.Hash) string) string {
	if name == nil {
		name = treaty.Hash.Short
	}
	var b strings.Builder
	fmt.Fprintf(&b, "ledger time %s, %d incidents taken\n", s.LedgerTime(), s.order)
	for i := range s.nations {
		n := &s.nations[i]
		fmt.Fprintf(&b, "%s: record %d, time %s, %d seals kept, %d proposals, %d cited", s.net.Members()[i].Nation, n.seq,
			n.time, len(n.seals), n.proposals, n.cited)
		if n.contradictions > 0 {
			fmt.Fprintf(&b, ", contradicted itself %d times, last %s against %s on %s", n.contradictions,
				name(n.last.Second), name(n.last.First), name(n.last.Incident))
		}
		for _, m := range n.misbehaviour {
			fmt.Fprintf(&b, ", two %s proven in %s", m.Kind, name(m.Record))
		}
		b.WriteString("\n")
	}
	var all []*incident
	for i := range s.nations {
		for _, k := range s.nations[i].cases {
			all = append(all, k.Incidents...)
		}
	}
	sortIncidents(all)
	for _, c := range all {
		fmt.Fprintf(&b, "incident %s by %s, %d detections, deadline %s", name(c.ID), c.Proposer, c.Body.Cites.Len(), c.Deadline)
		if c.amends != nil {
			fmt.Fprintf(&b, ", amends %s", name(c.amends.ID))
		}
		if c.decided() {
			fmt.Fprintf(&b, ", %s in %s", c.Outcome, name(c.Verdict))
			if c.kase.Current != c.Verdict {
				fmt.Fprintf(&b, " (%s stands)", name(c.kase.Current))
			}
		}
		b.WriteString("\n")
		for _, a := range c.Attestations {
			fmt.Fprintf(&b, "  %s %s", a.Nation, a.Finding)
			if a.Finding == treaty.Breach {
				fmt.Fprintf(&b, " by %s of %s", a.Party, a.Clause)
			}
			fmt.Fprintf(&b, ", sealed in time by %s, e=%d\n", s.nationsOf(a.Sealed), a.Resilience)
		}
	}
	return b.String()
}

// DescribeVerdict prints a verdict for people.
func DescribeVerdict(v *treaty.Verdict, name func(treaty.Hash) string) string {
	if name == nil {
		name = treaty.Hash.Short
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s on %s", v.Outcome, name(v.Incident))
	if v.Outcome == treaty.Breach {
		fmt.Fprintf(&b, " by %s of %s", v.Party, v.Clause)
	}
	if !v.Amends.IsZero() {
		fmt.Fprintf(&b, ", supersedes %s", name(v.Amends))
	}
	fmt.Fprintf(&b, "\n  attesters %s, dissents", v.Attesters)
	if len(v.Dissents) == 0 {
		b.WriteString(" []")
	}
	for _, d := range v.Dissents {
		fmt.Fprintf(&b, " %s:%s", d.Nation, d.Finding)
		if d.Party != "" {
			fmt.Fprintf(&b, ":%s", d.Party)
		}
	}
	fmt.Fprintf(&b, ", missing %s\n  independent %s, modalities %v, e=%d, reasons %v\n", v.Missing, v.Independent,
		v.Modalities, v.Resilience, v.Reasons)
	fmt.Fprintf(&b, "  %s at %s, height %d mm, %s, likelihood %d, confidence %s, decided at %s\n  %s\n", v.Class, v.Position,
		v.Position.HAEmm, v.Time, v.Likelihood, v.Confidence, v.LedgerTime, v.Summary)
	return b.String()
}
