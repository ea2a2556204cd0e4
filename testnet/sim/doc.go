// Package sim runs whole networks in a testing/synctest bubble: real nodes (node.New), real Raft, real libp2p hosts that
// speak QUIC over a simulated wire, Pebble on an in-memory disk that can lose its power. Minutes of network time take
// seconds. It is for tests only; nothing that is shipped imports it.
//
// A World does to a network what the world does: it cuts cables, slows them, takes the power away in the middle of a
// write and gives it back, sets clocks wrong, and plays nights into the sensors. At the end it lets everything heal,
// waits until everybody has caught up, stops the nodes, opens every nation's disk again and holds testnet.Check against
// what is on it: not what a node says, but what it kept.
//
// What it does not do: a run is close to the next one with the same seed, not equal to it (style guide 4.1: Raft's
// timers and the keys of QUIC are not seeded). So nothing here compares a run with a recorded one; what is checked must
// hold in every run. Nations here are honest; they may be cut off, slow, dead, or late.
package sim
