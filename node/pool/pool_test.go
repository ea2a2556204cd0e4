package pool

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

func remark(t testing.TB, f *treatytest.Fixture, n treaty.Nation, seq uint64) *treaty.Record {
	t.Helper()
	r, err := f.Signers[n].SignRecord(seq, treatytest.Founded, &treaty.Remark{Text: "x"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A leader that packed out of the author's order, skipped a number or proposed twice would make records wait forever.
func TestPackKeepsEachAuthorsOrder(t *testing.T) {
	f := treatytest.New(4)
	p := New(f.Net.Nations())
	now := time.Now()
	for _, seq := range []uint64{3, 1, 2, 5} {
		for _, n := range []treaty.Nation{"AUT", "BEL"} {
			if isNew, err := p.Add(remark(t, f, n, seq), now); !isNew || err != nil {
				t.Fatal(isNew, err)
			}
		}
	}
	raws, err := SplitEntry(p.Pack())
	if err != nil {
		t.Fatal(err)
	}
	next := map[treaty.Nation]uint64{}
	for _, raw := range raws {
		r, err := treaty.ParseRecord(raw)
		if err != nil {
			t.Fatal(err)
		}
		if next[r.Nation]++; r.Seq != next[r.Nation] {
			t.Errorf("%s: record %d at place %d", r.Nation, r.Seq, next[r.Nation])
		}
	}
	if len(raws) != 6 {
		t.Errorf("%d records packed, want 6: number 5 must wait for 4", len(raws))
	}
	if again := p.Pack(); again != nil {
		t.Errorf("packed twice: %d bytes", len(again))
	}
	p.Repropose()
	if again := p.Pack(); again == nil {
		t.Error("after a change of leader nothing was proposed again")
	}
	p.Applied("AUT", 3)
	if n, _ := p.Len(); n != 5 {
		t.Errorf("%d records wait, want 5", n)
	}
}

// One nation's flood must not take another's place.
func TestFloodFillsOnlyItsOwnLane(t *testing.T) {
	f := treatytest.New(4)
	p := New(f.Net.Nations())
	now := time.Now()
	if _, err := p.Add(remark(t, f, "AUT", MaxPerNation+1), now); !errors.Is(err, ErrFull) {
		t.Errorf("a record beyond the quota: %v", err)
	}
	if isNew, err := p.Add(remark(t, f, "BEL", 1), now); !isNew || err != nil {
		t.Error(isNew, err)
	}
	if r := p.Overdue(now.Add(time.Minute), time.Second); r == nil || r.Nation != "BEL" {
		t.Errorf("overdue: %v", r)
	}
}

func FuzzSplitEntry(f *testing.F) {
	f.Add([]byte{1, 3, 'a', 'b', 'c'})
	f.Fuzz(func(t *testing.T, b []byte) {
		raws, err := SplitEntry(b)
		if err != nil {
			return
		}
		n := 1
		for _, r := range raws {
			n += len(r)
		}
		if n > len(b) || !bytes.HasPrefix(b, []byte{1}) {
			t.Fatal("more came out than went in")
		}
	})
}

// Would catch a nation that fills its queue at one node behind a hole: the record that fits the hole, which everybody else
// holds, must come in there too, or that node is blamed as leader for leaving it out.
func TestTheNextOneAlwaysFits(t *testing.T) {
	f := treatytest.New(4)
	p := New(f.Net.Nations())
	now := time.Now()
	big := func(seq uint64) *treaty.Record {
		r, err := f.Signers["AUT"].SignRecord(seq, treatytest.Founded, &treaty.Remark{Text: strings.Repeat("x", treaty.MaxText)})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	seq := uint64(3)
	for ; ; seq++ {
		if _, err := p.Add(big(seq), now); err != nil {
			break
		}
	}
	if _, err := p.Add(big(2), now); !errors.Is(err, ErrFull) {
		t.Fatalf("record 2 on a full queue: %v", err)
	}
	if isNew, err := p.Add(big(1), now); !isNew || err != nil {
		t.Fatalf("record 1, the next, on a full queue: %v", err)
	}
	hs := p.Heads()
	if len(hs) != 1 || hs[0].Record.Seq != 1 || !hs[0].Flooded || !hs[0].Since.Equal(now) {
		t.Errorf("heads: %+v", hs)
	}
}

// Would catch a nation with many records that takes all the room for repeats, so that others' never reach the leader.
func TestRepeatsTakeTurns(t *testing.T) {
	f := treatytest.New(4)
	p := New(f.Net.Nations())
	now := time.Now()
	for n, count := range map[treaty.Nation]uint64{"AUT": 300, "DNK": 2} {
		for seq := range count {
			r, err := f.Signers[n].SignRecord(seq+1, treatytest.Founded, &treaty.Remark{Text: "x"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Add(r, now); err != nil {
				t.Fatal(err)
			}
		}
	}
	rs := p.Waiting(now.Add(time.Minute), time.Second, 256)
	next := map[treaty.Nation]uint64{}
	for _, r := range rs {
		if next[r.Nation]++; r.Seq != next[r.Nation] {
			t.Errorf("%s: record %d comes as number %d", r.Nation, r.Seq, next[r.Nation])
		}
	}
	if len(rs) != 256 || next["DNK"] != 2 {
		t.Errorf("%d repeats, %d of them DNK's, want 256 and 2", len(rs), next["DNK"])
	}
}
