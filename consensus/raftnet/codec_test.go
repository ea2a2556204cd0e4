//lint:file-ignore SA1019 raft still reads the deprecated identity fields of a request, so what stands in them is checked too

package raftnet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"

	"github.com/hashicorp/raft"

	"truceline/treaty"
)

func requests() []any {
	return []any{
		&appendCall{AppendEntriesRequest: raft.AppendEntriesRequest{
			RPCHeader: header("FRA"), Leader: []byte("FRA"), Term: 3, Entries: []*raft.Log{},
		}},
		&appendCall{raft.AppendEntriesRequest{
			RPCHeader: header("FRA"), Leader: []byte("FRA"), Term: 3, PrevLogEntry: 8, PrevLogTerm: 2, LeaderCommitIndex: 7,
			Entries: []*raft.Log{
				{Index: 9, Term: 2, Type: raft.LogCommand, Data: []byte("x")}, {Index: 10, Term: 3, Type: raft.LogNoop, Data: []byte{}},
			},
		}, treaty.HashOf([]byte("before")), [][]byte{[]byte("head"), make([]byte, treaty.MaxHead)}},
		&voteCall{raft.RequestVoteRequest{
			RPCHeader: header("FRA"), Candidate: []byte("FRA"), Term: 3, LastLogIndex: 2, LastLogTerm: 1, LeadershipTransfer: true,
		}, treaty.HashOf([]byte("run"))},
		&raft.RequestPreVoteRequest{RPCHeader: header("FRA"), Term: 3, LastLogIndex: 2, LastLogTerm: 1},
		&raft.TimeoutNowRequest{RPCHeader: header("FRA")},
		&snapshotCall{raft.InstallSnapshotRequest{
			RPCHeader: header("FRA"), SnapshotVersion: 1, Term: 3, Leader: []byte("FRA"), LastLogIndex: 9, LastLogTerm: 2,
			Configuration: []byte("conf"), ConfigurationIndex: 1, Size: 4,
		}, []byte("data")},
	}
}

func encodeAny(req any) ([]byte, error) {
	if s, ok := req.(*snapshotCall); ok {
		return encodeRequest(nil, &s.InstallSnapshotRequest, s.data)
	}
	return encodeRequest(nil, req, nil)
}

// Would catch a field lost or swapped on the way.
func TestRequestRoundTrip(t *testing.T) {
	for _, req := range requests() {
		b, err := encodeAny(req)
		if err != nil {
			t.Fatal(err)
		}
		ft, n, err := readHead(bytes.NewReader(b))
		if err != nil || n != len(b)-frameHead {
			t.Fatalf("%T: head %d %d %v", req, ft, n, err)
		}
		got, err := decodeRequest(ft, b[frameHead:])
		if err != nil || !reflect.DeepEqual(got, req) {
			t.Errorf("%T: got %+v, %v; want %+v", req, got, err, req)
		}
	}
}

// Would catch the same in the answers.
func TestReplyRoundTrip(t *testing.T) {
	h := header("FRA")
	for _, rep := range []any{
		&raft.AppendEntriesResponse{RPCHeader: h, Term: 3, LastLog: 9, Success: true},
		&raft.AppendEntriesResponse{RPCHeader: h, Term: 3, LastLog: 9, NoRetryBackoff: true},
		&voteReply{raft.RequestVoteResponse{RPCHeader: h, Term: 3, Granted: true}, make([]byte, 64)},
		&voteReply{RequestVoteResponse: raft.RequestVoteResponse{RPCHeader: h, Term: 3}}, &raft.RequestPreVoteResponse{RPCHeader: h, Term: 3, Granted: true},
		&raft.InstallSnapshotResponse{RPCHeader: h, Term: 3, Success: true}, &raft.TimeoutNowResponse{RPCHeader: h}, failBusy, failRaft,
	} {
		b, err := encodeReply(nil, rep)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeReply(frameType(b[4]), b[frameHead:], "FRA")
		if err != nil || !reflect.DeepEqual(got, rep) {
			t.Errorf("%T: got %+v, %v; want %+v", rep, got, err, rep)
		}
	}
}

