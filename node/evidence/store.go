package evidence

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"truceline/treaty"
)

// prefix is the first byte of every key.
const prefix = 'e'

// The kinds of key; see the package comment.
const (
	kindVersion  = 'v'
	kindBatch    = 'b'
	kindHidden   = 'h'
	kindByWindow = 'w'
	kindSeal     = 's'
	kindSealTime = 't'
	kindNumbers  = 'l'
	kindOutbox   = 'o'
	kindAttested = 'a'
	kindCited    = 'c'
	kindReview   = 'r'
	kindNote     = 'n'
)

// Errors of this package; others are of the disk.
var (
	// ErrCorrupt: a stored value is not what was written. The disk is failing, or another program wrote here: restore
	// the directory from a backup, or start with an empty one and let the node catch up.
	ErrCorrupt = errors.New("evidence store is corrupt")
	// ErrForeign: the store belongs to another nation, accord or release.
	ErrForeign = errors.New("evidence store is not ours")
	// ErrNotFound: there is no such thing here.
	ErrNotFound = errors.New("not found")
	// ErrDoubleSign: a second, different record under a number that is taken. Never send it.
	ErrDoubleSign = errors.New("refused to sign twice")
	// ErrAttested: we have attested to this incident, or called a breach over one of its detections in another case.
	ErrAttested = errors.New("already attested")
	// ErrFull: a bounded queue is full.
	ErrFull = errors.New("queue is full")
)

// Config is what the store needs.
type Config struct {
	DB     *pebble.DB
	Net    *treaty.Network
	Nation treaty.Nation
	Log    *slog.Logger
	// Case is the first incident of the case that an incident belongs to (an incident and those that amend it): itself
	// if it amends none or is not known any more. It is called while the store is locked and must not call it. Without
	// it every incident is a case of its own, which refuses more.
	Case func(incident treaty.Hash) treaty.Hash
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	var errs []error
	if c.DB == nil {
		errs = append(errs, errors.New("no database"))
	}
	if c.Net == nil {
		errs = append(errs, errors.New("no network: load the accord first"))
	} else if _, ok := c.Net.Member(c.Nation); !ok {
		errs = append(errs, fmt.Errorf("%w: %s", treaty.ErrUnknownNation, c.Nation))
	}
	if c.Log == nil {
		errs = append(errs, errors.New("no logger"))
	}
	return errors.Join(errs...)
}

// Store is one node's evidence. Safe for concurrent use. It has nothing to close.
type Store struct {
	db     *pebble.DB
	net    *treaty.Network
	nation treaty.Nation
	log    *slog.Logger
	first  func(treaty.Hash) treaty.Hash // Config.Case

	// sign orders everything that signs or remembers what was signed; it guards what follows.
	sign    sync.Mutex
	numbers numbers
	// broken is the first failed write. After it, what is on disk is not known, so nothing is signed any more.
	broken error
	waits  int // attestations in the review queue

	note sync.Mutex // orders the operator's notes
}

// version is the format of all keys and values. A change takes the next number and reads this one.
const version = 1

// schema is the first thing written and the first thing read.
type schema struct {
	Version uint32        `cbor:"1,keyasint"`
	Nation  treaty.Nation `cbor:"2,keyasint"`
	Accord  treaty.Hash   `cbor:"3,keyasint"`
}

func decodeSchema(b []byte) (schema, error) {
	var s schema
	if err := treaty.Decode(b, 128, &s); err != nil {
		return s, fmt.Errorf("%w: schema: %w", ErrCorrupt, err)
	}
	return s, nil
}

// numbers is how far our own records are.
type numbers struct {
	Last  uint64 `cbor:"1,keyasint"` // the highest number ever signed
	Final uint64 `cbor:"2,keyasint"` // every number up to here is final
	// Sealed is the latest window ever sealed, whatever became of its seal: a window is sealed once.
	Sealed treaty.Window `cbor:"3,keyasint,omitempty"`
}

func decodeNumbers(b []byte) (numbers, error) {
	var n numbers
	if err := treaty.Decode(b, 32, &n); err != nil {
		return n, fmt.Errorf("%w: record numbers: %w", ErrCorrupt, err)
	}
	if n.Final > n.Last {
		return n, fmt.Errorf("%w: record %d is final and only %d are signed", ErrCorrupt, n.Final, n.Last)
	}
	return n, nil
}

