package testnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"truceline/consensus/tally"
	"truceline/treaty"
)

// Chain is one nation's ledger as somebody can see it: from inside the process, or over its observers' listener. Fields
// that may be nil are things that cannot be seen from everywhere; what is there is checked.
type Chain struct {
	Nation treaty.Nation
	// Size is its largest cosigned size; Entries are those below it.
	Size    uint64
	Entries func() iter.Seq2[[]byte, error]
	// Notes are the cosigned checkpoints that it holds, rising by size.
	Notes func() iter.Seq2[[]byte, error]
	// Certificates are the commit certificates that it holds, rising by height; may be nil.
	Certificates func() iter.Seq2[*treaty.Certificate, error]
	// Prove is the entry at an index and its tlog-proof; may be nil.
	Prove func(index uint64, id treaty.Hash) (entry, proof []byte, err error)
	// State is the size at which its tally stands and the encoded state's digest; may be nil.
	State func() (size uint64, digest treaty.Hash, err error)
}

// Inspection is what to check.
type Inspection struct {
	Net    *treaty.Network
	Chains []Chain
	// Acknowledged are records that some node has called FINAL: each must be in the final tree.
	Acknowledged []treaty.Hash
	// Reach is the size that every chain must have: everyone catches up.
	Reach uint64
}

// Check inspects a set of ledgers and returns every violation of what must hold at the end of any run, while at most f
// nations lie:
//
//  1. at most one root is certified and at most one is cosigned for a size, and every chain holds the same entries, so
//     that every checkpoint extends the last (all roots are computed from one list of entries, which is stronger than
//     a consistency proof);
//  2. a fresh tally over the entries derives exactly the verdicts that are among them, and none has fewer than q
//     attestations where it needs them, counted anew;
//  3. nodes at equal height have equal states, equal to the fresh tally's;
//  4. every acknowledged record is in the tree;
//  5. every verdict's proof verifies offline;
//  6. every chain has caught up.
func Check(in Inspection) []string {
	c := &checker{Inspection: in, roots: map[uint64]treaty.Hash{}, states: map[uint64]treaty.Hash{}, index: map[treaty.Hash]uint64{}}
	if len(in.Chains) == 0 {
		return []string{"no ledger to check"}
	}
	c.longest()
	c.gather()
	c.replay()
	for i := range in.Chains {
		c.chain(&in.Chains[i])
	}
	for _, id := range in.Acknowledged {
		if _, ok := c.index[id]; !ok {
			c.bad("record %s was acknowledged as final and is not in the ledger", id.Short())
		}
	}
	return c.violations
}

type checker struct {
	Inspection
	violations []string
	entries    [][]byte               // of the longest chain
	index      map[treaty.Hash]uint64 // of its entries by id
	stored     []tlog.Hash            // its stored hashes
	roots      map[uint64]treaty.Hash // at sizes that somebody certified or cosigned
	states     map[uint64]treaty.Hash // tally at the sizes that State names
	wanted     []uint64               // sizes of states
	verdicts   []uint64               // indexes of verdicts
}

func (c *checker) bad(format string, args ...any) {
	c.violations = append(c.violations, fmt.Sprintf(format, args...))
}

// longest reads the longest chain.
func (c *checker) longest() {
	best := slices.MaxFunc(c.Chains, func(a, b Chain) int { return int(min(max(int64(a.Size)-int64(b.Size), -1), 1)) })
	for e, err := range best.Entries() {
		if err != nil {
			c.bad("%s: its entries cannot be read: %v", best.Nation, err)
			break
		}
		e = bytes.Clone(e)
		c.index[treaty.HashOf(e)] = uint64(len(c.entries))
		hs, err := tlog.StoredHashesForRecordHash(int64(len(c.entries)), tlog.RecordHash(e), c)
		if err != nil {
			c.bad("%s: hash entry %d: %v", best.Nation, len(c.entries), err)
			break
		}
		c.stored = append(c.stored, hs...)
		c.entries = append(c.entries, e)
	}
	if uint64(len(c.entries)) != best.Size {
		c.bad("%s says that %d entries are final and serves %d", best.Nation, best.Size, len(c.entries))
	}
}

// ReadHashes reads the longest chain's stored hashes.
func (c *checker) ReadHashes(at []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(at))
	for i, k := range at {
		if k < 0 || k >= int64(len(c.stored)) {
			return nil, errors.New("no such hash yet")
		}
		out[i] = c.stored[k]
	}
	return out, nil
}

