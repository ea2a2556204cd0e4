package ledger

import (
	"cmp"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"truceline/treaty"
)

// leaf is one entry and its name.
type leaf struct {
	entry []byte
	id    treaty.Hash
}

// mark is a tally state kept until finality has reached it.
type mark struct {
	size    uint64
	machine Machine
}

// maxMarks bounds the tally states held in memory. Beyond it every second one goes: they only save replay.
const maxMarks = 16

// layer is a stretch of the log in memory, from base on, with the tally behind its last leaf. It has no lock.
type layer struct {
	cfg     *Config
	machine Machine
	// base is the first leaf that is not final; edge holds the roots of the full subtrees below it, which is all that
	// hashing from there on ever asks for.
	base uint64
	edge map[int64]tlog.Hash

	leaves span[leaf]
	hashes span[tlog.Hash] // by stored hash index
	ids    map[treaty.Hash]uint64
	bytes  uint64

	// bounds are the sizes reached at the end of each Raft entry that changed the size, rising, and times what the
	// machine's clock said there. A zero root has not been asked for yet; once set it never changes.
	bounds []treaty.Checkpoint
	times  []instant
	rooted int // how many of bounds, from the first, surely have a root
	marks  []mark
	marked uint64 // size of the last mark, here or stored

	last uint64 // last Raft index applied
}

// newLayer starts a layer at a size. r gives the stored hashes below it.
func newLayer(cfg *Config, m Machine, size uint64, r tlog.HashReader) (*layer, error) {
	t := &layer{cfg: cfg, machine: m, ids: map[treaty.Hash]uint64{}, marked: size}
	if err := t.rebase(size, r); err != nil {
		return nil, err
	}
	t.leaves.base, t.hashes.base = size, uint64(tlog.StoredHashCount(int64(size)))
	return t, nil
}

// rebase moves base and edge. The hashes that the root of a size is made of are exactly its full subtrees.
func (t *layer) rebase(size uint64, r tlog.HashReader) error {
	edge := map[int64]tlog.Hash{}
	_, err := tlog.TreeHash(int64(size), tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hs, err := r.ReadHashes(indexes)
		for i, h := range hs {
			edge[indexes[i]] = h
		}
		return hs, err
	}))
	if err != nil {
		return err
	}
	t.base, t.edge = size, edge
	return nil
}

// end is the size of the log with this layer.
func (t *layer) end() uint64 { return t.leaves.end() }

// hash is one stored hash at or right of the edge.
func (t *layer) hash(index int64) (tlog.Hash, error) {
	if i := uint64(index); i >= t.hashes.base {
		if i < t.hashes.end() {
			return t.hashes.at(i), nil
		}
	} else if h, ok := t.edge[index]; ok {
		return h, nil
	}
	return tlog.Hash{}, fmt.Errorf("%w: stored hash %d is not at the edge of %d leaves", ErrCorrupt, index, t.base)
}

// ReadHashes is tlog.HashReader over the layer and its edge.
func (t *layer) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		var err error
		if hashes[i], err = t.hash(index); err != nil {
			return nil, err
		}
	}
	return hashes, nil
}

// push adds one leaf and the hashes it completes. This is tlog.StoredHashesForRecordHash without its allocations; a
// test holds the two together.
func (t *layer) push(entry []byte, id treaty.Hash) error {
	if len(entry) > treaty.MaxRecord {
		return fmt.Errorf("%w: leaf %d has %d bytes, at most %d", treaty.ErrTooLarge, t.end(), len(entry), treaty.MaxRecord)
	}
	n, h := t.end(), tlog.RecordHash(entry)
	at := t.hashes.end()
	t.hashes.push(h)
	for level := 0; n>>level&1 == 1; level++ {
		left, err := t.hash(tlog.StoredHashIndex(level, int64(n>>level-1)))
		if err != nil {
			t.hashes.items = t.hashes.items[:at-t.hashes.base]
			return err
		}
		h = tlog.NodeHash(left, h)
		t.hashes.push(h)
	}
	t.leaves.push(leaf{entry: entry, id: id})
	t.ids[id] = n
	t.bytes += uint64(len(entry))
	return nil
}

// take gives one record to the tally and adds it and the leaves it derives.
func (t *layer) take(r *treaty.Record, out []Leaf) (_ []Leaf, taken bool, err error) {
	taken, derived := t.machine.Apply(r)
	if !taken {
		return out, false, nil
	}
	out = append(out, Leaf{Index: t.end(), Entry: r.Raw(), Record: r})
	if err := t.push(r.Raw(), r.ID); err != nil {
		return out, true, err
	}
	for _, d := range derived {
		out = append(out, Leaf{Index: t.end(), Entry: d})
		if err := t.push(d, treaty.HashOf(d)); err != nil {
			return out, true, fmt.Errorf("derived by record %s of %s: %w", r.ID.Short(), r.Nation, err)
		}
	}
	return out, true, nil
}

