// Package testnet runs whole networks on one machine, for people who want to see one and for tests that must.
//
//	Found            the ceremony: keys for n made-up nations, an accord that all of them sign, a folder for each
//	Demo             all nodes in this process, a made-up night on a sped-up sensor clock, the truth beside the verdicts
//	Up, Run, Down    a process for each node; scenarios and real recordings are played into their operators' listeners
//	Evaluate         recordings of a real live-fire test through the real pipeline, scored against the survey
//	Check            what must hold of any set of nodes at the end of any run, real or simulated
//
// It promises: every part of the network is the real one (libp2p, Raft, Pebble with fsync, HTTP); sensors reach a node
// over its operator's listener and verdicts are read from its observers' listener, as everywhere else; every verdict that
// it reports was verified offline, from entry, proof and policy alone.
//
// It does not: decide anything, hold a rule of the treaty, or run under an accord that is not an exercise.
package testnet
