package node

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"truceline/consensus/ledger"
	"truceline/consensus/tally"
	"truceline/node/pool"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// newFinalizerAlone is a finalizer on an empty ledger whose fetches are answered by fetch.
func newFinalizerAlone(t *testing.T, fetch func() error) *finalizer {
	fix := treatytest.New(4)
	db, err := pebble.Open("db", &pebble.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	log := slog.New(slog.DiscardHandler)
	l, err := ledger.Open(ledger.Config{
		DB: db, Net: fix.Net, Log: log,
		New: func() ledger.Machine { return tallyMachine{tally.New(fix.Net)} },
		Load: func(b []byte) (ledger.Machine, error) {
			s, err := tally.Decode(fix.Net, b)
			return tallyMachine{s}, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	self := fix.Net.Nations()[0]
	f, err := newFinalizer(finalizerConfig{
		Net: fix.Net, Nation: self, Signer: fix.Signers[self], Cosign: fix.Keys[self].Cosign, DB: db, Ledger: l,
		Pool: pool.New(fix.Net.Nations()), Send: func(treaty.Nation, []byte) {},
		Fetch: func(context.Context, uint64, *treaty.Certificate) (*treaty.Certificate, [][]byte, error) {
			return nil, nil, fetch()
		},
		Grafted: func(uint64, uint64, uint64, bool) {}, Settled: func(treaty.Checkpoint) {}, Cosigned: func(uint64) {}, Fatal: func(error) {},
		Violation: func(treaty.Nation, string) {}, Timeout: 2 * time.Second, Inclusion: 20 * time.Second, CatchUp: time.Second, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A node that lacks certified entries and reaches nobody must wait between two tries. Catches a fetch that is repeated at
// once, tens of thousands of times a second.
func TestFetchWaitsAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		f := newFinalizerAlone(t, func() error { calls++; return errors.New("nobody is connected") })
		f.behind = &treaty.Certificate{Height: 7, Step: treaty.StepCommit, Checkpoint: treaty.Checkpoint{Size: 1000, Index: 1000, Term: 1}}
		f.behindAt = time.Now()
		ctx, stop := context.WithCancel(t.Context())
		go func() { _ = f.run(ctx) }()
		time.Sleep(10 * time.Second)
		stop()
		synctest.Wait()
		if calls < 5 || calls > 20 {
			t.Errorf("%d fetches in 10 s with a catch-up time of 1 s", calls)
		}
	})
}

// What alone runs, runs between two steps of the finalizer, never beside one; the end of the node ends the wait.
func TestAloneRunsOnTheFinalizer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFinalizerAlone(t, func() error { return nil })
		ctx, stop := context.WithCancel(t.Context())
		early := make(chan error, 1)
		go func() { early <- f.alone(ctx, f.cfg.Ledger.Reset) }()
		synctest.Wait()
		select {
		case err := <-early:
			t.Fatalf("ran beside the finalizer: %v", err)
		default:
		}
		go func() { _ = f.run(ctx) }()
		if err := <-early; err != nil {
			t.Error(err)
		}
		want := errors.New("its own")
		if err := f.alone(ctx, func() error { return want }); err != want {
			t.Errorf("got %v", err)
		}
		stop()
		synctest.Wait()
		if err := f.alone(ctx, f.cfg.Ledger.Reset); !errors.Is(err, context.Canceled) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// Entries come from anybody. Catches lengths that reach beyond the answer, empty entries, and more than was asked for.
func TestSplitEntries(t *testing.T) {
	two := append(binary.BigEndian.AppendUint16(nil, 1), 'a', 0, 2, 'b', 'c')
	if es, err := splitEntries(two, 2); err != nil || len(es) != 2 || string(es[1]) != "bc" {
		t.Errorf("got %q, %v", es, err)
	}
	for name, b := range map[string][]byte{
		"three where two were asked for": append(append([]byte{}, two...), 0, 1, 'd'),
		"half a length":                  append(append([]byte{}, two[:3]...), 0),
		"an empty entry":                 {0, 0},
		"an entry cut short":             {0, 9, 'x'},
	} {
		if _, err := splitEntries(b, 2); !errors.Is(err, treaty.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
