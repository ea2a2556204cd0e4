// Package model is a small exhaustive model of finality: it visits every state that a stated bound allows and looks for two
// conflicting certificates or two conflicting cosigned checkpoints. It knows nothing of package finality; the tests hold
// the real machine against it. It proves nothing beyond its bound: the argument for all sizes is in docs/TRUST.md.
//
// The bound of every `go test`: n = 4, one liar, two heights, four rounds a height, two values a height; every order, loss, delay
// and repeat of messages, every crash. TestFullBound goes beyond it. The steps of the honest nations are
//
//	wish     give up a round at any moment: vote in no lower one, show the highest prepare certificate committed on
//	prepare  what is proposed: anything in round 0, later what q wishes for the round allow
//	commit   what q nations prepared in a round, once a round
//	settle   what q nations committed in one round: cosign it, and go on to the next height
//
// What is left out, and why no conflict is lost by it:
//
//   - The wire. A statement once made may reach anybody at any later time, or never; a step asks only whether the statements
//     that it needs exist. So each order, loss, delay and repeat of messages is a choice of which step comes next.
//   - What the liar says. It signs every vote for everything and may show it to some and not to others, so it counts wherever
//     it helps. Its wishes carry any certificate that honest prepares and its own suffice for, or none.
//   - Proposers. Whatever some q wishes allow may be proposed to anybody, several things to several nations: each proposer is
//     as bad as a liar. An honest one proposes one of these.
//   - Clocks, statuses, objections, what a nation has applied: they only keep a nation from a step, and here every nation may
//     leave out any step. A nation may hold both values in turn, as it does when Raft rewrites its tentative suffix.
//   - Crashes. What was said had been synced. What a crash loses is what was heard, and to hear is already a choice.
//   - More than two values at one height. No rule looks into a value but for being equal to another. Call all values but one of
//     two that conflict by one name: each step that was possible still is, and the two still conflict.
//   - More of the same: a wish for a round is the same however often it is said, as its certificate can change no more.
//
// Height two starts at a nation when it settled height one, and its values extend what was settled. Two values of one height
// conflict, whether or not one ledger is a prefix of the other: that is the harsher reading.
//
// Weakened rules (type Rules) must lead to a conflict, or the model could not see one.
package model
