package rawlog

import (
	"errors"
	"fmt"
	"io"
	"sort"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// frames reads one log of frames forward. One goroutine owns it.
type frames struct {
	l    *segments
	pos  Position
	file vfs.File
	base Position
	buf  []byte   // bytes of the file
	at   Position // position of buf[0]
}

// readAhead is how much is read at once.
const readAhead = 256 << 10

// next returns the next synced frame's payload, valid until the following call. io.EOF: no more yet. An error that Is
// ErrDamaged names bytes that were skipped; reading goes on behind them.
func (f *frames) next() (payload []byte, at, end Position, err error) {
	for {
		l := f.l
		l.mu.Lock()
		limit := l.synced
		i := sort.Search(len(l.files), func(i int) bool { return l.files[i].end() > f.pos })
		if i == len(l.files) || f.pos >= limit {
			l.mu.Unlock()
			return nil, 0, 0, io.EOF
		}
		seg := l.files[i]
		l.mu.Unlock()
		f.pos = max(f.pos, seg.base+segmentHead) // older segments may be gone; a head is no frame
		stop := min(seg.end(), limit)
		if f.pos >= stop {
			if stop == limit {
				return nil, 0, 0, io.EOF
			}
			continue
		}
		if err := f.open(seg.base); err != nil {
			return nil, 0, 0, err
		}
		payload, err := f.frame(stop)
		at := f.pos
		if errors.Is(err, errTorn) {
			// The length cannot be trusted either: what follows in this segment is lost to the reader.
			f.pos = stop
			return nil, at, stop, fmt.Errorf("%w: %s: %d bytes from offset %d do not read back; the disk lost them",
				ErrDamaged, l.name(seg.base), stop-at, at-seg.base)
		}
		if err != nil {
			return nil, 0, 0, fmt.Errorf("raw log: read %s: %w", l.name(seg.base), err)
		}
		f.pos += Position(frameHead + len(payload))
		return payload, at, f.pos, nil
	}
}

func (f *frames) open(base Position) error {
	if f.file != nil && f.base == base {
		return nil
	}
	if err := f.close(); err != nil {
		return err
	}
	file, err := f.l.fs.Open(f.l.name(base))
	if err != nil {
		return fmt.Errorf("raw log: %w", err)
	}
	f.file, f.base, f.buf, f.at = file, base, nil, base
	return nil
}

// frame reads the frame at pos, which ends at or before stop.
func (f *frames) frame(stop Position) ([]byte, error) {
	head, err := f.bytes(f.pos, frameHead, stop)
	if err != nil {
		return nil, err
	}
	n, err := frameSize(head)
	if err != nil {
		return nil, err
	}
	b, err := f.bytes(f.pos, frameHead+n, stop)
	if err != nil {
		return nil, err
	}
	return b[frameHead:], checkFrame(b[:frameHead], b[frameHead:])
}

// bytes returns n bytes from position p, from what was read ahead where it can.
func (f *frames) bytes(p Position, n int, stop Position) ([]byte, error) {
	if p+Position(n) > stop {
		return nil, errTorn
	}
	if p >= f.at && p+Position(n) <= f.at+Position(len(f.buf)) {
		return f.buf[p-f.at:][:n], nil
	}
	want := min(max(n, readAhead), int(stop-p))
	if cap(f.buf) < want {
		f.buf = make([]byte, max(want, readAhead))
	}
	f.buf = f.buf[:want]
	f.at = p
	got, err := f.file.ReadAt(f.buf, int64(p-f.base))
	if got < want {
		f.buf = f.buf[:got]
		if err == nil || errors.Is(err, io.EOF) {
			err = errTorn
		}
		if got >= n {
			return f.buf[:n], nil
		}
		return nil, err
	}
	return f.buf[:n], nil
}

func (f *frames) close() error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}
