package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

const (
	maxStableKey   = 64
	maxStableValue = 1 << 10
)

// errNotFound has exactly the text that raft compares with; Pebble's own ("pebble: not found") stops raft from starting.
var errNotFound = errors.New("not found")

// Set keeps one value, synced.
func (s *Store) Set(key, val []byte) error {
	if len(key) > maxStableKey || len(val) > maxStableValue {
		return fmt.Errorf("raft stable store: %q: %d bytes of value: over the limit", key, len(val))
	}
	s.write.Lock()
	defer s.write.Unlock()
	b := s.cfg.DB.NewBatch()
	defer b.Close()
	err := b.Set(stableKey(key), val, nil)
	if err == nil {
		err = s.commit(b)
	}
	if err != nil {
		return s.fatal(fmt.Errorf("raft stable store: keep %q: %w", key, err))
	}
	return nil
}

// Get reads one value. A missing one is an error with the text "not found".
func (s *Store) Get(key []byte) ([]byte, error) {
	b, closer, err := s.cfg.DB.Get(stableKey(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, errNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("raft stable store: read %q: %w", key, err)
	}
	val := append([]byte{}, b...)
	return val, closer.Close()
}

// SetUint64 keeps one number, synced.
func (s *Store) SetUint64(key []byte, val uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, val))
}

// GetUint64 reads one number. A missing one is an error with the text "not found".
func (s *Store) GetUint64(key []byte) (uint64, error) {
	b, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, fmt.Errorf("raft stable store: %q has %d bytes, a number has 8", key, len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}
