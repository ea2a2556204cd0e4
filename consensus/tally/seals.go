package tally

import "truceline/treaty"

// takeSeal takes a seal. It is late when its window was closed before it came: others may have revealed theirs by then.
//
// The chain may go on from the last seal that has effect, or from the last that is a leaf: a node that seals on before it
// knows that one of its seals was rejected loses that one alone.
func (s *State) takeSeal(i int, r *treaty.Record, before, now treaty.Time) (rejected string) {
	n, b, p := &s.nations[i], r.Seal, &s.net.Accord.Policy
	named := n.named
	n.named = r.ID
	if !n.lastSeal.IsZero() && b.Window <= n.lastWindow {
		return RejectedSealOrder
	}
	if b.Prev != n.lastSeal && b.Prev != named {
		return RejectedSealChain
	}
	if b.Window >= treaty.Window(int64(maxTime)/p.WindowNs) || r.Time < b.Window.End(p.Window()) {
		return RejectedSealEarly
	}
	if now > 0 && b.Window.End(p.Window()) > now.Add(p.SealAhead()) {
		return RejectedSealAhead
	}
	n.lastSeal, n.lastWindow = r.ID, b.Window
	if b.Count == 0 {
		return ""
	}
	e := &seal{
		id: r.ID, digest: b.Digest, nation: i, window: b.Window, count: b.Count, at: before, late: b.Window < s.closed,
	}
	n.seals = append(n.seals, e)
	s.seals[e.id] = e
	if len(n.seals) > s.maxSeals() {
		s.dropSeals(n, 1) // beyond the horizon, or ledger time has not begun
	}
	return ""
}

// closeWindows moves on how far windows are closed for everybody: what is sealed for one of these from now on is late, so
// what was sealed for it may be revealed. A window is closed once ledger time has passed its end plus grace
// and every listening nation has sealed it or a later one, after which it cannot seal it any more; or, whoever is missing,
// once ledger time has passed its end plus Policy.SealWait. So a leader that orders a nation's seal late gains nothing
// before that, and a nation that does not seal delays everybody no longer than that.
//
// A nation is listening as long as ledger time has not passed its last seal by a heartbeat and SealWait: who sends
// nothing for so long is not waited for. A window that is closed stays closed, also when such a nation comes back.
func (s *State) closeWindows(now treaty.Time) {
	p := &s.net.Accord.Policy
	closed := s.ended(now.Add(-p.Grace()))
	for i := range s.nations {
		n := &s.nations[i]
		if !n.lastSeal.IsZero() && n.lastWindow.End(p.Window()).Add(p.Heartbeat()+p.SealWait()) >= now {
			closed = min(closed, n.lastWindow+1)
		}
	}
	s.closed = max(s.closed, closed, s.ended(now.Add(-p.SealWait())))
}

// ended is the first window that had not ended before t.
func (s *State) ended(t treaty.Time) treaty.Window {
	return treaty.WindowOf(t-1, s.net.Accord.Policy.Window())
}

// dropSeals forgets a nation's oldest k seals.
func (s *State) dropSeals(n *nation, k int) {
	for j, e := range n.seals[:k] {
		delete(s.seals, e.id)
		n.seals[j] = nil
	}
	n.seals = n.seals[k:]
}

// begin starts what waits for ledger time to begin to run: the deadlines of what was proposed before, and the bound on
// windows ahead of it. A nation whose clock was wrong at the founding loses those seals, and seals again soon.
func (s *State) begin(now treaty.Time) {
	p := &s.net.Accord.Policy
	for _, c := range s.open {
		c.Deadline = now.Add(p.Deadline())
	}
	last := s.ended(now.Add(p.SealAhead()+1)) - 1 // at least one: a heartbeat is no shorter than a window
	for i := range s.nations {
		n := &s.nations[i]
		n.lastWindow = min(n.lastWindow, last)
		for k := len(n.seals); k > 0 && n.seals[k-1].window > last; k-- {
			delete(s.seals, n.seals[k-1].id)
			n.seals[k-1] = nil
			n.seals = n.seals[:k-1]
		}
	}
}
