package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"testing"

	"filippo.io/torchwood"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/mod/sumdb/tlog"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// tiles serves a ledger to torchwood's client by path, as the observer API does.
type tiles struct {
	*Ledger
	asked int
}

func (s *tiles) ReadTiles(_ context.Context, ts []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(ts))
	for i, t := range ts {
		t, err := torchwood.ParseTilePath(torchwood.TilePath(t))
		if err != nil {
			return nil, err
		}
		if out[i], err = s.Tile(t); err != nil {
			return nil, err
		}
		s.asked++
	}
	return out, nil
}

func (s *tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (s *tiles) ReadEndpoint(context.Context, string) ([]byte, error) {
	_, note, _ := s.Cosigned()
	return note, nil
}

// cosignedNode has a ledger of more than one full tile, cosigned at two sizes, and a tail that is only certified and
// only applied.
func cosignedNode(t testing.TB) (*treatytest.Fixture, *history, *node, [2]treaty.Checkpoint) {
	t.Helper()
	f := treatytest.New(4)
	h := newHistory(f, 21)
	h.grow(t, 320)
	n := newNode(t, f, vfs.NewMem())
	n.apply(h.entries...)
	bs := n.Boundaries()
	var cs [2]treaty.Checkpoint
	for i, at := range []int{len(bs) / 3, len(bs) * 9 / 10} {
		cs[i] = bs[at]
		n.certify(cs[i])
		n.cosign(cs[i])
	}
	n.certify(n.Boundaries()[3])
	if cs[1].Size < 600 {
		t.Fatalf("only %d leaves", cs[1].Size)
	}
	return f, h, n, cs
}

// A client that nobody here wrote reads the whole log from the tiles and verifies every entry against the cosigned root.
func TestTilesWithTorchwoodClient(t *testing.T) {
	_, h, n, cs := cosignedNode(t)
	n.reopen()
	for _, c := range cs {
		src := &tiles{Ledger: n.Ledger}
		client, err := torchwood.NewClient(src)
		if err != nil {
			t.Fatal(err)
		}
		next := int64(0)
		for i, e := range client.AllEntries(t.Context(), tlog.Tree{N: int64(c.Size), Hash: tlog.Hash(c.Root)}, 0) {
			if i != next || !bytes.Equal(e, h.leaves[i]) {
				t.Fatalf("entry %d is not the twin's entry %d", i, next)
			}
			next++
		}
		if err := client.Err(); err != nil || next != int64(c.Size) || src.asked < 2 {
			t.Fatalf("%d of %d entries from %d tiles, %v", next, c.Size, src.asked, err)
		}
	}
}

// Tiles end exactly at the cosigned size, whatever is asked for: a tile beyond would show observers what is not final.
func TestTilesEndAtCosignedSize(t *testing.T) {
	_, _, n, cs := cosignedNode(t)
	size := int64(cs[1].Size)
	if n.FinalSize() <= cs[1].Size {
		t.Fatal("nothing certified beyond the cosigned size: the test proves nothing")
	}
	n0, w := size/256, int(size%256)
	if w == 0 {
		t.Fatal("the size is a multiple of 256: choose another seed")
	}
	for _, c := range []struct {
		tile tlog.Tile
		want error
	}{
		{tlog.Tile{H: 8, L: 0, N: 0, W: 256}, nil},
		{tlog.Tile{H: 8, L: 0, N: 0, W: 1}, nil},
		{tlog.Tile{H: 8, L: 1, N: 0, W: int(n0)}, nil},
		{tlog.Tile{H: 8, L: 1, N: 0, W: int(n0) + 1}, ErrNotFinal},
		{tlog.Tile{H: 8, L: 2, N: 0, W: 1}, ErrNotFinal},
		{tlog.Tile{H: 8, L: 0, N: n0, W: w}, nil},
		{tlog.Tile{H: 8, L: 0, N: n0, W: w + 1}, ErrNotFinal},
		{tlog.Tile{H: 8, L: -1, N: n0, W: w}, nil},
		{tlog.Tile{H: 8, L: -1, N: n0, W: w + 1}, ErrNotFinal},
		{tlog.Tile{H: 8, L: -1, N: n0 + 1, W: 1}, ErrNotFinal},
		{tlog.Tile{H: 8, L: 0, N: 1<<62 + 1, W: 256}, ErrNotFinal},
		{tlog.Tile{H: 8, L: 7, N: 1<<62 + 1, W: 256}, ErrNotFinal},
		{tlog.Tile{H: 8, L: 0, N: -1, W: 1}, ErrNotFound},
		{tlog.Tile{H: 8, L: 0, N: 0, W: 0}, ErrNotFound},
		{tlog.Tile{H: 8, L: 0, N: 0, W: 257}, ErrNotFound},
		{tlog.Tile{H: 8, L: 8, N: 0, W: 1}, ErrNotFound},
		{tlog.Tile{H: 8, L: -2, N: 0, W: 1}, ErrNotFound},
		{tlog.Tile{H: 10, L: 0, N: 0, W: 1}, ErrNotFound},
	} {
		b, err := n.Tile(c.tile)
		if !errors.Is(err, c.want) {
			t.Errorf("%+v: %v, want %v", c.tile, err, c.want)
		}
		if err == nil && c.tile.L >= 0 && len(b) != 32*c.tile.W {
			t.Errorf("%+v: %d bytes", c.tile, len(b))
		}
	}
}

// Each entry's proof must verify offline with nothing but entry, proof and policy, at both cosigned sizes, and the two
// trees must be consistent. Nothing is proved beyond the cosigned size.
func TestProofsVerifyOffline(t *testing.T) {
	f, h, n, cs := cosignedNode(t)
	policy := f.Net.Policy()
	for _, c := range cs {
		note, err := n.CosignedAt(c.Size)
		if err != nil {
			t.Fatal(err)
		}
		for i := uint64(0); i < c.Size; i += 1 + i/7 {
			entry, err := n.Entry(i)
			if err != nil {
				t.Fatal(err)
			}
			p, err := n.ProveRecord(i, c.Size)
			if err != nil {
				t.Fatal(err)
			}
			size, index, err := treaty.VerifyEntry(entry, treaty.FormatProof(i, p, note), policy)
			if err != nil || size != c.Size || index != i {
				t.Fatalf("entry %d at %d: size %d, index %d, %v", i, c.Size, size, index, err)
			}
			if _, _, err := treaty.VerifyEntry(h.leaves[i+1], treaty.FormatProof(i, p, note), policy); err == nil {
				t.Fatalf("the proof of entry %d proves entry %d", i, i+1)
			}
		}
	}
	p, err := n.ProveTree(cs[0].Size, cs[1].Size)
	if err != nil {
		t.Fatal(err)
	}
	if err := tlog.CheckTree(p, int64(cs[1].Size), tlog.Hash(cs[1].Root), int64(cs[0].Size), tlog.Hash(cs[0].Root)); err != nil {
		t.Error(err)
	}
	final := n.FinalSize()
	for name, err := range map[string]error{
		"proof at a certified size":     second(n.ProveRecord(0, final)),
		"proof beyond the tree":         second(n.ProveRecord(cs[1].Size, cs[1].Size)),
		"proof at 0":                    second(n.ProveRecord(0, 0)),
		"consistency to certified size": second(n.ProveTree(cs[0].Size, final)),
		"consistency backwards":         second(n.ProveTree(cs[1].Size, cs[0].Size)),
		"consistency from 0":            second(n.ProveTree(0, cs[0].Size)),
		"entry beyond final":            second(n.Entry(final)),
		"root beyond final":             second(n.RootAt(final + 1)),
	} {
		if !errors.Is(err, ErrNotFinal) {
			t.Errorf("%s: %v", name, err)
		}
	}
	seq, failed := n.Entries(final-1, final+1)
	for range seq {
		t.Error("an entry out of a range that is not final")
	}
	if !errors.Is(failed(), ErrNotFinal) {
		t.Error(failed())
	}
}

func second[T any](_ T, err error) error { return err }

// A cosigned checkpoint must be of a final size, say that size and root, and grow.
func TestSetCosignedRefuses(t *testing.T) {
	f, _, n, cs := cosignedNode(t)
	final := n.Certified().Checkpoint
	other := final
	other.Root[0] ^= 1
	beyond := n.Frontier()
	for name, c := range map[string]struct {
		size uint64
		note []byte
		want error
	}{
		"again":         {cs[1].Size, cosign(t, f, cs[1]), ErrOld},
		"back":          {cs[0].Size, cosign(t, f, cs[0]), ErrOld},
		"other root":    {final.Size, cosign(t, f, other), nil},
		"of other size": {final.Size, cosign(t, f, cs[1]), nil},
		"not final":     {beyond.Size, cosign(t, f, beyond), ErrNotFinal},
		"too large":     {final.Size, append(cosign(t, f, final), make([]byte, treaty.MaxCheckpointNote)...), treaty.ErrTooLarge},
	} {
		b := n.db.NewBatch()
		_, err := n.SetCosigned(b, c.size, c.note)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		b.Close()
	}
	b := n.db.NewBatch()
	s, err := n.SetCosigned(b, final.Size, cosign(t, f, final))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.SetCosigned(b, final.Size, cosign(t, f, final)); !errors.Is(err, ErrBusy) {
		t.Errorf("second while one is not done: %v", err)
	}
	s.Drop()
	b.Close()
	n.cosign(final)
	n.reopen()
	size, note, ok := n.Cosigned()
	if !ok || size != final.Size || !bytes.Equal(note, cosign(t, f, final)) {
		t.Errorf("after reopening: size %d", size)
	}
	if _, err := n.CosignedAt(cs[0].Size + 1); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

// Damage to any one stored value must be found on opening, and the error must say what and where. Catches a check that
// looks and does not see.
func TestOpenFindsDamage(t *testing.T) {
	_, _, n, _ := cosignedNode(t)
	final := n.FinalSize()
	l := n.Ledger
	flip := func(key []byte) func(b *pebble.Batch) {
		return func(b *pebble.Batch) {
			v, ok, err := l.store.get(key)
			if err != nil || !ok {
				t.Fatalf("key %q: %v", key, err)
			}
			v[len(v)/2] ^= 1
			b.Set(key, v, nil)
		}
	}
	remove := func(key []byte) func(b *pebble.Batch) {
		return func(b *pebble.Batch) { b.Delete(key, nil) }
	}
	s := l.store
	height := l.Certified().Height
	for name, harm := range map[string]func(b *pebble.Batch){
		"final pointer lost":    remove(s.key(kindFinal)),
		"final pointer flipped": flip(s.key(kindFinal)),
		"final pointer of version 2": func(b *pebble.Batch) {
			b.Set(s.key(kindFinal), treaty.Encode(finalPointer{Version: 2, Height: height, Time: l.FinalLedgerTime()}), nil)
		},
		"other ledger time": func(b *pebble.Batch) {
			b.Set(s.key(kindFinal), treaty.Encode(finalPointer{Version: 1, Height: height, Time: 1 + l.FinalLedgerTime()}), nil)
		},
		"earlier certificate": func(b *pebble.Batch) {
			b.Set(s.key(kindFinal), treaty.Encode(finalPointer{Version: 1, Height: height - 1}), nil)
		},
		"certificate lost":    remove(s.numbered(kindCertificate, height)),
		"certificate flipped": flip(s.numbered(kindCertificate, height)),
		"mark flipped":        flip(s.key(kindMark)),
		"last entry lost":     remove(s.numbered(kindEntry, final-1)),
		"last entry flipped":  flip(s.numbered(kindEntry, final-1)),
		"an entry too many":   func(b *pebble.Batch) { b.Set(s.numbered(kindEntry, final), []byte("x"), nil) },
		"hashes at edge lost": remove(s.numbered(kindHashes, 511)),
		"hashes at edge flipped": func(b *pebble.Batch) {
			v, _, _ := l.store.get(s.numbered(kindHashes, 511))
			v[len(v)-1] ^= 1 // the root of the first 512
			b.Set(s.numbered(kindHashes, 511), v, nil)
		},
		"hashes at end flipped": func(b *pebble.Batch) {
			v, _, _ := l.store.get(s.numbered(kindHashes, final-1))
			v[len(v)-1] ^= 1 // written after the last mark: replaying alone does not read it
			b.Set(s.numbered(kindHashes, final-1), v, nil)
		},
		"cosigned size cut":  func(b *pebble.Batch) { b.Set(s.key(kindCosigned), []byte{1}, nil) },
		"cosigned beyond":    func(b *pebble.Batch) { b.Set(s.key(kindCosigned), binary.BigEndian.AppendUint64(nil, final+1), nil) },
		"cosigned note lost": remove(s.numbered(kindNote, l.CosignedSize())),
		"cosigned note of other tree": func(b *pebble.Batch) {
			b.Set(s.numbered(kindNote, l.CosignedSize()), []byte("other\n1\nAAAA\n\n"), nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := n.db.NewBatch()
			defer b.Close()
			harm(b)
			undo := n.db.NewBatch() // puts back what the harm overwrites
			defer undo.Close()
			for _, key := range touched(t, b) {
				if v, ok, _ := l.store.get(key); ok {
					undo.Set(key, v, nil)
				} else {
					undo.Delete(key, nil)
				}
			}
			if err := b.Commit(pebble.Sync); err != nil {
				t.Fatal(err)
			}
			_, err := Open(config(n.f, n.db))
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNotFound) {
				t.Errorf("opened: %v", err)
			} else {
				t.Log(err)
			}
			if err := undo.Commit(pebble.Sync); err != nil {
				t.Fatal(err)
			}
		})
	}
	n.open() // everything was put back
}

// touched lists the keys a batch writes.
func touched(t *testing.T, b *pebble.Batch) (keys [][]byte) {
	t.Helper()
	r := b.Reader()
	for {
		_, key, _, ok, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return keys
		}
		keys = append(keys, bytes.Clone(key))
	}
}

