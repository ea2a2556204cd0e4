package treaty

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"slices"

	voi "github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
)

// Network is an accord made ready for checking: roster, quorum, keys. It is immutable and safe for concurrent use.
//
// Signatures are verified under ZIP-215 rules, one by one and in batches, so that every node gets the same answer
// whichever way it asked.
type Network struct {
	Accord *Accord
	Digest Hash
	N      int // nations
	F      int // that may lie
	Q      int // quorum

	members []*Guarantor
	index   map[Nation]int
	headers map[Nation]map[ContentType][]byte
	// known are the protected headers of everything members sign often, as decoded: nearly every message has one of them.
	// Their key ids are shared and must not be written to.
	known map[string]Header
	// What every cosigned checkpoint needs, made once.
	logKey   ed25519.PrivateKey
	logKeyID uint32
}

// Guarantor is a member with its keys ready for use.
type Guarantor struct {
	Nation Nation
	Name   string
	// Node is the Ed25519 public key of the nation's libp2p identity, Cosign that of its checkpoint cosignatures.
	Node   ed25519.PublicKey
	Cosign ed25519.PublicKey

	treaty   ed25519.PublicKey
	expanded *voi.ExpandedPublicKey
	cosign   *voi.ExpandedPublicKey
	// cosigner and cosignerID are the C2SP name and key id of its cosignatures.
	cosigner   string
	cosignerID uint32
}

// NewNetwork checks an accord and prepares it.
func NewNetwork(a *Accord) (*Network, error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	n := len(a.Members)
	net := &Network{
		Accord: a, Digest: a.Digest(), N: n, F: Faulty(n), Q: Quorum(n),
		index: make(map[Nation]int, n), headers: make(map[Nation]map[ContentType][]byte, n), known: map[string]Header{},
	}
	for i, m := range a.Members {
		g := &Guarantor{
			Nation: m.Nation, Name: m.Name, Node: m.key(RoleNode), Cosign: m.key(RoleCosign), treaty: m.key(RoleTreaty),
		}
		var err error
		if g.expanded, err = voi.NewExpandedPublicKey(voi.PublicKey(g.treaty)); err != nil {
			return nil, fmt.Errorf("%w: accord: treaty key of %s: %v", ErrMalformed, m.Nation, err)
		}
		if g.cosign, err = voi.NewExpandedPublicKey(voi.PublicKey(g.Cosign)); err != nil {
			return nil, fmt.Errorf("%w: accord: cosign key of %s: %v", ErrMalformed, m.Nation, err)
		}
		net.members = append(net.members, g)
		net.index[m.Nation] = i
		hs := map[ContentType][]byte{}
		for _, t := range []ContentType{TypeVote, TypeElection} {
			hs[t] = header(t, m.Nation, net.Digest, a.Epoch, g.treaty)
		}
		net.headers[m.Nation] = hs
		for _, t := range []ContentType{TypeSeal, TypeIncident, TypeAttestation, TypeRemark, TypeStatus, TypeProposal, TypeVote, TypeWish} {
			raw := header(t, m.Nation, net.Digest, a.Epoch, g.treaty)
			var h Header
			if err := Decode(raw, maxHeader, &h); err != nil {
				return nil, fmt.Errorf("header of %s: %w", m.Nation, err)
			}
			net.known[string(raw)] = h
		}
	}
	if err := net.prepareObserver(); err != nil {
		return nil, err
	}
	return net, nil
}

// Members are the guarantors in roster order.
func (n *Network) Members() []*Guarantor { return n.members }

// Member finds a guarantor.
func (n *Network) Member(k Nation) (*Guarantor, bool) {
	i, ok := n.index[k]
	if !ok {
		return nil, false
	}
	return n.members[i], true
}

// Index is a nation's place in the roster, -1 if it has none.
func (n *Network) Index(k Nation) int {
	i, ok := n.index[k]
	if !ok {
		return -1
	}
	return i
}

// Nations is the roster's codes, rising.
func (n *Network) Nations() []Nation {
	ns := make([]Nation, len(n.members))
	for i, m := range n.members {
		ns[i] = m.Nation
	}
	return ns
}

// Missing is the roster without the given nations, rising.
func (n *Network) Missing(have []Nation) []Nation {
	return slices.DeleteFunc(n.Nations(), func(k Nation) bool { return slices.Contains(have, k) })
}

var zip215 = &voi.Options{Verify: voi.VerifyOptionsZIP_215}

// belongs checks everything about a signed message but its signature.
func (n *Network) belongs(s *Signed) (*Guarantor, error) {
	h := s.Header
	if h.Accord != n.Digest || h.Epoch != n.Accord.Epoch {
		return nil, fmt.Errorf("%w: signed under accord %s epoch %d, this is %s epoch %d", ErrWrongAccord,
			h.Accord.Short(), h.Epoch, n.Digest.Short(), n.Accord.Epoch)
	}
	m, ok := n.Member(h.Claims.Issuer)
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrUnknownNation, h.Claims.Issuer)
	}
	if string(h.KeyID) != string(KeyID(m.treaty)) {
		return nil, fmt.Errorf("%w: %s signed with a key that is not its treaty key", ErrBadSignature, m.Nation)
	}
	return m, nil
}

// Verify checks one signed message: accord, epoch, roster, key, signature.
func (n *Network) Verify(s *Signed) error {
	m, err := n.belongs(s)
	if err != nil {
		return err
	}
	if !voi.VerifyExpandedWithOptions(m.expanded, toBeSigned(s.protected, s.Payload), s.sig, zip215) {
		return fmt.Errorf("%w: %s by %s", ErrBadSignature, s.Header.Type, m.Nation)
	}
	return nil
}

// VerifyAll checks many signed messages at once; errs[i] belongs to msgs[i]. The answers are those of Verify.
func (n *Network) VerifyAll(msgs []*Signed) (errs []error) {
	errs = make([]error, len(msgs))
	if len(msgs) < 4 { // a batch of fewer costs more than it saves
		for i, s := range msgs {
			errs[i] = n.Verify(s)
		}
		return errs
	}
	batch := voi.NewBatchVerifierWithCapacity(len(msgs))
	at := make([]int, 0, len(msgs))
	for i, s := range msgs {
		m, err := n.belongs(s)
		if err != nil {
			errs[i] = err
			continue
		}
		batch.AddExpandedWithOptions(m.expanded, toBeSigned(s.protected, s.Payload), s.sig, zip215)
		at = append(at, i)
	}
	if len(at) == 0 {
		return errs
	}
	if ok, each := batch.Verify(rand.Reader); !ok {
		for j, good := range each {
			if !good {
				errs[at[j]] = fmt.Errorf("%w: %s by %s", ErrBadSignature, msgs[at[j]].Header.Type, msgs[at[j]].Header.Claims.Issuer)
			}
		}
	}
	return errs
}
