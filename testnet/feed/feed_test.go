package feed

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"truceline/testnet/scenarios"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

func play(t *testing.T, s *Scenario, n int) *Night {
	t.Helper()
	night, err := s.Play(treatytest.Names[:n])
	if err != nil {
		t.Fatal(err)
	}
	return night
}

// TestBuiltins catches a built-in scenario that no longer parses, plays or makes an accord.
func TestBuiltins(t *testing.T) {
	for _, name := range scenarios.Names() {
		s, err := Builtin(name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, n := range []int{4, 7, 40} {
			f := treatytest.Accord(n, nil)
			a, err := s.Accord(f.Members, treaty.TimeOf(s.Start.Add(-time.Hour)))
			if err != nil {
				t.Fatalf("%s, %d nations: %v", name, n, err)
			}
			if _, err := treaty.NewNetwork(a); err != nil {
				t.Fatalf("%s, %d nations: %v", name, n, err)
			}
			play(t, s, n)
		}
	}
}

// TestSame catches a night that differs between two runs, or does not differ between two seeds.
func TestSame(t *testing.T) {
	s := Default()
	a, b := play(t, s, 7), play(t, s, 7)
	if !reflect.DeepEqual(a, b) {
		t.Fatal("two nights of one seed differ")
	}
	shuffled := slices.Clone(treatytest.Names[:7])
	slices.Reverse(shuffled)
	c, err := s.Play(shuffled)
	if err != nil || !reflect.DeepEqual(a, c) {
		t.Fatal("the order in which nations are named changes the night")
	}
	s.Seed++
	if d := play(t, s, 7); reflect.DeepEqual(a.Feed, d.Feed) {
		t.Fatal("another seed makes the same night")
	}
}

// TestFeed catches detections that a batch would refuse, that come out of order or before they happened, that are
// marked real, or that give the truth away.
func TestFeed(t *testing.T) {
	s := Default()
	s.Faults = slices.DeleteFunc(s.Faults, func(f Fault) bool { return f.Kind == FaultClock })
	for _, n := range []int{4, 7, 35} {
		night := play(t, s, n)
		if len(night.Feed) != n {
			t.Fatalf("%d nations in the feed, want %d", len(night.Feed), n)
		}
		for nation, feed := range night.Feed {
			native := map[string]bool{}
			for i, f := range feed {
				if err := f.Detection.Check(); err != nil {
					t.Fatalf("%s, %d: %v", nation, i, err)
				}
				if i > 0 && f.At < feed[i-1].At {
					t.Fatalf("%s: %d is taken in before %d", nation, i, i-1)
				}
				if late := f.At.Sub(f.Detection.Time.Value); late < 200*time.Millisecond {
					t.Errorf("%s: %s taken in %s after it happened", nation, f.Detection.NativeID, late)
				}
				if f.Detection.Mode != treaty.ModeSimulated {
					t.Fatalf("%s: mode %s", nation, f.Detection.Mode)
				}
				if native[f.Detection.NativeID] {
					t.Fatalf("%s: native id %s twice", nation, f.Detection.NativeID)
				}
				native[f.Detection.NativeID] = true
				if f.At > night.Ends {
					t.Fatalf("%s: taken in after the night's end", nation)
				}
			}
		}
	}
}

// TestDealt catches a deal that gives a nation neighbouring sensors or more than its share.
func TestDealt(t *testing.T) {
	s := Default()
	for n := treaty.MinNations; n <= treaty.MaxNations; n++ {
		all := slices.DeleteFunc(s.place(n), func(x *sensor) bool { return x.observer })
		count := make([]int, n)
		slices.SortStableFunc(all, func(a, b *sensor) int { return cmp.Compare(a.along, b.along) })
		for i, x := range all {
			count[x.nation]++
			for j := max(0, i-n+1); j < i; j++ {
				if all[j].nation == x.nation {
					t.Fatalf("%d nations: sensors %d and %d along the line are both nation %d's", n, j, i, x.nation)
				}
			}
		}
		if lo, hi := slices.Min(count), slices.Max(count); hi-lo > 1 || lo < 1 {
			t.Fatalf("%d nations have %d to %d sensors", n, lo, hi)
		}
	}
}

// TestFaults catches faults that do nothing.
func TestFaults(t *testing.T) {
	s := Default()
	s.Faults = []Fault{
		{Kind: FaultSilent, Nation: 1, From: 5 * time.Minute, To: 9 * time.Minute},
		{Kind: FaultBacklog, Nation: 2, From: 5 * time.Minute, To: 9 * time.Minute},
		{Kind: FaultClock, Nation: 3, Sensor: 0, From: 0, To: s.Duration, By: 3 * time.Second},
		{Kind: FaultDog, Nation: 0, Sensor: 0, From: 0, To: s.Duration},
	}
	with := play(t, s, 7)
	at := func(d time.Duration) treaty.Time { return treaty.TimeOf(s.Start.Add(d)) }
	names := treatytest.Names
	gaps := 0
	for _, nation := range []treaty.Nation{names[1], names[2]} {
		for _, f := range with.Feed[nation] {
			if f.At >= at(5*time.Minute) && f.At < at(9*time.Minute) {
				t.Fatalf("%s takes something in while cut off", nation)
			}
			if f.Detection.Gap != nil {
				gaps++
			}
		}
	}
	if gaps == 0 {
		t.Error("no gap is reported after the silence")
	}
	old := slices.ContainsFunc(with.Feed[names[2]], func(f Timed) bool { return f.At.Sub(f.Detection.Time.Value) > time.Minute })
	if !old {
		t.Error("the backlog was not delivered with its own times")
	}
	s.Faults = nil
	without := play(t, s, 7)
	if a, b := len(with.Feed[names[0]]), len(without.Feed[names[0]]); a < b+30 {
		t.Errorf("the dog barks %d times in the whole night", a-b)
	}
	moved := 0
	for i, f := range with.Feed[names[3]] {
		if f.Detection.Time.Value.Sub(without.Feed[names[3]][i].Detection.Time.Value) == 3*time.Second {
			moved++
		}
	}
	if moved < 10 {
		t.Errorf("the clock moved %d detections", moved)
	}
}

// TestRate catches a generator whose rate is not the one asked for.
func TestRate(t *testing.T) {
	s, err := Rate(7, 400, time.Hour, 60, 100)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(s.Events); math.Abs(float64(n)-400*59/60) > 80 {
		t.Errorf("%d events in an hour, want about 393", n)
	}
	night := play(t, s, 7)
	arrivals := 0
	for _, f := range night.Feed {
		for _, d := range f {
			if d.Detection.Arrival != nil {
				arrivals++
			}
		}
	}
	t.Logf("%d events, %d arrivals", len(s.Events), arrivals)
	if arrivals < 1500 {
		t.Errorf("%d arrivals", arrivals)
	}
}

// BenchmarkPlay is what making up the default night costs.
func BenchmarkPlay(b *testing.B) {
	s := Default()
	for b.Loop() {
		if _, err := s.Play(treatytest.Names[:7]); err != nil {
			b.Fatal(err)
		}
	}
}

// ExampleScenario_Play shows the truth of the default night.
func ExampleScenario_Play() {
	night, err := Default().Play(treatytest.Names[:7])
	if err != nil {
		panic(err)
	}
	e := night.Truth[0]
	fmt.Println(e.ID, e.Kind, e.Party, e.Expect)
	// Output: a1 artillery A breach
}
