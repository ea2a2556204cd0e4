package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"
)

// ErrCertified: somebody wanted to truncate what a certificate covers. The certificate wins; the peer that asked is
// wrong or lying.
var ErrCertified = errors.New("entries at or below the certified point are never truncated")

// Config is what a Store needs.
type Config struct {
	// DB is shared with other rooms; this one keeps to Prefix. Its Logger's Fatalf must not return: Pebble calls it
	// when a commit fails (a full disk) and then reports success. Let it panic: the Store turns that into an error.
	DB *pebble.DB
	// Floor is the index of the latest certified entry this node holds the final state of, 0 before the first.
	Floor func() uint64
	// OnTruncate is called after entries from min on were removed because a new leader's log overwrites them. The node
	// must rebuild its tentative layer if any of them was applied. It runs on raft's main goroutine: note it and return.
	OnTruncate func(min uint64)
	// OnFatal is called once, when a write has failed. The node must stop.
	OnFatal func(error)
}

// Validate reports every problem at once.
func (c *Config) Validate() error {
	var errs []error
	if c.DB == nil {
		errs = append(errs, errors.New("DB is missing"))
	}
	if c.Floor == nil {
		errs = append(errs, errors.New("no Floor: without it certified entries are not protected"))
	}
	if c.OnTruncate == nil {
		errs = append(errs, errors.New("OnTruncate is missing: raft never un-applies, the node must"))
	}
	if c.OnFatal == nil {
		errs = append(errs, errors.New("OnFatal is missing"))
	}
	if len(errs) > 0 {
		return fmt.Errorf("raft log: %w", errors.Join(errs...))
	}
	return nil
}

// Store is a raft.LogStore, raft.StableStore and raft.MonotonicLogStore. It is safe for concurrent use.
type Store struct {
	cfg Config

	write sync.Mutex // one writer at a time; readers do not wait for its fsync

	mu          sync.RWMutex
	first, last uint64 // 0 and 0 when empty
	cache       cache
	failed      error
}

var (
	_ raft.LogStore          = (*Store)(nil)
	_ raft.StableStore       = (*Store)(nil)
	_ raft.MonotonicLogStore = (*Store)(nil)
)

// Open reads where the log begins and ends.
func Open(cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, cache: newCache()}
	it, err := cfg.DB.NewIter(&pebble.IterOptions{LowerBound: logKey(0), UpperBound: logEnd()})
	if err != nil {
		return nil, fmt.Errorf("raft log: open: %w", err)
	}
	if it.First() {
		s.first, err = indexOf(it.Key())
		if err == nil && it.Last() {
			s.last, err = indexOf(it.Key())
		}
	}
	if err = errors.Join(err, it.Error(), it.Close()); err != nil {
		return nil, fmt.Errorf("raft log: open: %w", err)
	}
	return s, nil
}

func indexOf(key []byte) (uint64, error) {
	if len(key) != 10 {
		return 0, fmt.Errorf("%w: key %x", ErrMalformed, key)
	}
	return binary.BigEndian.Uint64(key[2:]), nil
}

// IsMonotonic tells raft that the log has no gaps, so that after InstallSnapshot it empties it.
func (s *Store) IsMonotonic() bool { return true }

// FirstIndex is the lowest index held, 0 for none.
func (s *Store) FirstIndex() (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.first, nil
}

// LastIndex is the highest index held, 0 for none.
func (s *Store) LastIndex() (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.last, nil
}

// GetLog reads one entry. An index not held gives raft.ErrLogNotFound itself: raft compares with ==, and sends no
// snapshot for a wrapped one.
func (s *Store) GetLog(index uint64, l *raft.Log) error {
	s.mu.RLock()
	e, ok := s.cache.get(index)
	held := s.first <= index && index <= s.last && index > 0
	s.mu.RUnlock()
	if ok {
		*l = e
		return nil
	}
	if !held {
		return raft.ErrLogNotFound
	}
	b, closer, err := s.cfg.DB.Get(logKey(index))
	if errors.Is(err, pebble.ErrNotFound) {
		return raft.ErrLogNotFound // removed in the meantime
	}
	if err != nil {
		return fmt.Errorf("raft log: read index %d: %w", index, err)
	}
	err = decodeEntry(index, b, l)
	return errors.Join(err, closer.Close())
}

// StoreLog is StoreLogs of one entry.
func (s *Store) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs appends entries in one synced batch. They must follow the last one held.
func (s *Store) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	s.write.Lock()
	defer s.write.Unlock()
	next := logs[0].Index
	switch {
	case s.last > 0 && next != s.last+1:
		return fmt.Errorf("raft log: entry %d does not follow the last one, %d", next, s.last)
	case s.last == 0 && next != 1 && next > s.cfg.Floor()+1:
		return fmt.Errorf("raft log: empty log cannot begin at %d: the certified point is %d", next, s.cfg.Floor())
	}
	size := 0
	for i, l := range logs {
		if err := storable(l); err != nil {
			return fmt.Errorf("raft log: store: %w", err)
		}
		if l.Index != next+uint64(i) {
			return fmt.Errorf("raft log: entry %d stands where %d belongs", l.Index, next+uint64(i))
		}
		size += entryHead + len(l.Data) + 24
	}
	b := s.cfg.DB.NewBatchWithSize(size)
	defer b.Close()
	var buf []byte
	for _, l := range logs {
		buf = encodeEntry(buf[:0], l)
		if err := b.Set(logKey(l.Index), buf, nil); err != nil {
			return s.fatal(fmt.Errorf("raft log: store entries from %d: %w", next, err))
		}
	}
	if err := s.commit(b); err != nil {
		return s.fatal(fmt.Errorf("raft log: store entries from %d: %w", next, err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == 0 {
		s.first = next
	}
	s.last = logs[len(logs)-1].Index
	for _, l := range logs {
		s.cache.add(l)
	}
	return nil
}

// commit syncs a batch. Pebble reports a failed commit by calling its logger's Fatalf; one that panics ends up here.
func (s *Store) commit(b *pebble.Batch) (err error) {
	s.mu.RLock()
	err = s.failed
	s.mu.RUnlock()
	if err != nil {
		return err
	}
	defer func() {
		if p := recover(); p != nil {
			if e, ok := p.(error); ok {
				err = e
			} else {
				err = fmt.Errorf("%v", p)
			}
		}
	}()
	return b.Commit(pebble.Sync)
}

// fatal marks the store as failed and tells the node, once.
func (s *Store) fatal(err error) error {
	s.mu.Lock()
	told := s.failed != nil
	if !told {
		s.failed = err
	}
	s.mu.Unlock()
	if !told {
		s.cfg.OnFatal(fmt.Errorf("%w (free the disk and start the node again; what was acknowledged is intact)", err))
	}
	return err
}

// Failed is the error that made the store stop, nil while it works.
func (s *Store) Failed() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.failed
}