// instant is what a machine says about time.
type instant struct {
	time   treaty.Time
	closed treaty.Window
}

func instantOf(m Machine) instant { return instant{m.LedgerTime(), m.Closed()} }

// bound notes that a Raft entry ends here, and keeps a mark when one is due.
func (t *layer) bound(index, term uint64) {
	t.bounds = append(t.bounds, treaty.Checkpoint{Size: t.end(), Index: index, Term: term})
	t.times = append(t.times, instantOf(t.machine))
	if t.end()-t.marked < t.cfg.MarkEvery {
		return
	}
	t.marked = t.end()
	t.marks = append(t.marks, mark{size: t.end(), machine: t.machine.Clone()})
	if len(t.marks) > maxMarks {
		kept := t.marks[:0]
		for i, m := range t.marks {
			if i%2 == 0 {
				kept = append(kept, m)
			}
		}
		clear(t.marks[len(kept):])
		t.marks = kept
	}
}

// root is the root at a size from base to end.
func (t *layer) root(size uint64) (treaty.Hash, error) {
	h, err := tlog.TreeHash(int64(size), t)
	return treaty.Hash(h), err
}

// checkpoint is boundary i with its root.
func (t *layer) checkpoint(i int) (treaty.Checkpoint, error) {
	if t.bounds[i].Root.IsZero() {
		root, err := t.root(t.bounds[i].Size)
		if err != nil {
			return treaty.Checkpoint{}, err
		}
		t.bounds[i].Root = root
	}
	return t.bounds[i], nil
}

// find is the boundary that is exactly c.
func (t *layer) find(c treaty.Checkpoint) (i int, ok bool) {
	i, ok = slices.BinarySearchFunc(t.bounds, c.Size, func(b treaty.Checkpoint, size uint64) int { return cmp.Compare(b.Size, size) })
	if !ok || t.bounds[i].Index != c.Index || t.bounds[i].Term != c.Term {
		return 0, false
	}
	own, err := t.checkpoint(i)
	return i, err == nil && own == c
}

// boundaries are all bounds with their roots.
func (t *layer) boundaries() ([]treaty.Checkpoint, error) {
	for ; t.rooted < len(t.bounds); t.rooted++ {
		if _, err := t.checkpoint(t.rooted); err != nil {
			return nil, err
		}
	}
	return t.bounds[:t.rooted:t.rooted], nil
}

// markAt is the last mark at or below a size.
func (t *layer) markAt(size uint64) (mark, bool) {
	for _, m := range slices.Backward(t.marks) {
		if m.size <= size {
			return m, true
		}
	}
	return mark{}, false
}

// trim forgets everything below a size, which has become final.
func (t *layer) trim(size uint64) error {
	if err := t.rebase(size, t); err != nil {
		return err
	}
	for i := t.leaves.base; i < size; i++ {
		lf := t.leaves.at(i)
		t.bytes -= uint64(len(lf.entry))
		if t.ids[lf.id] == i { // a later leaf with the same bytes keeps its place
			delete(t.ids, lf.id)
		}
	}
	if len(t.ids) == 0 {
		t.ids = map[treaty.Hash]uint64{} // a map never shrinks
	}
	t.leaves.drop(size)
	t.hashes.drop(uint64(tlog.StoredHashCount(int64(size))))
	n, _ := slices.BinarySearchFunc(t.bounds, size+1, func(b treaty.Checkpoint, size uint64) int { return cmp.Compare(b.Size, size) })
	t.bounds, t.times, t.rooted = dropped(t.bounds, n), dropped(t.times, n), max(0, t.rooted-n)
	t.marks = slices.DeleteFunc(t.marks, func(m mark) bool { return m.size <= size })
	return nil
}

// span is a stretch of a sequence: items[i] has number base+i.
type span[T any] struct {
	base  uint64
	items []T
}

func (s *span[T]) end() uint64              { return s.base + uint64(len(s.items)) }
func (s *span[T]) at(i uint64) T            { return s.items[i-s.base] }
func (s *span[T]) push(v T)                 { s.items = append(s.items, v) }
func (s *span[T]) view(from, to uint64) []T { return s.items[from-s.base : to-s.base : to-s.base] }

func (s *span[T]) drop(to uint64) {
	s.items, s.base = dropped(s.items, int(to-s.base)), to
}

// dropped is s without its first n. What stays is copied when it is the smaller part, so that memory is given back and
// each item is copied once on average; views taken before stay what they were.
func dropped[T any](s []T, n int) []T {
	if rest := s[n:]; n < len(rest) {
		return rest
	}
	return append([]T(nil), s[n:]...)
}
