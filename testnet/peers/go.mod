module peers

go 1.26

require (
	github.com/cometbft/cometbft v1.0.1
	github.com/hashicorp/raft v1.8.0
	github.com/hashicorp/raft-wal v0.4.0
)
