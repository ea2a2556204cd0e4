package raftnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/libp2p/go-libp2p/core/protocol"

	"truceline/treaty"
)

// A frame is length (4 bytes, of type and body) | type (1) | body. The length is checked against the type's own limit
// before the body is read.
type frameType byte

const (
	frameAppend frameType = 1 + iota
	frameAppendReply
	frameVote
	frameVoteReply
	framePreVote
	framePreVoteReply
	frameSnapshot
	frameSnapshotReply
	frameTimeoutNow
	frameTimeoutNowReply
	frameFailure
	// frameElection and frameSignedHead are not answered.
	frameElection
	frameSignedHead
)

const (
	// maxAppendFrame holds eight of the largest entries; a longer AppendEntries is sent as several.
	maxAppendFrame = 4<<20 + 64<<10
	// appendRoom is what of it is not entries: the header, and two heads.
	appendRoom = 1024 + maxHeads*(treaty.MaxHead+4)
	// MaxSnapshot bounds the bytes of a snapshot, which here are one certificate.
	MaxSnapshot = 8 << 10
	maxConfig   = 8 << 10
	maxSmall    = 256
	maxReply    = 96 // term, flag and a signature
)

// maxBody is each type's limit.
func (t frameType) maxBody() int {
	switch t {
	case frameAppend:
		return maxAppendFrame
	case frameSnapshot:
		return MaxSnapshot + maxConfig + maxSmall
	case frameVote, framePreVote, frameTimeoutNow:
		return maxSmall
	case frameElection:
		return treaty.MaxElection
	case frameSignedHead:
		return treaty.MaxHead
	case frameVoteReply:
		return maxReply
	case frameAppendReply, framePreVoteReply, frameSnapshotReply, frameTimeoutNowReply, frameFailure:
		return 32
	default:
		return -1
	}
}

// class is what a stream is for. Each has its own stream, so that a long append does not hold up a heartbeat or a vote.
type class byte

const (
	classHeartbeat class = iota
	classAppend
	classVote
	classSnapshot
	classes
)

func (c class) String() string { return [classes]string{"heartbeat", "append", "vote", "snapshot"}[c] }

func (c class) protocol() protocol.ID { return protocol.ID("/truceline/raft/" + c.String() + "/1") }

// carries says which requests belong on a stream of this class. An election certificate belongs on each of them.
func (c class) carries(t frameType) bool {
	if t == frameElection {
		return true
	}
	switch c {
	case classHeartbeat, classAppend:
		return t == frameAppend
	case classVote:
		return t == frameVote || t == framePreVote || t == frameTimeoutNow || t == frameSignedHead
	case classSnapshot:
		return t == frameSnapshot
	default:
		return false
	}
}

// errFrame: the stream does not speak this protocol.
var errFrame = errors.New("malformed frame")

const frameHead = 5

// startFrame leaves room for the head in front of a body appended later.
func startFrame(dst []byte) []byte { return append(dst[:0], 0, 0, 0, 0, 0) }

// endFrame fills the head in.
func endFrame(b []byte, t frameType) ([]byte, error) {
	if n := len(b) - frameHead; n > t.maxBody() {
		return nil, fmt.Errorf("raft frame type %d: %d bytes, the limit is %d", t, n, t.maxBody())
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-frameHead+1))
	b[4] = byte(t)
	return b, nil
}

// readHead reads and checks a frame's head.
func readHead(r io.Reader) (frameType, int, error) {
	var h [frameHead]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, 0, err
	}
	n, t := binary.BigEndian.Uint32(h[:]), frameType(h[4])
	if limit := t.maxBody(); limit < 0 || n < 1 || uint64(n-1) > uint64(limit) {
		return 0, 0, fmt.Errorf("%w: type %d with %d bytes", errFrame, t, n)
	}
	return t, int(n) - 1, nil
}
