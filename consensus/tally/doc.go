// Package tally counts what the nations have signed and says what the accord makes of it: verdicts.
//
// It is a pure function of the ordered records. Apply takes the next record; every node that applies the same records
// in the same order holds the same bytes (State.Encode) and derives the same ledger entries, on every machine. It
// reads no clock (time is what the nations signed), uses integers only, never ranges over a map where the order could
// show, and answers any record, however made, without a panic.
//
// What it promises while at most f of n nations lie (treaty.Faulty):
//
//   - No BREACH and no NO_BREACH without q nations' signed word for it, and no BREACH on evidence that was not sealed
//     by enough nations before it could be copied (count.go).
//   - Ledger time, and the place, time and likelihood of a verdict that a quorum carries, lie within what honest
//     nations said (median.go). Without a quorum the numbers are of whoever has attested, and bind nobody.
//   - No f nations suppress a verdict or undo one: what supersedes a finding is a finding on the same event by q nations
//     (verdict.go, attest.go); nobody can push out another's seals, use up another's quota, or, by leaving records out for
//     less than Policy.SealWait, make another's seals late (seals.go).
//   - One event is not judged twice: a detection carries BREACH attestations of a nation in one case only, an incident
//     and those that amend it, and of a case one verdict stands (uses.go).
//   - Nothing that comes late is excluded: it reopens what was INCONCLUSIVE, or amends (verdict.go).
//   - Nobody is recorded for misbehaviour but by its own signatures, which are checked here (misbehaviour.go).
//
// What it does not do: check a record's own signature (the caller has), decide what is final, or see detections. They are
// in the batches; whether a cited one is real and physically possible is for the attesting nations to judge. In particular,
// in time means in time for the window of the seal: a nation that waits for the others to reveal, and then seals a
// made-up detection in a later window of its own, on time, is not late here. Only a grace longer than the slowest wave
// takes to all sensors, or an attesting nation that looks at what had been revealed by then, keeps that out (docs/TRUST.md).
//
// Bounds, for n nations, horizon H and window W of the accord: per nation (H + heartbeat + 1 min)/W + 2 seals of
// about 200 bytes, MaxProposals incidents with at most n attestations of about 250 bytes each, MaxCited detections of
// about 60 bytes that its incidents and BREACH attestations cite, and MaxMisbehaviour misbehaviours of a kind. So one
// liar of 40 nations can add up to 4,096 x 40 x 250 bytes = 41 MB of others' answers, beside 63 MB of its own citations.
// A nation that goes beyond hurts nobody's records but its own. One Apply costs at most
// MaxCites look-ups of at most n*MaxUses incidents each, or the check of two signatures.
package tally
