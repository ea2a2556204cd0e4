package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"truceline/node"
	"truceline/node/observe"
	"truceline/node/peer"
	"truceline/testnet/adversary"
	"truceline/testnet/feed"
	"truceline/treaty"
)

// cast gives f seats of n, whichever, an adversary each.
func cast(n int, seed uint64, play func(*World, int) node.Tamper) map[int]func(*World, int) node.Tamper {
	out := map[int]func(*World, int) node.Tamper{}
	for _, i := range rand.New(rand.NewPCG(seed, 31)).Perm(n)[:(n-1)/3] {
		out[i] = play
	}
	return out
}

// self is a hostile seat's own identity.
func (w *World) self(i int) adversary.Self {
	k := w.Net.Nations()[i]
	return adversary.Self{Net: w.Net, Nation: k, Key: w.keys[k].Treaty, Seed: w.opts.Seed + uint64(i)}
}

// against runs a test with f adversaries of 4 and of 7 nations.
func against(t *testing.T, o Options, play func(*World, int) node.Tamper, run func(*World)) {
	for _, n := range []int{4, 7} {
		if n > 4 && testing.Short() {
			continue
		}
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			each(t, func(t *testing.T, seed uint64) {
				o := o
				o.Nations, o.Seed, o.Hostile = n, seed, cast(n, seed, play)
				w := New(t, o)
				w.StartAll()
				w.Ready()
				run(w)
			})
		})
	}
}

// hostile are the adversaries of a world as what they are.
func hostile[A any](w *World) (as []A) {
	for _, s := range w.seats {
		if a, ok := s.tamper.(A); ok {
			as = append(as, a)
		}
	}
	return as
}

// honest are the seats without an adversary.
func (w *World) honest() (is []int) {
	for i, s := range w.seats {
		if s.tamper == nil {
			is = append(is, i)
		}
	}
	return is
}

// bystanders submits at each honest nation and wants it FINAL.
func (w *World) bystanders(text string) {
	w.t.Helper()
	for _, i := range w.honest() {
		w.SubmitFinal(i, text, time.Minute)
	}
}

// Nations that send different votes to different nations must not stop finality or split it, and the ledger must convict
// each of them by its own signatures, and nobody else.
func TestVoteEquivocators(t *testing.T) {
	against(t, Options{}, func(w *World, i int) node.Tamper { return adversary.NewEquivocator(w.self(i)) }, func(w *World) {
		stop := w.Chatter(300 * time.Millisecond)
		time.Sleep(20 * time.Second)
		stop()
		w.bystanders("while they equivocate")
		for _, e := range hostile[*adversary.Equivocator](w) {
			if e.Said() == 0 {
				w.t.Error("an equivocator has told no lie: this tests nothing")
			}
		}
		w.End()
		for i, s := range w.seats {
			if got := w.convicted[s.nation]; s.tamper != nil && !slices.Contains(got, treaty.TwoVotes) {
				w.t.Errorf("seat %d, %s, has voted twice and is convicted of %v", i, s.nation, got)
			}
		}
	})
}

// Nations that hear all and say nothing must hold nobody up, also when one of them leads the order.
func TestSilent(t *testing.T) {
	against(t, Options{}, func(w *World, i int) node.Tamper { return adversary.NewSilent(w.self(i)) }, func(w *World) {
		w.judge(w.Play())
		w.bystanders("in spite of the silence")
		w.End()
	})
}

