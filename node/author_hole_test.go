package node

import (
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"truceline/node/evidence"
	"truceline/node/pool"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// A nation that was cut off for hours has more records than its lane of the pool takes. When the lane is ordered, the rest
// must follow: the order takes an author's records without gaps. Catches an author that forgets what found no room.
func TestAuthorRefillsThePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fix := treatytest.New(4)
		db, err := pebble.Open("db", &pebble.Options{FS: vfs.NewMem()})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		store, err := evidence.Open(evidence.Config{DB: db, Net: fix.Net, Nation: "AUT", Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		p := pool.New(fix.Net.Nations())
		ordered := map[treaty.Hash]bool{}
		a := newAuthor(fix.Signers["AUT"], store, p, func() treaty.Time { return treatytest.Founded }, func([]byte) {},
			func(id treaty.Hash) bool { return ordered[id] }, slog.New(slog.DiscardHandler))
		go func() { _ = a.run(t.Context()) }()
		submit := func(n int) {
			for range n {
				if _, err := a.Submit(t.Context(), &treaty.Remark{Text: "x"}); err != nil {
					t.Fatal(err)
				}
			}
		}
		submit(pool.MaxPerNation + 10)
		for seq := uint64(1); seq <= pool.MaxPerNation; seq++ {
			r := p.Held("AUT", seq)
			if r == nil {
				t.Fatalf("record %d is not in the pool", seq)
			}
			ordered[r.ID] = true
		}
		p.Applied("AUT", pool.MaxPerNation)
		a.final()
		synctest.Wait()
		submit(5)
		for seq := uint64(pool.MaxPerNation + 1); seq <= pool.MaxPerNation+15; seq++ {
			if p.Held("AUT", seq) == nil {
				t.Fatalf("record %d never came into the pool: nothing behind it is ever ordered", seq)
			}
		}
	})
}
