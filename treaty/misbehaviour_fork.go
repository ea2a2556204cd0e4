package treaty

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Fork is what two cosigned checkpoints of one ledger are to each other.
type Fork struct {
	Origin string
	// Sizes and Roots are those of the smaller checkpoint, then of the larger.
	Sizes [2]uint64
	Roots [2]Hash
	// Conflict says that no ledger has both as prefixes; Consistent, that one does. Neither: that cannot be told from two
	// sizes alone.
	Conflict, Consistent bool
	// Both are the nations whose cosignatures on both hold, by their names in the policy, rising. In a conflict each of
	// them has signed the proof against itself, and they are at least Least = f+1: safety was lost, blame is not.
	Both  []string
	Least int
}

// Names of what is wrong with a checkpoint start with this sentence, so that a person knows which file it was.
var forkFiles = [2]string{"the first checkpoint", "the second checkpoint"}

// CheckFork holds two cosigned checkpoints against each other, offline. Both must satisfy the policy. Of one size they
// conflict when their roots differ. Of two sizes it takes the larger ledger's own word: a consistency proof, its lines
// base64, that begins with the root which the larger tree has at the smaller size (RFC 9162 section 2.1.4). nil: none.
// Errors: ErrMalformed, ErrTooLarge, ErrNotFinal; ErrNoQuorum when a conflict is there and the policy is so weak that
// it names fewer than f+1 nations.
func CheckFork(a, b, policy, proof []byte) (*Fork, error) {
	if len(a) > MaxCheckpointNote || len(b) > MaxCheckpointNote || len(policy) > MaxPolicy || len(proof) > MaxProof {
		return nil, fmt.Errorf("%w: checkpoint, policy or proof file", ErrTooLarge)
	}
	if err := checkPolicy(policy); err != nil {
		return nil, err
	}
	pol, err := torchwood.ParsePolicy(policy)
	if err != nil {
		return nil, fmt.Errorf("%w: policy: %v", ErrMalformed, err)
	}
	witnesses, err := policyWitnesses(policy)
	if err != nil {
		return nil, err
	}
	var cs [2]torchwood.Checkpoint
	var signed [2]map[string]bool
	for i, raw := range [][]byte{a, b} {
		c, n, err := torchwood.VerifyCheckpoint(raw, pol)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %v", ErrNotFinal, forkFiles[i], err)
		}
		if c.Extension != "" || c.N < 1 {
			return nil, fmt.Errorf("%w: %s: no node signs it so", ErrMalformed, forkFiles[i])
		}
		cs[i], signed[i] = c, cosigners(n, witnesses)
	}
	if cs[0].N > cs[1].N {
		cs[0], cs[1] = cs[1], cs[0]
	}
	f := &Fork{
		Origin: cs[0].Origin, Sizes: [2]uint64{uint64(cs[0].N), uint64(cs[1].N)}, Roots: [2]Hash{Hash(cs[0].Hash), Hash(cs[1].Hash)},
		Least: Faulty(len(witnesses)) + 1,
	}
	if cs[0].Origin != cs[1].Origin {
		return nil, fmt.Errorf("%w: checkpoints of two ledgers, %s and %s", ErrMalformed, cs[0].Origin, cs[1].Origin)
	}
	for name := range signed[0] {
		if signed[1][name] {
			f.Both = append(f.Both, name)
		}
	}
	slices.Sort(f.Both)
	switch {
	case cs[0].N == cs[1].N:
		f.Conflict, f.Consistent = f.Roots[0] != f.Roots[1], f.Roots[0] == f.Roots[1]
	case proof != nil:
		root, err := prefixRoot(proof, cs)
		if err != nil {
			return nil, err
		}
		f.Conflict, f.Consistent = root != f.Roots[0], root == f.Roots[0]
	}
	if f.Conflict && len(f.Both) < f.Least {
		return nil, fmt.Errorf("%w: the checkpoints conflict, but this policy asks for so few signers that only %d signed both",
			ErrNoQuorum, len(f.Both))
	}
	return f, nil
}

// policyWitnesses are the verifiers of a policy that was parsed, by the names it gives them.
func policyWitnesses(policy []byte) (map[string]*torchwood.CosignatureVerifier, error) {
	out := map[string]*torchwood.CosignatureVerifier{}
	for line := range strings.SplitSeq(string(policy), "\n") {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "witness" {
			continue
		}
		v, err := torchwood.NewCosignatureVerifier(f[2])
		if err != nil {
			return nil, fmt.Errorf("%w: policy: witness %s: %v", ErrMalformed, f[1], err)
		}
		out[f[1]] = v
	}
	return out, nil
}

// cosigners are the witnesses whose signatures on an opened note hold: note.Open has verified all of Sigs.
func cosigners(n *note.Note, witnesses map[string]*torchwood.CosignatureVerifier) map[string]bool {
	out := map[string]bool{}
	for _, s := range n.Sigs {
		for name, v := range witnesses {
			if s.Name == v.Name() && s.Hash == v.KeyHash() {
				out[name] = true
			}
		}
	}
	return out
}

// prefixRoot reads a consistency proof and is the root that the larger tree has at the smaller size.
func prefixRoot(proof []byte, cs [2]torchwood.Checkpoint) (Hash, error) {
	var hashes []tlog.Hash
	for line := range strings.SplitSeq(strings.TrimSuffix(string(proof), "\n"), "\n") {
		raw, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(raw) != tlog.HashSize || len(hashes) > 64 {
			return Hash{}, fmt.Errorf("%w: the consistency proof has a root and then hashes, base64, one a line", ErrMalformed)
		}
		hashes = append(hashes, tlog.Hash(raw))
	}
	if err := tlog.CheckTree(tlog.TreeProof(hashes[1:]), cs[1].N, cs[1].Hash, cs[0].N, hashes[0]); err != nil {
		return Hash{}, fmt.Errorf("%w: the consistency proof does not lead to the larger checkpoint", errors.Join(ErrMalformed, err))
	}
	return Hash(hashes[0]), nil
}
