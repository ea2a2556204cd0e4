// Package treaty holds the nouns that all guarantor nations must agree on, their one encoding, and the checks that
// anyone can repeat with the accord alone. It does no I/O, reads no clock and keeps no state.
//
// In the order of the flow (docs/ARCHITECTURE.md):
//
//	Accord       the signed agreement: roster, parties, line, zones, clauses, policy. Its digest is the network
//	Detection    one measurement by one sensor, in sensor space
//	Batch, Seal  what a node took in during one window; the commitment to it that is ordered before anyone may see it
//	Incident     detections that somebody proposes as one event to be judged
//	Assessment   what one nation's own computation says about it
//	Attestation  that assessment, signed
//	Verdict      the result of counting attestations under the accord
//	Record       anything signed that enters the ledger
//	Checkpoint   size and root of the ledger, and its place in the order
//	Certificate  q commit votes of one round for one checkpoint
//
// Signed bytes are deterministic CBOR (RFC 8949 section 4.2.1) of integers, text and byte strings in COSE_Sign1
// (RFC 9052); treaty.cddl describes them. A decoder decodes, re-encodes and compares: there is one encoding of a
// value, and every other is refused. The stored bytes are what is hashed; nobody re-encodes them later.
//
// Version rule: a change to any bytes takes a new content type version and keeps the old golden vector.
package treaty
