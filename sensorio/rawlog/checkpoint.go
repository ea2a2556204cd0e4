package rawlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"truceline/treaty"
)

// Checkpoint says what of the log needs no second look.
type Checkpoint struct {
	// Sealed: every detection of the messages before it is in a kept batch, dropped, or a dead letter.
	Sealed Position `cbor:"1,keyasint"`
	// Done are content ids of detections at or after Sealed that are sealed all the same.
	Done []treaty.Hash `cbor:"2,keyasint"`
	// Recent is the message of the oldest detection that a duplicate would still be recognised by; at most Sealed or a
	// little behind.
	Recent Position `cbor:"3,keyasint"`
}

// maxCheckpoint bounds the file: the done list is at most a few windows of detections.
const maxCheckpoint = 4 << 20

func (l *Log) checkpointName() string { return l.cfg.FS.PathJoin(l.cfg.Dir, "checkpoint") }

func readCheckpoint(fs vfs.FS, name string) (c Checkpoint, err error) {
	f, err := fs.Open(name)
	if oserror.IsNotExist(err) {
		return Checkpoint{}, nil
	}
	if err != nil {
		return c, fmt.Errorf("raw log: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxCheckpoint+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return c, fmt.Errorf("raw log: read %s: %w", name, err)
	}
	if len(b) < 4 || crc32.Checksum(b[4:], castagnoli) != binary.BigEndian.Uint32(b) {
		return c, fmt.Errorf("%w: %s does not read back. Removing it is safe for the evidence (everything kept is decoded again, and the ledger takes a detection once more in a later window), but find out why the disk lost it",
			ErrDamaged, name)
	}
	if err := treaty.Decode(b[4:], maxCheckpoint, &c); err != nil {
		return c, fmt.Errorf("%w: %s: %w", ErrDamaged, name, err)
	}
	return c, nil
}

// Checkpoint is the latest one.
func (l *Log) Checkpoint() Checkpoint {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.check
}

// SetCheckpoint keeps c. Dead letters are synced first: what is before c.Sealed is not decoded again, so its dead letters
// must be there. Calls must not overlap.
func (l *Log) SetCheckpoint(c Checkpoint) error {
	if err := l.SyncDead(); err != nil {
		return err
	}
	body := treaty.Encode(c)
	b := append(binary.BigEndian.AppendUint32(nil, crc32.Checksum(body, castagnoli)), body...)
	if err := writeFile(l.cfg.FS, l.cfg.Dir, l.checkpointName(), b); err != nil {
		l.raw.mu.Lock()
		defer l.raw.mu.Unlock()
		return l.raw.fail(err)
	}
	l.mu.Lock()
	l.check = c
	l.mu.Unlock()
	return nil
}
