package model

import (
	"slices"
	"testing"

	"truceline/treaty"
)

// The real machine, led along random paths of the model, takes every step that it is shown the grounds for, and says nothing
// that the model does not allow. Catches a model of another protocol than ours, and a machine that forbids too much.
func TestMachineFollowsTheModel(t *testing.T) {
	var sum tally
	for seed := range walks() {
		if err := play(seed, false, &sum); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	for k, n := range sum {
		t.Logf("%v: the machines took %d steps of %d", Kind(k), n.took, n.asked)
		if n.took != n.asked || n.asked < int(walks()) {
			t.Errorf("%v: %d steps asked for, %d taken", Kind(k), n.asked, n.took)
		}
	}
}

// The same with lies, repeats, restarts and clocks that fit no plan: whatever the machines then say, the model allows, and no
// state they reach has a conflict. Catches a rule of the machine that is weaker than the model's, so than what was searched.
func TestMachineStaysWithinTheModel(t *testing.T) {
	var sum tally
	for seed := range 2 * walks() {
		if err := play(seed, true, &sum); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	for k, n := range sum {
		t.Logf("%v: the machines took %d steps of %d", Kind(k), n.took, n.asked)
		if n.took < int(walks())/2 {
			t.Errorf("%v: only %d steps taken: the noise drowns the walk", Kind(k), n.took)
		}
	}
}

func walks() uint64 {
	if testing.Short() {
		return 60
	}
	return 400
}

// known is the schedule that broke an earlier draft, in which the commit carried the cosignature. h1 is 0, h2 1, h3 2.
var known = []Step{
	{Prepare, 0, 0, 0, V1, NoLock}, // round 0 prepares v by h1 h2 m, only h1 commits
	{Prepare, 1, 0, 0, V1, NoLock},
	{Commit, 0, 0, 0, V1, NoLock},
	{Wish, 1, 0, 1, 0, NoLock}, // round 1 prepares v' by h2 h3 m, only h2 commits
	{Wish, 2, 0, 1, 0, NoLock},
	{Prepare, 1, 0, 1, V2, NoLock},
	{Prepare, 2, 0, 1, V2, NoLock},
	{Commit, 1, 0, 1, V2, NoLock},
	{Wish, 0, 0, 2, 0, 0}, // round 2 prepares v by h1 h3 m, the highest certificate shown being of round 0; only h3 commits
	{Wish, 2, 0, 2, 0, NoLock},
	{Prepare, 0, 0, 2, V1, NoLock},
	{Prepare, 2, 0, 2, V1, NoLock},
	{Commit, 2, 0, 2, V1, NoLock},
	{Wish, 1, 0, 3, 0, 1}, // round 3 prepares v' by h1 h2 m, the highest shown being of round 1; h1 commits
	{Wish, 0, 0, 3, 0, 0},
	{Prepare, 0, 0, 3, V2, NoLock},
	{Prepare, 1, 0, 3, V2, NoLock},
	{Commit, 0, 0, 3, V2, NoLock},
}

// The known schedule is a run of the model; it is a conflict, at its last step and not before, only when commits carry the
// cosignature; and no shorter run is one. Catches a model that has lost the schedule it was made for.
func TestKnownSchedule(t *testing.T) {
	for _, rules := range []Rules{{}, {CosignInCommit: true}} {
		m, err := New(Bound{Nations: 4, Heights: 1, Rounds: 4, Rules: rules, Order: Free})
		if err != nil {
			t.Fatal(err)
		}
		s := State{}
		for k, step := range known {
			if !m.Allows(&s, step) {
				t.Fatalf("%+v: step %d, %+v, is not allowed", rules, k+1, step)
			}
			s = m.Take(s, step)
			if c := m.Conflict(&s); (c != "") != (rules.CosignInCommit && k == len(known)-1) {
				t.Errorf("%+v: conflict %q after step %d of %d", rules, c, k+1, len(known))
			}
		}
	}
	m, err := New(Bound{Nations: 4, Heights: 1, Rounds: 4, Rules: Rules{CosignInCommit: true}})
	if err != nil {
		t.Fatal(err)
	}
	if res := m.Search(); len(res.Run) != len(known) {
		t.Errorf("the shortest run has %d steps, the known one %d: %s", len(res.Run), len(known), m.Story(res.Run))
	}
}

// Real machines led through the known schedule, and through the shortest the search finds, commit both values, three times each
// with the liar's; but whatever set of these commits is put together, whatever round it claims, no certificate verifies,
// and nobody honest has cosigned anything. Catches commits that do not bind their round, and a cosignature before its time.
func TestKnownScheduleWithMachines(t *testing.T) {
	m, err := New(Bound{Nations: 4, Heights: 1, Rounds: 4, Rules: Rules{CosignInCommit: true}})
	if err != nil {
		t.Fatal(err)
	}
	for name, run := range map[string][]Step{"known": known, "found": m.Search().Run} {
		for liar := range 4 {
			g, err := newStage(liar)
			if err != nil {
				t.Fatal(err)
			}
			if err := g.lead(run); err != nil {
				t.Fatalf("%s, liar %d: %v", name, liar, err)
			}
			tried := 0
			for _, v := range values {
				var sigs []treaty.VoteSig
				for at, vote := range g.votes {
					if at.kind == Commit && Value(at.arg) == v {
						sigs = append(sigs, vote.Sig)
					}
				}
				if len(sigs) != 2 {
					t.Fatalf("%s: %s has %d honest commits, want 2", name, v, len(sigs))
				}
				for r := range 4 {
					msg, err := g.liarVote(Commit, 0, r, v)
					if err != nil {
						t.Fatal(err)
					}
					for claims := range uint64(4) {
						c := &treaty.Certificate{Height: 1, Round: claims, Step: treaty.StepCommit, Checkpoint: g.checkpoint(0, v)}
						c.Sigs = append(slices.Clone(sigs), msg.Vote.Sig)
						bySigner(c)
						if tried++; g.fix.Net.VerifyCertificate(c) == nil {
							t.Errorf("%s: commits of mixed rounds are a certificate of %s in round %d", name, v, claims)
						}
					}
				}
			}
			if err := g.share(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if len(g.cosigs) != 0 || tried != 32 {
				t.Errorf("%s: %d honest cosignatures, want none; %d certificates tried", name, len(g.cosigs), tried)
			}
		}
	}
}
