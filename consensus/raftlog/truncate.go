package raftlog

import (
	"fmt"

	"github.com/hashicorp/raft"
)

// DeleteRange removes min..max, both included. It is the last line against a leader that overwrites what is certified, and
// against compaction of what is not (consensus.md C.4 rows 3 and 22). Raft calls it for two reasons:
//
//   - a new leader's log overwrites a suffix: allowed above the certified point only, and OnTruncate is told;
//   - after InstallSnapshot it empties the log: allowed when all of it lies at or below the certified point. Where
//     entries above it are held the call is refused, raft logs that and goes on, and they stay usable: they follow the
//     certified entry (Snapshots says so through OnDiverged when they do not).
func (s *Store) DeleteRange(min, max uint64) error {
	s.write.Lock()
	defer s.write.Unlock()
	if s.last == 0 || min > max || max < s.first || min > s.last {
		return nil
	}
	floor := s.cfg.Floor()
	suffix := max >= s.last
	switch {
	case min > s.first && !suffix:
		return fmt.Errorf("raft log: remove %d to %d: would leave a hole in %d to %d", min, max, s.first, s.last)
	case !suffix && max > floor:
		return fmt.Errorf("raft log: compact to %d: only up to the certified point, %d", max, floor)
	case suffix && s.last <= floor && min <= s.first:
		return s.remove(s.first, s.last) // all of it is certified: compaction
	case suffix && (min <= floor || min <= 1):
		return fmt.Errorf("raft log: truncate from %d, certified up to %d: %w", min, floor, ErrCertified)
	}
	if !suffix {
		return s.remove(s.first, max)
	}
	if min < s.first {
		min = s.first
	}
	if err := s.remove(min, s.last); err != nil {
		return err
	}
	s.cfg.OnTruncate(min)
	return nil
}

// CompactTo removes the entries below index, which must be certified. Entry index itself stays: after sending a
// snapshot a leader reads the entry at the certified point to send what follows it, and where it is gone, it sends
// the snapshot again, for ever. Never compact to an index raft has not applied yet: raft panics on the missing entry.
// Leave as many entries as a follower may lag without needing a snapshot.
func (s *Store) CompactTo(index uint64) error {
	s.write.Lock()
	defer s.write.Unlock()
	if floor := s.cfg.Floor(); index > floor {
		return fmt.Errorf("raft log: compact to %d: only up to the certified point, %d", index, floor)
	}
	if s.last == 0 || index <= s.first {
		return nil
	}
	if index > s.last {
		return fmt.Errorf("raft log: compact to %d: the log ends at %d; re-open raft at the certified point instead",
			index, s.last)
	}
	return s.remove(s.first, index-1)
}

// Wipe removes every entry and keeps term and vote, so that raft can be opened anew at the certified point. Raft must
// be stopped.
func (s *Store) Wipe() error {
	s.write.Lock()
	defer s.write.Unlock()
	if s.last == 0 {
		return nil
	}
	return s.remove(s.first, s.last)
}

// Align makes the log agree with a certified point, and says whether it had to wipe it: where the log ends before
// index, begins behind the entry after it, or holds another term there, its entries are from another history. Raft must
// be stopped; call it before every start.
func (s *Store) Align(index, term uint64) (wiped bool, err error) {
	first, last := s.bounds()
	if last == 0 || index == 0 {
		return false, nil
	}
	if last >= index && first <= index+1 && s.agrees(index, term) {
		return false, nil
	}
	return true, s.Wipe()
}

func (s *Store) bounds() (first, last uint64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.first, s.last
}

// agrees says whether the log does not contradict entry index having this term.
func (s *Store) agrees(index, term uint64) bool {
	var l raft.Log
	err := s.GetLog(index, &l)
	if err == raft.ErrLogNotFound {
		return true
	}
	return err == nil && l.Term == term
}

// remove deletes from..to, which is a prefix, a suffix or all of the log. The write lock is held.
func (s *Store) remove(from, to uint64) error {
	b := s.cfg.DB.NewBatch()
	defer b.Close()
	err := b.DeleteRange(logKey(from), logKey(to+1), nil)
	if err == nil {
		err = s.commit(b)
	}
	if err != nil {
		return s.fatal(fmt.Errorf("raft log: remove %d to %d: %w", from, to, err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case from == s.first && to == s.last:
		s.first, s.last = 0, 0
		s.cache.reset()
		return nil
	case from == s.first:
		s.first = to + 1
	default:
		s.last = from - 1
	}
	s.cache.keep(s.first, s.last)
	return nil
}
