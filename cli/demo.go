package cli

import (
	"fmt"
	"math"
	"time"

	ucli "github.com/urfave/cli/v2"

	"truceline/testnet"
	"truceline/testnet/feed"
	"truceline/testnet/scenarios"
	"truceline/treaty"
)

func demoCommand() *ucli.Command {
	return &ucli.Command{
		Name: "demo", Usage: "run a whole network in this process and see what it makes of a made-up night",
		Description: "Every nation gets its own node: libp2p host, Raft, database on disk, keys. A made-up night is played into\n" +
			"their sensors. At the end every verdict is verified offline and compared with what really happened.\n" +
			"Exit code 1: a verdict was wrong or did not verify, or two nations hold different ledgers.",
		Flags: []ucli.Flag{
			&ucli.IntFlag{Name: "nations", Value: 7, Usage: "how many guarantor nations, 4 to 35"},
			&ucli.Uint64Flag{Name: "seed", Usage: "another night of the same scenario"},
			&ucli.Float64Flag{Name: "speed", Value: 20, Usage: "sensor clock: how many times as fast as real time"},
			text("scenario", scenarios.Default, "built-in scenario or YAML file"),
			text("dir", "", "keep the network's files in this folder"),
			jsonFlag(),
		},
		Action: runDemo,
	}
}

func runDemo(c *ucli.Context) error {
	if err := want(c, 0, 0, "no arguments"); err != nil {
		return err
	}
	s, err := scenarioOf(c)
	if err != nil {
		return err
	}
	d := NewDisplay(c.App.ErrWriter)
	cfg := testnet.DemoConfig{Nations: c.Int("nations"), Scenario: s, Speed: c.Float64("speed"), Dir: c.String("dir")}
	if err := cfg.Validate(); err != nil {
		return refused(err)
	}
	view := newNightView(d)
	cfg.Watch = view.watch()
	r, err := testnet.Demo(c.Context, cfg)
	d.Close()
	if err != nil {
		return err
	}
	return showReport(c, d, r)
}

// scenarioOf reads --scenario and --seed.
func scenarioOf(c *ucli.Context) (*feed.Scenario, error) {
	b, err := scenarioBytes(c.String("scenario"))
	if err != nil {
		return nil, err
	}
	s, err := feed.Parse(b)
	if err != nil {
		return nil, refused(err)
	}
	if c.IsSet("seed") {
		s.Seed = c.Uint64("seed")
	}
	return s, nil
}

// maxScenario bounds a scenario file: a thousand events of a few hundred bytes.
const maxScenario = 1 << 20

// showReport is the end of a demo or run.
func showReport(c *ucli.Context, d *Display, r *testnet.Report) error {
	if c.Bool("json") {
		if err := printJSON(c, r); err != nil {
			return err
		}
	} else {
		say(c, "\nWhat really happened, and what the network decided:\n\n%s\n", r.Table)
		if r.Final.N > 0 {
			say(c, "event to FINAL               p50 %s  p99 %s  (sensor time, %d events)\n", short(r.Final.P50), short(r.Final.P99), r.Final.N)
			say(c, "of that, beyond the sound    p50 %s  p99 %s%s\n", short(r.Beyond.P50), short(r.Beyond.P99), stretched(r.Speed))
		}
		say(c, "verified offline             %d of %d verdicts\n", r.Proofs.Verified, r.Proofs.Verdicts)
		for _, p := range r.Proofs.Problems {
			say(c, "  %s\n", d.Paint(Bad, printable(p)))
		}
		say(c, "ledgers of %d nations         %s\n", r.Nations, agree(r))
		for _, v := range r.Violations {
			say(c, "  %s\n", d.Paint(Bad, printable(v)))
		}
		say(c, "took                         %s\n", r.Took.Round(100*time.Millisecond))
	}
	if !r.OK() {
		return &exitError{exitNo, fmt.Errorf("the network was wrong: see WRONG, TWICE and unverified above")}
	}
	return nil
}

