package sensorio

import (
	"time"

	"truceline/sensorio/rawlog"
	"truceline/treaty"
)

// maxRecent bounds how many detections a duplicate is recognised by, whatever the window: 65,536 of 32 bytes and their
// list entries are 5 MiB, and decoding them again at start takes about a second.
const maxRecent = 1 << 16

// dedupe recognises a detection that comes again within a window of arrival times. It follows from the raw log alone, so
// it is rebuilt by reading the log from the oldest entry it still held.
type dedupe struct {
	window time.Duration
	seen   map[treaty.Hash]bool
	order  []recent // by arrival in the log
	head   int
}

type recent struct {
	key  treaty.Hash
	recv treaty.Time
	pos  rawlog.Position
}

func newDedupe(window time.Duration) *dedupe {
	return &dedupe{window: window, seen: map[treaty.Hash]bool{}}
}

// keyOf is what makes two detections the same: the sensor's own id of it where it has one, else all of its content but
// the digest of the bytes that carried it.
func keyOf(d *treaty.Detection) treaty.Hash {
	if d.NativeID != "" {
		return treaty.HashOf([]byte("native\x00" + string(d.Sensor) + "\x00" + d.NativeID))
	}
	c := *d
	c.Raw = treaty.Hash{}
	return c.ID()
}

// again says whether d came before, and remembers it.
func (u *dedupe) again(d *treaty.Detection, recv treaty.Time, pos rawlog.Position) bool {
	for u.head < len(u.order) && (recv.Sub(u.order[u.head].recv) > u.window || len(u.order)-u.head >= maxRecent) {
		delete(u.seen, u.order[u.head].key)
		u.head++
	}
	if u.head > len(u.order)/2 && u.head > 1024 {
		u.order = append(u.order[:0], u.order[u.head:]...)
		u.head = 0
	}
	key := keyOf(d)
	if u.seen[key] {
		return true
	}
	u.seen[key] = true
	u.order = append(u.order, recent{key, recv, pos})
	return false
}

// oldest is the position of the oldest detection still remembered, or end when there is none.
func (u *dedupe) oldest(end rawlog.Position) rawlog.Position {
	if u.head < len(u.order) {
		return u.order[u.head].pos
	}
	return end
}
