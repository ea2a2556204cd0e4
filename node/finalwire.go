package node

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"

	"truceline/consensus/finality"
	"truceline/treaty"
)

// receive takes a finality frame from a peer. It blocks its stream while its share of the inbox is full: that peer waits.
func (f *finalizer) receive(ctx context.Context, from treaty.Nation, raw []byte) {
	f.inbox.put(ctx, from, raw)
}

// maxDrain bounds the messages verified at once.
const maxDrain = 256

// step verifies messages in one batch and steps them.
func (f *finalizer) step(batch []inboxMessage) (effects []finality.Effect) {
	var opened []*finality.Opened
	var signed []*treaty.Signed
	var from []treaty.Nation
	for _, msg := range batch {
		if o := f.open(msg, &effects); o != nil {
			opened, signed, from = append(opened, o), append(signed, o.Signed), append(from, msg.from)
		}
	}
	for i, err := range f.cfg.Net.VerifyAll(signed) {
		var msg finality.Message
		if err == nil {
			msg, err = opened[i].Finish(f.cfg.Net)
		}
		if err != nil {
			f.refuse(from[i], err)
			continue
		}
		effects = append(effects, f.machine.Step(f.now(), msg)...)
	}
	return effects
}

// open parses one frame. Certificates and cosignatures prove themselves and are stepped at once.
func (f *finalizer) open(m inboxMessage, effects *[]finality.Effect) *finality.Opened {
	if len(m.raw) < 2 {
		return nil
	}
	body := m.raw[1:]
	var err error
	switch m.raw[0] {
	case wireSigned:
		var o *finality.Opened
		if o, err = finality.Parse(body); err == nil {
			if now := f.machine.Height(); o.Height > now+1 {
				f.ahead.keep(m, o.Height, now)
			}
			if !f.machine.Wants(o.Signed.Header.Claims.Issuer, o.Place) {
				return nil
			}
			return o
		}
	case wireCertificate:
		var c *treaty.Certificate
		if c, err = treaty.DecodeCertificate(body); err == nil {
			if c.Height < f.machine.Height() {
				return nil
			}
			if err = f.cfg.Net.VerifyCertificate(c); err == nil {
				*effects = append(*effects, f.machine.Step(f.now(), finality.Message{From: m.from, Certificate: c})...)
				return nil
			}
		}
	case wireCosignature:
		c := new(treaty.Cosignature)
		if err = treaty.Decode(body, treaty.MaxCertificate, c); err == nil {
			if !f.machine.WantsCosignature(c.Size) {
				*effects = append(*effects, f.machine.Late(f.now(), m.from, c.Size)...)
				return nil
			}
			if err = f.cfg.Net.VerifyCosignature(c); err == nil {
				*effects = append(*effects, f.machine.Step(f.now(), finality.Message{From: m.from, Cosignature: c})...)
				return nil
			}
		}
	default:
		err = fmt.Errorf("%w: finality frame of kind %d", treaty.ErrMalformed, m.raw[0])
	}
	f.refuse(m.from, err)
	return nil
}

// refuse counts a frame that no honest node sends against the peer that sent it; one that goes on is not heard for a
// while (peer.Mesh.Violation), so it cannot keep this node busy with refusing.
func (f *finalizer) refuse(from treaty.Nation, err error) {
	f.cfg.Log.Debug("a finality frame is refused", slog.String("from", string(from)), slog.Any("error", err))
	f.cfg.Violation(from, "bad finality frame")
}

// carry carries effects out, in order, and whatever they lead to. Several states to persist become one write: each
// later one says everything the earlier ones say.
func (f *finalizer) carry(ctx context.Context, effects []finality.Effect) error {
	for len(effects) > 0 {
		var state *finality.State
		for _, e := range effects {
			if e.Persist != nil {
				state = e.Persist
			}
		}
		if state != nil {
			// 1. What we are about to say is durable before any of it is said.
			if err := f.cfg.DB.Set(keyVoted, state.Encode(), pebble.Sync); err != nil {
				return fmt.Errorf("write down votes: %w", err)
			}
			f.unsynced = false // one log: what was written before is durable too
		}
		var next []finality.Effect
		for _, e := range effects {
			switch {
			case e.Say != nil:
				more, err := f.say(e.Say)
				if err != nil {
					return err
				}
				next = append(next, more...)
			case e.Certified != nil:
				more, err := f.settle(e.Certified)
				if err != nil {
					return err
				}
				next = append(next, more...)
			case e.Cosigned != nil:
				if err := f.publish(e.Cosigned); err != nil {
					return err
				}
			case e.Equivocation != nil:
				f.noteEquivocation(*e.Equivocation)
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		effects = next
	}
	return nil
}

// say signs one statement and sends it. Our own votes and wishes count for us too.
func (f *finalizer) say(s *finality.Say) ([]finality.Effect, error) {
	switch {
	case s.Certificate != nil:
		f.cfg.Send(s.To, append([]byte{wireCertificate}, treaty.Encode(s.Certificate)...))
		return nil, nil
	case s.Cosignature != nil:
		f.cfg.Send(s.To, append([]byte{wireCosignature}, treaty.Encode(s.Cosignature)...))
		return nil, nil
	}
	var t treaty.ContentType
	var v any
	switch {
	case s.Status != nil:
		t, v = treaty.TypeStatus, s.Status
	case s.Proposal != nil:
		t, v = treaty.TypeProposal, s.Proposal
	case s.Vote != nil:
		t, v = treaty.TypeVote, s.Vote
	case s.Wish != nil:
		t, v = treaty.TypeWish, s.Wish
	default:
		panic(fmt.Sprintf("finality said nothing: %+v", s))
	}
	raw, err := f.cfg.Signer.Sign(t, treaty.Encode(v))
	if err != nil {
		return nil, err
	}
	f.cfg.Send(s.To, append([]byte{wireSigned}, raw...))
	if s.Vote == nil && s.Wish == nil {
		return nil, nil
	}
	o, err := finality.Parse(raw)
	if err != nil {
		panic(fmt.Sprintf("this node cannot read its own vote: %v", err))
	}
	msg, err := o.Finish(f.cfg.Net)
	if err != nil {
		panic(fmt.Sprintf("this node's own vote does not hold: %v", err))
	}
	return f.machine.Step(f.now(), msg), nil
}
