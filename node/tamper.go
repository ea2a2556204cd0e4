package node

import (
	"context"

	"truceline/node/peer"
	"truceline/treaty"
)

// Tamper makes this node hostile: it stands between the real code and the wire. It exists for exercises of the network's
// defences (testnet/adversary); Validate refuses it under any accord that is not an exercise. A Tamper has no more power
// than a nation has that changed its node: its own keys, its own words, its own wire.
type Tamper interface {
	// Author sees what the pipeline is about to sign (seals, incidents, attestations) and returns what is signed instead.
	Author(treaty.Body) treaty.Body
	// Out sees a frame that leaves for one nation and returns the frames that leave instead; they must be new or msg.
	Out(to treaty.Nation, c peer.Class, msg []byte) [][]byte
	// In sees a frame that arrives and says whether this node hears it.
	In(from treaty.Nation, c peer.Class, msg []byte) bool
	// Serve says whether a nation that asks for a batch is answered.
	Serve(to treaty.Nation) bool
	// Run acts without being asked, until ctx ends.
	Run(context.Context, Hands) error
}

// Hands are what a Tamper may do on its own account. Send passes by Out.
type Hands struct {
	Send   func(to treaty.Nation, c peer.Class, msg []byte) bool
	Submit func(context.Context, treaty.Body) (*treaty.Record, error)
}

// send sends to one nation, or to all when to is empty.
func (n *Node) send(to treaty.Nation, c peer.Class, msg []byte) {
	switch {
	case n.cfg.Tamper == nil && to == "":
		n.mesh.Broadcast(c, msg)
	case n.cfg.Tamper == nil:
		n.mesh.Send(to, c, msg)
	case to == "":
		for _, k := range n.cfg.Net.Nations() {
			if k != n.cfg.Nation {
				n.send(k, c, msg)
			}
		}
	default:
		for _, m := range n.cfg.Tamper.Out(to, c, msg) {
			n.mesh.Send(to, c, m)
		}
	}
}

// submit makes a record of the pipeline.
func (n *Node) submit(ctx context.Context, body treaty.Body) (*treaty.Record, error) {
	if n.cfg.Tamper != nil {
		body = n.cfg.Tamper.Author(body)
	}
	return n.author.Submit(ctx, body)
}
