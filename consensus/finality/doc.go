// Package finality is the two-round Byzantine agreement on checkpoints of the ledger (design section 7.3).
//
// It is a pure state machine: messages, the passing of time and a read-only view of the ledger go in; what to write
// down, what to say and what was agreed come out. It does no I/O, signs nothing, reads no clock and starts no
// goroutine; the driver (package node) does, in the order in which the effects are listed.
//
// For each height, in rounds 0, 1, 2, ...:
//
//	status    from round 1 on, each nation tells the proposer how far it has applied
//	propose   the proposer names everything it has applied itself (round 0), or what q statuses support
//	prepare   a nation that applied exactly that prefix votes for it, to all
//	commit    with q prepares a nation locks: it writes the prepare certificate down, then votes again, to all
//	certify   q commits of one round are the certificate; it overrides whatever this node holds tentatively
//	cosign    only now the C2SP cosignature is made; q of them are the cosigned checkpoint that observers verify
//	wish      a round that takes too long is given up: a wish for the next one, which carries the highest prepare
//	          certificate its signer knows, joined at f+1, acted on at q
//
// Why no two certificates of one height can conflict while at most f nations lie: let a value v have q commits in
// round r. At least q-f honest nations committed, so they hold a prepare certificate of round r for v, and each of
// them committed before it wished for any later round, because after a wish it votes in no earlier round. A proposal of
// a later round r' carries q wishes for r', and any q nations include one of those honest ones, so the highest prepare
// certificate among the wishes has a round of at least r. Two prepare certificates of one round name one value, since
// two quorums share an honest nation, which prepares once a round. So by induction over the rounds the highest names
// v, and an honest nation prepares nothing else. docs/TRUST.md has the same argument for a sceptic.
//
// Round 0 does without statuses because the order is nearly always one: what the proposer has applied, the others have
// applied too or will in a moment, and their prepares wait for that. A proposer whose order has forked costs one round.
//
// This is PBFT's new-view rule rather than Tendermint's: what frees a nation from its lock is the proof in the
// proposal, not its own memory of it. A locked nation may therefore prepare another value when q wishes prove that
// its own cannot have been certified, and a proposer need not wait for the one nation that is locked.
package finality
