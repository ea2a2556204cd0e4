package peer

import (
	"time"

	"truceline/treaty"
)

// Class is a kind of traffic with its own stream and queue, so that a large batch of evidence never stands in front of
// a vote.
type Class uint8

// The classes. The number is the frame type on the wire: add at the end only.
const (
	Votes    Class = iota + 1 // finality messages: small, urgent
	Records                   // signed records
	Evidence                  // revealed batches
)

// headroom is what a user of the mesh may put before the treaty's bytes in one message: a kind, an address.
const headroom = 64

// classRule is what the mesh does with one class.
type classRule struct {
	name string
	// limit bounds one message. It is known before a frame is read.
	limit int
	// maxCount and maxBytes bound the outgoing queue to one peer.
	maxCount, maxBytes int
	// dropOldest says what gives way when the queue is full; see the rules.
	dropOldest bool
	// flush is how much is joined in one write.
	flush int
	// patience is how long one write may wait for a peer that does not read.
	patience time.Duration
}

var rules = map[Class]classRule{
	// The newest vote makes the older ones worthless: drop the oldest. Finality asks again by itself.
	Votes: {
		name: "votes", limit: treaty.MaxVote + headroom, maxCount: 1024, maxBytes: 4 << 20, dropOldest: true,
		flush: 256 << 10, patience: 10 * time.Second,
	},
	// Records are numbered and enter the ledger in order: drop the newest, the author sends it again later.
	Records: {
		name: "records", limit: treaty.MaxRecord + headroom, maxCount: 8192, maxBytes: 16 << 20,
		flush: 512 << 10, patience: 20 * time.Second,
	},
	// Whoever misses a batch fetches it by its digest: drop the newest.
	Evidence: {
		name: "evidence", limit: treaty.MaxBatch + headroom, maxCount: 64, maxBytes: 16 << 20,
		flush: 1 << 20, patience: 60 * time.Second,
	},
}

// Classes are all of them, most urgent first.
var Classes = []Class{Votes, Records, Evidence}

// String is the class's name in metrics and logs.
func (c Class) String() string {
	if r, ok := rules[c]; ok {
		return r.name
	}
	return "unknown"
}
