package sim

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"truceline/node"
	"truceline/testnet/adversary"
	"truceline/testnet/feed"
	"truceline/treaty"
)

var campaign = struct {
	seeds *int
	first *uint64
	sizes *string
	logs  *string
}{
	flag.Int("campaign.seeds", 4, "how many runs of TestCampaign"),
	flag.Uint64("campaign.seed", 1, "the seed of the first run; with -campaign.seeds=1 it is run again alone"),
	flag.String("campaign.n", "4,5,6,7", "numbers of nations to draw from"),
	flag.String("campaign.logs", "", "folder for the nodes' logs of runs that failed; none are written without"),
}

// villains are what the campaign casts, by name.
var villains = map[string]func(*World, int) node.Tamper{
	"equivocator": func(w *World, i int) node.Tamper { return adversary.NewEquivocator(w.self(i)) },
	"silent":      func(w *World, i int) node.Tamper { return adversary.NewSilent(w.self(i)) },
	"amnesiac":    func(w *World, i int) node.Tamper { return adversary.NewAmnesiac(w.self(i)) },
	"withholder":  func(w *World, i int) node.Tamper { return adversary.NewWithholder(w.self(i), "") },
	"copycat":     func(w *World, i int) node.Tamper { return adversary.NewCopycat(w.self(i)) },
	"plagiarist": func(w *World, i int) node.Tamper {
		return adversary.NewPlagiarist(w.self(i), func(lines []byte) { w.post(w.seats[i], lines) })
	},
	"flooder": func(w *World, i int) node.Tamper {
		return adversary.NewFlooder(w.self(i), 20*time.Second, func() treaty.Time { return treaty.TimeOf(time.Now()) })
	},
	"replayer": func(w *World, i int) node.Tamper { return w.replayer(i) },
	"poisoner": func(w *World, i int) node.Tamper { return adversary.NewPoisoner(w.self(i)) },
}

// run is one run of the campaign: everything in it follows from its seed.
type run struct {
	seed  uint64
	n     int
	cast  map[int][]string // behaviours by seat
	night bool
	rng   *rand.Rand
}

func newRun(seed uint64, sizes []int) *run {
	rng := rand.New(rand.NewPCG(seed, 41))
	r := &run{seed: seed, n: sizes[rng.IntN(len(sizes))], cast: map[int][]string{}, night: rng.IntN(4) == 0, rng: rng}
	names := slices.Sorted(maps.Keys(villains))
	for _, i := range rng.Perm(r.n)[:rng.IntN((r.n-1)/3+1)] {
		for range 1 + rng.IntN(2) {
			if k := names[rng.IntN(len(names))]; !slices.Contains(r.cast[i], k) {
				r.cast[i] = append(r.cast[i], k)
			}
		}
	}
	return r
}

// String is the run's cast.
func (r *run) String() string {
	var parts []string
	for _, i := range slices.Sorted(maps.Keys(r.cast)) {
		parts = append(parts, fmt.Sprintf("%d:%s", i, strings.Join(r.cast[i], "+")))
	}
	if r.night {
		parts = append(parts, "night")
	}
	return fmt.Sprintf("seed %d n=%d %s", r.seed, r.n, strings.Join(parts, " "))
}

// play does it: faults one after the other while records come in, and then healing, after which everything must hold.
func (r *run) play(t *testing.T) {
	o := Options{Nations: r.n, Seed: r.seed, Hostile: map[int]func(*World, int) node.Tamper{}}
	for i, names := range r.cast {
		o.Hostile[i] = func(w *World, i int) node.Tamper {
			var all adversary.All
			for _, k := range names {
				all = append(all, villains[k](w, i))
			}
			return all
		}
	}
	w := New(t, o)
	defer w.keepLog(r.seed)
	w.StartAll()
	w.Ready()
	stop := w.Chatter(400 * time.Millisecond)
	defer stop()
	var night *feed.Night
	if r.night {
		night = w.Play()
	}
	for range 4 + r.rng.IntN(5) {
		time.Sleep(time.Duration(r.rng.Int64N(int64(6 * time.Second))))
		r.fault(w)
	}
	w.Heal()
	w.StartAll()
	stop()
	w.bystanders("after healing")
	if r.night {
		w.playing.Wait()
		time.Sleep(night.Ends.Sub(treaty.TimeOf(time.Now())) + 30*time.Second)
		for _, i := range w.honest() {
			if table := feed.Score(night.Truth, w.standing(i)); !table.OK() {
				t.Errorf("%s shows a breach that did not happen:\n%s", w.seats[i].nation, table)
			}
		}
	}
	w.End()
}

// fault is one thing that the world does to the network.
func (r *run) fault(w *World) {
	i := r.rng.IntN(r.n)
	switch r.rng.IntN(5) {
	case 0:
		w.Cut(r.rng.Perm(r.n)[:1+r.rng.IntN(r.n-1)])
	case 1:
		w.Heal()
	case 2:
		w.Slow(i, time.Duration(r.rng.Int64N(int64(400*time.Millisecond))))
	case 3:
		if w.seats[i].node == nil {
			w.Start(i)
			return
		}
		w.PowerCut(i)
		if slices.Contains(r.cast[i], "amnesiac") {
			w.forget(i)
		}
	case 4:
		w.StartAll()
	}
}

// keepLog writes the nodes' log of a run that failed.
func (w *World) keepLog(seed uint64) {
	if !w.t.Failed() || *campaign.logs == "" {
		return
	}
	name := filepath.Join(*campaign.logs, fmt.Sprintf("seed-%d.log", seed))
	if err := os.WriteFile(name, []byte(w.log.String()), 0o600); err != nil {
		w.t.Error(err)
	}
}

// Whatever faults and up to f adversaries do together, the ledger must not split or lose a record, no breach that never
// was may stand, nobody honest may be convicted, and all must go on after healing. The flags say how many runs; each
// prints one line with its seed.
func TestCampaign(t *testing.T) {
	var sizes []int
	for s := range strings.SplitSeq(*campaign.sizes, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 4 {
			t.Fatalf("-campaign.n: %q is no number of nations", s)
		}
		sizes = append(sizes, n)
	}
	var failed []uint64
	began := time.Now()
	for k := range uint64(*campaign.seeds) {
		r := newRun(*campaign.first+k, sizes)
		at := time.Now()
		result := "ok"
		if !t.Run(fmt.Sprint("seed", r.seed), func(t *testing.T) { synctest.Test(t, r.play) }) {
			result = "FAILED"
			failed = append(failed, r.seed)
		}
		fmt.Printf("%s: %s in %s\n", r, result, time.Since(at).Round(10*time.Millisecond))
	}
	fmt.Printf("campaign: %d runs in %s, %d failed %v\n", *campaign.seeds, time.Since(began).Round(time.Second), len(failed), failed)
}
