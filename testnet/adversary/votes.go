package adversary

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"truceline/consensus/finality"
	"truceline/node"
	"truceline/node/peer"
	"truceline/treaty"
)

// revote signs the vote of a frame once more, for a checkpoint that does not exist. Nil when the frame is no vote.
func (b *base) revote(c peer.Class, frame []byte) []byte {
	if c != peer.Votes || len(frame) < 2 {
		return nil
	}
	o, err := finality.Parse(frame[1:])
	if err != nil || o.Type != treaty.TypeVote || o.Signed.Header.Claims.Issuer != b.Nation {
		return nil
	}
	m, err := o.Finish(b.Net)
	if err != nil {
		return nil
	}
	v := m.Vote.Vote
	v.Checkpoint.Root = treaty.HashOf(append(v.Checkpoint.Root[:], byte(b.Seed)))
	s, err := b.signer()
	if err != nil {
		return nil
	}
	raw, err := s.SignVote(v)
	if err != nil {
		return nil
	}
	return append([]byte{frame[0]}, raw...)
}

// Equivocator signs two votes for every step: one nation in three gets the true one, one the other, one both.
type Equivocator struct {
	base
	said atomic.Int64
}

// NewEquivocator makes one.
func NewEquivocator(s Self) *Equivocator { return &Equivocator{base: newBase(s)} }

// Out doubles or replaces votes.
func (e *Equivocator) Out(to treaty.Nation, c peer.Class, msg []byte) [][]byte {
	other := e.revote(c, msg)
	if other == nil {
		return [][]byte{msg}
	}
	e.said.Add(1)
	switch (slices.Index(e.others(), to) + int(e.Seed%3)) % 3 {
	case 0:
		return [][]byte{msg}
	case 1:
		return [][]byte{other}
	}
	return [][]byte{msg, other}
}

// Said is how many lies it has told: a test that needs them can see that there were any.
func (e *Equivocator) Said() int64 { return e.said.Load() }

// Amnesiac has lost its votes with its power (whoever starts it takes them off its disk). After the start it votes again, differently, where
// it had voted last.
type Amnesiac struct {
	base
	last  []byte // its last vote's frame; guarded by mu, outlives the node
	again atomic.Int64
}

// NewAmnesiac makes one; the same value goes into the node at every start.
func NewAmnesiac(s Self) *Amnesiac { return &Amnesiac{base: newBase(s)} }

// Out remembers its last vote.
func (a *Amnesiac) Out(_ treaty.Nation, c peer.Class, msg []byte) [][]byte {
	if a.revote(c, msg) != nil {
		a.mu.Lock()
		a.last = msg
		a.mu.Unlock()
	}
	return [][]byte{msg}
}

// Run tells everybody the opposite of its last vote of before, until somebody is connected.
func (a *Amnesiac) Run(ctx context.Context, h node.Hands) error {
	a.mu.Lock()
	other := a.revote(peer.Votes, a.last)
	a.mu.Unlock()
	if other == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return a.every(ctx, 100*time.Millisecond, func() {
		for _, k := range a.others() {
			if h.Send(k, peer.Votes, other) {
				a.again.Add(1)
			}
		}
	})
}

// Again is how many second votes it has sent.
func (a *Amnesiac) Again() int64 { return a.again.Load() }
