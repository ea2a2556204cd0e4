package rawlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// segments is one append-only log of frames in segment files: the machinery under messages and dead letters alike.
// Safe for concurrent use.
type segments struct {
	fs          vfs.FS
	dir, prefix string
	segBytes    int64
	log         *slog.Logger

	mu      sync.Mutex
	changed sync.Cond // synced moved, a sync ended, or err was set
	files   []segment // by base; the last may be open for writing
	cur     vfs.File  // nil until the first append after open
	end     Position  // after the last byte written
	synced  Position  // everything before this survives a power cut
	syncing bool
	closed  bool
	err     error // final: see the package comment
	watch   chan struct{}
	torn    int64 // bytes cut off at open
}

// segment is one file.
type segment struct {
	base Position
	size int64
}

func (s segment) end() Position { return s.base + Position(s.size) }

func (l *segments) name(base Position) string {
	return l.fs.PathJoin(l.dir, fmt.Sprintf("%s-%016x.seg", l.prefix, uint64(base)))
}

// openSegments lists what is there and cuts a torn tail off the last segment. It never appends to an old segment: the
// first append begins a new one.
func openSegments(fs vfs.FS, dir, prefix string, segBytes int64, log *slog.Logger) (*segments, error) {
	l := &segments{fs: fs, dir: dir, prefix: prefix, segBytes: segBytes, log: log, watch: make(chan struct{})}
	l.changed.L = &l.mu
	names, err := fs.List(dir)
	if err != nil {
		return nil, fmt.Errorf("raw log: list %s: %w", dir, err)
	}
	for _, n := range names {
		hex, ours := strings.CutPrefix(path.Base(n), prefix+"-")
		hex, whole := strings.CutSuffix(hex, ".seg")
		if !ours || !whole || len(hex) != 16 {
			continue
		}
		base, err := strconv.ParseUint(hex, 16, 64)
		if err != nil {
			continue
		}
		info, err := fs.Stat(l.name(Position(base)))
		if err != nil {
			return nil, fmt.Errorf("raw log: %w", err)
		}
		l.files = append(l.files, segment{Position(base), info.Size()})
	}
	slices.SortFunc(l.files, func(a, b segment) int {
		if a.base < b.base {
			return -1
		}
		return 1
	})
	for i := 1; i < len(l.files); i++ {
		if l.files[i-1].end() > l.files[i].base {
			return nil, fmt.Errorf("%w: segments %s and %s overlap: was a file copied into the folder? Move the odd one away",
				ErrDamaged, l.name(l.files[i-1].base), l.name(l.files[i].base))
		}
	}
	if err := l.repair(); err != nil {
		return nil, err
	}
	if n := len(l.files); n > 0 {
		l.end = l.files[n-1].end()
	}
	l.synced = l.end
	return l, nil
}

// repair cuts the last segment after its last whole frame. vfs has no truncate, so the good part is written to a new
// file that replaces the old one in a single rename.
func (l *segments) repair() error {
	n := len(l.files)
	if n == 0 {
		return nil
	}
	last := l.files[n-1]
	f, err := l.fs.Open(l.name(last.base))
	if err != nil {
		return fmt.Errorf("raw log: %w", err)
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, last.size))
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("raw log: read %s: %w", l.name(last.base), err)
	}
	good := wholeFrames(b, last.base)
	if good == int64(len(b)) && good > segmentHead {
		return nil
	}
	l.torn = int64(len(b)) - good
	l.log.Warn("the raw log ends in a torn frame; it was never acknowledged and is cut off",
		slog.String("segment", l.name(last.base)), slog.Int64("bytes", l.torn))
	if good <= segmentHead {
		if err := l.fs.Remove(l.name(last.base)); err != nil {
			return fmt.Errorf("raw log: %w", err)
		}
		l.files = l.files[:n-1]
		return l.syncDir()
	}
	if err := writeFile(l.fs, l.dir, l.name(last.base), b[:good]); err != nil {
		return fmt.Errorf("raw log: repair %s: %w", l.name(last.base), err)
	}
	l.files[n-1].size = good
	return nil
}

// wholeFrames is how many bytes of a segment are its head and whole frames.
func wholeFrames(b []byte, base Position) int64 {
	if len(b) < segmentHead || [8]byte(b[:8]) != magic || binary.BigEndian.Uint64(b[8:]) != uint64(base) {
		return 0
	}
	at := segmentHead
	for {
		n, err := frameSize(b[at:])
		if err != nil || at+frameHead+n > len(b) || checkFrame(b[at:at+frameHead], b[at+frameHead:at+frameHead+n]) != nil {
			return int64(at)
		}
		at += frameHead + n
	}
}

