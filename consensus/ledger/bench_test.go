package ledger

import (
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/mod/sumdb/tlog"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// everything is the cheapest tally: what is measured is the ledger.
type everything struct{ n uint64 }

func (m *everything) Apply(*treaty.Record) (bool, [][]byte) { m.n++; return true, nil }
func (m *everything) LedgerTime() treaty.Time               { return treaty.Time(m.n) }
func (m *everything) Closed() treaty.Window                 { return 0 }
func (m *everything) Encode() []byte                        { return treaty.Encode(m.n) }
func (m *everything) Clone() Machine                        { c := *m; return &c }

func benchLedger(b *testing.B, fs vfs.FS, dir string) (*treatytest.Fixture, *pebble.DB, *Ledger) {
	b.Helper()
	f := treatytest.New(4)
	db, err := pebble.Open(dir, &pebble.Options{FS: fs, Logger: quiet{}, MemTableSize: 64 << 20})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	cfg := config(f, db)
	cfg.MarkEvery = 0
	cfg.New = func() Machine { return &everything{} }
	cfg.Load = func([]byte) (Machine, error) { return &everything{}, nil }
	l, err := Open(cfg)
	if err != nil {
		b.Fatal(err)
	}
	return f, db, l
}

// benchRecords are records of 256 bytes as far as the ledger can tell: it reads their bytes and id only.
func benchRecords(n int) []*treaty.Record {
	rs := make([]*treaty.Record, n)
	for i := range rs {
		raw := make([]byte, 256)
		rand.Read(raw)
		rs[i] = &treaty.Record{Signed: &treaty.Signed{Raw: raw}, ID: treaty.HashOf(raw), Nation: "AUT", Seq: uint64(i) + 1}
	}
	return rs
}

// BenchmarkApply is the tentative layer alone, per leaf.
func BenchmarkApply(b *testing.B) {
	_, _, l := benchLedger(b, vfs.NewMem(), "db")
	rs := benchRecords(1 << 14)
	index := uint64(0)
	b.ReportAllocs()
	for n := 0; n < b.N; n += 64 {
		if n%(1<<19) == 0 {
			b.StopTimer()
			if err := l.Reset(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		index++
		at := n % (len(rs) - 64)
		l.Apply(index, 1, rs[at:at+64])
	}
}

// BenchmarkApplyStage is Apply, Stage, commit and Done, per leaf, with so many leaves in a certificate; in memory and
// on a disk with fsync.
func BenchmarkApplyStage(b *testing.B) {
	for _, disk := range []string{"mem", "fsync"} {
		for _, per := range []int{1, 16, 256, 4096} {
			b.Run(fmt.Sprintf("%s/%d", disk, per), func(b *testing.B) {
				fs, dir := vfs.FS(vfs.NewMem()), "db"
				if disk == "fsync" {
					fs, dir = vfs.Default, b.TempDir()
				}
				f, db, l := benchLedger(b, fs, dir)
				cert := certify(b, f, 1, treaty.Checkpoint{Size: 1})
				index := uint64(0)
				b.ReportAllocs()
				for n := 0; n < b.N; n += per {
					b.StopTimer()
					rs := benchRecords(per)
					b.StartTimer()
					for len(rs) > 0 {
						k := min(64, len(rs))
						index++
						l.Apply(index, 1, rs[:k])
						rs = rs[k:]
					}
					c := *cert
					c.Height, c.Checkpoint = index, l.Frontier()
					batch := db.NewBatch()
					s, err := l.Stage(batch, &c)
					if err != nil {
						b.Fatal(err)
					}
					if err := batch.Commit(pebble.Sync); err != nil {
						b.Fatal(err)
					}
					s.Done()
					batch.Close()
				}
			})
		}
	}
}

// BenchmarkBoundaries is what the finality machine asks on every step, with a thousand outstanding.
func BenchmarkBoundaries(b *testing.B) {
	_, _, l := benchLedger(b, vfs.NewMem(), "db")
	rs := benchRecords(1000)
	for i := range rs {
		l.Apply(uint64(i)+1, 1, rs[i:i+1])
	}
	for b.Loop() {
		l.Boundaries()
	}
}

// BenchmarkTile is one full tile of level 0 and its entries.
func BenchmarkTile(b *testing.B) {
	_, _, n, _ := cosignedNode(b)
	t := tlog.Tile{H: 8, L: 0, N: 1, W: 256}
	b.Run("hashes", func(b *testing.B) {
		for b.Loop() {
			if _, err := n.Tile(t); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("entries", func(b *testing.B) {
		for b.Loop() {
			if _, err := n.EntryTile(t); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("proof", func(b *testing.B) {
		size := n.CosignedSize()
		for b.Loop() {
			if _, err := n.ProveRecord(size/3, size); err != nil {
				b.Fatal(err)
			}
		}
	})
}
