package raftnet

import (
	"errors"
	"fmt"
	"sync"

	"github.com/hashicorp/raft"

	"truceline/treaty"
)

// ballots signs this node's votes in elections: for one run of one candidate in a term, ever. Raft keeps a vote of its
// own, but in two writes and without the run; and who is believed here decides who is obeyed, so the record is ours,
// synced before the signature leaves. C.4 rows 1 and 10.
//
// A disk put back from a backup has forgotten votes. It votes again only in a term of which it has seen no leader, so
// the node counts among the f liars for the few seconds of an election; and what a restored candidate orders is under
// another run, so it never contradicts a head it signed before.
type ballots struct {
	signer *treaty.Signer
	store  raft.StableStore

	mu   sync.Mutex
	last treaty.ElectionVote // the latest vote, as on the disk
	led  treaty.ElectionVote // the highest term's leader that showed a certificate to this node
}

var (
	ballotKey = []byte("truceline/election")
	errVoted  = errors.New("voted otherwise in this term, or a later one")
)

func newBallots(signer *treaty.Signer, store raft.StableStore) (*ballots, error) {
	b := &ballots{signer: signer, store: store}
	raw, err := store.Get(ballotKey)
	if err != nil {
		if err.Error() == "not found" { // the text raft prescribes to stores
			return b, nil
		}
		return nil, fmt.Errorf("raft group: this node's last vote: %w", err)
	}
	if err := treaty.Decode(raw, treaty.MaxElection, &b.last); err != nil {
		return nil, fmt.Errorf("raft group: this node's last vote is unreadable; restore the disk or join anew: %w", err)
	}
	return b, nil
}

// sign makes this nation's vote, if it may; the same vote again as often as it is asked for.
func (b *ballots) sign(v treaty.ElectionVote) (treaty.ElectionSig, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if v.Term < b.led.Term || v.Term == b.led.Term && v != b.led {
		return treaty.ElectionSig{}, errVoted
	}
	if v != b.last {
		if v.Term <= b.last.Term {
			return treaty.ElectionSig{}, errVoted
		}
		if err := v.Check(); err != nil {
			return treaty.ElectionSig{}, err
		}
		if err := b.store.Set(ballotKey, treaty.Encode(v)); err != nil {
			return treaty.ElectionSig{}, err
		}
		b.last = v
	}
	return b.signer.SignElection(v)
}

// elected notes a certificate that was verified.
func (b *ballots) elected(v treaty.ElectionVote) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if v.Term > b.led.Term {
		b.led = v
	}
}
