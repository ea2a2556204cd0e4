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
// hold in every run.
//
// Nations are honest unless Options.Hostile gives them a behaviour of testnet/adversary. A hostile nation runs the real
// node too; what must hold in the end is asked of the others, and that none of them is convicted of misbehaviour.
//
// The campaign draws faults and up to f adversaries for each seed:
//
//	go test ./testnet/sim -run TestCampaign -campaign.seeds=1000 -campaign.n=4,5,6,7 -campaign.logs=DIR -timeout 0
//	go test ./testnet/sim -run TestCampaign -campaign.seeds=1 -campaign.seed=17 -v
//
// It is a test and no command of the shipped program, because a bubble needs a testing.T: virtual time cannot be had in
// a program without the test harness.
package sim
