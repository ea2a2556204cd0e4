package adversary

import (
	"bytes"
	"context"
	"sync/atomic"

	"truceline/node"
	"truceline/node/peer"
	"truceline/sensorio/ndjson"
	"truceline/treaty"
)

// Copycat puts the digests that it sees others seal into its own seals, without knowing what is behind them.
type Copycat struct {
	base
	seen   *treaty.Seal // the last one with something in it; guarded by mu
	copied atomic.Int64
}

// NewCopycat makes one.
func NewCopycat(s Self) *Copycat { return &Copycat{base: newBase(s)} }

// Author puts a copied digest into its own seals.
func (c *Copycat) Author(body treaty.Body) treaty.Body {
	s, ok := body.(*treaty.Seal)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !ok || c.seen == nil {
		return body
	}
	mine := *s
	mine.Digest, mine.Count = c.seen.Digest, c.seen.Count
	c.seen = nil
	c.copied.Add(1)
	return &mine
}

// In looks for seals of others.
func (c *Copycat) In(_ treaty.Nation, class peer.Class, msg []byte) bool {
	if class != peer.Records {
		return true
	}
	if r, err := treaty.ParseRecord(msg); err == nil && r.Seal != nil && r.Seal.Count > 0 && r.Nation != c.Nation {
		c.mu.Lock()
		c.seen = r.Seal
		c.mu.Unlock()
	}
	return true
}

// Copied is how many of its seals are copies.
func (c *Copycat) Copied() int64 { return c.copied.Load() }

// Plagiarist reports the detections that others reveal as those of its own sensors, as soon as it can.
type Plagiarist struct {
	base
	post   func(ndjson []byte) // its sensors' way into its node
	stolen chan []byte
	copied atomic.Int64
}

// NewPlagiarist makes one; post hands lines to its node as a sensor does.
func NewPlagiarist(s Self, post func([]byte)) *Plagiarist {
	return &Plagiarist{base: newBase(s), post: post, stolen: make(chan []byte, 256)}
}

// In takes batches of others to be posted by Run. The ids of sensors are each nation's own, so they can stay.
func (p *Plagiarist) In(_ treaty.Nation, class peer.Class, msg []byte) bool {
	if class != peer.Evidence {
		return true
	}
	b, err := treaty.DecodeBatch(msg)
	if err != nil || b.Nation == p.Nation {
		return true
	}
	var lines bytes.Buffer
	for i := range b.Detections {
		if line, err := ndjson.Encode(&b.Detections[i]); err == nil {
			lines.Write(append(line, '\n'))
		}
	}
	select {
	case p.stolen <- lines.Bytes():
	default: // it has enough
	}
	return true
}

// Run reports what was stolen.
func (p *Plagiarist) Run(ctx context.Context, _ node.Hands) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case lines := <-p.stolen:
			p.post(lines)
			p.copied.Add(1)
		}
	}
}

// Copied is how many batches it has reported again.
func (p *Plagiarist) Copied() int64 { return p.copied.Load() }
