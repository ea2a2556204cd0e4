package durable

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// LockName is the lock file in a locked directory.
const LockName = "LOCK"

// ErrLocked: another process holds the directory. Stop it first; two nodes with one key would contradict each other.
var ErrLocked = errors.New("directory is in use by another process")

// Lock holds a directory for this process until Unlock, or until the process ends in any way.
type Lock struct {
	f *os.File
}

// LockDir takes the directory, which must exist. It never waits. The kernel releases a flock when the process dies, so
// there is no stale lock to delete; the file itself stays and means nothing. The process id written into it is for
// people only. It guards one machine: a disk copied to a second machine is another matter (design section 7.3.7).
func LockDir(dir string) (*Lock, error) {
	path := filepath.Join(dir, LockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(f, 20)) // for the message only
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w (process %s): stop that one, or give this one its own directory",
				dir, ErrLocked, strings.TrimSpace(string(holder)))
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	// A failure to leave the process id is no reason not to run: the flock is what counts.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	}
	return &Lock{f: f}, nil
}

// Unlock lets the next process in.
func (l *Lock) Unlock() error { return l.f.Close() }