func (l *segments) syncDir() error {
	d, err := l.fs.OpenDir(l.dir)
	if err != nil {
		return fmt.Errorf("raw log: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("raw log: sync %s: %w", l.dir, err)
	}
	return nil
}

// append writes frames, one write for all, and says where each begins and where they end. They are not synced yet.
func (l *segments) append(payloads ...[]byte) (at []Position, end Position, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return nil, 0, err
	}
	if l.cur == nil || l.files[len(l.files)-1].size >= l.segBytes {
		if err := l.rotate(); err != nil {
			if u := l.usable(); u != nil {
				return nil, 0, u // closed, or failed elsewhere, while we waited
			}
			return nil, 0, l.fail(err)
		}
	}
	var b []byte
	for _, p := range payloads {
		at = append(at, l.end+Position(len(b)))
		b = appendFrame(b, p)
	}
	size := len(b) // Write may change b
	if n, err := l.cur.Write(b); err != nil || n != size {
		return nil, 0, l.fail(errors.Join(err, short(n, size)))
	}
	l.end += Position(size)
	l.files[len(l.files)-1].size += int64(size)
	return at, l.end, nil
}

func short(n, want int) error {
	if n == want {
		return nil
	}
	return io.ErrShortWrite
}

// rotate syncs the current segment and begins a new one, whose name is synced before anything in it is acknowledged.
func (l *segments) rotate() error {
	for l.syncing {
		l.changed.Wait()
	}
	if err := l.usable(); err != nil {
		return err
	}
	if l.cur != nil {
		if err := errors.Join(l.cur.Sync(), l.cur.Close()); err != nil {
			return err
		}
		l.cur = nil
		l.advance(l.end)
	}
	f, err := l.fs.Create(l.name(l.end), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	head := binary.BigEndian.AppendUint64(append([]byte(nil), magic[:]...), uint64(l.end))
	if _, err := f.Write(head); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Sync(), l.syncDir()); err != nil {
		return errors.Join(err, f.Close())
	}
	l.cur = f
	l.files = append(l.files, segment{base: l.end, size: segmentHead})
	l.end += segmentHead
	return nil
}

// syncTo returns when everything before p survives a power cut. Callers that come together share one fsync: the first
// one syncs for all that has been written by then, the others wait for it or for the next.
func (l *segments) syncTo(p Position) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.synced >= p:
			return nil
		case l.err != nil:
			return l.err
		case l.syncing:
			l.changed.Wait()
			continue
		case l.cur == nil: // closed in between
			return ErrClosed
		}
		l.syncing = true
		f, to := l.cur, l.end
		l.mu.Unlock()
		err := f.Sync()
		l.mu.Lock()
		l.syncing = false
		if err != nil {
			return l.fail(err)
		}
		l.advance(to)
	}
}

func (l *segments) advance(to Position) {
	l.synced = max(l.synced, to)
	l.changed.Broadcast()
	close(l.watch)
	l.watch = make(chan struct{})
}

func (l *segments) usable() error {
	if l.err != nil {
		return l.err
	}
	if l.closed {
		return ErrClosed
	}
	return nil
}

// fail makes an error final.
func (l *segments) fail(err error) error {
	if l.err == nil {
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrDiskFull) {
			err = fmt.Errorf("%w: %s: make room on it and start the node again; nothing that was acknowledged is lost: %w",
				ErrDiskFull, l.dir, err)
		} else {
			err = fmt.Errorf("%w: %s: check the disk and start the node again; nothing that was acknowledged is lost: %w",
				ErrFailed, l.dir, err)
		}
		l.err = err
	}
	l.changed.Broadcast()
	close(l.watch)
	l.watch = make(chan struct{})
	return l.err
}

// total is the size of all segments, first the position of the oldest byte kept.
func (l *segments) total() (size int64, first Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.files {
		size += s.size
	}
	first = l.end
	if len(l.files) > 0 {
		first = l.files[0].base
	}
	return size, first
}

// trim removes the oldest segments that end at or before keep until all together are at most limit bytes. The segment
// that is written to stays.
func (l *segments) trim(limit int64, keep Position) (removed int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var size int64
	for _, s := range l.files {
		size += s.size
	}
	for len(l.files) > 1 && size > limit && l.files[0].end() <= keep {
		if err := l.fs.Remove(l.name(l.files[0].base)); err != nil {
			return removed, fmt.Errorf("raw log: remove an old segment: %w", err)
		}
		size -= l.files[0].size
		l.files = l.files[1:]
		removed++
	}
	return removed, nil
}

func (l *segments) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	for l.syncing {
		l.changed.Wait()
	}
	var err error
	if l.cur != nil {
		if l.err == nil {
			err = l.cur.Sync()
		}
		err = errors.Join(err, l.cur.Close())
		l.cur = nil
		if err == nil && l.err == nil {
			l.synced = l.end
		}
	}
	l.changed.Broadcast()
	close(l.watch)
	l.watch = make(chan struct{})
	return err
}

// writeFile replaces a small file so that a reader after a crash sees the old bytes or the new.
func writeFile(fs vfs.FS, dir, name string, b []byte) error {
	tmp := name + ".tmp"
	f, err := fs.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(append([]byte(nil), b...))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(tmp, name); err != nil {
		return err
	}
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
