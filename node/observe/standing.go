package observe

import "truceline/treaty"

// standing is the verdict that goes on to stand beside an INCONCLUSIVE that superseded nothing, because a finding on the
// same event stood (consensus/tally, decide). Zero for every other verdict.
func (s *Server) standing(v *treaty.Verdict) (id treaty.Hash, err error) {
	if v.Outcome != treaty.Inconclusive || !v.Amends.IsZero() {
		return id, nil
	}
	first, at := v.Incident, uint64(0)
	for { // each incident amends an earlier one, so this ends with the one that the case began with
		i, _, ok := s.cfg.Ledger.Find(first)
		if !ok {
			return id, nil
		}
		r, err := s.record(i)
		if err != nil {
			return id, err
		}
		if at = i; r.Incident == nil || r.Incident.Amends.IsZero() {
			break
		}
		first = r.Incident.Amends
	}
	if first == v.Incident {
		return id, nil
	}
	judged, err := s.rising(key(kindJudged, first[:]), at, s.indexed.Load(), 1)
	if err != nil || len(judged) == 0 {
		return id, err
	}
	entry, err := s.cfg.Ledger.Entry(judged[0])
	if err != nil {
		return id, err
	}
	for id = treaty.HashOf(entry); ; { // each is superseded by a later one
		by, err := s.get(key(kindSupersede, id[:]))
		if err != nil || len(by) != len(id) {
			return id, err
		}
		id = treaty.Hash(by)
	}
}
