package rawlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"truceline/treaty"
)

// Position is a place in the log: it grows with every message and is never used again.
type Position uint64

// Raw is one message of a source, byte for byte, with where and when it came in.
type Raw struct {
	// SourceID names the source in the node's configuration.
	SourceID string
	// Peer is who was at the other end, as far as the transport knows.
	Peer string
	// Recv is when it came in, on the sensor clock.
	Recv treaty.Time
	// MediaType says which decoder reads Bytes, such as "application/x-ndjson".
	MediaType string
	Bytes     []byte
}

const (
	// MaxRaw bounds one message: a line of NDJSON is far below, one ring of sensor waveforms would fit.
	MaxRaw = 1 << 20
	// maxWord bounds each of the texts of a frame.
	maxWord = 1024
	// maxDone bounds the detections that a dead letter says were decoded: one message decodes to at most this many.
	maxDone = 4096
	// maxPayload bounds a frame's payload: the message, the done list, three texts and a reason, with room.
	maxPayload = MaxRaw + maxDone*32 + 8*maxWord

	frameHead   = 8
	segmentHead = 16
)

var magic = [8]byte{'T', 'L', 'R', 'A', 'W', '0', '1', '\n'}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errTorn: no whole frame here. At the end of the last segment that is a torn tail, elsewhere damage.
var errTorn = errors.New("not a whole frame")

func appendFrame(b []byte, payload []byte) []byte {
	at := len(b)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	crc := crc32.Update(crc32.Checksum(b[at:at+4], castagnoli), castagnoli, payload)
	b = binary.BigEndian.AppendUint32(b, crc)
	return append(b, payload...)
}

// frameSize reads the size of the payload that follows a frame's head.
func frameSize(head []byte) (int, error) {
	if len(head) < frameHead {
		return 0, errTorn
	}
	n := binary.BigEndian.Uint32(head)
	if n == 0 || n > maxPayload {
		return 0, errTorn
	}
	return int(n), nil
}

// checkFrame checks head and payload against the head's CRC.
func checkFrame(head, payload []byte) error {
	crc := crc32.Update(crc32.Checksum(head[:4], castagnoli), castagnoli, payload)
	if crc != binary.BigEndian.Uint32(head[4:]) {
		return errTorn
	}
	return nil
}

// The kinds of frame.
const (
	kindRaw byte = iota + 1
	kindLetter
	kindResolved
	kindRedriven // a message that was a dead letter: the letter's position, what was decoded before, the message
	kindIntent   // a letter is about to be redriven: the letter's position, the log's end before
)

// Words are length-prefixed with two bytes, the message with four.

func appendWord(b []byte, s string) []byte {
	s = s[:min(len(s), maxWord)]
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

func appendRaw(b []byte, r *Raw) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(r.Recv))
	b = appendWord(b, r.SourceID)
	b = appendWord(b, r.Peer)
	b = appendWord(b, r.MediaType)
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.Bytes)))
	return append(b, r.Bytes...)
}

// cursor reads a payload front to back; the first problem sticks.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n int) []byte {
	if c.bad || n > len(c.b) {
		c.bad = true
		return nil
	}
	out := c.b[:n:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) uint(n int) (v uint64) {
	for _, x := range c.take(n) {
		v = v<<8 | uint64(x)
	}
	return v
}

func (c *cursor) word() string { return string(c.take(int(c.uint(2)))) }

func appendHashes(b []byte, hs []treaty.Hash) []byte {
	hs = hs[:min(len(hs), maxDone)]
	b = binary.BigEndian.AppendUint16(b, uint16(len(hs)))
	for _, h := range hs {
		b = append(b, h[:]...)
	}
	return b
}

func (c *cursor) hashes() []treaty.Hash {
	n := int(c.uint(2))
	if n > maxDone {
		c.bad = true
		return nil
	}
	var out []treaty.Hash
	for range n {
		var h treaty.Hash
		copy(h[:], c.take(len(h)))
		out = append(out, h)
	}
	return out
}

func (c *cursor) raw() (r Raw) {
	r.Recv = treaty.Time(c.uint(8))
	r.SourceID, r.Peer, r.MediaType = c.word(), c.word(), c.word()
	n := c.uint(4)
	if n > MaxRaw {
		c.bad = true
		return r
	}
	r.Bytes = append([]byte(nil), c.take(int(n))...)
	return r
}

// end reports what is wrong with the whole payload.
func (c *cursor) end(what string) error {
	if c.bad || len(c.b) > 0 {
		return fmt.Errorf("%w: %s: the payload does not have its form", ErrDamaged, what)
	}
	return nil
}
