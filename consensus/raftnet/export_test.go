//lint:file-ignore SA1019 raft still reads the deprecated identity fields of a request, so what stands in them is checked too

package raftnet

import "github.com/hashicorp/raft"

// ForgedAppend is an AppendEntries frame in somebody's name.
func ForgedAppend(name string, term uint64) []byte {
	return frameOf(&raft.AppendEntriesRequest{Term: term}, name)
}

// Overwrite is an AppendEntries frame with one entry of a new term behind prev.
func Overwrite(name string, term, prev, prevTerm uint64) []byte {
	return frameOf(&raft.AppendEntriesRequest{
		Term: term, PrevLogEntry: prev, PrevLogTerm: prevTerm,
		Entries: []*raft.Log{{Index: prev + 1, Term: term, Type: raft.LogCommand, Data: []byte("forged")}},
	}, name)
}

func frameOf(a *raft.AppendEntriesRequest, name string) []byte {
	id := []byte(name)
	a.RPCHeader, a.Leader = raft.RPCHeader{ProtocolVersion: 3, ID: id, Addr: id}, id
	b, err := encodeRequest(nil, a, nil)
	if err != nil {
		panic(err)
	}
	return b
}
