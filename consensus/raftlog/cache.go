package raftlog

import "github.com/hashicorp/raft"

const (
	cacheEntries = 4_096
	// cacheBytes bounds the data the cache holds on to: 64 of the largest entries.
	cacheBytes = 32 << 20
)

// cache holds the newest entries: followers are sent what was just written, and raft reads every entry back once to
// apply it. The entries from..to are held, without gaps; from > to means none.
type cache struct {
	ring     []raft.Log
	from, to uint64
	bytes    int
}

func newCache() cache { return cache{ring: make([]raft.Log, cacheEntries), from: 1} }

func (c *cache) reset() {
	clear(c.ring)
	c.from, c.to, c.bytes = 1, 0, 0
}

func (c *cache) slot(i uint64) *raft.Log { return &c.ring[i%cacheEntries] }

func (c *cache) get(i uint64) (raft.Log, bool) {
	if i < c.from || i > c.to {
		return raft.Log{}, false
	}
	return *c.slot(i), true
}

func (c *cache) evictFirst() {
	c.bytes -= len(c.slot(c.from).Data)
	*c.slot(c.from) = raft.Log{}
	c.from++
}

// add appends the entry behind the last one held; one that does not follow it starts the cache anew.
func (c *cache) add(l *raft.Log) {
	if c.from > c.to || l.Index != c.to+1 {
		c.reset()
		c.from = l.Index
	}
	for c.to >= c.from && l.Index-c.from >= cacheEntries {
		c.evictFirst()
	}
	*c.slot(l.Index) = raft.Log{Index: l.Index, Term: l.Term, Type: l.Type, Data: l.Data}
	c.to = l.Index
	c.bytes += len(l.Data)
	for c.bytes > cacheBytes && c.from < c.to {
		c.evictFirst()
	}
}

// keep forgets everything outside of from..to.
func (c *cache) keep(from, to uint64) {
	for c.from <= c.to && c.from < from {
		c.evictFirst()
	}
	for c.from <= c.to && c.to > to {
		c.bytes -= len(c.slot(c.to).Data)
		*c.slot(c.to) = raft.Log{}
		c.to--
	}
	if c.from > c.to {
		c.reset()
	}
}
