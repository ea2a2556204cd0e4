package feed

import (
	"slices"
	"strings"
	"testing"
	"time"

	"truceline/treaty"
)

// TestScore catches a scorer that forgives a breach that did not happen or blames an honest doubt.
func TestScore(t *testing.T) {
	truth := play(t, Default(), 7).Truth
	find := func(id string) Event {
		i := slices.IndexFunc(truth, func(e Event) bool { return e.ID == id })
		if i < 0 {
			t.Fatalf("no event %s", id)
		}
		return truth[i]
	}
	about := func(id string, f treaty.Finding, party treaty.Party) Judged {
		e := find(id)
		return Judged{
			ID: id, Outcome: f, Party: party, Class: e.Class, Time: e.Time.Add(200 * time.Millisecond), Position: e.Position,
			Final: e.LastArrival.Add(5 * time.Second),
		}
	}
	nowhere := about("a1", treaty.Breach, "A")
	nowhere.Time = nowhere.Time.Add(-time.Minute)
	idle := nowhere
	idle.Outcome, idle.Party = treaty.Inconclusive, ""
	for _, c := range []struct {
		name string
		in   []Judged
		want Result
		ok   bool
	}{
		{"breach found", []Judged{about("a1", treaty.Breach, "A")}, ResultRight, true},
		{"wrong party", []Judged{about("a1", treaty.Breach, "B")}, ResultWrong, false},
		{"breach twice", []Judged{about("a1", treaty.Breach, "A"), about("a1", treaty.Breach, "A")}, ResultTwice, false},
		{"second breach by the other", []Judged{about("a1", treaty.Breach, "A"), about("a1", treaty.Breach, "B")}, ResultWrong, false},
		{"undecided", []Judged{about("a1", treaty.Inconclusive, "")}, ResultUndecided, true},
		{"denied", []Judged{about("a1", treaty.NoBreach, "")}, ResultDenied, true},
		{"thunder blamed", []Judged{about("t1", treaty.Breach, "A")}, ResultWrong, false},
		{"thunder known", []Judged{about("t1", treaty.NoBreach, "")}, ResultRight, true},
		{"exercise blamed", []Judged{about("x1.1", treaty.Breach, "A")}, ResultWrong, false},
		{"near the line, doubt", []Judged{about("c1", treaty.Inconclusive, "")}, ResultRight, true},
		{"near the line, wrong side", []Judged{about("c1", treaty.Breach, "B")}, ResultWrong, false},
		{"nothing there", []Judged{nowhere}, ResultWrong, false},
		{"nothing there, no breach", []Judged{idle}, ResultSpurious, true},
	} {
		got := Score(truth, c.in)
		if got.Count[c.want] == 0 || got.OK() != c.ok {
			t.Errorf("%s: %v, ok %v; want %s, %v", c.name, got.Count, got.OK(), c.want, c.ok)
		}
	}
	none := Score(truth, nil)
	if none.Count[ResultMissed] == 0 || none.Count[ResultUnseen] == 0 || none.Count[ResultQuiet] == 0 || !none.OK() {
		t.Errorf("no verdicts at all: %v", none.Count)
	}
	if len(none.Rows) != len(truth) {
		t.Errorf("%d rows for %d events", len(none.Rows), len(truth))
	}
	one := Score(truth, []Judged{about("a1", treaty.Breach, "A")})
	if d, ok := one.Beyond(0.5); !ok || d != 5*time.Second {
		t.Errorf("time beyond the sound's: %s %v, want 5s", d, ok)
	}
	// A person reads off every row what happened, what was decided, and how the two agree.
	text := one.String()
	for _, w := range []string{"a1", "artillery", "BREACH A", "0 m", "5s", "right 1", "missed", "t1"} {
		if !strings.Contains(text, w) {
			t.Errorf("the table lacks %q:\n%s", w, text)
		}
	}
	if _, ok := none.Beyond(0.5); ok {
		t.Error("a time to FINAL without verdicts")
	}
}

// A coarser word must count as coarser and not as wrong, and a wrong one not as coarser.
func TestCoarser(t *testing.T) {
	for _, x := range []struct {
		word, class treaty.EventClass
		want        bool
	}{
		{treaty.ClassLaunch, treaty.ClassMortar, true},
		{treaty.ClassLaunch, treaty.ClassSmallArms, false},
		{treaty.ClassLaunch, treaty.ClassThunder, false},
		{treaty.ClassOther, treaty.ClassThunder, true},
		{treaty.ClassOther, treaty.ClassArtillery, false},
		{treaty.ClassUndetermined, treaty.ClassArtillery, true},
		{treaty.ClassMortar, treaty.ClassArtillery, false},
	} {
		if got := coarser(x.word, x.class); got != x.want {
			t.Errorf("%v for %v: %v, want %v", x.word, x.class, got, x.want)
		}
		e := Event{Class: x.class, Time: 1e15, LastArrival: 1e15}
		tb := Score([]Event{e}, []Judged{{Class: x.word, Time: 1e15, Outcome: treaty.Inconclusive}})
		if tb.ClassRight != 0 || tb.ClassCoarse != map[bool]int{true: 1}[x.want] {
			t.Errorf("%v for %v: %d right, %d coarser", x.word, x.class, tb.ClassRight, tb.ClassCoarse)
		}
	}
}
