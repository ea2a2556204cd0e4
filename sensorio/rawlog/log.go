package rawlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"truceline/treaty"
)

var (
	// ErrDiskFull: there is no room left. The log refuses everything from then on; make room and start again.
	ErrDiskFull = errors.New("the disk of the raw log is full")
	// ErrFailed: a write or sync failed. The log refuses everything from then on.
	ErrFailed = errors.New("the raw log cannot write")
	// ErrBacklog: everything kept is still unsealed and fills MaxBytes. Let the sensors wait and try again.
	ErrBacklog = errors.New("the raw log is full of messages that are not sealed yet")
	// ErrDamaged: bytes that were once synced do not read back.
	ErrDamaged = errors.New("the raw log is damaged")
	// ErrClosed: the log is closed.
	ErrClosed = errors.New("the raw log is closed")
	// ErrTooLarge: a message over MaxRaw. It is not kept.
	ErrTooLarge = fmt.Errorf("%w: a raw message has at most %d bytes", treaty.ErrTooLarge, MaxRaw)
)

// Config is what a Log needs. One process opens a folder at a time: the node locks its data folder.
type Config struct {
	FS  vfs.FS
	Dir string
	// SegmentBytes is when a new segment begins; 0: 32 MiB.
	SegmentBytes int64
	// MaxBytes bounds all messages together, MaxDeadBytes all dead letters; 0: 4 GiB and 256 MiB.
	MaxBytes, MaxDeadBytes int64
	// MinFree is how many bytes of the disk the log leaves to others: the node's store must still be able to write when
	// the sensors have filled the rest. 0: 64 MiB. Where the file system cannot say what is free, only writes tell.
	MinFree uint64
	Log     *slog.Logger
}

func (c Config) withDefaults() Config {
	for _, x := range []struct {
		v *int64
		d int64
	}{{&c.SegmentBytes, 32 << 20}, {&c.MaxBytes, 4 << 30}, {&c.MaxDeadBytes, 256 << 20}} {
		if *x.v == 0 {
			*x.v = x.d
		}
	}
	if c.MinFree == 0 {
		c.MinFree = 64 << 20
	}
	return c
}

// Validate reports all problems.
func (c Config) Validate() error {
	var errs []error
	if c.FS == nil {
		errs = append(errs, errors.New("raw log: no file system"))
	}
	if c.Dir == "" {
		errs = append(errs, errors.New("raw log: no folder"))
	}
	if c.Log == nil {
		errs = append(errs, errors.New("raw log: no logger"))
	}
	d := c.withDefaults()
	if d.SegmentBytes < 1024 || d.MaxBytes < 2*d.SegmentBytes || d.MaxDeadBytes < 1024 {
		errs = append(errs, fmt.Errorf("raw log: segments of %d bytes, at least 1024; in all %d bytes, at least two segments; dead letters %d, at least 1024",
			d.SegmentBytes, d.MaxBytes, d.MaxDeadBytes))
	}
	return errors.Join(errs...)
}

// Log is the raw log of one node. Safe for concurrent use.
type Log struct {
	cfg  Config
	raw  *segments
	dead *segments

	mu         sync.Mutex
	check      Checkpoint
	lastOrigin Position // of the newest dead letter
	unchecked  int64    // bytes appended since free space was last looked at
	dropped    int      // dead-letter segments dropped for MaxDeadBytes
}

// Open reads the folder, repairs a torn tail and is ready to append.
func Open(cfg Config) (*Log, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	if err := cfg.FS.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("raw log: make %s: %w", cfg.Dir, err)
	}
	if up, err := cfg.FS.OpenDir(cfg.FS.PathDir(cfg.Dir)); err == nil { // the folder's own name must survive too
		if err := errors.Join(up.Sync(), up.Close()); err != nil {
			return nil, fmt.Errorf("raw log: sync the folder above %s: %w", cfg.Dir, err)
		}
	}
	l := &Log{cfg: cfg, unchecked: spaceEvery}
	var err error
	if l.raw, err = openSegments(cfg.FS, cfg.Dir, "raw", cfg.SegmentBytes, cfg.Log); err != nil {
		return nil, err
	}
	deadSegment := min(cfg.SegmentBytes, max(cfg.MaxDeadBytes/4, 1024))
	if l.dead, err = openSegments(cfg.FS, cfg.Dir, "dead", deadSegment, cfg.Log); err != nil {
		return nil, err
	}
	if l.check, err = readCheckpoint(cfg.FS, l.checkpointName()); err != nil {
		return nil, err
	}
	// A crash can leave the log shorter than its checkpoint only if the disk lost synced bytes; new positions must then
	// lie behind it, or new messages would count as sealed.
	if s := l.raw; s.end < l.check.Sealed {
		cfg.Log.Error("the raw log is shorter than what was sealed from it: the disk lost synced bytes",
			slog.Uint64("end", uint64(s.end)), slog.Uint64("sealed", uint64(l.check.Sealed)))
		s.end, s.synced = l.check.Sealed, l.check.Sealed
	}
	l.lastOrigin, err = l.newestOrigin()
	return l, err
}