// stretched explains the network's part of a sped-up run.
func stretched(speed float64) string {
	if speed == 1 {
		return ""
	}
	return fmt.Sprintf("  (the network's own work runs in real time, so a sensor clock at %g times stretches it by as much)", speed)
}

func agree(r *testnet.Report) string {
	if len(r.Violations) == 0 {
		return "agree: same entries, same roots, every verdict with its quorum"
	}
	return fmt.Sprintf("%d violations", len(r.Violations))
}

func short(d time.Duration) string { return d.Round(100 * time.Millisecond).String() }

// nightView shows a running night: a table that moves on a terminal, lines elsewhere.
type nightView struct {
	d     *Display
	lines int // verdicts printed, without a terminal
}

func newNightView(d *Display) *nightView { return &nightView{d: d} }

func (v *nightView) watch() testnet.Watch {
	return testnet.Watch{
		Say: func(line string) { v.d.Line("%s", printable(line)) },
		Step: func(label string, done, total int64, unit, note string) {
			v.d.Progress(Bar{Label: label, Done: done, Total: total, Unit: unit, Note: note})
		},
		Live: v.live,
	}
}

// tableRows is how many incidents the moving table shows.
const tableRows = 14

func (v *nightView) live(now treaty.Time, done, total int64, cases []testnet.Case, verdicts []testnet.Sighting) {
	bar := Bar{Label: "night", Done: max(0, done), Total: total, Unit: "s", Note: "it is " + now.Std().Format(time.TimeOnly)}
	for ; v.lines < len(verdicts); v.lines++ {
		if !v.d.Live() {
			v.d.Line("%s", verdictLine(verdicts[v.lines]))
		}
	}
	if !v.d.Live() {
		v.d.Progress(bar)
		return
	}
	v.d.Show(func(width int) []string {
		t := Table{Head: []string{"TIME", "INCIDENT", "HEARD AS", "ATTESTED", "VERDICT", "CLAUSE", "PLACE"}}
		for _, k := range cases[max(0, len(cases)-tableRows):] {
			t.Rows = append(t.Rows, caseRow(v.d, k))
		}
		return append(t.Lines(width-1), "", bar.String(width-1))
	})
}

func caseRow(d *Display, k testnet.Case) []string {
	at, place, class := k.Incident.Time, k.Incident.Position, k.Incident.Class
	verdict, clause := d.Paint(Dim, "open"), ""
	if r := k.Verdict; r != nil {
		at, place, class, clause = r.Time, r.Position, r.Class, string(r.Clause)
		verdict = d.Paint(caseColour(r.Outcome), outcomeWords(r))
	}
	return []string{
		at.Std().Format(time.TimeOnly), k.ID.Short(), class.String(), fmt.Sprintf("%d nations", len(k.Attested)), verdict, clause, placeWords(place),
	}
}

// caseColour is for a table of many: a breach stands out.
func caseColour(f treaty.Finding) Colour {
	switch f {
	case treaty.Breach:
		return Bad
	case treaty.Inconclusive:
		return Warn
	}
	return Good
}

func outcomeWords(v *treaty.Verdict) string {
	if v.Party == "" {
		return v.Outcome.String()
	}
	return v.Outcome.String() + " by " + string(v.Party)
}

func placeWords(p treaty.Position) string {
	lat, lon := p.Degrees()
	return fmt.Sprintf("%.4f %.4f", lat, lon)
}

func verdictLine(s testnet.Sighting) string {
	v := s.Verdict
	line := fmt.Sprintf("%s  FINAL %s after  %s  %s", v.Time.Std().Format(time.TimeOnly),
		time.Duration(math.Max(0, float64(s.Final.Sub(v.Time)))).Round(100*time.Millisecond), s.ID.Short(), outcomeWords(v))
	if v.Clause != "" {
		line += ", clause " + string(v.Clause)
	}
	return line + fmt.Sprintf(", %s, %s, %d nations agree", v.Class, placeWords(v.Position), len(v.Attesters))
}
