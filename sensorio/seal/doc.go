// Package seal cuts what a node takes in into windows of ingest time and commits to each window before anybody else may
// see it.
//
// It promises: windows are sealed in rising order, each at most once and never before its end; every detection added
// leaves in exactly one batch, in the order it was added; a batch never exceeds treaty.MaxDetections or treaty.MaxBatch
// (what does not fit moves on to the next window); the same calls give the same seals.
//
// It does no I/O, reads no clock and draws no chance: time, salt and the previous seal's record id are arguments. It
// does not sign, store or send. The caller's order is: keep the batch, synced; make the seal's record and keep it,
// synced; send it; tell sensorio.Intake what was sealed.
package seal
