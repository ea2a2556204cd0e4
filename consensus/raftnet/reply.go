package raftnet

import (
	"bytes"
	"crypto/ed25519"
	"fmt"

	"github.com/hashicorp/raft"
)

// failure is why a peer did not answer a call. It is a number and never a text: raft reads meaning into error texts
// ("unexpected command" counts as a granted pre-vote).
type failure byte

const (
	failBusy  failure = 1 // raft did not take or answer the call in time, or is stopped
	failRaft  failure = 2 // raft answered with an error
	failKinds failure = 3
)

func (f failure) Error() string {
	if f == failBusy {
		return "peer's raft is stopped or busy"
	}
	return "peer's raft failed"
}

// encodeReply writes a whole frame into buf's space.
func encodeReply(buf []byte, reply any) ([]byte, error) {
	b := startFrame(buf)
	switch r := reply.(type) {
	case *raft.AppendEntriesResponse:
		b = putFlag(putFlag(put64(b, r.Term, r.LastLog), r.Success), r.NoRetryBackoff)
		return endFrame(b, frameAppendReply)
	case *voteReply:
		return endFrame(append(putFlag(put64(b, r.Term), r.Granted), r.sig...), frameVoteReply)
	case *raft.RequestPreVoteResponse:
		return endFrame(putFlag(put64(b, r.Term), r.Granted), framePreVoteReply)
	case *raft.InstallSnapshotResponse:
		return endFrame(putFlag(put64(b, r.Term), r.Success), frameSnapshotReply)
	case *raft.TimeoutNowResponse:
		return endFrame(b, frameTimeoutNowReply)
	case failure:
		return endFrame(append(b, byte(r)), frameFailure)
	default:
		return nil, fmt.Errorf("no raft frame for %T", reply)
	}
}

// replyTo is the type of frame that answers a request (beside frameFailure).
func replyTo(t frameType) frameType { return t + 1 }

// decodeReply is the strict inverse. from is the identity of the stream, which the header is made of.
func decodeReply(ft frameType, body []byte, from string) (any, error) {
	t := &take{b: body}
	h := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(from), Addr: []byte(from)}
	switch ft {
	case frameAppendReply:
		r := &raft.AppendEntriesResponse{RPCHeader: h, Term: t.u64(), LastLog: t.u64(), Success: t.flag(), NoRetryBackoff: t.flag()}
		return r, t.end()
	case frameVoteReply:
		r := &voteReply{RequestVoteResponse: raft.RequestVoteResponse{RPCHeader: h, Term: t.u64(), Granted: t.flag()}}
		if r.Granted {
			r.sig = bytes.Clone(t.n(ed25519.SignatureSize))
		}
		return r, t.end()
	case framePreVoteReply:
		return &raft.RequestPreVoteResponse{RPCHeader: h, Term: t.u64(), Granted: t.flag()}, t.end()
	case frameSnapshotReply:
		return &raft.InstallSnapshotResponse{RPCHeader: h, Term: t.u64(), Success: t.flag()}, t.end()
	case frameTimeoutNowReply:
		return &raft.TimeoutNowResponse{RPCHeader: h}, t.end()
	case frameFailure:
		f := failure(t.u8())
		if f == 0 || f >= failKinds {
			t.bad = true
		}
		return f, t.end()
	default:
		return nil, fmt.Errorf("%w: type %d is not an answer", errFrame, ft)
	}
}