// A stored tally state that an older program wrote and this one cannot read costs a replay and no more.
func TestUnreadableMarkIsReplayed(t *testing.T) {
	_, h, n, _ := cosignedNode(t)
	n.cfg = func(c *Config) {
		c.Load = func([]byte) (Machine, error) { return nil, errors.New("written by release 1") }
	}
	n.reopen()
	n.apply(h.entries...)
	n.check(h, h.entries[len(h.entries)-1].index)
}

// A bit that went bad long ago, which Open has no reason to look at, must be found by an audit; a sound store must pass
// it. Catches an audit that compares a thing with itself.
func TestAuditFindsOldDamage(t *testing.T) {
	_, _, n, cs := cosignedNode(t)
	calls := 0
	if err := n.Audit(func(done, total uint64) error { calls++; return nil }); err != nil || calls < 2 {
		t.Fatalf("a sound store: %v (%d calls of progress)", err, calls)
	}
	s := n.store
	flip := func(v []byte, at int) []byte { v = bytes.Clone(v); v[at] ^= 1; return v }
	id := func(i uint64) []byte {
		e, err := n.Entry(i)
		if err != nil {
			t.Fatal(err)
		}
		return s.idKey(treaty.HashOf(e))
	}
	for name, c := range map[string]struct {
		key    []byte
		change func([]byte) []byte
	}{
		"entry":            {s.numbered(kindEntry, 3), func(v []byte) []byte { return flip(v, 9) }},
		"leaf hash":        {s.numbered(kindHashes, 10), func(v []byte) []byte { return flip(v, 0) }},
		"inner hash":       {s.numbered(kindHashes, 15), func(v []byte) []byte { return flip(v, 70) }},
		"index":            {id(5), func(v []byte) []byte { return flip(v, 7) }},
		"certificate":      {s.numbered(kindCertificate, 1), func(v []byte) []byte { return flip(v, len(v)-1) }},
		"cosigned root":    {s.numbered(kindNote, cs[0].Size), func(v []byte) []byte { return flip(v, 40) }},
		"entry lost":       {s.numbered(kindEntry, 4), nil},
		"hashes lost":      {s.numbered(kindHashes, 4), nil},
		"index entry lost": {id(6), nil},
	} {
		good, ok, err := s.get(c.key)
		if err != nil || !ok {
			t.Fatal(name, err)
		}
		if c.change == nil {
			err = n.db.Delete(c.key, pebble.Sync)
		} else {
			err = n.db.Set(c.key, c.change(good), pebble.Sync)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Audit(nil); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
		if err := n.db.Set(c.key, good, pebble.Sync); err != nil {
			t.Fatal(err)
		}
	}
	// A certificate that is sound in itself and out of its place.
	first, _, err := s.get(s.numbered(kindCertificate, 1))
	if err != nil {
		t.Fatal(err)
	}
	misplaced := treaty.Encode(certify(t, n.f, 1, n.Certified().Checkpoint))
	if err := n.db.Set(s.numbered(kindCertificate, 1), misplaced, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := n.Audit(nil); !errors.Is(err, ErrCorrupt) {
		t.Errorf("certificates out of order: %v", err)
	}
	if err := n.db.Set(s.numbered(kindCertificate, 1), first, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	if err := n.Audit(func(uint64, uint64) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("stopped: %v", err)
	}
}

// A peer that serves a newcomer must find the largest certificate it can take, also where heights are missing.
func TestCertificateUpTo(t *testing.T) {
	f := treatytest.New(4)
	h := newHistory(f, 31)
	h.grow(t, 40)
	n := newNode(t, f, vfs.NewMem())
	if _, err := n.CertificateUpTo(1 << 60); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	var certs []*treaty.Certificate
	for i, e := range h.boundaries(0, 1<<60) {
		n.apply(h.entries...)
		cert := certify(t, f, n.height()+1+uint64(i%3), e.checkpoint)
		n.settle(func(b *pebble.Batch) (*Staged, error) { return n.Stage(b, cert) })
		certs = append(certs, cert)
	}
	for size := range n.FinalSize() + 3 {
		var want *treaty.Certificate
		for _, c := range certs {
			if c.Checkpoint.Size <= size {
				want = c
			}
		}
		got, err := n.CertificateUpTo(size)
		if want == nil {
			if !errors.Is(err, ErrNotFound) {
				t.Fatalf("size %d: %v", size, err)
			}
		} else if err != nil || got.Height != want.Height {
			t.Fatalf("size %d: %v, want height %d", size, err, want.Height)
		}
	}
}