// forget takes the synced votes off the disk of a nation that is down. The key is the one of node/finalizer.go.
func (w *World) forget(i int) {
	w.t.Helper()
	key := []byte("v/state")
	db, err := pebble.Open("/data/store", &pebble.Options{FS: w.seats[i].disk.mem, FormatMajorVersion: pebble.FormatNewest, Logger: silent{}})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, done, err := db.Get(key); err != nil {
		w.t.Fatalf("the votes are no longer kept under %s: %v", key, err)
	} else if err := done.Close(); err != nil {
		w.t.Fatal(err)
	}
	if err := db.Delete(key, pebble.Sync); err != nil {
		w.t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// Nations that lose their power again and again, and their votes with it, and then vote again, differently, must not
// split the others or stop them.
func TestAmnesiacs(t *testing.T) {
	against(t, Options{}, func(w *World, i int) node.Tamper { return adversary.NewAmnesiac(w.self(i)) }, func(w *World) {
		stop := w.Chatter(150 * time.Millisecond)
		for range 4 {
			for i, s := range w.seats {
				if s.tamper != nil {
					time.Sleep(time.Duration(w.rng.Int64N(int64(2 * time.Second))))
					w.PowerCut(i)
					w.forget(i)
					w.Start(i)
				}
			}
			time.Sleep(3 * time.Second)
		}
		stop()
		w.bystanders("while they forget")
		for _, a := range hostile[*adversary.Amnesiac](w) {
			if a.Again() == 0 {
				w.t.Error("an amnesiac has not voted again: this tests nothing")
			}
		}
		w.End()
	})
}

// Nations that seal and show their batches to nobody, or to one other only, must neither stop the verdict nor move it.
func TestWithholders(t *testing.T) {
	for _, friend := range []bool{false, true} {
		against(t, Options{}, func(w *World, i int) node.Tamper {
			var k treaty.Nation
			if friend {
				k = w.Net.Nations()[(i+1)%w.opts.Nations]
			}
			return adversary.NewWithholder(w.self(i), k)
		}, func(w *World) {
			w.judge(w.Play())
			w.End()
		})
	}
}

// Nations without ears that seal the digests others sealed must not stop the verdict, and must not be counted among its
// independent witnesses.
func TestCopycats(t *testing.T) {
	against(t, Options{}, func(w *World, i int) node.Tamper { return adversary.NewCopycat(w.self(i)) }, func(w *World) {
		for _, v := range w.deaf() {
			for i, s := range w.seats {
				if s.tamper != nil && slices.Contains(v.Verdict.Independent, s.nation) {
					w.t.Errorf("seat %d, %s, who heard nothing, is an independent witness of verdict %s", i, s.nation, v.ID.Short())
				}
			}
		}
		w.End()
	})
}

// Nations without ears that report the detections which others reveal as their own sensors' may be counted as witnesses
// of what others heard (docs/TRUST.md, "Copying on time"); the verdict must stand without them.
func TestPlagiarists(t *testing.T) {
	against(t, Options{}, func(w *World, i int) node.Tamper {
		return adversary.NewPlagiarist(w.self(i), func(lines []byte) { w.post(w.seats[i], lines) })
	}, func(w *World) {
		for _, v := range w.deaf() {
			own := 0
			for _, i := range w.honest() {
				if slices.Contains(v.Verdict.Independent, w.seats[i].nation) {
					own++
				}
			}
			if need := max(2, treaty.Resilience(own)+1, int(w.Net.Accord.Policy.OneModalityNations)); own < need {
				w.t.Errorf("verdict %s rests on copies: %d nations heard it, it needs %d", v.ID.Short(), own, need)
			}
		}
		w.End()
	})
}

// deaf plays the night to the honest nations alone, holds the verdicts against it, and returns the breaches among them.
func (w *World) deaf() (breaches []observe.VerdictView) {
	w.t.Helper()
	var liars []int
	for i, s := range w.seats {
		if s.tamper != nil {
			liars = append(liars, i)
		}
	}
	w.judge(w.Play(liars...))
	for _, c := range hostile[interface{ Copied() int64 }](w) {
		if c.Copied() == 0 {
			w.t.Error("nothing was copied: this tests nothing")
		}
	}
	for _, v := range w.Verdicts(w.honest()[0]) {
		if v.Verdict.Outcome == treaty.Breach {
			breaches = append(breaches, v)
		}
	}
	return breaches
}

// Nations that fill everything that has room, with records, seals of windows far ahead and noise, must not keep others'
// records or a verdict out. The verdict may be INCONCLUSIVE: seldom, at n = 7, honest nations judge on evidence that is
// not complete yet (docs/STATUS.md).
func TestFlooders(t *testing.T) {
	against(t, Options{}, func(w *World, i int) node.Tamper {
		return adversary.NewFlooder(w.self(i), 90*time.Second, func() treaty.Time { return treaty.TimeOf(time.Now()) })
	}, func(w *World) {
		w.bystanders("in the flood")
		w.judged(w.Play(), feed.ResultRight, feed.ResultUndecided)
		w.End()
	})
}

// replayer is one that also speaks under another accord of the same nations and keys.
func (w *World) replayer(i int) *adversary.Replayer {
	w.t.Helper()
	other, err := feed.Builtin("quiet")
	if err != nil {
		w.t.Fatal(err)
	}
	a, err := other.Accord(w.Net.Accord.Members, w.Net.Accord.Founded.Add(time.Hour))
	if err != nil {
		w.t.Fatal(err)
	}
	net, err := treaty.NewNetwork(a)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := adversary.NewReplayer(w.self(i), net)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// Frames that were good once, and words signed under another accord with the same keys, must change nothing.
func TestReplayers(t *testing.T) {
	against(t, Options{}, func(w *World, i int) node.Tamper { return w.replayer(i) }, func(w *World) {
		w.judge(w.Play())
		w.bystanders("in spite of the echoes")
		w.End()
	})
}

// Nations whose clocks are hours off, either way, sign such times and seal such windows; ledger time, and with it the
// verdict, must stay with the others.
func TestClockLiars(t *testing.T) {
	for _, off := range []time.Duration{5 * time.Hour, -5 * time.Hour} {
		against(t, Options{}, func(w *World, i int) node.Tamper {
			if w.opts.Offset == nil {
				w.opts.Offset = map[int]time.Duration{}
			}
			w.opts.Offset[i] = off
			return adversary.All(nil) // hostile by its clock alone
		}, func(w *World) {
			w.judge(w.Play())
			w.End()
		})
	}
}

// The sensors of hostile nations tell one consistent lie: a shot that never was, or the true shot as one of the other
// side. No finding of a breach may rest on it.
func TestFalseOrigin(t *testing.T) {
	behaved := func(*World, int) node.Tamper { return adversary.All(nil) }
	nothing := func(s *feed.Scenario) { s.Events = nil }
	otherSide := func(s *feed.Scenario) {
		s.Events = slices.Clone(s.Events)
		for i := range s.Events {
			s.Events[i].Side = "A"
		}
	}
	against(t, Options{}, behaved, func(w *World) {
		w.judge(w.playAs(nothing, func(*feed.Scenario) {}))
		w.End()
	})
	against(t, Options{}, behaved, func(w *World) {
		w.judge(w.playAs(nil, otherSide))
		w.End()
	})
}

// Frames of every class that are noise, cut short or changed by a bit must not stop, crash or confuse anybody.
func TestPoison(t *testing.T) {
	against(t, Options{}, func(w *World, i int) node.Tamper { return adversary.NewPoisoner(w.self(i)) }, func(w *World) {
		w.judge(w.Play())
		w.bystanders("in spite of the poison")
		for _, p := range hostile[*adversary.Poisoner](w) {
			for _, c := range peer.Classes {
				if p.Sent(c) == 0 {
					w.t.Errorf("no poison was sent as %s: this does not cover it", c)
				}
			}
		}
		w.End()
	})
}

// A node that is hostile in several ways at once is no worse.
func TestComposed(t *testing.T) {
	against(t, Options{}, func(w *World, i int) node.Tamper {
		return adversary.All{adversary.NewEquivocator(w.self(i)), adversary.NewWithholder(w.self(i), ""), adversary.NewPoisoner(w.self(i))}
	}, func(w *World) {
		w.judge(w.Play())
		w.End()
	})
}
