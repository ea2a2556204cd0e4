package adversary

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"truceline/node"
	"truceline/node/peer"
	"truceline/treaty"
)

// maxKept bounds the frames of a class that an adversary keeps.
const maxKept = 256

// kept are frames it has seen, by class; the newest push out any.
type kept map[peer.Class][][]byte

func (b *base) keep(in kept, c peer.Class, msg []byte) {
	at := b.intN(maxKept)
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(in[c]) < maxKept {
		in[c] = append(in[c], msg)
		return
	}
	in[c][at] = msg
}

// any is one of them, nil when there is none.
func (b *base) any(in kept, c peer.Class) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(in[c]) == 0 {
		return nil
	}
	return in[c][b.rng.IntN(len(in[c]))]
}

// Replayer sends old frames of everybody again, and words that it signed under another accord with the same keys.
type Replayer struct {
	base
	seen    kept
	foreign *treaty.Signer
}

// NewReplayer makes one; other is the other accord, of which its nation is a member with the same key.
func NewReplayer(s Self, other *treaty.Network) (*Replayer, error) {
	foreign, err := treaty.NewSigner(other, s.Nation, s.Key)
	return &Replayer{newBase(s), kept{}, foreign}, err
}

// In keeps what it hears.
func (r *Replayer) In(_ treaty.Nation, c peer.Class, msg []byte) bool {
	r.keep(r.seen, c, msg)
	return true
}

// Out keeps what it says.
func (r *Replayer) Out(_ treaty.Nation, c peer.Class, msg []byte) [][]byte {
	r.keep(r.seen, c, msg)
	return [][]byte{msg}
}

// Run repeats. Five of six are frames that were good once; the rest belong to the other accord.
func (r *Replayer) Run(ctx context.Context, h node.Hands) error {
	seq := uint64(0)
	return r.every(ctx, 50*time.Millisecond, func() {
		ks := r.others()
		to, c := ks[r.intN(len(ks))], peer.Classes[r.intN(len(peer.Classes))]
		msg := r.any(r.seen, c)
		if r.intN(6) == 0 {
			seq++
			rec, err := r.foreign.SignRecord(seq, treaty.TimeOf(time.Now()), &treaty.Remark{Text: "from another accord"})
			if err != nil {
				return
			}
			c, msg = peer.Records, rec.Raw()
		}
		if msg != nil {
			h.Send(to, c, msg)
		}
	})
}

// Poisoner sends bytes that are no frames of any class: noise, frames cut short, true frames with one bit changed.
type Poisoner struct {
	base
	seen kept
	sent map[peer.Class]int // guarded by mu
}

// NewPoisoner makes one.
func NewPoisoner(s Self) *Poisoner { return &Poisoner{newBase(s), kept{}, map[peer.Class]int{}} }

// In keeps what it hears, to spoil it.
func (p *Poisoner) In(_ treaty.Nation, c peer.Class, msg []byte) bool {
	p.keep(p.seen, c, msg)
	return true
}

// Run poisons. Its own class of a frame is right half of the time.
func (p *Poisoner) Run(ctx context.Context, h node.Hands) error {
	return p.every(ctx, 200*time.Millisecond, func() {
		c := peer.Classes[p.intN(len(peer.Classes))]
		msg := bytes.Clone(p.any(p.seen, peer.Classes[p.intN(len(peer.Classes))]))
		switch kind := p.intN(3); {
		case len(msg) == 0 || kind == 0:
			msg = p.noise(1 + p.intN(2000))
		case kind == 1:
			msg = msg[:1+p.intN(len(msg))]
		default:
			msg[p.intN(len(msg))] ^= 1 << p.intN(8)
		}
		for _, k := range p.others() {
			if h.Send(k, c, msg) {
				p.mu.Lock()
				p.sent[c]++
				p.mu.Unlock()
			}
		}
	})
}

// Sent is how many frames of a class it has sent.
func (p *Poisoner) Sent(c peer.Class) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent[c]
}

// Flooder fills whatever has room: remarks by the dozen, seals of windows far ahead, frames of noise to everybody.
type Flooder struct {
	base
	until time.Duration // it gives up after so long: what must hold is that nothing is lost, not that it is pleasant
	clock func() treaty.Time
}

// NewFlooder makes one that floods for so long after each start.
func NewFlooder(s Self, until time.Duration, clock func() treaty.Time) *Flooder {
	return &Flooder{newBase(s), until, clock}
}

// Run floods.
func (f *Flooder) Run(ctx context.Context, h node.Hands) error {
	ctx, cancel := context.WithTimeout(ctx, f.until)
	defer cancel()
	text := string(bytes.Repeat([]byte("flood "), 100))
	k := 0
	return f.every(ctx, 200*time.Millisecond, func() {
		for range 4 {
			k++
			_, _ = h.Submit(ctx, &treaty.Remark{Text: fmt.Sprint(k, " ", text)}) // it is not told to stop by errors
		}
		ahead := treaty.WindowOf(f.clock(), time.Duration(f.Net.Accord.Policy.WindowNs)) + treaty.Window(1+f.intN(1000))
		_, _ = h.Submit(ctx, &treaty.Seal{Window: ahead, Count: 1, Digest: treaty.HashOf(f.noise(32))})
		for _, to := range f.others() {
			for _, c := range peer.Classes {
				h.Send(to, c, f.noise(200))
			}
		}
	})
}
