package cli

import (
	"fmt"
	"time"

	ucli "github.com/urfave/cli/v2"

	"truceline/treaty"
)

func accordShow(c *ucli.Context) error {
	if err := want(c, 1, 1, "one accord file or founding document"); err != nil {
		return err
	}
	a, f, err := readAccord(c.Args().First())
	if err != nil {
		return err
	}
	d := a.Digest()
	var missing []treaty.Nation
	if f != nil {
		if _, missing, err = f.Open(); err != nil {
			return refused(err)
		}
	}
	if c.Bool("json") {
		v := map[string]any{"digest": d, "fingerprint": oneLine(d.Fingerprint()), "spoken": oneLine(d.Spoken()), "accord": a}
		if f != nil {
			v["missing"] = append([]treaty.Nation{}, missing...)
		}
		return printJSON(c, v)
	}
	showAccord(c, a)
	switch {
	case f != nil && len(missing) == 0:
		say(c, "\nSigned by all %d nations.\n", len(a.Members))
	case f != nil:
		say(c, "\nNot signed by: %s\n", join(missing))
	}
	say(c, "\nFingerprint, to be compared by voice, all of it:\n\n%s\n\nthe same as words:\n\n%s\n", indent("  ", d.Fingerprint()), indent("  ", d.Spoken()))
	return nil
}

// span is a rule's validity in words.
func span(from, until treaty.Time) string {
	s := "from " + from.String()
	if until != 0 {
		s += " until " + until.String()
	}
	return s
}

func showAccord(c *ucli.Context, a *treaty.Accord) {
	n := len(a.Members)
	say(c, "%s%s\n", printable(a.Name), exerciseMark(a.Exercise))
	if a.Exercise {
		say(c, "EXERCISE: simulated and replayed detections count; nothing under this accord is a real event.\n")
	}
	say(c, "\n")
	columns(c.App.Writer, [][]string{
		{"origin", printable(a.Origin)},
		{"roster epoch", fmt.Sprint(a.Epoch)},
		{"founded", a.Founded.String()},
		{"nations", fmt.Sprintf("%d; quorum %d; up to %d may lie or fail", n, treaty.Quorum(n), treaty.Faulty(n))},
		{"left of the line", party(a.Parties[0])},
		{"right of the line", party(a.Parties[1])},
	})
	say(c, "\nNations\n")
	var rows [][]string
	for _, m := range a.Members {
		for _, k := range m.Keys {
			rows = append(rows, []string{"  " + string(m.Nation), printable(m.Name), k.Role.String(), k.Kind.String(), treaty.HashOf(k.Public).String()[:16]})
		}
	}
	columns(c.App.Writer, rows)
	say(c, "\nContact line\n")
	for _, l := range a.Lines {
		say(c, "  %d vertices, drawn to %s, %s\n", len(l.Vertices), metres(l.SigmaMm), span(l.From, l.Until))
	}
	if len(a.Zones) > 0 {
		say(c, "\nZones\n")
	}
	rows = nil
	for _, z := range a.Zones {
		whom := "binds both"
		if z.Party != "" {
			whom = "binds " + printable(string(z.Party))
		}
		rows = append(rows, []string{"  " + printable(z.ID), z.Kind.String(), whom, printable(z.Name), span(z.From, z.Until)})
	}
	columns(c.App.Writer, rows)
	say(c, "\nClauses\n")
	for _, k := range a.Clauses {
		showClause(c, k)
	}
	showPolicy(c, a.Policy)
}

func party(p treaty.PartyInfo) string { return printable(string(p.Code) + ", " + p.Name) }

func metres(mm int64) string {
	if mm >= 1_000_000 {
		return fmt.Sprintf("%g km", float64(mm)/1e6)
	}
	return fmt.Sprintf("%g m", float64(mm)/1e3)
}

func showClause(c *ucli.Context, k treaty.Clause) {
	say(c, "  %s  %s\n", printable(string(k.ID)), printable(k.Text))
	classes := make([]string, len(k.Classes))
	for i, x := range k.Classes {
		classes[i] = x.String()
	}
	where := "anywhere"
	switch {
	case len(k.Zones) > 0:
		where = "in " + join(k.Zones)
	case k.WithinMm > 0:
		where = "within " + metres(k.WithinMm) + " of the line"
	}
	if len(k.ExceptIn) > 0 {
		where += ", except in " + join(k.ExceptIn)
	}
	say(c, "      %s of %s\n      %s; severity %d; %s\n", k.Act, join(classes), where, k.Severity, span(k.From, k.Until))
}

func showPolicy(c *ucli.Context, p treaty.Policy) {
	d := func(ns int64) string { return time.Duration(ns).String() }
	say(c, "\nPolicy\n")
	columns(c.App.Writer, [][]string{
		{"  window, grace, heartbeat", d(p.WindowNs) + ", " + d(p.GraceNs) + ", " + d(p.HeartbeatNs)},
		{"  deadline, horizon", d(p.DeadlineNs) + ", " + d(p.HorizonNs)},
		{"  likelihood, factor, guard", percent(p.MinLikelihood) + ", " + percent(p.MinFactor) + ", " + percent(p.Guard)},
		{"  resilience at least", fmt.Sprint(p.Resilience)},
		{"  nations for one modality", fmt.Sprint(p.OneModalityNations)},
	})
}

func percent(p treaty.PPM) string { return fmt.Sprintf("%g%%", float64(p)/1e4) }
