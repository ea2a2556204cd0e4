package durable_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"truceline/internal/durable"
)

// Would catch a replace that leaves old bytes, a wrong mode, or temporary files behind.
func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	for _, text := range []string{"a longer first text", "second"} {
		if err := durable.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		got, err := durable.ReadFile(path, 100)
		if err != nil || string(got) != text {
			t.Fatalf("read %q, %v; want %q", got, err, text)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v; want 0640", info.Mode(), err)
	}
	onlyFiles(t, dir, "state")
}

// Would catch a failed write that damages what was there, or leaves rubbish.
func TestWriteFileFailureKeepsOld(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(path, []byte("x"), 0o600); err == nil {
		t.Error("a directory was replaced by a file")
	}
	onlyFiles(t, dir, "state")
}

// Would catch a key generation that overwrites a key: the operator error that cost drand's testnet a member.
func TestCreateNewNeverOverwrites(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	if err := durable.CreateNew(path, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := durable.CreateNew(path, []byte("second"), 0o600)
	if !errors.Is(err, durable.ErrExists) || !strings.Contains(err.Error(), path) {
		t.Errorf("second creation: %v", err)
	}
	if got, _ := durable.ReadKey(path, 100); string(got) != "first" {
		t.Errorf("the key is now %q", got)
	}
	if err := os.Symlink(filepath.Join(dir, "nowhere"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := durable.CreateNew(filepath.Join(dir, "link"), []byte("x"), 0o600); !errors.Is(err, durable.ErrExists) {
		t.Errorf("through a dangling link: %v", err)
	}
	onlyFiles(t, dir, "key", "link")
}

// Would catch a check-then-create race: exactly one of many may win, and the file must be the winner's.
func TestCreateNewRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	var mu sync.Mutex
	var winners []string
	var wg sync.WaitGroup
	for i := range 16 {
		text := strings.Repeat(string(rune('a'+i)), 1000)
		wg.Go(func() {
			err := durable.CreateNew(path, []byte(text), 0o600)
			if err == nil {
				mu.Lock()
				winners = append(winners, text)
				mu.Unlock()
			} else if !errors.Is(err, durable.ErrExists) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := durable.ReadKey(path, 1000)
	if err != nil || len(winners) != 1 || string(got) != winners[0] {
		t.Errorf("%d winners, file %.3q..., %v", len(winners), got, err)
	}
}

// Would catch a key read although other accounts can read it, or a reader without a limit.
func TestReadKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := durable.CreateNew(path, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := durable.ReadKey(path, 6); err != nil || string(got) != "secret" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := durable.ReadKey(path, 5); !errors.Is(err, durable.ErrTooLarge) {
		t.Errorf("over the limit: %v", err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602, 0o601, 0o644} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := durable.ReadKey(path, 100)
		if !errors.Is(err, durable.ErrExposed) || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	if _, err := durable.ReadKey(filepath.Dir(path), 100); !errors.Is(err, durable.ErrExposed) {
		t.Errorf("a directory: %v", err)
	}
	if _, err := durable.ReadKey(path+".none", 100); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing key: %v", err)
	}
}

// Would catch two nodes running on one directory, and a lock that outlives its holder.
func TestLockDir(t *testing.T) {
	dir := t.TempDir()
	l, err := durable.LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := durable.LockDir(dir); !errors.Is(err, durable.ErrLocked) || !strings.Contains(err.Error(), "process ") {
		t.Errorf("second lock in this process: %v", err)
	}
	if out, err := child(dir); err == nil || !strings.Contains(out, durable.ErrLocked.Error()) {
		t.Errorf("second process: %v\n%s", err, out)
	}
	if err := l.Unlock(); err != nil {
		t.Fatal(err)
	}
	if out, err := child(dir); err != nil {
		t.Errorf("after unlock: %v\n%s", err, out)
	}
	// The child has ended without unlocking: its lock must be gone.
	if l, err = durable.LockDir(dir); err != nil {
		t.Fatalf("after the holder died: %v", err)
	}
	if err := l.Unlock(); err != nil {
		t.Error(err)
	}
}

// child runs TestHoldLock in a second process.
func child(dir string) (string, error) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestHoldLock$", "-test.v")
	cmd.Env = append(os.Environ(), "DURABLE_TEST_HOLD="+dir)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestHoldLock is the second process of TestLockDir; alone it checks only that a missing directory is refused.
func TestHoldLock(t *testing.T) {
	dir := os.Getenv("DURABLE_TEST_HOLD")
	if dir == "" {
		if _, err := durable.LockDir(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a missing directory: %v", err)
		}
		return
	}
	if _, err := durable.LockDir(dir); err != nil {
		t.Fatal(err)
	}
}

func onlyFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("directory holds %q, want %q", got, want)
	}
}
