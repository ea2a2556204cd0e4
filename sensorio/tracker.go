package sensorio

import (
	"slices"

	"truceline/sensorio/rawlog"
	"truceline/treaty"
)

// tracker knows which messages of the raw log still have detections that are not sealed. It makes the checkpoint.
type tracker struct {
	open  []*message // in the order of the log
	byID  map[treaty.Hash]*message
	done  map[treaty.Hash]bool // sealed before a crash, and not met again yet
	limit int                  // bound of done
	// recovering: messages from before the start are still being read.
	recovering bool
	end        rawlog.Position // everything before it has been looked at
}

// message is one message with detections that wait.
type message struct {
	pos     rawlog.Position
	waiting int
	sealed  []treaty.Hash
}

func newTracker(limit int) *tracker {
	return &tracker{byID: map[treaty.Hash]*message{}, done: map[treaty.Hash]bool{}, limit: limit}
}

// took notes the detections of the message at pos: those that wait, and those that were sealed before a crash.
func (t *tracker) took(pos, end rawlog.Position, ids, already []treaty.Hash) {
	t.end = end
	for _, id := range already {
		delete(t.done, id)
	}
	if len(ids) == 0 && (len(already) == 0 || len(t.open) == 0) {
		return
	}
	m := &message{pos: pos, waiting: len(ids), sealed: already}
	t.open = append(t.open, m)
	for _, id := range ids {
		t.byID[id] = m
	}
}

// wasSealed says whether a detection that is decoded again after a crash is sealed already.
func (t *tracker) wasSealed(id treaty.Hash) bool { return t.done[id] }

// sealed notes that detections are in a kept batch.
func (t *tracker) sealed(ids []treaty.Hash) {
	for _, id := range ids {
		m := t.byID[id]
		if m == nil {
			// After the start there is nothing to be met again: it came past the raw log (a simulation's input).
			if t.recovering && len(t.done) < t.limit {
				t.done[id] = true
			}
			continue
		}
		delete(t.byID, id)
		m.waiting--
		m.sealed = append(m.sealed, id)
	}
	n := 0
	for n < len(t.open) && t.open[n].waiting == 0 {
		n++
	}
	t.open = append(t.open[:0], t.open[n:]...)
}

// has says whether a detection waits to be sealed.
func (t *tracker) has(id treaty.Hash) bool { return t.byID[id] != nil }

// pending is how many detections are handed over and not sealed.
func (t *tracker) pending() int { return len(t.byID) }

// checkpoint says how far everything is sealed.
func (t *tracker) checkpoint(u *dedupe) rawlog.Checkpoint {
	c := rawlog.Checkpoint{Sealed: t.end}
	if len(t.open) > 0 {
		c.Sealed = t.open[0].pos
	}
	for _, m := range t.open {
		c.Done = append(c.Done, m.sealed...)
	}
	for id := range t.done {
		c.Done = append(c.Done, id)
	}
	slices.SortFunc(c.Done, treaty.CompareHash)
	c.Done = slices.Compact(c.Done)
	c.Recent = min(u.oldest(c.Sealed), c.Sealed)
	return c
}
