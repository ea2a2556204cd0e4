// Package durable puts small files on disk so that they are there after a power cut: whole, or not at all.
//
// It promises: when WriteFile or CreateNew returns nil, the bytes and the name both survive a power cut; when it
// returns an error, a file that was there before is still there, unchanged. CreateNew never overwrites. ReadKey never
// reads a secret that other accounts can read. Lock lets one process into a directory.
//
// It does not: lock single files, retry, or hold anything large (use Pebble for that).
package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrExists: the file is there already, and CreateNew never overwrites. Keep it, or move it away by hand.
var ErrExists = errors.New("already exists: key generation never overwrites")

// ErrExposed: a secret file can be read or written by other accounts. Its owner must decide whether it is still secret.
var ErrExposed = errors.New("secret file is open to other accounts")

// ErrTooLarge: the file is longer than its reader allows.
var ErrTooLarge = errors.New("file too large")

// WriteFile replaces path by data. The order is: create a temporary file beside it, write, fsync, rename over path,
// fsync the directory; so a reader sees the old bytes or the new, never a mixture.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	dir := filepath.Dir(path)
	tmp, err := stage(dir, path, data, perm)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(tmp)))
	}
	if err := SyncDir(dir); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// CreateNew makes a file that must not exist yet. Two processes that race for one path get one file and one
// ErrExists: the finished temporary file is linked to the name, which fails when the name is taken (as O_EXCL would,
// but without ever showing a half-written file under it).
func CreateNew(path string, data []byte, perm fs.FileMode) error {
	dir := filepath.Dir(path)
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("create %s: %w", path, ErrExists)
	}
	tmp, err := stage(dir, path, data, perm)
	if err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	err = os.Link(tmp, path)
	if rm := os.Remove(tmp); err == nil {
		err = rm
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create %s: %w", path, ErrExists)
	}
	if err == nil {
		err = SyncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	return nil
}

// stage writes data, synced, to a new temporary file in dir. Temporary names begin with a dot and the final name, so
// that what a crash leaves behind is recognised; it is harmless and may be deleted.
func stage(dir, path string, data []byte, perm fs.FileMode) (name string, err error) {
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".tmp-*")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	// CreateTemp makes the file 0600; Chmod before the bytes are in it, and regardless of the umask.
	if err = f.Chmod(perm); err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return f.Name(), err
}

// SyncDir makes the names in a directory durable: what was created, renamed or removed in it.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}

// ReadFile reads a file of at most limit bytes.
func ReadFile(path string, limit int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, path, limit)
}

// ReadKey reads a secret of at most limit bytes. It refuses a file that its group or others may read or write, or
// that is not a plain file. The check and the read use one open file, so nobody can swap it in between.
func ReadKey(path string, limit int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read key %s: %w: it is not a plain file", path, ErrExposed)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return nil, fmt.Errorf("read key %s: %w: mode %04o; if nobody else has read it, run: chmod 600 %s",
			path, ErrExposed, perm, path)
	}
	return readAll(f, path, limit)
}

func readAll(f *os.File, path string, limit int) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(b) > limit {
		return nil, fmt.Errorf("read %s: %w: more than %d bytes", path, ErrTooLarge, limit)
	}
	return b, nil
}
