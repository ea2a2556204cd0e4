// Package raftlog keeps what hashicorp/raft must not forget: its log, its term and vote, on Pebble; and it shows raft
// the latest certified point as if it were a snapshot.
//
// It promises: when StoreLogs, Set or DeleteRange returns nil, the write is synced. Indexes have no gaps. Nothing
// certified is ever truncated: a leader that wants entries at or below the floor overwritten gets an error, whatever
// term it claims. A store that failed once stays failed and says so through Config.OnFatal: the node stops, and what is
// on disk is what was acknowledged.
//
// It does not: judge certificates (Certified does), roll back the state machine (hashicorp/raft never un-applies;
// Config.OnTruncate tells the node to rebuild its tentative layer), or take snapshots of its own. RestoreCommittedLogs
// must stay off: with it hashicorp/raft v1.8.0 loses its configuration on restart and can deadlock.
//
// Keys, all under one byte of the shared database:
//
//	'r' 'l' index (8 bytes, big-endian)   one log entry, see encode.go
//	'r' 's' name                          one stable value: term, vote, the vote this nation has signed
package raftlog
