package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// Prefix is the first byte of every key this room writes. No other room of the same database may use it.
const Prefix byte = 'r'

const (
	logSpace    byte = 'l'
	stableSpace byte = 's'
)

// MaxData bounds the data of one entry: raft's own suggestion (SuggestedMaxDataSize), which raft does not enforce.
const MaxData = 512 << 10

// entryVersion is the first byte of a stored entry. A new layout takes a new number; old ones stay readable.
const entryVersion byte = 1

// entryHead is version (1), type (1), term (8), data length (4).
const entryHead = 1 + 1 + 8 + 4

// ErrMalformed: bytes under this room's prefix are not what it writes. The disk or another program changed them;
// restore the node from its peers.
var ErrMalformed = errors.New("malformed raft log entry")

func logKey(index uint64) []byte {
	k := make([]byte, 0, 10)
	return binary.BigEndian.AppendUint64(append(k, Prefix, logSpace), index)
}

// logEnd is the first key behind all log entries.
func logEnd() []byte { return []byte{Prefix, logSpace + 1} }

func stableKey(name []byte) []byte {
	return append([]byte{Prefix, stableSpace}, name...)
}

// storable says why an entry may not be kept. Raft itself would store anything and panic on it later, at every start.
func storable(l *raft.Log) error {
	switch l.Type {
	case raft.LogCommand, raft.LogNoop, raft.LogBarrier, raft.LogConfiguration:
	default:
		return fmt.Errorf("%w: index %d: type %s is not allowed", ErrMalformed, l.Index, l.Type)
	}
	if l.Index == 0 || l.Term == 0 {
		return fmt.Errorf("%w: index %d term %d: both count from 1", ErrMalformed, l.Index, l.Term)
	}
	if len(l.Data) > MaxData {
		return fmt.Errorf("%w: index %d: %d bytes of data, the limit is %d", ErrMalformed, l.Index, len(l.Data), MaxData)
	}
	if len(l.Extensions) > 0 {
		return fmt.Errorf("%w: index %d: %d bytes of extensions, which this network does not use", ErrMalformed,
			l.Index, len(l.Extensions))
	}
	return nil
}

// encodeEntry writes version | type | term | length | data. The index is the key; AppendedAt, which is the leader's
// clock, is not kept.
func encodeEntry(dst []byte, l *raft.Log) []byte {
	dst = append(dst, entryVersion, byte(l.Type))
	dst = binary.BigEndian.AppendUint64(dst, l.Term)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(l.Data)))
	return append(dst, l.Data...)
}

// decodeEntry is the strict inverse: any other bytes are refused. It copies the data.
func decodeEntry(index uint64, b []byte, l *raft.Log) error {
	if len(b) < entryHead || b[0] != entryVersion {
		return fmt.Errorf("%w: index %d: no version %d head in %d bytes", ErrMalformed, index, entryVersion, len(b))
	}
	if n := binary.BigEndian.Uint32(b[10:]); uint64(n) != uint64(len(b)-entryHead) {
		return fmt.Errorf("%w: index %d: says %d bytes of data, has %d", ErrMalformed, index, n, len(b)-entryHead)
	}
	e := raft.Log{Index: index, Term: binary.BigEndian.Uint64(b[2:]), Type: raft.LogType(b[1])}
	if len(b) > entryHead {
		e.Data = append([]byte(nil), b[entryHead:]...)
	}
	if err := storable(&e); err != nil {
		return err
	}
	*l = e
	return nil
}
