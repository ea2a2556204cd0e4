//lint:file-ignore SA1019 raft still reads the deprecated identity fields of a request, so what stands in them is checked too

package raftnet

import (
	"time"

	"github.com/hashicorp/raft"

	"truceline/treaty"
)

// ForgedAppend is an AppendEntries frame in somebody's name, with no certificate.
func ForgedAppend(name string, term uint64) []byte {
	return frameOf(&appendCall{AppendEntriesRequest: raft.AppendEntriesRequest{Term: term}}, name)
}

// Elected is an election certificate's frame.
func Elected(e *treaty.Election) []byte { return newTenure(nil, e).frame }

// Lead is an AppendEntries frame of an elected leader with one Noop that begins its term and entries after it, in honest
// form: what a lying leader with enough helpers can send.
func Lead(s *treaty.Signer, e *treaty.Election, prev, prevTerm uint64, data ...string) []byte {
	a := &raft.AppendEntriesRequest{Term: e.Term, PrevLogEntry: prev, PrevLogTerm: prevTerm}
	a.Entries = append(a.Entries, &raft.Log{Index: prev + 1, Term: e.Term, Type: raft.LogNoop})
	for i, d := range data {
		a.Entries = append(a.Entries, &raft.Log{Index: prev + 2 + uint64(i), Term: e.Term, Type: raft.LogCommand, Data: []byte(d)})
	}
	c, err := newTenure(s, e).cover(a)
	if err != nil {
		panic(err)
	}
	return frameOf(c, string(e.Candidate))
}

// AskTimeout is a TimeoutNow frame.
func AskTimeout(name string) []byte {
	id := []byte(name)
	b, err := encodeRequest(nil, &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: 3, ID: id, Addr: id}}, nil)
	if err != nil {
		panic(err)
	}
	return b
}

// AskVote is a RequestVote frame.
func AskVote(name string, term uint64, start treaty.Hash, last, lastTerm uint64, transfer bool) []byte {
	id := []byte(name)
	b, err := encodeRequest(nil, &voteCall{raft.RequestVoteRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: 3, ID: id, Addr: id}, Candidate: id, Term: term, LastLogIndex: last,
		LastLogTerm: lastTerm, LeadershipTransfer: transfer,
	}, start}, nil)
	if err != nil {
		panic(err)
	}
	return b
}

// Install is an InstallSnapshot frame.
func Install(name string, term, index, indexTerm uint64, config, data []byte) []byte {
	id := []byte(name)
	b, err := encodeRequest(nil, &raft.InstallSnapshotRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: 3, ID: id, Addr: id}, SnapshotVersion: 1, Term: term, Leader: id,
		LastLogIndex: index, LastLogTerm: indexTerm, Configuration: config, ConfigurationIndex: 1, Size: int64(len(data)),
	}, data)
	if err != nil {
		panic(err)
	}
	return b
}

func frameOf(a *appendCall, name string) []byte {
	id := []byte(name)
	a.RPCHeader, a.Leader = raft.RPCHeader{ProtocolVersion: 3, ID: id, Addr: id}, id
	b, err := encodeRequest(nil, a, nil)
	if err != nil {
		panic(err)
	}
	return b
}

// GrantedBy reads an answer to AskVote: whether it granted, and the signature.
func GrantedBy(frame []byte) (granted bool, sig []byte) {
	r, err := decodeReply(frameVoteReply, frame[frameHead:], "x")
	if err != nil {
		return false, nil
	}
	return r.(*voteReply).Granted, r.(*voteReply).sig
}

// Granting answers a RequestVote or RequestPreVote frame with a yes that nobody has signed.
func Granting(frame []byte) []byte {
	req, err := decodeRequest(frameType(frame[4]), frame[frameHead:])
	if err != nil {
		return nil
	}
	var reply any
	switch r := req.(type) {
	case *voteCall:
		reply = &voteReply{raft.RequestVoteResponse{Term: r.Term, Granted: true}, make([]byte, 64)}
	case *raft.RequestPreVoteRequest:
		reply = &raft.RequestPreVoteResponse{Term: r.Term, Granted: true}
	}
	b, err := encodeReply(nil, reply)
	if err != nil {
		panic(err)
	}
	return b
}

// Tenure is the election this node won last.
func (g *Group) Tenure() (treaty.ElectionVote, bool) {
	if t := g.t.tenure.Load(); t != nil {
		return t.vote, true
	}
	return treaty.ElectionVote{}, false
}

// ExchangeEvery is the pace at which heads are shown.
func (g *Group) ExchangeEvery() time.Duration { return g.t.heartbeat / 2 }
