package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/mod/sumdb/tlog"

	"truceline/treaty"
)

// store is the keys and values of the final layer; it has no state of its own.
type store struct {
	db     *pebble.DB
	prefix byte
}

// The kinds of key, see the package comment.
const (
	kindEntry       = 'e'
	kindHashes      = 'h'
	kindID          = 'i'
	kindCertificate = 'c'
	kindFinal       = 'f'
	kindMark        = 'm'
	kindNote        = 'k'
	kindCosigned    = 'z'
)

const numberedKey = 10 // prefix, kind, number

func (s store) key(kind byte) []byte { return []byte{s.prefix, kind} }

func (s store) numbered(kind byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, numberedKey), s.prefix, kind), n)
}

func (s store) idKey(id treaty.Hash) []byte { return append([]byte{s.prefix, kindID}, id[:]...) }

// get reads one value; ok is false when there is none.
func (s store) get(key []byte) (v []byte, ok bool, err error) {
	raw, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("ledger: read key %q: %w", key, err)
	}
	v = append(make([]byte, 0, len(raw)), raw...)
	return v, true, closer.Close()
}

// finalVersion is the format of all keys and values. A change takes the next number and reads this one.
const finalVersion = 1

// finalPointer says which certificate is the last.
type finalPointer struct {
	Version uint32 `cbor:"1,keyasint"`
	Height  uint64 `cbor:"2,keyasint"`
	// Time is the ledger time at its checkpoint.
	Time treaty.Time `cbor:"3,keyasint"`
}

func decodeFinal(b []byte) (finalPointer, error) {
	var f finalPointer
	if err := treaty.Decode(b, 64, &f); err != nil {
		return f, fmt.Errorf("%w: final pointer: %w", ErrCorrupt, err)
	}
	if f.Version != finalVersion {
		return f, fmt.Errorf("%w: format version %d, this program reads %d; use the release that wrote it", ErrCorrupt, f.Version, finalVersion)
	}
	return f, nil
}

// encodeMark joins a tally state with its place and a sum over both.
func encodeMark(size uint64, state []byte) []byte {
	b := make([]byte, 32, 40+len(state))
	b = binary.BigEndian.AppendUint64(b, size)
	b = append(b, state...)
	sum := treaty.HashOf(b[32:])
	copy(b, sum[:])
	return b
}

func decodeMark(b []byte) (size uint64, state []byte, err error) {
	if len(b) < 40 || treaty.HashOf(b[32:]) != treaty.Hash(b[:32]) {
		return 0, nil, fmt.Errorf("%w: the tally state of %d bytes does not match its sum", ErrCorrupt, len(b))
	}
	return binary.BigEndian.Uint64(b[32:]), b[40:], nil
}

// completed is how many stored hashes entry n completes: its own and one for each subtree it is the last leaf of.
func completed(n uint64) int { return 1 + bits.TrailingZeros64(n+1) }

// decodeHash takes the hash of one level out of what is stored for entry n.
func decodeHash(n uint64, level int, b []byte) (tlog.Hash, error) {
	if len(b) != completed(n)*tlog.HashSize || level >= completed(n) {
		return tlog.Hash{}, fmt.Errorf("%w: %d bytes of hashes at entry %d, level %d", ErrCorrupt, len(b), n, level)
	}
	return tlog.Hash(b[level*tlog.HashSize:][:tlog.HashSize]), nil
}

func decodeNumber(what string, b []byte) (uint64, error) {
	if len(b) != 8 {
		return 0, fmt.Errorf("%w: %s of %d bytes", ErrCorrupt, what, len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}

// ReadHashes is tlog.HashReader over the final layer.
func (s store) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	key := s.numbered(kindHashes, 0)
	for i, index := range indexes {
		level, k := tlog.SplitStoredHashIndex(index)
		n := (uint64(k)+1)<<level - 1 // the entry that completed it
		binary.BigEndian.PutUint64(key[2:], n)
		raw, closer, err := s.db.Get(key)
		if errors.Is(err, pebble.ErrNotFound) {
			return nil, fmt.Errorf("%w: no hashes stored for entry %d", ErrCorrupt, n)
		}
		if err != nil {
			return nil, fmt.Errorf("ledger: read hashes of entry %d: %w", n, err)
		}
		hashes[i], err = decodeHash(n, level, raw)
		if err := errors.Join(err, closer.Close()); err != nil {
			return nil, err
		}
	}
	return hashes, nil
}

// putLeaves adds entries [from, from+len(leaves)), their hashes and their ids.
func (s store) putLeaves(b *pebble.Batch, from uint64, leaves []leaf, hashes []tlog.Hash) error {
	for i, lf := range leaves {
		n := from + uint64(i)
		op := b.SetDeferred(numberedKey, len(lf.entry))
		op.Key[0], op.Key[1] = s.prefix, kindEntry
		binary.BigEndian.PutUint64(op.Key[2:], n)
		copy(op.Value, lf.entry)
		if err := op.Finish(); err != nil {
			return err
		}
		own := completed(n)
		op = b.SetDeferred(numberedKey, own*tlog.HashSize)
		op.Key[0], op.Key[1] = s.prefix, kindHashes
		binary.BigEndian.PutUint64(op.Key[2:], n)
		for j := range own {
			copy(op.Value[j*tlog.HashSize:], hashes[j][:])
		}
		hashes = hashes[own:]
		if err := op.Finish(); err != nil {
			return err
		}
		op = b.SetDeferred(2+len(lf.id), 8)
		op.Key[0], op.Key[1] = s.prefix, kindID
		copy(op.Key[2:], lf.id[:])
		binary.BigEndian.PutUint64(op.Value, n)
		if err := op.Finish(); err != nil {
			return err
		}
	}
	return nil
}

// certificate reads the certificate of a height.
func (s store) certificate(height uint64) (*treaty.Certificate, error) {
	raw, ok, err := s.get(s.numbered(kindCertificate, height))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%w: certificate of height %d", ErrNotFound, height)
	}
	c, err := treaty.DecodeCertificate(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: certificate of height %d: %w", ErrCorrupt, height, err)
	}
	if c.Height != height {
		return nil, fmt.Errorf("%w: the certificate stored for height %d is of height %d", ErrCorrupt, height, c.Height)
	}
	return c, nil
}
