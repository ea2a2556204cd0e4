package feed

import (
	"math"
	"time"

	"truceline/treaty"
)

// Expect is what a fair verdict may say of an event.
type Expect uint8

// The expectations.
const (
	// ExpectBreach: a breach by the event's party.
	ExpectBreach Expect = iota + 1
	// ExpectNoBreach: never a breach, by nobody.
	ExpectNoBreach
	// ExpectOpen: a breach by the event's party or INCONCLUSIVE, as near to the line as it was; never the other party.
	ExpectOpen
)

// String is the expectation in words.
func (e Expect) String() string {
	return [...]string{"?", "breach", "no breach", "breach or inconclusive"}[min(e, 3)]
}

// Event is one thing that really happened.
type Event struct {
	ID       string
	Kind     Kind
	Class    treaty.EventClass
	Party    treaty.Party // who did it; empty for thunder and the quarry
	Time     treaty.Time
	Position treaty.Position
	Expect   Expect
	LineM    float64 // distance from the contact line
	// Audible is how many acoustic sensors were more likely than not to hear it; Heard how many reported it, of so
	// many Nations.
	Audible, Heard, Nations int
	// LastArrival is when its sound reached the farthest sensor within hearing: what comes later is the network's time.
	LastArrival treaty.Time
}

// Seeable says whether the sensors gave anybody a fair chance: four of them, of three nations.
func (e *Event) Seeable() bool { return e.Heard >= 4 && e.Nations >= 3 }

// extended says that the event has no one place and moment.
func (e *Event) extended() bool { return e.Kind == KindThunder || e.Kind == KindQuarry }

// judge says what a fair verdict may be.
func (p *player) judge(id string, kind Kind, side string, at time.Duration, pos treaty.Position) Event {
	t := &p.s.Terms
	e := Event{
		ID: id, Kind: kind, Class: kinds[kind].class, Party: treaty.Party(side), Time: p.time(at), Position: pos,
		Expect: ExpectBreach, LineM: fromLine(pos, p.line),
	}
	edge := math.Abs(e.LineM - t.CeasefireKm*1000)
	switch {
	case e.extended():
		e.Party, e.Expect = "", ExpectNoBreach
	case kind == KindImpact, e.LineM < max(5*t.LineSigmaM, 250), edge < 500:
		e.Expect = ExpectOpen
	case e.LineM > t.CeasefireKm*1000:
		e.Expect = ExpectNoBreach // far from the line fire is allowed, in an exercise zone or not
	}
	return e
}
