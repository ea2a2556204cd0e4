// Package evidence is what one node must still know after a crash that the ledger does not hold: the batches behind the
// seals, everything it has signed, what waits for its duty officer, and the operator's notes.
//
// It promises: what a function returned nil for is on disk; a record number is never used for two different records, a
// nation never attests twice to one incident nor calls a breach twice on one detection, not even over a crash at any
// instant; an own batch is not handed out as revealed before Reveal; a value that does not match its key or is not in
// its one encoding is an error, never an answer.
//
// It does not: check signatures or decide what is sealed, revealed or attested; keep what is final (the ledger does);
// share its keys: all of them begin with the byte 'e' of the node's one Pebble database, which the node opens and closes.
//
//	e v                          format version, nation, accord (schema)
//	e b digest                   a batch's bytes
//	e h digest                   window: our own batch, not yet revealed
//	e w window nation digest     empty: batches by time
//	e s seal                     digest, window: which batch a seal commits to
//	e t window seal              empty: seals by time
//	e l                          last number signed, last number final, last window sealed (numbers)
//	e o number                   our record's bytes, until final
//	e a incident                 our attestation's record id
//	e c seal index               first incident of the case in which we called a breach over this detection
//	e r incident                 an attestation that waits for the duty officer (Pending)
//	e n number                   an operator's note (Note)
//
// Numbers in keys are big-endian, so that key order is number order.
package evidence
