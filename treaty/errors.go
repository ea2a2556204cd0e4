package treaty

import "errors"

// What can be wrong with bytes from outside. Callers add what they were reading; users see the whole chain.
var (
	// ErrMalformed: not the one encoding of a valid value. Refuse it; never repair it.
	ErrMalformed = errors.New("malformed")
	// ErrTooLarge: over a limit of limits.go. Refuse it before parsing more.
	ErrTooLarge = errors.New("too large")
	// ErrWrongAccord: signed under another accord or roster epoch. The peer or file belongs to another network.
	ErrWrongAccord = errors.New("wrong accord")
	// ErrUnknownNation: the signer is not in the roster.
	ErrUnknownNation = errors.New("not in the roster")
	// ErrBadSignature: the signature does not verify under the signer's key.
	ErrBadSignature = errors.New("bad signature")
	// ErrNotFinal: the proof does not lead to a checkpoint that satisfies the policy.
	ErrNotFinal = errors.New("not proven final")
	// ErrNoQuorum: fewer valid signatures than the accord's quorum.
	ErrNoQuorum = errors.New("no quorum")
	// ErrNoConflict: the two statements may both be honest. They are no evidence.
	ErrNoConflict = errors.New("no contradiction")
)
