// Package peer is the full mesh between the nations of one accord: every node holds a connection to every other, and
// over it one long-lived stream a class and direction, and short-lived streams for requests.
//
// It promises: only the roster's node keys get a connection; every frame is bounded before it is read; a message is
// never handed over as coming from anybody but the nation whose key opened the stream; Send never blocks; a slow or
// broken peer holds up nobody else; everything a peer can make us keep has a limit; what breaks the protocol is counted
// against its nation with the reason. Status tells "cannot dial" from "connected and silent".
//
// It does not: order, verify or understand messages; keep them over a restart; promise delivery. A message may arrive
// twice (when a stream breaks in the middle of a write) or not at all: whoever sends must be able to send again, and
// whoever receives must find repeats harmless. Raft's own streams (consensus/raftnet) share the host and nothing else.
package peer