// root is the root that the entries give at a size; false beyond them.
func (c *checker) root(size uint64) (treaty.Hash, bool) {
	if size == 0 || size > uint64(len(c.entries)) {
		return treaty.Hash{}, false
	}
	if r, ok := c.roots[size]; ok {
		return r, true
	}
	h, err := tlog.TreeHash(int64(size), c)
	if err != nil {
		c.bad("the root at size %d cannot be computed: %v", size, err)
		return treaty.Hash{}, false
	}
	c.roots[size] = treaty.Hash(h)
	return c.roots[size], true
}

// gather asks which states are to be compared.
func (c *checker) gather() {
	for _, ch := range c.Chains {
		if ch.State == nil {
			continue
		}
		size, _, err := ch.State()
		if err != nil {
			c.bad("%s: its state cannot be read: %v", ch.Nation, err)
			continue
		}
		c.wanted = append(c.wanted, size)
	}
}

// replay counts everything again: signatures, numbering, derived leaves, quorums.
func (c *checker) replay() {
	c.signatures()
	state := tally.New(c.Net)
	var due [][]byte
	votes := map[treaty.Hash]map[treaty.Nation]treaty.Assessment{} // by incident, of the entries so far
	for i, e := range c.entries {
		if len(due) > 0 {
			if !bytes.Equal(due[0], e) {
				c.bad("entry %d is not the verdict that the tally derives there", i)
			}
			due = due[1:]
			if treaty.IsVerdict(e) {
				c.quorum(uint64(i), e, votes)
				c.verdicts = append(c.verdicts, uint64(i))
			}
		} else if treaty.IsVerdict(e) {
			c.bad("entry %d is a verdict that the tally does not derive", i)
		} else if r, err := treaty.ParseRecord(e); err != nil {
			c.bad("entry %d: %v", i, err)
		} else {
			got := state.Apply(r)
			if !got.Taken {
				c.bad("entry %d, of %s, is one that the tally does not take: %s", i, r.Nation, got.Refused)
			}
			due = got.Derived
			if a := r.Attestation; a != nil {
				if votes[a.Incident] == nil {
					votes[a.Incident] = map[treaty.Nation]treaty.Assessment{}
				}
				if _, twice := votes[a.Incident][r.Nation]; !twice {
					votes[a.Incident][r.Nation] = a.Assessment
				}
			}
		}
		if slices.Contains(c.wanted, uint64(i)+1) {
			c.states[uint64(i)+1] = treaty.HashOf(state.Encode())
		}
	}
	if len(due) > 0 {
		c.bad("the ledger ends before %d verdicts that follow from it", len(due))
	}
}

func (c *checker) signatures() {
	var msgs []*treaty.Signed
	var at []int
	flush := func() {
		for i, err := range c.Net.VerifyAll(msgs) {
			if err != nil {
				c.bad("entry %d: %v", at[i], err)
			}
		}
		msgs, at = msgs[:0], at[:0]
	}
	for i, e := range c.entries {
		if treaty.IsVerdict(e) {
			continue
		}
		r, err := treaty.ParseRecord(e)
		if err != nil {
			continue // replay says so
		}
		if msgs, at = append(msgs, r.Signed), append(at, i); len(msgs) == 1024 {
			flush()
		}
	}
	flush()
}

// quorum counts the distinct nations behind a verdict, without the tally.
func (c *checker) quorum(i uint64, entry []byte, votes map[treaty.Hash]map[treaty.Nation]treaty.Assessment) {
	v, err := c.Net.ParseVerdict(entry)
	if err != nil {
		c.bad("entry %d: %v", i, err)
		return
	}
	if v.Outcome != treaty.Breach && v.Outcome != treaty.NoBreach {
		return
	}
	n := 0
	for _, a := range votes[v.Incident] {
		if a.Finding == v.Outcome && a.Party == v.Party {
			n++
		}
	}
	if n < c.Net.Q {
		c.bad("entry %d: %s %s stands on %d nations, needs %d of %d", i, v.Outcome, v.Party, n, c.Net.Q, c.Net.N)
	}
	if v.Outcome == treaty.Breach && len(v.Independent) < 2 {
		c.bad("entry %d: a breach on the evidence of %d independent nations", i, len(v.Independent))
	}
}

// chain compares one chain with the longest.
func (c *checker) chain(ch *Chain) {
	if ch.Size < c.Reach {
		c.bad("%s has not caught up: %d of %d entries are final there", ch.Nation, ch.Size, c.Reach)
	}
	n := uint64(0)
	for e, err := range ch.Entries() {
		if err != nil {
			c.bad("%s: its entries cannot be read: %v", ch.Nation, err)
			break
		}
		if n >= uint64(len(c.entries)) || !bytes.Equal(e, c.entries[n]) {
			c.bad("%s holds another entry %d than others do", ch.Nation, n)
			break
		}
		n++
	}
	c.notes(ch)
	c.certificates(ch)
	c.proofs(ch)
	if ch.State == nil {
		return
	}
	if size, digest, err := ch.State(); err == nil && size <= uint64(len(c.entries)) && size > 0 && c.states[size] != digest {
		c.bad("%s holds another state at size %d than follows from the ledger", ch.Nation, size)
	}
}

