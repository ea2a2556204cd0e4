// Package raftnet orders entries among the guarantors: hashicorp/raft over libp2p streams whose peer identity every
// remote procedure call is bound to.
//
// It promises: an Applier gets committed entries once each, in order, between a Restore and the next; a peer speaks
// only in its own name; every frame, queue and wait has a bound; what a peer sends that is not allowed is refused before
// raft sees it and counted by peer and reason.
//
// It does not: protect against a lying leader or majority. Raft's "committed" means ORDERED here, nothing more. Finality
// comes from signatures (consensus/finality), and the node throws away what raft told it when a certificate disagrees.
// guard.go lists every known attack on raft and where it is answered.
//
// The way of a call: Group (group.go) runs raft; raft calls Transport (transport.go); a link (link.go) keeps one stream
// per peer and class and matches answers to calls; serve.go answers on the other side; frame.go and codec.go are the
// bytes; nudge.go tells followers of a commit at once.
//
// The way of a leader: poll.go holds the votes back until q nations have signed for it (ballots.go); the certificate goes
// first on each of its streams (tenure.go), its followers check it (guard.go) and what it signs with every order it sends
// (orders.go), and show each other what they hold (exchange.go), so that two orders become evidence.
package raftnet
