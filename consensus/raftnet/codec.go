//lint:file-ignore SA1019 raft still reads the deprecated identity fields of a request, so what stands in them is checked too

package raftnet

import (
	"encoding/binary"
	"fmt"

	"github.com/hashicorp/raft"

	"truceline/treaty"
)

// Requests begin with the header: version (1) | ID | address | leader or candidate, each a length byte and text. Then
// numbers of 8 bytes, big-endian. Every size is checked before its bytes (C.4 row 28). Entries carry no index (they follow
// PrevLogEntry), no extensions and no clock: what cannot be said need not be checked. Behind the entries stand the
// leader's heads: how many (1), the chain before its first own entry (32) if there are any, and each with its length.
// Answers carry no names: the stream says whose they are.

func put64(b []byte, vs ...uint64) []byte {
	for _, v := range vs {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return b
}

func putName(b, name []byte) ([]byte, error) {
	if len(name) > maxName {
		return nil, fmt.Errorf("name of %d bytes", len(name))
	}
	return append(append(b, byte(len(name))), name...), nil
}

func putHeader(b []byte, h raft.RPCHeader, named []byte) (_ []byte, err error) {
	b = append(b, byte(h.ProtocolVersion))
	for _, n := range [][]byte{h.ID, h.Addr, named} {
		if b, err = putName(b, n); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func putBytes(b, v []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
}

func putFlag(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// entryHead is type (1), term (8), length (4).
const entryHead = 13

// encodeRequest writes a whole frame into buf's space. data is the body of a snapshot.
func encodeRequest(buf []byte, req any, data []byte) (_ []byte, err error) {
	b := startFrame(buf)
	var t frameType
	switch r := req.(type) {
	case *appendCall:
		t = frameAppend
		if b, err = putHeader(b, r.RPCHeader, r.Leader); err != nil {
			break
		}
		b = put64(b, r.Term, r.PrevLogEntry, r.PrevLogTerm, r.LeaderCommitIndex)
		b = binary.BigEndian.AppendUint32(b, uint32(len(r.Entries)))
		for i, e := range r.Entries {
			if e.Index != r.PrevLogEntry+1+uint64(i) || len(e.Extensions) > 0 || len(e.Data) > MaxEntry {
				return nil, fmt.Errorf("raft frame: entry %d behind %d with %d bytes and %d of extensions cannot be sent",
					e.Index, r.PrevLogEntry+uint64(i), len(e.Data), len(e.Extensions))
			}
			b = put64(append(b, byte(e.Type)), e.Term)
			b = putBytes(b, e.Data)
		}
		if b = append(b, byte(len(r.heads))); len(r.heads) > 0 {
			b = append(b, r.prev[:]...)
		}
		for _, h := range r.heads {
			b = putBytes(b, h)
		}
	case *voteCall:
		t = frameVote
		if b, err = putHeader(b, r.RPCHeader, r.Candidate); err == nil {
			b = putFlag(put64(b, r.Term, r.LastLogIndex, r.LastLogTerm), r.LeadershipTransfer)
			b = append(b, r.start[:]...)
		}
	case *raft.RequestPreVoteRequest:
		t = framePreVote
		if b, err = putHeader(b, r.RPCHeader, nil); err == nil {
			b = put64(b, r.Term, r.LastLogIndex, r.LastLogTerm)
		}
	case *raft.InstallSnapshotRequest:
		t = frameSnapshot
		if b, err = putHeader(b, r.RPCHeader, r.Leader); err == nil {
			b = put64(append(b, byte(r.SnapshotVersion)), r.Term, r.LastLogIndex, r.LastLogTerm, r.ConfigurationIndex)
			b = putBytes(putBytes(b, r.Configuration), data)
		}
	case *raft.TimeoutNowRequest:
		t = frameTimeoutNow
		b, err = putHeader(b, r.RPCHeader, nil)
	case *headCall:
		t = frameSignedHead
		b = append(b, r.raw...)
	default:
		err = fmt.Errorf("no frame for %T", req)
	}
	if err != nil {
		return nil, fmt.Errorf("raft frame: %w", err)
	}
	return endFrame(b, t)
}

// take reads a body; the first shortage makes everything after it zero and bad true.
type take struct {
	b   []byte
	bad bool
}

func (t *take) n(n int) []byte {
	if t.bad || n < 0 || len(t.b) < n {
		t.bad = true
		return nil
	}
	v := t.b[:n:n]
	t.b = t.b[n:]
	return v
}

func (t *take) u8() byte {
	if v := t.n(1); v != nil {
		return v[0]
	}
	return 0
}

func (t *take) u32() uint32 {
	if v := t.n(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (t *take) u64() uint64 {
	if v := t.n(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (t *take) flag() bool {
	v := t.u8()
	t.bad = t.bad || v > 1
	return v == 1
}

func (t *take) hash() (h treaty.Hash) {
	copy(h[:], t.n(len(h)))
	return h
}

func (t *take) name() []byte {
	n := int(t.u8())
	t.bad = t.bad || n > maxName
	return t.n(n)
}

func (t *take) bytes(limit int) []byte {
	n := t.u32()
	if uint64(n) > uint64(limit) {
		t.bad = true
		return nil
	}
	return t.n(int(n))
}

func (t *take) header() (h raft.RPCHeader, named []byte) {
	h.ProtocolVersion = raft.ProtocolVersion(t.u8())
	h.ID, h.Addr, named = t.name(), t.name(), t.name()
	return h, named
}

func (t *take) end() error {
	if t.bad || len(t.b) > 0 {
		return fmt.Errorf("%w: short, long or out of range", errFrame)
	}
	return nil
}

// snapshotCall is an InstallSnapshot with the bytes that came in the same frame.
type snapshotCall struct {
	raft.InstallSnapshotRequest
	data []byte
}

// decodeRequest is the strict inverse of encodeRequest. The result points into body.
func decodeRequest(ft frameType, body []byte) (any, error) {
	t := &take{b: body}
	switch ft {
	case frameAppend:
		r := &appendCall{}
		r.RPCHeader, r.Leader = t.header()
		r.Term, r.PrevLogEntry, r.PrevLogTerm, r.LeaderCommitIndex = t.u64(), t.u64(), t.u64(), t.u64()
		n := t.u32()
		if n > maxAppendEntries || uint64(n)*entryHead > uint64(len(t.b)) {
			return nil, fmt.Errorf("%w: %d entries in %d bytes", errFrame, n, len(t.b))
		}
		logs := make([]raft.Log, n)
		r.Entries = make([]*raft.Log, n)
		for i := range logs {
			logs[i] = raft.Log{Index: r.PrevLogEntry + 1 + uint64(i), Type: raft.LogType(t.u8()), Term: t.u64(), Data: t.bytes(MaxEntry)}
			r.Entries[i] = &logs[i]
		}
		heads := int(t.u8())
		t.bad = t.bad || heads > maxHeads
		if heads > 0 {
			r.prev = t.hash()
		}
		for range min(heads, maxHeads) {
			r.heads = append(r.heads, t.bytes(treaty.MaxHead))
		}
		return r, t.end()
	case frameVote:
		r := &voteCall{}
		r.RPCHeader, r.Candidate = t.header()
		r.Term, r.LastLogIndex, r.LastLogTerm, r.LeadershipTransfer = t.u64(), t.u64(), t.u64(), t.flag()
		r.start = t.hash()
		return r, t.end()
	case framePreVote:
		r := &raft.RequestPreVoteRequest{}
		var none []byte
		r.RPCHeader, none = t.header()
		t.bad = t.bad || len(none) > 0
		r.Term, r.LastLogIndex, r.LastLogTerm = t.u64(), t.u64(), t.u64()
		return r, t.end()
	case frameSnapshot:
		r := &snapshotCall{}
		r.RPCHeader, r.Leader = t.header()
		r.SnapshotVersion = raft.SnapshotVersion(t.u8())
		r.Term, r.LastLogIndex, r.LastLogTerm, r.ConfigurationIndex = t.u64(), t.u64(), t.u64(), t.u64()
		r.Configuration, r.data = t.bytes(maxConfig), t.bytes(MaxSnapshot)
		r.Size = int64(len(r.data))
		return r, t.end()
	case frameTimeoutNow:
		r := &raft.TimeoutNowRequest{}
		var none []byte
		r.RPCHeader, none = t.header()
		t.bad = t.bad || len(none) > 0
		return r, t.end()
	default:
		return nil, fmt.Errorf("%w: type %d is not a request", errFrame, ft)
	}
}
