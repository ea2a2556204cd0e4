package raftnet

import (
	"slices"
	"sync"
	"time"
)

// claims decides when to believe a peer whose answer carries a higher term than the call it answers. C.4 row 5.
//
// Raft believes at once: a leader steps down, a candidate gives up. So one lying member keeps a plain cluster without a
// leader (consensus.md finding 7). Never believing is wrong too: a candidate that raised its term and lost answers
// with that term for ever; it ignores the leader's lower one, and the network has lost an honest member.
//
// The rule: a higher term is believed
//   - when f+1 members claim one now: one of them is honest. Believed is the (f+1)-th highest claim, so that liars
//     cannot raise it beyond what an honest member says;
//   - when one member alone has claimed it for its patience, at most loneJump ahead. Patience starts at two election
//     timeouts and doubles each time, up to an hour, so f liars cost f elections an hour in the long run, and an honest
//     straggler is back after seconds. A day without a lone claim resets it. What was believed stays believed for the
//     first patience: the answer that deposes a leader does not tell raft the term yet, the next pre-vote's does.
//
// Until then the answer is shown to raft as a plain refusal. A leader of a higher term makes itself known by its own
// calls, which this does not touch.
type claims struct {
	faulty int
	first  time.Duration // first patience
	mu     sync.Mutex
	by     map[string]*claim
}

type claim struct {
	term     uint64
	since    time.Time // this claim stands since
	seen     time.Time // and was last repeated
	patience time.Duration
	spent    time.Time // when it was last believed alone,
	believed uint64    // and up to which term
}

const (
	loneJump     = 1 << 10
	maxPatience  = time.Hour
	patienceOver = 24 * time.Hour
)

func newClaims(faulty int, election time.Duration) *claims {
	return &claims{faulty: faulty, first: 2 * election, by: map[string]*claim{}}
}

// judge returns the term to show raft: ours if the claim is not believed. With heard set the claim only counts as
// repeated, and is not believed alone: raft ignores the term in the answer to a heartbeat, so belief, which makes the
// peer wait twice as long the next time, would be spent on nothing.
func (c *claims) judge(peer string, ours, claimed uint64, now time.Time, heard bool) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.by[peer]
	if k == nil {
		k = &claim{patience: c.first}
		c.by[peer] = k
	}
	if claimed > maxTerm {
		claimed = ours // not a claim at all
	}
	if k.patience > c.first && now.Sub(k.spent) > patienceOver {
		k.patience = c.first
	}
	if claimed <= ours {
		k.term = 0
		return ours
	}
	if k.term <= ours || now.Sub(k.seen) > 2*c.first {
		k.since = now
	}
	k.term, k.seen = claimed, now

	var higher []uint64
	for _, o := range c.by {
		if o.term > ours && now.Sub(o.seen) <= 2*c.first {
			higher = append(higher, o.term)
		}
	}
	if len(higher) > c.faulty {
		slices.Sort(higher)
		return higher[len(higher)-1-c.faulty]
	}
	if !heard && now.Sub(k.since) >= k.patience {
		k.since, k.spent, k.believed = now, now, min(claimed, ours+loneJump)
		k.patience = min(2*k.patience, maxPatience)
	}
	if now.Sub(k.spent) <= c.first {
		return max(ours, min(claimed, k.believed))
	}
	return ours
}
