package tally_test

import (
	"fmt"
	"testing"
	"time"

	"truceline/consensus/tally"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// A nation that heard nothing, waits for the others to reveal and seals a copy must gain nothing by it: whatever the
// size of the network and the number of nations that heard the event, outcome, independent nations and e are the same
// with its copy as without.
func TestCopycat(t *testing.T) {
	breaches := 0
	for n := 4; n <= 7; n++ {
		for heard := 1; heard < n; heard++ {
			without, with := copycat(t, n, heard, false), copycat(t, n, heard, true)
			if without != with {
				t.Errorf("n=%d, %d heard it:\nwithout the copy %s\nwith it          %s", n, heard, without, with)
			}
			// The test must be able to fail: sealed in time, the copy counts.
			if inTime := copycat(t, n, heard, true, 0); inTime == with {
				t.Errorf("n=%d, %d heard it: a seal in time makes no difference either: %s", n, heard, with)
			}
			if with[:6] == "BREACH" {
				breaches++
			}
		}
	}
	if breaches == 0 {
		t.Error("no case with a breach")
	}
}

// copycat is the verdict of a network of n of which the first nations heard an event and the last one copies, after a
// delay of 5 s if not said otherwise.
func copycat(t *testing.T, n, heard int, copies bool, delay ...time.Duration) string {
	net := treatytest.NewWith(n, func(a *treaty.Accord) { a.Policy.OneModalityNations = 2 }).Net
	s, b := tally.New(net), newBook(net)
	end := start.Add(2 * time.Second)
	w := treaty.WindowOf(start, net.Accord.Policy.Window())
	var refs []treaty.Ref
	sealed := func(k treaty.Nation, at treaty.Time) {
		r := b.record(k, at, &treaty.Seal{Window: w, Digest: digestOf(1), Count: 1})
		must(t, s, r, "")
		refs = append(refs, treaty.Ref{Seal: r.ID})
	}
	for _, k := range net.Nations()[:heard] {
		sealed(k, end)
	}
	wait := 5 * time.Second
	if len(delay) > 0 {
		wait = delay[0]
	}
	for _, k := range net.Nations() {
		must(t, s, b.record(k, end.Add(wait), &treaty.Remark{Text: "the batches are out"}), "")
	}
	if copies {
		sealed(net.Nations()[n-1], end.Add(wait))
	}
	cites := treaty.NewCites(refs)
	in := b.record(net.Nations()[0], end.Add(wait), &treaty.Incident{Time: start, Class: treaty.ClassOther, Cites: cites})
	must(t, s, in, "")
	for _, k := range net.Nations() {
		if derived := must(t, s, b.record(k, end.Add(wait), b.breach(in.ID, cites)), "").Derived; len(derived) > 0 {
			v, err := net.ParseVerdict(derived[0])
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprint(v.Outcome, v.Party, v.Clause, v.Independent, v.Resilience, v.Reasons)
		}
	}
	t.Fatal("no verdict")
	return ""
}
