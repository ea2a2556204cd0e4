package sim

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"
)

// The leader is cut off while a tally is under way: the others must finish it, and the leader must throw away what only
// it had and agree.
func TestLeaderCutOffMidTally(t *testing.T) {
	each(t, func(t *testing.T, seed uint64) {
		w := New(t, Options{Seed: seed})
		w.StartAll()
		w.Ready()
		night := w.Play()
		stop := w.Chatter(500 * time.Millisecond)
		w.Wait("an incident with an attestation and no verdict", 3*time.Minute, w.tallying)
		old := w.Leader()
		w.Cut([]int{old})
		time.Sleep(20 * time.Second)
		if l := w.Leader(); l == old {
			t.Logf("%s still thinks that it leads", w.seats[old].nation)
		}
		w.SubmitFinal((old+1)%4, "without the old leader", time.Minute)
		w.Heal()
		time.Sleep(10 * time.Second)
		stop()
		w.judge(night)
		w.End()
	})
}

// tallying says whether some nation's ledger shows an incident that is being decided.
func (w *World) tallying() bool {
	for _, s := range w.seats {
		if s.node != nil && s.node.Status().Open > 0 {
			return true
		}
	}
	return false
}

// Power cuts at seeded random moments, of one nation after the other and sometimes of all at once, during a night: no
// acknowledged record may be lost, no vote taken back, no verdict changed.
func TestPowerCutsAtRandom(t *testing.T) {
	each(t, func(t *testing.T, seed uint64) {
		w := New(t, Options{Seed: seed})
		w.StartAll()
		w.Ready()
		night := w.Play()
		stop := w.Chatter(200 * time.Millisecond)
		cuts := 12
		if testing.Short() {
			cuts = 5
		}
		for k := range cuts {
			time.Sleep(time.Duration(w.rng.Int64N(int64(12 * time.Second))))
			is := []int{w.rng.IntN(4)}
			if k%4 == 3 {
				is = all(4)
			}
			for _, i := range is {
				w.PowerCut(i)
			}
			time.Sleep(time.Duration(w.rng.Int64N(int64(5 * time.Second))))
			w.Start(is...)
		}
		stop()
		w.judge(night)
		w.End()
	})
}

// The power fails at every kind of write there is (log, table, manifest, marker, raw bytes; create, write, sync, rename,
// remove), at one nation after the other, under load and while a node starts. Nothing acknowledged may be lost.
func TestPowerCutAtEveryKindOfWrite(t *testing.T) {
	each(t, func(t *testing.T, seed uint64) {
		w := New(t, Options{Seed: seed, MemTable: 32 << 10})
		w.StartAll()
		w.Ready()
		stop, clean := w.Chatter(60*time.Millisecond), w.Junk(300*time.Millisecond)
		w.Play()
		time.Sleep(15 * time.Second)
		kinds := map[string]int{}
		for _, s := range w.seats {
			for k, n := range s.disk.kinds() {
				kinds[k] += n
			}
		}
		for _, must := range []string{"write wal", "sync wal", "write sst", "sync sst", "sync manifest", "write raw", "sync raw"} {
			if kinds[must] == 0 {
				t.Errorf("the load never did %q: this does not cover it", must)
			}
		}
		hit := map[string]int{}
		fails := func(i int, kind string) {
			for end := time.Now().Add(3 * time.Second); !w.Failed(i) && time.Now().Before(end); {
				time.Sleep(50 * time.Millisecond)
			}
			if w.Failed(i) {
				hit[kind]++
			}
			w.PowerCut(i) // at that moment, or now if it did not come
		}
		for at, kind := range slices.Sorted(maps.Keys(kinds)) {
			if testing.Short() && at%5 != int(seed%5) && kind != "sync wal" {
				continue
			}
			i := w.rng.IntN(4)
			w.Arm(i, kind, w.rng.IntN(8))
			fails(i, kind)
			w.Arm(i, kind, 0) // and again while it starts
			w.Start(i)
			fails(i, kind)
			w.Start(i)
			time.Sleep(time.Duration(w.rng.Int64N(int64(3 * time.Second))))
		}
		var never []string
		for kind := range kinds {
			if hit[kind] == 0 {
				never = append(never, kind)
			}
		}
		slices.Sort(never)
		t.Logf("the power failed at %v; never at %v", hit, never)
		if hit["sync wal"] == 0 || !testing.Short() && len(hit) < 15 {
			t.Errorf("only %d kinds of write were hit", len(hit))
		}
		stop()
		clean()
		w.End()
	})
}

