package finality

import (
	"fmt"

	"truceline/treaty"
)

// Message is one verified message of the protocol. Exactly one field beside From is set. A certificate and a
// cosignature prove themselves, so From is then only who passed it on.
type Message struct {
	From        treaty.Nation
	Status      *treaty.Status
	Proposal    *Proposal
	Vote        *Vote
	Wish        *Wish
	Certificate *treaty.Certificate
	Cosignature *treaty.Cosignature
}

// Proposal is a proposal with its wishes opened.
type Proposal struct {
	treaty.Proposal
	Opened []Wish // one for each of Wishes
}

// Vote is a vote with the signature that will stand in a certificate.
type Vote struct {
	treaty.Vote
	Sig treaty.VoteSig
}

// Wish is a wish with the signed bytes that a proposal carries.
type Wish struct {
	treaty.Wish
	From treaty.Nation
	Raw  []byte
}

// Place is where a message belongs, read before its signature is checked so that what is not wanted costs little.
type Place struct {
	Type   treaty.ContentType
	Height uint64
	Round  uint64
	Step   treaty.Step
}

// Opened is a parsed message whose signature has yet to be checked.
type Opened struct {
	Place
	Signed *treaty.Signed
	msg    Message
}

// Parse reads a signed message strictly, bounded, without checking signatures.
func Parse(raw []byte) (*Opened, error) {
	s, err := treaty.ParseSigned(raw, treaty.MaxVote)
	if err != nil {
		return nil, err
	}
	o := &Opened{Signed: s, msg: Message{From: s.Header.Claims.Issuer}}
	o.Type = s.Header.Type
	switch o.Type {
	case treaty.TypeStatus:
		v := new(treaty.Status)
		if err := treaty.Decode(s.Payload, treaty.MaxVote, v); err != nil {
			return nil, err
		}
		o.msg.Status, o.Height = v, v.Height
	case treaty.TypeVote:
		v := new(Vote)
		if err := treaty.Decode(s.Payload, treaty.MaxVote, &v.Vote); err != nil {
			return nil, err
		}
		if err := v.Check(); err != nil {
			return nil, err
		}
		v.Sig = treaty.VoteSigOf(s, v.Vote)
		o.msg.Vote, o.Height, o.Round, o.Step = v, v.Height, v.Round, v.Step
	case treaty.TypeWish:
		w, err := parseWish(s)
		if err != nil {
			return nil, err
		}
		o.msg.Wish, o.Height, o.Round = w, w.Height, w.Round
	case treaty.TypeProposal:
		p := new(Proposal)
		if err := treaty.Decode(s.Payload, treaty.MaxVote, &p.Proposal); err != nil {
			return nil, err
		}
		if len(p.Wishes) > treaty.MaxNations {
			return nil, fmt.Errorf("%w: proposal with %d wishes", treaty.ErrTooLarge, len(p.Wishes))
		}
		o.msg.Proposal, o.Height, o.Round = p, p.Height, p.Round
	default:
		return nil, fmt.Errorf("%w: %q is no finality message", treaty.ErrMalformed, o.Type)
	}
	return o, nil
}

func parseWish(s *treaty.Signed) (*Wish, error) {
	if s.Header.Type != treaty.TypeWish {
		return nil, fmt.Errorf("%w: %q where a wish must be", treaty.ErrMalformed, s.Header.Type)
	}
	w := &Wish{From: s.Header.Claims.Issuer, Raw: s.Raw}
	if err := treaty.Decode(s.Payload, treaty.MaxVote, &w.Wish); err != nil {
		return nil, err
	}
	if w.Height == 0 || w.Round == 0 {
		return nil, fmt.Errorf("%w: wish for height %d, round %d", treaty.ErrMalformed, w.Height, w.Round)
	}
	return w, nil
}

// Finish completes a parsed message whose own signature was found good (Network.Verify or VerifyAll): it checks the
// certificates and wishes inside.
func (o *Opened) Finish(net *treaty.Network) (Message, error) {
	switch {
	case o.msg.Wish != nil:
		if err := o.msg.Wish.checkPrepared(); err != nil || o.msg.Wish.Prepared == nil {
			return o.msg, err
		}
		return o.msg, net.VerifyCertificate(o.msg.Wish.Prepared)
	case o.msg.Proposal != nil:
		return o.msg, o.msg.Proposal.open(net)
	}
	return o.msg, nil
}

// open parses and verifies the wishes inside a proposal: one of a nation, their signatures in one batch, and each
// certificate that several of them carry once.
func (p *Proposal) open(net *treaty.Network) error {
	var signed []*treaty.Signed
	wished := map[treaty.Nation]bool{}
	for _, raw := range p.Wishes {
		s, err := treaty.ParseSigned(raw, treaty.MaxCertificate+512)
		if err != nil {
			return err
		}
		w, err := parseWish(s)
		if err != nil {
			return err
		}
		if wished[w.From] || w.Height != p.Height || w.Round != p.Round {
			return fmt.Errorf("%w: proposal of height %d, round %d with a wish too many: %s for height %d, round %d",
				treaty.ErrMalformed, p.Height, p.Round, w.From, w.Height, w.Round)
		}
		wished[w.From] = true
		signed = append(signed, s)
		p.Opened = append(p.Opened, *w)
	}
	for _, err := range net.VerifyAll(signed) {
		if err != nil {
			return err
		}
	}
	good := map[treaty.Hash]bool{}
	for i := range p.Opened {
		w := &p.Opened[i]
		if err := w.checkPrepared(); err != nil {
			return err
		}
		if w.Prepared == nil || good[treaty.HashOf(treaty.Encode(w.Prepared))] {
			continue
		}
		if err := net.VerifyCertificate(w.Prepared); err != nil {
			return err
		}
		good[treaty.HashOf(treaty.Encode(w.Prepared))] = true
	}
	return nil
}

// checkPrepared refuses a prepare certificate that does not belong in this wish; its signatures are not checked.
func (w *Wish) checkPrepared() error {
	c := w.Prepared
	if c == nil {
		return nil
	}
	if c.Step != treaty.StepPrepare || c.Height != w.Height || c.Round >= w.Round {
		return fmt.Errorf("%w: wish of %s for height %d, round %d carries a %s certificate of height %d, round %d",
			treaty.ErrMalformed, w.From, w.Height, w.Round, c.Step, c.Height, c.Round)
	}
	return nil
}

// Open parses and verifies one message: for single messages and tests; the driver batches.
func Open(net *treaty.Network, raw []byte) (Message, error) {
	o, err := Parse(raw)
	if err != nil {
		return Message{}, err
	}
	if err := net.Verify(o.Signed); err != nil {
		return Message{}, err
	}
	return o.Finish(net)
}
