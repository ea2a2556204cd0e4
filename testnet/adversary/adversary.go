package adversary

import (
	"context"
	"crypto"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"truceline/node"
	"truceline/node/peer"
	"truceline/treaty"
)

// Self is who attacks: a nation with its key, under the accord.
type Self struct {
	Net    *treaty.Network
	Nation treaty.Nation
	Key    crypto.Signer
	Seed   uint64
}

// base behaves: an adversary overrides what it does otherwise.
type base struct {
	Self
	mu  sync.Mutex
	rng *rand.Rand // guarded by mu
}

func newBase(s Self) base { return base{Self: s, rng: rand.New(rand.NewPCG(s.Seed, 21))} }

func (b *base) Author(body treaty.Body) treaty.Body                    { return body }
func (b *base) Out(_ treaty.Nation, _ peer.Class, msg []byte) [][]byte { return [][]byte{msg} }
func (b *base) In(treaty.Nation, peer.Class, []byte) bool              { return true }
func (b *base) Serve(treaty.Nation) bool                               { return true }
func (b *base) Run(context.Context, node.Hands) error                  { return nil }

// intN is below n.
func (b *base) intN(n int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rng.IntN(n)
}

func (b *base) signer() (*treaty.Signer, error) { return treaty.NewSigner(b.Net, b.Nation, b.Key) }

// others are the nations it attacks, rising.
func (b *base) others() (ks []treaty.Nation) {
	for _, k := range b.Net.Nations() {
		if k != b.Nation {
			ks = append(ks, k)
		}
	}
	return ks
}

// noise is n random bytes.
func (b *base) noise(n int) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(b.rng.Uint32())
	}
	return out
}

// every calls act about every d until ctx ends.
func (b *base) every(ctx context.Context, d time.Duration, act func()) error {
	t := time.NewTicker(d)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			act()
		}
	}
}

// All is one node with several behaviours: what one sends passes by the next.
type All []node.Tamper

// Author passes the body on from one to the next.
func (a All) Author(body treaty.Body) treaty.Body {
	for _, t := range a {
		body = t.Author(body)
	}
	return body
}

// Out passes every frame on from one to the next.
func (a All) Out(to treaty.Nation, c peer.Class, msg []byte) [][]byte {
	frames := [][]byte{msg}
	for _, t := range a {
		var next [][]byte
		for _, f := range frames {
			next = append(next, t.Out(to, c, f)...)
		}
		frames = next
	}
	return frames
}

// In shows the frame to all; it is heard when all want that.
func (a All) In(from treaty.Nation, c peer.Class, msg []byte) bool {
	heard := true
	for _, t := range a {
		heard = t.In(from, c, msg) && heard
	}
	return heard
}

// Serve answers when all do.
func (a All) Serve(to treaty.Nation) bool {
	answered := true
	for _, t := range a {
		answered = t.Serve(to) && answered
	}
	return answered
}

// Run runs all.
func (a All) Run(ctx context.Context, h node.Hands) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, t := range a {
		g.Go(func() error { return t.Run(ctx, h) })
	}
	return g.Wait()
}
