package peer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A frame is u32 length of the body | u8 type | body, big-endian.
const frameHeader = 5

// errFrame is a breach of the framing: a violation by the peer, unlike a broken connection.
var errFrame = errors.New("bad frame")

// appendFrame adds one frame to b.
func appendFrame(b []byte, kind uint8, body []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	b = append(b, kind)
	return append(b, body...)
}

// trusted is how much is allocated on a peer's word; a longer body is taken in as it arrives.
const trusted = 64 << 10

// readHeader reads a frame's header and holds it against the limit of its type (negative: no such type).
func readHeader(r io.Reader, limit func(kind uint8) int) (kind uint8, size int, err error) {
	var h [frameHeader]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, 0, err
	}
	kind = h[4]
	n := binary.BigEndian.Uint32(h[:4])
	max := limit(kind)
	if max < 0 {
		return kind, 0, fmt.Errorf("%w: unknown type %d", errFrame, kind)
	}
	if uint64(n) > uint64(max) {
		return kind, 0, fmt.Errorf("%w: type %d with %d bytes, at most %d", errFrame, kind, n, max)
	}
	return kind, int(n), nil
}

// readBody reads size bytes, already held against a limit.
func readBody(r io.Reader, size int) ([]byte, error) {
	if size <= trusted {
		b := make([]byte, size)
		_, err := io.ReadFull(r, b)
		return b, err
	}
	var b bytes.Buffer
	b.Grow(trusted)
	if _, err := io.CopyN(&b, r, int64(size)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