func (c *checker) notes(ch *Chain) {
	policy, err := torchwood.ParsePolicy(c.Net.Policy())
	if err != nil {
		c.bad("the policy cannot be read: %v", err)
		return
	}
	last := uint64(0)
	for note, err := range ch.Notes() {
		if err != nil {
			c.bad("%s: its cosigned checkpoints cannot be read: %v", ch.Nation, err)
			return
		}
		cp, _, err := torchwood.VerifyCheckpoint(note, policy)
		if err != nil {
			c.bad("%s shows a checkpoint that is not cosigned by a quorum: %v", ch.Nation, err)
			continue
		}
		size := uint64(cp.N)
		if root, ok := c.root(size); ok && root != treaty.Hash(cp.Hash) {
			c.bad("two roots are cosigned, or one that its entries do not have: size %d at %s", size, ch.Nation)
		} else if !ok && size > 0 {
			c.bad("%s shows a cosigned checkpoint of size %d, and nobody has the entries", ch.Nation, size)
		}
		if size <= last {
			c.bad("%s shows a checkpoint of size %d after one of %d", ch.Nation, size, last)
		}
		last = size
	}
	if last < ch.Size {
		c.bad("%s calls %d entries final under a checkpoint of size %d", ch.Nation, ch.Size, last)
	}
}

func (c *checker) certificates(ch *Chain) {
	if ch.Certificates == nil {
		return
	}
	height, size := uint64(0), uint64(0)
	for cert, err := range ch.Certificates() {
		if err == nil {
			err = c.Net.VerifyCertificate(cert)
		}
		if err != nil {
			c.bad("%s: a certificate does not hold: %v", ch.Nation, err)
			return
		}
		if cert.Step != treaty.StepCommit {
			c.bad("%s: the certificate of height %d is no commit", ch.Nation, cert.Height)
		}
		if cert.Height <= height || cert.Checkpoint.Size < size {
			c.bad("%s: certificates go back: height %d size %d after height %d size %d", ch.Nation, cert.Height, cert.Checkpoint.Size, height, size)
		}
		height, size = cert.Height, cert.Checkpoint.Size
		if root, ok := c.root(size); ok && root != cert.Checkpoint.Root {
			c.bad("two roots are certified: size %d, height %d at %s", size, height, ch.Nation)
		}
	}
}

func (c *checker) proofs(ch *Chain) {
	if ch.Prove == nil {
		return
	}
	policy := c.Net.Policy()
	for _, i := range c.verdicts {
		if i >= ch.Size {
			continue
		}
		entry, proof, err := ch.Prove(i, treaty.HashOf(c.entries[i]))
		if err == nil && !bytes.Equal(entry, c.entries[i]) {
			err = errors.New("it serves another entry")
		}
		if err == nil {
			_, _, err = treaty.VerifyEntry(entry, proof, policy)
		}
		if err != nil {
			c.bad("%s: the verdict at %d does not prove: %v", ch.Nation, i, err)
		}
	}
}

// HTTPChain is a node's ledger as its observers' listener shows it.
func HTTPChain(ctx context.Context, c *Client) (Chain, error) {
	note, err := c.Checkpoint(ctx)
	if err != nil {
		return Chain{}, err
	}
	text, _, ok := cutNote(note)
	cp, err := torchwood.ParseCheckpoint(text)
	if !ok || err != nil {
		return Chain{}, fmt.Errorf("%s: its checkpoint cannot be read: %w", c.Nation, errors.Join(treaty.ErrMalformed, err))
	}
	size := uint64(cp.N)
	return Chain{
		Nation: c.Nation, Size: size,
		Entries: func() iter.Seq2[[]byte, error] {
			return func(yield func([]byte, error) bool) {
				for from := uint64(0); from < size; from += bundle {
					es, err := c.Entries(ctx, from, min(from+bundle, size), size)
					if err != nil {
						yield(nil, err)
						return
					}
					for _, e := range es {
						if !yield(e, nil) {
							return
						}
					}
				}
			}
		},
		Notes: func() iter.Seq2[[]byte, error] {
			return func(yield func([]byte, error) bool) { yield(note, nil) }
		},
		Prove: func(_ uint64, id treaty.Hash) (entry, proof []byte, err error) { return c.Evidence(ctx, id) },
	}, nil
}

// noBytes is a ledger with nothing final.
func noBytes() iter.Seq2[[]byte, error] { return func(func([]byte, error) bool) {} }
