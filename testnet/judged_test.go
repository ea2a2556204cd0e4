package testnet_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"truceline/attribution"
	"truceline/testnet/feed"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// rolling is how much evidence a node keeps while it judges (node.keepEvidence).
const rolling = 150 * time.Second

// judgement is one assessment of a night, with what a verdict does not carry.
type judgement struct {
	feed.Judged
	a treaty.Assessment
	e attribution.Event
}

// judgeNight judges a whole night as a node does, without a network: windows of evidence are completed one by one, each
// is associated with what a node still holds, and an event is assessed once, as soon as its last sound is in.
func judgeNight(t testing.TB, seed uint64, nations int) ([]feed.Event, []judgement) {
	t.Helper()
	s := feed.Default()
	s.Seed = seed
	acc, err := s.Accord(treatytest.Accord(nations, nil).Members, treaty.TimeOf(s.Start.Add(-time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	net, err := treaty.NewNetwork(acc)
	if err != nil {
		t.Fatal(err)
	}
	j, err := attribution.New(attribution.Config{Net: net})
	if err != nil {
		t.Fatal(err)
	}
	night, err := s.Play(net.Nations())
	if err != nil {
		t.Fatal(err)
	}
	type item struct {
		at treaty.Time
		ev attribution.Evidence
	}
	var items []item
	for _, n := range slices.Sorted(maps.Keys(night.Feed)) {
		for i := range night.Feed[n] {
			d := &night.Feed[n][i]
			items = append(items, item{d.At, attribution.Evidence{
				Ref: treaty.Ref{Seal: treaty.HashOf([]byte(n)), Index: uint32(i)}, Nation: n, Detection: &d.Detection, Independent: true,
			}})
		}
	}
	slices.SortStableFunc(items, func(a, b item) int { return int(a.at.Sub(b.at)) })

	window := acc.Policy.Window()
	var held []attribution.Evidence
	var events []attribution.Event
	var out []judgement
	next := 0
	for now := treaty.TimeOf(s.Start); now < night.Ends.Add(2*time.Minute); now = now.Add(window) {
		fresh := false
		for ; next < len(items) && items[next].at <= now; next++ {
			held = append(held, items[next].ev)
			fresh = true
		}
		held = slices.DeleteFunc(held, func(e attribution.Evidence) bool { return e.Detection.Time.Value < now.Add(-rolling) })
		if fresh {
			events = j.Associate(held)
		}
		for _, e := range events {
			known := slices.ContainsFunc(out, func(x judgement) bool { return j.Match(e, treaty.NewCites(x.e.Members)) >= 0.5 })
			if e.LatestArrival > now || known {
				continue
			}
			a := j.Assess(held, e)
			if err := a.Check(); err != nil {
				t.Errorf("seed %d, %d nations: an assessment breaks its own rules: %v", seed, nations, err)
				continue
			}
			out = append(out, judgement{a: a, e: e, Judged: feed.Judged{
				ID: fmt.Sprint(len(out)), Outcome: a.Finding, Party: a.Party, Clause: a.Clause, Class: a.Class, Time: a.Time, Position: a.Position,
			}})
		}
	}
	return night.Truth, out
}

// nights are the seeds played by default, by the number of nations. They are not a fair sample: they are the ones on
// which a judge with wider class densities accused somebody of nothing. TRUCELINE_NIGHTS=all plays seeds 1 to 8 of 4, 7
// and 11 nations, which takes minutes.
func nights(t testing.TB) map[int][]uint64 {
	switch {
	case os.Getenv("TRUCELINE_NIGHTS") == "all":
		all := []uint64{1, 2, 3, 4, 5, 6, 7, 8}
		return map[int][]uint64{4: all, 7: all, 11: all}
	case testing.Short():
		t.Log("short: one night only")
		return map[int][]uint64{7: {4}}
	}
	return map[int][]uint64{4: {2, 7}, 7: {4}}
}

// TestJudgedNight would catch a judge who, on the night that the demo plays, accuses somebody of what did not happen, or
// who has become so careful that it leaves open most of what could be decided.
func TestJudgedNight(t *testing.T) {
	plays := nights(t)
	for _, n := range slices.Sorted(maps.Keys(plays)) {
		t.Run(fmt.Sprintf("%d nations", n), func(t *testing.T) {
			sum := map[feed.Result]int{}
			class, coarse, matched := 0, 0, 0
			for _, seed := range plays[n] {
				truth, js := judgeNight(t, seed, n)
				verdicts := make([]feed.Judged, len(js))
				for i := range js {
					verdicts[i] = js[i].Judged
				}
				table := feed.Score(truth, verdicts)
				t.Logf("seed %d: %s", seed, table.Summary())
				for k, v := range table.Count {
					sum[k] += v
				}
				class, coarse, matched = class+table.ClassRight, coarse+table.ClassCoarse, matched+table.Matched
				for _, r := range table.Rows {
					logRow(t, r, js)
				}
				if table.Count[feed.ResultWrong] > 0 {
					t.Errorf("seed %d, %d nations: somebody was shown a breach that did not happen:\n%s", seed, n, table)
				}
			}
			t.Logf("all seeds: %v; class right %d, coarser %d of %d", sum, class, coarse, matched)
			if k := sum[feed.ResultTwice]; k > 0 {
				t.Errorf("%d nations: %d breaches were found a second time", n, k)
			}
			right, all := sum[feed.ResultRight], 0
			for _, r := range []feed.Result{feed.ResultRight, feed.ResultUndecided, feed.ResultDenied, feed.ResultMissed} {
				all += sum[r]
			}
			if right*100 < all*leastRight {
				t.Errorf("%d nations: %d of %d events judged rightly, at least %d %% expected", n, right, all, leastRight)
			}
		})
	}
}

// leastRight is the part of the events that must be judged rightly, per cent.
const leastRight = 80

// logRow prints what was not judged rightly, with the reasons.
func logRow(t testing.TB, r feed.Row, js []judgement) {
	t.Helper()
	if r.Result == feed.ResultQuiet || r.Result == feed.ResultUnseen || r.Result == feed.ResultRight && (r.Class || r.Coarse) {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  %-9s", r.Result)
	if e := r.Event; e != nil {
		fmt.Fprintf(&b, " %s %s, %.0f m from the line, heard by %d of %d nations;", e.ID, e.Class, e.LineM, e.Heard, e.Nations)
	}
	if r.Verdict == nil {
		t.Log(b.String())
		return
	}
	for i := range js {
		if x := &js[i]; x.ID == r.Verdict.ID {
			fmt.Fprintf(&b, " -> %s %s %.3f %v, %.0f m off, %d members, %d nations, misfit %.1f, score %.0f, control %v",
				x.a.Finding, x.a.Class, x.a.Likelihood.Float(), x.a.Reasons, r.ErrorM, len(x.e.Members), len(x.e.Nations), x.e.Misfit,
				x.e.Score, x.a.Control)
		}
	}
	t.Log(b.String())
}