// Would catch an entry sent that the wire cannot say, and so arrive as another one.
func TestEncodeRefuses(t *testing.T) {
	for _, e := range []*raft.Log{{Index: 10, Term: 1}, {Index: 9, Term: 1, Extensions: []byte("x")}, {Index: 9, Term: 1, Data: make([]byte, MaxEntry+1)}} {
		if _, err := encodeRequest(nil, &appendCall{AppendEntriesRequest: raft.AppendEntriesRequest{PrevLogEntry: 8, Entries: []*raft.Log{e}}}, nil); err == nil {
			t.Errorf("sent entry %d with %d bytes", e.Index, len(e.Data))
		}
	}
}

// Would catch memory being set aside on a peer's word: a head beyond its type's limit is refused before its body.
func TestFrameLimits(t *testing.T) {
	for ft := range 256 {
		limit := frameType(ft).maxBody()
		for _, n := range []uint64{0, uint64(limit+1) + 1, 1<<32 - 1} {
			h := append(binary.BigEndian.AppendUint32(nil, uint32(n)), byte(ft))
			if _, _, err := readHead(bytes.NewReader(h)); !errors.Is(err, errFrame) {
				t.Errorf("type %d with length %d: %v", ft, n, err)
			}
		}
	}
}

// Would catch a split that loses, repeats or reorders entries, or a part that does not fit in a frame.
func TestSplit(t *testing.T) {
	a := &raft.AppendEntriesRequest{RPCHeader: header("FRA"), Leader: []byte("FRA"), Term: 9, PrevLogEntry: 4, PrevLogTerm: 1}
	for i := range 40 {
		a.Entries = append(a.Entries, &raft.Log{Index: uint64(5 + i), Term: uint64(1 + i/8), Data: make([]byte, MaxEntry-i)})
	}
	prev, prevTerm, n := a.PrevLogEntry, a.PrevLogTerm, 0
	for _, p := range split(a) {
		if p.PrevLogEntry != prev || p.PrevLogTerm != prevTerm {
			t.Fatalf("part follows %d/%d, want %d/%d", p.PrevLogEntry, p.PrevLogTerm, prev, prevTerm)
		}
		if _, err := encodeRequest(nil, &appendCall{*p, treaty.HashOf(nil), [][]byte{make([]byte, treaty.MaxHead), make([]byte, treaty.MaxHead)}}, nil); err != nil {
			t.Fatal(err)
		}
		n += len(p.Entries)
		prev, prevTerm = p.Entries[len(p.Entries)-1].Index, p.Entries[len(p.Entries)-1].Term
	}
	if n != 40 || prev != 44 {
		t.Errorf("%d entries up to %d", n, prev)
	}
}

// Would catch a decoder that panics on a peer's bytes, or takes two spellings of one request.
func FuzzRequest(f *testing.F) {
	for _, req := range requests() {
		b, err := encodeAny(req)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[4], b[frameHead:])
	}
	g := testGuard()
	o := newOrders(g.net, nil)
	f.Fuzz(func(t *testing.T, ft byte, body []byte) {
		if len(body) > maxAppendFrame {
			return
		}
		req, err := decodeRequest(frameType(ft), bytes.Clone(body))
		if err != nil {
			return
		}
		again, err := encodeAny(req)
		if err != nil || !bytes.Equal(again[frameHead:], body) {
			t.Errorf("%T: %x encodes again to %x, %v", req, body, again, err)
		}
		by := &speaker{"FRA", treaty.ElectionVote{Term: 3, Candidate: "FRA", Start: treaty.HashOf([]byte("run"))}}
		g.request(by, req, fixedView{l: "FRA", t: 2})
		if a, ok := req.(*appendCall); ok {
			o.follow(by.run, a)
		}
	})
}

// Would catch the same for answers.
func FuzzReply(f *testing.F) {
	f.Add(byte(frameAppendReply), make([]byte, 18))
	f.Add(byte(frameFailure), []byte{1})
	f.Fuzz(func(t *testing.T, ft byte, body []byte) {
		rep, err := decodeReply(frameType(ft), body, "FRA")
		if err != nil {
			return
		}
		again, err := encodeReply(nil, rep)
		if err != nil || !bytes.Equal(again[frameHead:], body) {
			t.Errorf("%T: %x encodes again to %x, %v", rep, body, again, err)
		}
	})
}
