package seal

import (
	"errors"
	"fmt"
	"slices"

	"truceline/treaty"
)

// Config is what a Sealer needs.
type Config struct {
	// Accord is the accord's digest, bound into every batch.
	Accord treaty.Hash
	Nation treaty.Nation
	Policy treaty.Policy
	// Last is the window of this nation's last seal, however it ended up in the ledger; 0 when it has never sealed.
	// A node that has forgotten it would seal a window twice, and the ledger would refuse the second.
	Last treaty.Window
}

// Validate reports all problems.
func (c Config) Validate() error {
	var errs []error
	if c.Accord.IsZero() {
		errs = append(errs, errors.New("seal: no accord digest"))
	}
	if !c.Nation.Valid() {
		errs = append(errs, fmt.Errorf("seal: nation %q is not three capital letters", c.Nation))
	}
	if c.Policy.WindowNs <= 0 {
		errs = append(errs, fmt.Errorf("seal: the policy's window is %d ns, must be more than 0", c.Policy.WindowNs))
	}
	if c.Policy.HeartbeatNs < c.Policy.WindowNs {
		errs = append(errs, fmt.Errorf("seal: the policy's heartbeat of %d ns is shorter than its window", c.Policy.HeartbeatNs))
	}
	return errors.Join(errs...)
}

// Sealer holds what has been taken in and not sealed yet. One goroutine owns it.
type Sealer struct {
	cfg        Config
	last       treaty.Window
	pending    []item          // by window, not falling
	asked      []treaty.Window // windows that others have sealed with detections and we have not; rising
	unrevealed bool
}

// item is a detection that waits for its window to end.
type item struct {
	window treaty.Window
	size   int
	d      treaty.Detection
}

// maxAsked bounds the windows that others may ask us to close. The lowest are kept: a peer that names windows of the far
// future only displaces its own.
const maxAsked = 64

// batchOverhead is what a batch takes beside its detections: accord and salt (34 bytes each and a key), nation 5,
// window 10, the list's head 6, with room.
const batchOverhead = 128

// New makes a Sealer that goes on after window cfg.Last.
func New(cfg Config) (*Sealer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Sealer{cfg: cfg, last: cfg.Last}, nil
}

// Closed is one window's seal, and its batch when there were detections.
type Closed struct {
	// Batch has no detections when Seal.Count is 0: then there is nothing to keep or to reveal.
	Batch treaty.Batch
	Seal  treaty.Seal
}

// Add takes detections that arrived at now. They belong to the window in which they arrive, whatever their own time: what
// comes late is evidence of the window it came in. The caller has checked each one (treaty.Detection.Check).
func (s *Sealer) Add(now treaty.Time, ds ...treaty.Detection) {
	// A clock that was set back must not reopen a sealed window, nor put a detection before an earlier one.
	w := max(treaty.WindowOf(now, s.cfg.Policy.Window()), s.last+1)
	if n := len(s.pending); n > 0 {
		w = max(w, s.pending[n-1].window)
	}
	for _, d := range ds {
		s.pending = append(s.pending, item{window: w, size: len(treaty.Encode(&d)), d: d})
	}
}

// CloseFor notes that somebody sealed window k with detections: we seal it too, empty if need be, so that "I heard
// nothing" is a commitment and ledger time moves with the traffic.
func (s *Sealer) CloseFor(k treaty.Window) {
	if k <= s.last {
		return
	}
	i, found := slices.BinarySearch(s.asked, k)
	if found {
		return
	}
	s.asked = slices.Insert(s.asked, i, k)
	if len(s.asked) > maxAsked {
		s.asked = s.asked[:maxAsked]
	}
}

// Unrevealed says whether some window is sealed and not revealed yet. As long as one is, every window is sealed: ledger
// time must move on before anything may be revealed.
func (s *Sealer) Unrevealed(yes bool) { s.unrevealed = yes }

// Pending is the number of detections that wait to be sealed.
func (s *Sealer) Pending() int { return len(s.pending) }

// Last is the window sealed last, 0 for none.
func (s *Sealer) Last() treaty.Window { return s.last }

// Due says whether Close has something to close now.
func (s *Sealer) Due(now treaty.Time) bool {
	_, ok := s.next(now)
	return ok
}

// Next is when Due may next become true without another call: now, or the end of a window.
func (s *Sealer) Next(now treaty.Time) treaty.Time {
	if s.Due(now) {
		return now
	}
	w := s.cfg.Policy.Window()
	at := max(s.last.End(w).Add(s.cfg.Policy.Heartbeat()), (s.last + 1).End(w))
	if len(s.pending) > 0 {
		at = min(at, s.pending[0].window.End(w))
	}
	if len(s.asked) > 0 {
		at = min(at, s.asked[0].End(w))
	}
	if s.unrevealed {
		at = min(at, max(treaty.WindowOf(now, w), s.last+1).End(w))
	}
	return at
}

// next is the window to close now.
func (s *Sealer) next(now treaty.Time) (k treaty.Window, ok bool) {
	w := s.cfg.Policy.Window()
	current := treaty.WindowOf(now, w)
	if current == 0 {
		return 0, false
	}
	ended := current - 1 // the latest window that has ended
	if ended <= s.last {
		return 0, false
	}
	for _, a := range s.asked {
		if a <= ended {
			k, ok = a, true
		}
	}
	if s.unrevealed || now >= s.last.End(w).Add(s.cfg.Policy.Heartbeat()) || s.last == 0 {
		k, ok = ended, true
	}
	if len(s.pending) > 0 && s.pending[0].window <= ended && (!ok || s.pending[0].window <= k) {
		// Detections go in the order of their windows, and before any later empty window.
		k, ok = s.pending[0].window, true
	}
	return k, ok
}

// Close seals the window that is due, with salt fresh from crypto/rand and prev the record id of this nation's previous
// seal. It answers false when nothing is due. What it returns has left the Sealer: keep it before doing anything else.
func (s *Sealer) Close(now treaty.Time, prev, salt treaty.Hash) (c Closed, ok bool) {
	k, ok := s.next(now)
	if !ok {
		return Closed{}, false
	}
	n, size := 0, batchOverhead
	for n < len(s.pending) && s.pending[n].window <= k && n < treaty.MaxDetections && size+s.pending[n].size <= treaty.MaxBatch {
		size += s.pending[n].size
		n++
	}
	c.Seal = treaty.Seal{Window: k, Prev: prev, Count: uint32(n)}
	c.Batch = treaty.Batch{Accord: s.cfg.Accord, Nation: s.cfg.Nation, Window: k, Salt: salt}
	if n > 0 {
		c.Batch.Detections = make([]treaty.Detection, n)
		for i := range n {
			c.Batch.Detections[i] = s.pending[i].d
		}
		c.Seal.Digest = c.Batch.Digest()
	}
	s.pending = slices.Delete(s.pending, 0, n)
	for i := range s.pending {
		if s.pending[i].window > k {
			break
		}
		s.pending[i].window = k + 1 // did not fit
	}
	s.last = k
	s.asked = slices.DeleteFunc(s.asked, func(a treaty.Window) bool { return a <= k })
	return c, true
}