// A nation whose sensor clock is 3 s off, either way, must neither stop the others nor be left out, and the verdict must
// be right.
func TestClockOff(t *testing.T) {
	offs := []time.Duration{3 * time.Second, -3 * time.Second}
	for _, off := range offs {
		each(t, func(t *testing.T, seed uint64) {
			w := New(t, Options{Seed: seed, Offset: map[int]time.Duration{1: off}})
			w.StartAll()
			w.Ready()
			w.judge(w.Play())
			w.End()
		})
		if testing.Short() {
			break
		}
	}
}

// A nation of the roster that is first started when the others have had minutes of ledger must get all of it.
func TestLateJoiner(t *testing.T) {
	each(t, func(t *testing.T, seed uint64) {
		w := New(t, Options{Seed: seed})
		w.Start(0, 1, 2)
		w.Ready()
		stop := w.Chatter(300 * time.Millisecond)
		w.judge(w.Play(3))
		stop()
		w.Start(3)
		began := time.Now()
		w.Settle(2 * time.Minute)
		t.Logf("the late nation has all %d entries %s after its start", w.seats[3].node.Network().Node.CosignedSize, time.Since(began))
		w.SubmitFinal(3, "I am here", time.Minute)
		w.End()
	})
}

// A nation that is behind what the others still keep of the order must catch up through a certificate and the ledger of
// its peers; so must one that has never been there.
func TestFarBehind(t *testing.T) {
	each(t, func(t *testing.T, seed uint64) {
		w := New(t, Options{Seed: seed, KeepEntries: 20})
		w.Start(0, 1, 2)
		w.Ready()
		w.Start(3)
		w.Settle(time.Minute)
		w.Stop(3)
		for k := range 120 {
			w.Submit(k%3, fmt.Sprintf("remark %d", k))
			time.Sleep(200 * time.Millisecond)
		}
		w.Settle(time.Minute)
		if f := w.seats[w.Leader()].node.Status().First; f < 40 {
			t.Errorf("the order's log begins at %d: nothing was compacted, so this tests nothing", f)
		}
		w.Start(3)
		w.Settle(2 * time.Minute)
		w.SubmitFinal(3, "I am back", time.Minute)
		w.End()
	})
}

// How long submit to FINAL takes in virtual time, 20 ms away from everybody, when nothing else happens.
func TestLatency(t *testing.T) {
	each(t, func(t *testing.T, seed uint64) {
		for _, n := range []int{4, 7} {
			w := New(t, Options{Seed: seed, Nations: n})
			w.StartAll()
			w.Ready()
			leader := w.Leader()
			for _, i := range []int{leader, (leader + 1) % n} {
				var ds []time.Duration
				for range 20 {
					ds = append(ds, w.SubmitFinal(i, "how long", time.Minute))
					time.Sleep(time.Duration(w.rng.Int64N(int64(time.Second))))
				}
				slices.Sort(ds)
				t.Logf("n = %d, %s one way, submit to FINAL at %s: p50 %s, max %s", n, w.opts.OneWay,
					map[bool]string{true: "the leader", false: "a follower"}[i == leader], ds[len(ds)/2], ds[len(ds)-1])
				if ds[len(ds)/2] > 25*w.opts.OneWay {
					t.Errorf("that is more than 25 delays: something waits for a timer")
				}
			}
			w.End()
		}
	})
}
