package sim

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// disk is one nation's disk, between two power cuts. It counts what is done to it by kind ("sync wal", "create sst") and
// can be told to lose its power just before the k-th thing of one kind.
type disk struct {
	mem *vfs.MemFS
	rng *rand.Rand
	// dark is called, once, at the moment of the cut, before anything else is known to be lost: nothing may leave the
	// node from then on.
	dark func()

	mu    sync.Mutex
	count map[string]int
	kind  string // that the power fails at, with left more of it to come
	left  int
	after *vfs.MemFS // what the disk holds after the cut; nil while there is power
}

func newDisk(mem *vfs.MemFS, rng *rand.Rand, dark func()) *disk {
	return &disk{mem: mem, rng: rng, dark: dark, count: map[string]int{}}
}

// fs is the file system as the node sees it.
func (d *disk) fs() vfs.FS {
	return recycling{errorfs.Wrap(d.mem, errorfs.InjectorFunc(d.before)), d}
}

// recycling is errorfs.FS, which does not see what happens to a file that ReuseForWrite has opened: all of Pebble's log
// after its first minutes.
type recycling struct {
	*errorfs.FS
	d *disk
}

func (r recycling) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := r.FS.ReuseForWrite(oldname, newname, c)
	if err != nil {
		return nil, err
	}
	return errorfs.WrapFile(f, errorfs.InjectorFunc(func(op errorfs.Op) error {
		op.Path = newname
		return r.d.before(op)
	})), nil
}

// before is called before every operation. It never makes one fail: a machine without power does not report errors, and
// what it does after the cut goes to a disk that nobody will read.
func (d *disk) before(op errorfs.Op) error {
	kind := kindOf(op)
	if kind == "" {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count[kind]++
	if kind == "create marker" && d.after == nil {
		d.named(filepath.Dir(op.Path))
	}
	if d.after == nil && d.kind == kind {
		if d.left--; d.left < 0 {
			d.lose()
		}
	}
	return nil
}

// named makes the names in a folder durable. Pebble syncs a new MANIFEST, then makes the marker that names it, then syncs
// the folder: it relies on a file's own sync to keep its name too, as ext4, XFS and APFS do. The disk in memory does
// not, and after a cut between the two might keep the marker alone.
func (d *disk) named(folder string) {
	f, err := d.mem.OpenDir(folder)
	if err != nil {
		return
	}
	_ = f.Sync()
	_ = f.Close()
}

// lose takes the power away; the caller holds mu. Anything synced is kept, of the rest some.
func (d *disk) lose() {
	d.dark()
	d.after = d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: d.rng.IntN(101), RNG: d.rng})
}

// cut takes the power away now, if it is still there.
func (d *disk) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.after == nil {
		d.lose()
	}
}

// arm lets the power fail just before the k-th operation of a kind from now, counted from 0.
func (d *disk) arm(kind string, k int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kind, d.left = kind, k
}

// kinds are the operations so far, by name, with their numbers.
func (d *disk) kinds() map[string]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := map[string]int{}
	for k, n := range d.count {
		out[k] = n
	}
	return out
}

// kindOf names what an operation does to which kind of file, "" for one that changes nothing.
func kindOf(op errorfs.Op) string {
	verb := map[errorfs.OpKind]string{
		errorfs.OpCreate: "create", errorfs.OpLink: "link", errorfs.OpRemove: "remove", errorfs.OpRename: "rename",
		errorfs.OpReuseForWrite: "reuse", errorfs.OpFileWrite: "write", errorfs.OpFileWriteAt: "write",
		errorfs.OpFileSync: "sync", errorfs.OpFileSyncData: "sync", errorfs.OpFileSyncTo: "sync",
	}[op.Kind]
	if verb == "" {
		return ""
	}
	base := filepath.Base(op.Path)
	switch {
	case strings.Contains(op.Path, "/raw"):
		return verb + " raw"
	case strings.HasSuffix(base, ".log"):
		return verb + " wal"
	case strings.HasSuffix(base, ".sst"):
		return verb + " sst"
	case strings.HasPrefix(base, "MANIFEST"):
		return verb + " manifest"
	case strings.HasPrefix(base, "marker"):
		return verb + " marker"
	case strings.HasPrefix(base, "OPTIONS"):
		return verb + " options"
	}
	return fmt.Sprintf("%s folder", verb)
}