// Open checks that the store is this nation's under this accord and in a format this program reads, or founds it.
func Open(c Config) (*Store, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("open evidence: %w", err)
	}
	s := &Store{db: c.DB, net: c.Net, nation: c.Nation, log: c.Log, first: c.Case}
	if s.first == nil {
		s.first = func(incident treaty.Hash) treaty.Hash { return incident }
	}
	if err := s.openSchema(); err != nil {
		return nil, fmt.Errorf("open evidence: %w", err)
	}
	raw, err := s.get(key(kindNumbers))
	if err == nil {
		s.numbers, err = decodeNumbers(raw)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("open evidence: %w", err)
	}
	for r, err := range s.Outbox() { // every own record must still be readable before a new one is signed
		if err != nil {
			return nil, fmt.Errorf("open evidence: %w", err)
		}
		if r.Seq > s.numbers.Last {
			return nil, fmt.Errorf("open evidence: %w: record %d is kept and only %d are signed", ErrCorrupt, r.Seq, s.numbers.Last)
		}
	}
	for _, err := range s.Reviews() {
		if err != nil {
			return nil, fmt.Errorf("open evidence: %w", err)
		}
		s.waits++
	}
	return s, nil
}

func (s *Store) openSchema() error {
	raw, err := s.get(key(kindVersion))
	if errors.Is(err, ErrNotFound) {
		it, err := s.scan([]byte{prefix}, []byte{prefix + 1})
		if err != nil {
			return err
		}
		stray := it.First()
		if err := it.Close(); err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if stray {
			return fmt.Errorf("%w: there are keys and no format version", ErrCorrupt)
		}
		return s.write(key(kindVersion), treaty.Encode(schema{Version: version, Nation: s.nation, Accord: s.net.Digest}))
	}
	if err != nil {
		return err
	}
	have, err := decodeSchema(raw)
	switch {
	case err != nil:
		return err
	case have.Version != version:
		return fmt.Errorf("%w: format version %d, this program reads %d; use the release that wrote it", ErrForeign, have.Version, version)
	case have.Nation != s.nation:
		return fmt.Errorf("%w: it belongs to %s and this node is %s; give each nation its own directory", ErrForeign, have.Nation, s.nation)
	case have.Accord != s.net.Digest:
		return fmt.Errorf("%w: it was written under accord %s and this is %s; give each accord its own directory", ErrForeign,
			have.Accord.Short(), s.net.Digest.Short())
	}
	return nil
}

// key joins a kind and its parts.
func key(kind byte, parts ...[]byte) []byte {
	k := append(make([]byte, 0, 48), prefix, kind)
	for _, p := range parts {
		k = append(k, p...)
	}
	return k
}

func be64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
func be32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// get reads one value. Errors: ErrNotFound.
func (s *Store) get(k []byte) ([]byte, error) {
	v, closer, err := s.db.Get(k)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read key %q: %w", k, err)
	}
	out := append(make([]byte, 0, len(v)), v...)
	return out, closer.Close()
}

// has says whether a key is there.
func (s *Store) has(k []byte) (bool, error) {
	_, err := s.get(k)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// write sets one key and waits for the disk.
func (s *Store) write(k, v []byte) error {
	if err := s.db.Set(k, v, pebble.Sync); err != nil {
		return fmt.Errorf("write key %q: %w", k[:2], err)
	}
	return nil
}

// scan iterates over [from, to).
func (s *Store) scan(from, to []byte) (*pebble.Iterator, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return it, nil
}

// each calls f for every key of a kind from `from` on, in order, until f returns false or an error.
func (s *Store) each(kind byte, from []byte, f func(k, v []byte) (bool, error)) error {
	it, err := s.scan(key(kind, from), key(kind+1))
	if err != nil {
		return err
	}
	var ferr error
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			ferr = err
			break
		}
		if ok, ferr = f(it.Key()[2:], v); !ok || ferr != nil {
			break
		}
	}
	return errors.Join(ferr, it.Close())
}