// spaceEvery is how many bytes are appended between looks at the disk's free space.
const spaceEvery = 4 << 20

// Append keeps messages and returns when they survive a power cut. Only then may their senders be told. Callers that
// append at the same time share one fsync.
func (l *Log) Append(raws ...Raw) error {
	if len(raws) == 0 {
		return nil
	}
	payloads := make([][]byte, len(raws))
	var size int64
	for i := range raws {
		if len(raws[i].Bytes) > MaxRaw {
			return ErrTooLarge
		}
		payloads[i] = appendRaw([]byte{kindRaw}, &raws[i])
		size += int64(frameHead + len(payloads[i]))
	}
	if err := l.room(size); err != nil {
		return err
	}
	_, end, err := l.raw.append(payloads...)
	if err != nil {
		return err
	}
	return l.raw.syncTo(end)
}

// room removes old segments where the bound asks for it, and refuses when there is no room.
func (l *Log) room(size int64) error {
	l.mu.Lock()
	keep := min(l.check.Sealed, l.check.Recent)
	l.unchecked += size
	look := l.unchecked >= spaceEvery
	if look {
		l.unchecked = 0
	}
	l.mu.Unlock()
	if look {
		// Not every file system can say; then a failed write is how we learn.
		if u, err := l.cfg.FS.GetDiskUsage(l.cfg.Dir); err == nil && u.AvailBytes < l.cfg.MinFree+uint64(size) {
			l.raw.mu.Lock()
			defer l.raw.mu.Unlock()
			return l.raw.fail(fmt.Errorf("%w: %d bytes are free and %d are left to the node's store", ErrDiskFull, u.AvailBytes, l.cfg.MinFree))
		}
	}
	if total, _ := l.raw.total(); total+size <= l.cfg.MaxBytes {
		return nil
	}
	removed, err := l.raw.trim(l.cfg.MaxBytes-size, keep)
	if err != nil {
		return err
	}
	if removed > 0 {
		l.cfg.Log.Info("removed the oldest raw segments: all in them is sealed", slog.Int("segments", removed))
	}
	if total, _ := l.raw.total(); total+size > l.cfg.MaxBytes {
		return fmt.Errorf("%w: %d bytes of at most %d", ErrBacklog, total, l.cfg.MaxBytes)
	}
	return nil
}

// End is the position after everything that is synced.
func (l *Log) End() Position {
	l.raw.mu.Lock()
	defer l.raw.mu.Unlock()
	return l.raw.synced
}

// Wait returns nil when something after p is synced, or the error that ended the log, or the context's.
func (l *Log) Wait(ctx context.Context, p Position) error {
	for {
		l.raw.mu.Lock()
		synced, err, watch := l.raw.synced, l.raw.usable(), l.raw.watch
		l.raw.mu.Unlock()
		switch {
		case synced > p:
			return nil
		case err != nil:
			return err
		}
		select {
		case <-watch:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Usage says how many bytes messages and dead letters take, and how many a torn tail cost at Open.
type Usage struct {
	RawBytes, DeadBytes int64
	TornBytes           int64
	DroppedDead         int // dead-letter segments dropped for MaxDeadBytes since Open
}

// Usage measures the log.
func (l *Log) Usage() Usage {
	raw, _ := l.raw.total()
	dead, _ := l.dead.total()
	l.mu.Lock()
	defer l.mu.Unlock()
	return Usage{RawBytes: raw, DeadBytes: dead, TornBytes: l.raw.torn + l.dead.torn, DroppedDead: l.dropped}
}

// Close syncs and closes the log.
func (l *Log) Close() error { return errors.Join(l.raw.close(), l.dead.close()) }

// Entry is one message read back.
type Entry struct {
	Position Position
	End      Position // of the next message
	Raw      Raw
	// Done are content ids of detections that were decoded from it before it was redriven.
	Done []treaty.Hash

	letter Position // of the letter it was redriven from
}

// Reader reads messages forward. One goroutine owns it.
type Reader struct{ f frames }

// Reader starts at p, or at the oldest message kept after it.
func (l *Log) Reader(p Position) *Reader { return &Reader{frames{l: l.raw, pos: p}} }

// Next returns the next synced message. io.EOF: no more yet, wait with Log.Wait. An error that Is ErrDamaged is about
// bytes that were skipped: report it and go on.
func (r *Reader) Next() (Entry, error) {
	payload, at, end, err := r.f.next()
	if err != nil {
		return Entry{Position: at, End: end}, err
	}
	c := cursor{b: payload}
	e := Entry{Position: at, End: end}
	switch byte(c.uint(1)) {
	case kindRaw:
	case kindRedriven:
		e.letter = Position(c.uint(8))
		e.Done = c.hashes()
	default:
		c.bad = true
	}
	e.Raw = c.raw()
	return e, c.end("message")
}

// Position is where the reader stands.
func (r *Reader) Position() Position { return r.f.pos }

// Close releases the reader's file.
func (r *Reader) Close() error { return r.f.close() }
