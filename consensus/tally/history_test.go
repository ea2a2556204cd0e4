package tally_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"truceline/consensus/tally"
	"truceline/treaty"
	"truceline/treaty/treatytest"

	"github.com/cockroachdb/datadriven"
)

// start is second 0 of every history: a multiple of the window.
var start = treaty.TimeOf(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))

// history drives one tally by a small language; testdata/README says the words.
type history struct {
	*treatytest.Fixture
	state   *tally.State
	applied []*treaty.Record
	leaves  []*treaty.Record
	seq     map[treaty.Nation]uint64
	last    map[treaty.Nation]treaty.Hash // last accepted seal
	ids     map[string]treaty.Hash
	names   map[treaty.Hash]string
	stamp   map[treaty.Nation]treaty.Time
	records map[string]*treaty.Record
	verdict int
}

func newHistory(n int, change func(*treaty.Accord)) *history {
	f := treatytest.NewWith(n, change)
	return &history{
		Fixture: f, state: tally.New(f.Net), seq: map[treaty.Nation]uint64{}, last: map[treaty.Nation]treaty.Hash{},
		ids: map[string]treaty.Hash{}, names: map[treaty.Hash]string{}, stamp: map[treaty.Nation]treaty.Time{},
		records: map[string]*treaty.Record{},
	}
}

// Histories hold the rules of the package comment to what they give, in words a person can check.
func TestHistories(t *testing.T) {
	datadriven.Walk(t, "testdata/histories", func(t *testing.T, path string) {
		var h *history
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "network":
				if h != nil {
					h.checkReplays(t)
				}
				h = newHistory(networkOf(t, d))
				return fmt.Sprintf("n=%d f=%d q=%d\n", h.Net.N, h.Net.F, h.Net.Q)
			case "run":
				var b strings.Builder
				for _, line := range strings.Split(d.Input, "\n") {
					if f := strings.Fields(line); len(f) > 0 && !strings.HasPrefix(line, "#") {
						out, err := h.run(f)
						if err != nil {
							d.Fatalf(t, "%s: %v", line, err)
						}
						b.WriteString(out)
					}
				}
				return b.String()
			case "state":
				return h.state.Describe(h.name)
			case "digest":
				b := h.state.Encode()
				return fmt.Sprintf("%d bytes, %s\n", len(b), treaty.HashOf(b))
			}
			d.Fatalf(t, "unknown directive %s", d.Cmd)
			return ""
		})
		if h != nil {
			h.checkReplays(t)
		}
	})
}

func networkOf(t *testing.T, d *datadriven.TestData) (int, func(*treaty.Accord)) {
	n, res, one, real := 4, 0, 3, d.HasArg("real")
	d.ScanArgs(t, "n", &n)
	d.MaybeScanArgs(t, "resilience", &res)
	d.MaybeScanArgs(t, "one_modality", &one)
	return n, func(a *treaty.Accord) {
		a.Policy.Resilience, a.Policy.OneModalityNations = uint32(res), uint32(one)
		if real {
			a.Exercise, a.Origin = false, "verdicts.test/1"
		}
		heavy := a.Clauses[2].Classes
		a.Clauses = append(a.Clauses,
			treaty.Clause{ID: "1.2.1", Text: "No howitzers\nat all.", Act: treaty.ActFire, Classes: heavy, Severity: 5, From: a.Founded},
			treaty.Clause{ID: "1.2.2", Text: "No mortars.", Act: treaty.ActFire, Classes: heavy, Severity: 5, From: a.Founded},
			treaty.Clause{ID: "2", Text: "Old rule.", Act: treaty.ActFire, Classes: heavy, From: a.Founded, Until: a.Founded.Add(time.Hour)})
	}
}

func (h *history) name(id treaty.Hash) string {
	if id.IsZero() {
		return "none"
	}
	if s, ok := h.names[id]; ok {
		return s
	}
	return id.Short()
}

// checkReplays: records applied again over any later state change nothing; a second instance, one that is written and
// read between any two records, one cloned, and one that sees only the leaves all end with the same bytes.
func (h *history) checkReplays(t *testing.T) {
	t.Helper()
	want := h.state.Encode()
	for _, r := range h.applied {
		if r.Seq > h.state.LastSeq(r.Nation) {
			continue // refused for a gap and never taken
		}
		if res := h.state.Apply(r); res.Taken || !res.Duplicate || len(res.Derived) > 0 {
			t.Errorf("replay of %s is not a no-op: %+v", h.name(r.ID), res)
		}
	}
	if !bytes.Equal(h.state.Encode(), want) {
		t.Error("replaying the history changed the state")
	}
	stored, cloned, leaves := tally.New(h.Net), tally.New(h.Net), tally.New(h.Net)
	for i, r := range h.applied {
		a, b := stored.Apply(r), cloned.Apply(r)
		if fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("record %d: %+v after decoding, %+v after cloning", i, a, b)
		}
		var err error
		if stored, err = tally.Decode(h.Net, stored.Encode()); err != nil {
			t.Fatalf("after record %d: %v", i, err)
		}
		cloned = cloned.Clone()
	}
	for _, r := range h.leaves {
		if !leaves.Apply(r).Taken {
			t.Errorf("leaf %s is not taken in a replay of the ledger", h.name(r.ID))
		}
	}
	for what, s := range map[string]*tally.State{"decoded": stored, "cloned": cloned, "leaves only": leaves} {
		if !bytes.Equal(s.Encode(), want) {
			t.Errorf("%s: another state:\n%s\nwant:\n%s", what, s.Describe(h.name), h.state.Describe(h.name))
		}
	}
}
