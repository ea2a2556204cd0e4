package node

import (
	"truceline/treaty"
)

// ahead keeps finality messages that are two heights or more beyond this node's. The machine keeps those of the next height
// only, and finality is quick: a node whose process was not scheduled for some milliseconds finds several heights in
// its inbox at once, and without these messages would wait for the repeats, half a round's timeout later. Messages are
// kept unverified under the peer that sent them, so a liar fills no place but its own.
type ahead struct {
	by map[treaty.Nation][]aheadMessage
	at uint64 // the height that ripe has looked at
}

type aheadMessage struct {
	inboxMessage
	height uint64
}

// Bounds of what is kept for one peer: 16 heights of a status, a proposal, two votes and a little more, none of which is
// large in a height's first round. What is beyond is repeated by its sender anyway.
const (
	aheadHeights = 16
	aheadCount   = 6 * aheadHeights
	aheadBytes   = 2 << 10
)

// keep takes a message of some height for later, if it is worth it.
func (a *ahead) keep(m inboxMessage, height, now uint64) {
	if height > now+aheadHeights || len(m.raw) > aheadBytes || len(a.by[m.from]) >= aheadCount {
		return
	}
	if a.by == nil {
		a.by = map[treaty.Nation][]aheadMessage{}
	}
	a.by[m.from] = append(a.by[m.from], aheadMessage{m, height})
}

// ripe returns what the machine will take at this height, by nation in the order of ks, and forgets it.
func (a *ahead) ripe(now uint64, ks []treaty.Nation) (out []inboxMessage) {
	if a.at == now || len(a.by) == 0 {
		return nil
	}
	a.at = now
	for _, k := range ks {
		var rest []aheadMessage
		for _, m := range a.by[k] {
			switch {
			case m.height > now+1:
				rest = append(rest, m)
			case m.height >= now:
				out = append(out, m.inboxMessage)
			}
		}
		if rest == nil {
			delete(a.by, k)
			continue
		}
		a.by[k] = rest
	}
	return out
}
