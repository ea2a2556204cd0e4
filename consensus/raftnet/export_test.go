package raftnet

import "github.com/hashicorp/raft"

// ForgedAppend is an AppendEntries frame in somebody's name.
func ForgedAppend(name string, term uint64) []byte {
	id := []byte(name)
	b, err := encodeRequest(nil, &raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: 3, ID: id, Addr: id}, Leader: id, Term: term,
	}, nil)
	if err != nil {
		panic(err)
	}
	return b
}
