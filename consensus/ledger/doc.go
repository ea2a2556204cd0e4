// Package ledger is the Merkle log of a node (design section 7.2): the records the nations signed and the leaves the
// tally derived from them, in one order, under one root.
//
// It has two layers. The final layer lies in Pebble: entries, Merkle hashes (the stored hashes of
// golang.org/x/mod/sumdb/tlog), certificates, cosigned checkpoints, and now and then a mark, which is the tally's whole
// state. The tentative layer lies in memory: what Raft has applied and finality has not reached. It may be thrown away at
// any moment and made again by applying the same Raft entries to the last certificate.
//
// What it promises:
//
//   - Write before you speak: nothing is final before the batch that holds it was synced. Stage fills a batch, the caller
//     commits it with Sync, Done moves the final pointer. After a crash the ledger opens at the certificate before or at
//     the one after, never between: everything of one certificate is in one batch.
//   - Open adds the store up before anything is served from it: certificate, root, the leaves since the last mark, and
//     every leaf that the tally derived among them.
//   - Entries fetched from a peer are believed only when replaying them through the tally gives every derived leaf and
//     the certified root (Graft).
//   - A certificate that contradicts what is final is never taken; it is reported as ErrConflict, because more than f
//     nations must have lied for it to exist.
//   - Nothing is proved, and no tile is served, beyond the cosigned size (design section 1: FINAL).
//
// What it does not do: it agrees on nothing (package finality does), counts nothing (the tally does, behind Machine), and
// verifies no signatures of applied records (who hands it a Raft entry has done so). It starts no goroutine and reads no clock.
//
// The stored keys, all behind Config.Prefix; numbers are 8 bytes, big-endian:
//
//	e n       entry n, as it was signed or derived
//	h n       the stored hashes that entry n completes, 32 bytes each, lowest level first
//	i id      n of the entry whose SHA-256 is id
//	c height  certificate, CBOR
//	f         version, last height and ledger time at it, CBOR: the final pointer
//	m         tally state: SHA-256 of the rest, size, Machine.Encode
//	k size    cosigned checkpoint note
//	z         size of the last cosigned checkpoint
package ledger
