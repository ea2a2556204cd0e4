package raftlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"
)

// MaxSnapshot bounds what raft calls a snapshot and is here the bytes of one certificate.
const MaxSnapshot = 8 << 10

// configurationIndex is where every node's log holds the roster: entry 1, written at the founding.
const configurationIndex = 1

// Certified is the node's knowledge of certified points. Both methods are called from raft's goroutines.
type Certified interface {
	// Latest is the highest certified point this node has the final state of: the raft entry it ends with, and the
	// certificate. ok is false before the first.
	Latest() (index, term uint64, data []byte, ok bool)
	// Accept checks a certificate from a peer against the raft entry it is said to end with. When it returns nil, the
	// certificate is kept for good; what the state machine lacks up to there is fetched when raft restores from data.
	Accept(index, term uint64, data []byte) error
}

// SnapshotsConfig is what Snapshots needs.
type SnapshotsConfig struct {
	Certified Certified
	// Configuration is the roster as raft sees it; a snapshot with any other is refused.
	Configuration func() raft.Configuration
	// Log is asked whether its entries agree with an accepted certificate.
	Log *Store
	// OnDiverged is told that the log contradicts a certificate just accepted: the node must re-open raft at the
	// certified point (Align, or Wipe). It runs on raft's main goroutine: note it and return.
	OnDiverged func(index uint64)
}

// Validate reports every problem at once.
func (c *SnapshotsConfig) Validate() error {
	var errs []error
	if c.Certified == nil {
		errs = append(errs, errors.New("no Certified"))
	}
	if c.Configuration == nil {
		errs = append(errs, errors.New("no Configuration"))
	}
	if c.Log == nil {
		errs = append(errs, errors.New("no Log"))
	}
	if c.OnDiverged == nil {
		errs = append(errs, errors.New("OnDiverged is missing"))
	}
	if len(errs) > 0 {
		return fmt.Errorf("raft snapshots: %w", errors.Join(errs...))
	}
	return nil
}

// Snapshots is a raft.SnapshotStore that stores nothing: what it lists is the latest certified point, and what it
// takes in goes to Certified.Accept. A refused snapshot leaves no trace, and the last good one cannot be evicted
// (consensus.md C.4 rows 18 and 20).
type Snapshots struct {
	cfg SnapshotsConfig

	mu sync.Mutex
	// staged was accepted from a peer and waits for raft to restore from it; listed was shown to raft last. Both stay
	// openable though Latest moves on: raft takes index and term from the first and bytes from a later call.
	staged, listed *snapshot
}

var _ raft.SnapshotStore = (*Snapshots)(nil)

type snapshot struct {
	id          string
	index, term uint64
	data        []byte
}

// NewSnapshots makes the store.
func NewSnapshots(cfg SnapshotsConfig) (*Snapshots, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Snapshots{cfg: cfg}, nil
}

func snapshotID(index, term uint64) string { return fmt.Sprintf("certified-%d-%d", index, term) }

func (s *Snapshots) meta(p *snapshot) *raft.SnapshotMeta {
	return &raft.SnapshotMeta{
		Version: 1, ID: p.id, Index: p.index, Term: p.term, Size: int64(len(p.data)),
		Configuration: s.cfg.Configuration(), ConfigurationIndex: configurationIndex,
	}
}

// List is the latest certified point, or nothing before the first.
func (s *Snapshots) List() ([]*raft.SnapshotMeta, error) {
	index, term, data, ok := s.cfg.Certified.Latest()
	if !ok {
		return nil, nil
	}
	if len(data) > MaxSnapshot {
		return nil, fmt.Errorf("raft snapshots: certificate of entry %d has %d bytes, the limit is %d", index,
			len(data), MaxSnapshot)
	}
	p := &snapshot{id: snapshotID(index, term), index: index, term: term, data: data}
	s.mu.Lock()
	s.listed = p
	s.mu.Unlock()
	return []*raft.SnapshotMeta{s.meta(p)}, nil
}

// Open gives the bytes of the snapshot accepted or listed last.
func (s *Snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range []*snapshot{s.staged, s.listed} {
		if p != nil && p.id == id {
			return s.meta(p), &reader{Reader: bytes.NewReader(p.data), store: s, of: p}, nil
		}
	}
	return nil, nil, fmt.Errorf("raft snapshots: %s is not the latest certified point any more", id)
}

// reader gives the staged snapshot up once raft has read it.
type reader struct {
	*bytes.Reader
	store *Snapshots
	of    *snapshot
}

func (r *reader) Close() error {
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	if r.store.staged == r.of {
		r.store.staged = nil
	}
	return nil
}

// Create takes in a certificate from a peer. Raft's own periodic snapshots are switched off and never come here.
func (s *Snapshots) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configIndex uint64, _ raft.Transport,
) (raft.SnapshotSink, error) {
	if version != 1 || index == 0 || term == 0 || configIndex != configurationIndex {
		return nil, fmt.Errorf("raft snapshots: version %d, index %d, term %d, configuration at %d: not of this network",
			version, index, term, configIndex)
	}
	if !bytes.Equal(raft.EncodeConfiguration(configuration), raft.EncodeConfiguration(s.cfg.Configuration())) {
		return nil, errors.New("raft snapshots: refused: its configuration is not the roster")
	}
	return &sink{store: s, index: index, term: term}, nil
}

// sink gathers at most MaxSnapshot bytes.
type sink struct {
	store       *Snapshots
	index, term uint64
	data        []byte
	done        bool
}

// ID names the snapshot.
func (k *sink) ID() string { return snapshotID(k.index, k.term) }

// Write takes bytes up to the limit.
func (k *sink) Write(p []byte) (int, error) {
	if k.done || len(k.data)+len(p) > MaxSnapshot {
		return 0, fmt.Errorf("raft snapshots: more than %d bytes", MaxSnapshot)
	}
	k.data = append(k.data, p...)
	return len(p), nil
}

// Cancel forgets it.
func (k *sink) Cancel() error {
	k.done, k.data = true, nil
	return nil
}

// Close has the certificate checked, and only then makes it the snapshot to restore from.
func (k *sink) Close() error {
	if k.done {
		return errors.New("raft snapshots: closed already")
	}
	k.done = true
	s := k.store
	if err := s.cfg.Certified.Accept(k.index, k.term, k.data); err != nil {
		return fmt.Errorf("raft snapshots: certificate for entry %d refused: %w", k.index, err)
	}
	s.mu.Lock()
	s.staged = &snapshot{id: k.ID(), index: k.index, term: k.term, data: k.data}
	s.mu.Unlock()
	if _, last := s.cfg.Log.bounds(); last >= k.index && !s.cfg.Log.agrees(k.index, k.term) {
		s.cfg.OnDiverged(k.index)
	}
	return nil
}
