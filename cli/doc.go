// Package cli is the program truceline as a person or a script meets it: commands that fill Config structs, call the
// rooms below, and show what came back.
//
//	demo, testnet  whole networks on one machine, to see or to try things on (package testnet)
//	keys, accord   the ceremony that founds a network, from files alone
//	node           one nation's node: its folder, its life, its duty officer's decisions
//	verdict        what is FINAL, from any node; and its proof, checked from three files with no node at all
//	sensor         input files: what is wrong with them, what they say, playing them to a node
//
// It promises: answers go to standard output and everything else to standard error; every command that answers
// something takes --json; colour and moving displays only on a terminal; keys and documents are never overwritten; what
// comes from files and from the network is bounded before it is read, and printed without its control characters; an
// error says what to do. Flags may stand before or after the other arguments.
//
// Exit codes:
//
//	0    done, or: yes, it holds
//	1    the answer is no: a proof fails, an accord is not signed by all, a file has problems, a node reports a problem or
//	     stopped for one
//	2    wrong usage, or a file that cannot be read or is refused: nothing was done
//	3    the node asked cannot be reached, or answers with an error
//	130  interrupted
//
// It holds no rule of the treaty: whatever decides something lives in the rooms below, where it is tested.
package cli
