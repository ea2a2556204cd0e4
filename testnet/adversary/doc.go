// Package adversary is the hostile nations of exercises: nodes that run the real code (node.New) with one behaviour
// changed through node.Config.Tamper. A behaviour has its nation's keys and nothing more: it signs what it likes as that
// nation, and says, hides, repeats and invents what it likes on its own wire. Behaviours compose with All; the choices
// of each follow its seed.
//
// Lies of sensors need no hostile node and so are none of these: they go in where sensors do. Attacks on Raft itself go
// past this wire and are tested in consensus/raftnet.
package adversary
