// Package depose decides when the nations take the order away from a leader that leaves records out, stands still or
// stays too long (design 7.4, consensus.md C.5). It is a pure state machine: no I/O, and its time is passed in.
//
// It promises, while at most f nations lie:
//   - f liars never depose an honest leader that orders what it is handed within the Complain time: a node complains of
//     its own grievance only, or joins f+1 nations, of whom one is honest; and nobody acts on fewer than q.
//   - what one honest node acts on, every honest node acts on: among q complaints are at least f+1 of honest nations, and
//     those make every honest nation join.
//   - a leader that leaves a record out that all honest nations hold is deposed within Complain of leading. Its time
//     is kept for the identity and not for the term, so leaders that hand the order to each other in time gain nothing.
//   - no more than f nations are shut out at a time, each for a while.
//
// It does not accuse: a complaint may be due to a bad line. Nothing here reaches the ledger.
package depose
