package tally

import (
	"fmt"

	"truceline/treaty"
)

// checkCases checks what index and the rules rely on.
func (s *State) checkCases() error {
	var all []*incident
	home := map[treaty.Hash]*kase{}
	for i := range s.nations {
		var before uint64
		for _, k := range s.nations[i].cases {
			if k == nil || len(k.Incidents) == 0 || k.Outcome > treaty.Inconclusive ||
				(k.Outcome == 0) != k.Current.IsZero() || k.LastAt < 0 || k.LastAt > maxTime {
				return fmt.Errorf("%w: tally state: a case", treaty.ErrMalformed)
			}
			for j, c := range k.Incidents {
				if c == nil || s.checkIncident(c) != nil || c.Order <= before && j == 0 || j > 0 && k.Incidents[j-1].Order >= c.Order {
					return fmt.Errorf("%w: tally state: an incident", treaty.ErrMalformed)
				}
				if home[c.ID] != nil || (j == 0) != c.Body.Amends.IsZero() || j > 0 && home[c.Body.Amends] != k {
					return fmt.Errorf("%w: tally state: an incident's place", treaty.ErrMalformed)
				}
				home[c.ID] = k
				all = append(all, c)
			}
			first := k.Incidents[0]
			if before = first.Order; first.Proposer != s.net.Members()[i].Nation {
				return fmt.Errorf("%w: tally state: a case under another nation", treaty.ErrMalformed)
			}
		}
	}
	sortIncidents(all)
	for i, c := range all {
		if c.Order == 0 || c.Order > s.order || i > 0 && all[i-1].Order == c.Order {
			return fmt.Errorf("%w: tally state: order of incidents", treaty.ErrMalformed)
		}
	}
	return nil
}

func (s *State) checkIncident(c *incident) error {
	bad := fmt.Errorf("%w: incident", treaty.ErrMalformed)
	if err := c.Body.Check(); err != nil {
		return err
	}
	if c.ID.IsZero() || s.net.Index(c.Proposer) < 0 || c.At < 0 || c.At > maxTime || c.Deadline < 0 ||
		c.Deadline > maxTime.Add(s.net.Accord.Policy.Deadline()) ||
		c.Outcome > treaty.Inconclusive || c.decided() == c.Verdict.IsZero() {
		return bad
	}
	last := -1
	for _, a := range c.Attestations {
		if a == nil {
			return bad
		}
		i := s.net.Index(a.Nation)
		if i <= last || a.Cited == 0 || a.Cited > treaty.MaxCites || a.Position.Check() != nil || !a.Finding.Valid() || !a.Class.Valid() ||
			!a.Confidence.Valid() || a.Likelihood > treaty.Certain || a.Time <= 0 || a.At < 0 || a.Sealed>>uint(s.net.N) != 0 ||
			!namedAll[treaty.Modality](a.Modalities) || !namedAll[treaty.Reason](a.Reasons) {
			return bad
		}
		last = i
	}
	return nil
}

// namedAll says whether a set holds valid values only.
func namedAll[T interface {
	~uint8
	Valid() bool
}](x set) bool {
	for _, i := range x.members() {
		if !T(i).Valid() {
			return false
		}
	}
	return true
}
