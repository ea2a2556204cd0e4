package raftlog_test

import (
	"errors"
	"io"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"truceline/consensus/raftlog"
)

// ledger plays the node's certificates: "good" data is accepted and becomes the latest.
type ledger struct {
	index, term uint64
	data        []byte
}

func (l *ledger) Latest() (uint64, uint64, []byte, bool) { return l.index, l.term, l.data, l.index > 0 }

func (l *ledger) Accept(index, term uint64, data []byte) error {
	if string(data) != "good" {
		return errors.New("bad signature")
	}
	l.index, l.term, l.data = index, term, data
	return nil
}

var roster = raft.Configuration{Servers: []raft.Server{{ID: "POL", Address: "POL"}}}

func snapshots(t *testing.T, f *fixture, l *ledger, diverged *[]uint64) *raftlog.Snapshots {
	t.Helper()
	s, err := raftlog.NewSnapshots(raftlog.SnapshotsConfig{
		Certified: l, Configuration: func() raft.Configuration { return roster }, Log: f.Store,
		OnDiverged: func(i uint64) { *diverged = append(*diverged, i) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(s *raftlog.Snapshots, index, term uint64, data string) (string, error) {
	k, err := s.Create(1, index, term, roster, 1, nil)
	if err != nil {
		return "", err
	}
	if _, err := k.Write([]byte(data)); err != nil {
		return "", errors.Join(err, k.Cancel())
	}
	return k.ID(), k.Close()
}

func list(t *testing.T, s *raftlog.Snapshots) *raft.SnapshotMeta {
	t.Helper()
	ms, err := s.List()
	if err != nil || len(ms) > 1 {
		t.Fatalf("list: %d, %v", len(ms), err)
	}
	if len(ms) == 0 {
		return nil
	}
	return ms[0]
}

// Would catch a refused snapshot that leaves a trace or evicts the good one, one that is not bounded, a foreign roster,
// and an accepted one that raft can no longer open because finality has moved on.
func TestSnapshots(t *testing.T) {
	f := open(t, vfs.NewMem())
	defer f.close(t)
	l := &ledger{}
	var diverged []uint64
	s := snapshots(t, f, l, &diverged)
	if list(t, s) != nil {
		t.Error("a snapshot before the first certificate")
	}
	id, err := put(s, 10, 2, "good")
	if err != nil {
		t.Fatal(err)
	}
	l.index, l.term, l.data = 20, 3, []byte("later") // finality moves on before raft restores
	m, r, err := s.Open(id)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(r)
	if m.Index != 10 || m.Term != 2 || string(b) != "good" || m.Size != 4 || m.ConfigurationIndex != 1 {
		t.Errorf("opened %+v with %q", m, b)
	}
	_ = r.Close()
	if _, _, err := s.Open(id); err == nil {
		t.Error("still openable after raft has read it")
	}
	for name, bad := range map[string]string{"forged": "bad", "huge": string(make([]byte, raftlog.MaxSnapshot+1))} {
		id, err := put(s, 30, 3, bad)
		if err == nil {
			t.Errorf("%s snapshot was taken", name)
		}
		if _, _, err := s.Open(id); err == nil {
			t.Errorf("%s snapshot left a trace", name)
		}
	}
	if m := list(t, s); m == nil || m.Index != 20 {
		t.Errorf("the good one is gone: %+v", m)
	}
	other := raft.Configuration{Servers: []raft.Server{{ID: "XXX", Address: "XXX"}}}
	if _, err := s.Create(1, 40, 3, other, 1, nil); err == nil {
		t.Error("took another roster")
	}
	k, err := s.Create(1, 50, 3, roster, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = k.Write([]byte("good"))
	_ = k.Cancel()
	if err := k.Close(); err == nil || l.index == 50 {
		t.Error("a cancelled snapshot was accepted")
	}
	if len(diverged) > 0 {
		t.Errorf("diverged %v on an empty log", diverged)
	}
}

// Would catch a node that goes on with a log that contradicts the certificate it has just accepted: raft would refuse
// its leader's entries for ever.
func TestDivergedLog(t *testing.T) {
	for _, c := range []struct {
		last uint64
		term uint64
		want int
	}{{20, 1, 0}, {20, 2, 1}, {10, 2, 1}, {9, 2, 0}} {
		f := open(t, vfs.NewMem())
		fill(t, f, 1, c.last, 1)
		var diverged []uint64
		if _, err := put(snapshots(t, f, &ledger{}, &diverged), 10, c.term, "good"); err != nil {
			t.Fatal(err)
		}
		if len(diverged) != c.want {
			t.Errorf("log to %d, certificate of term %d: diverged %v, want %d", c.last, c.term, diverged, c.want)
		}
		f.close(t)
	}
}
