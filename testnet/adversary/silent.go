package adversary

import (
	"truceline/node/peer"
	"truceline/treaty"
)

// Silent hears everything and says nothing: no vote, record or batch leaves it. It still answers Raft, so the order
// counts it as up.
type Silent struct{ base }

// NewSilent makes one.
func NewSilent(s Self) *Silent { return &Silent{newBase(s)} }

// Out drops everything.
func (*Silent) Out(treaty.Nation, peer.Class, []byte) [][]byte { return nil }

// Serve answers nobody.
func (*Silent) Serve(treaty.Nation) bool { return false }

// Withholder seals like everybody and shows its batches to at most one nation, so that the others cannot recompute what
// that one may cite.
type Withholder struct {
	base
	friend treaty.Nation // who is shown; empty: nobody
}

// NewWithholder makes one; friend may be empty.
func NewWithholder(s Self, friend treaty.Nation) *Withholder { return &Withholder{newBase(s), friend} }

// Out drops batches.
func (w *Withholder) Out(to treaty.Nation, c peer.Class, msg []byte) [][]byte {
	if c == peer.Evidence && to != w.friend {
		return nil
	}
	return [][]byte{msg}
}

// Serve answers the friend.
func (w *Withholder) Serve(to treaty.Nation) bool { return to == w.friend }
