package cli

import (
	"fmt"

	ucli "github.com/urfave/cli/v2"

	"truceline/node"
	"truceline/treaty"
)

func reviewList(c *ucli.Context) error {
	if err := want(c, 0, 0, "no arguments"); err != nil {
		return err
	}
	cl, err := operatorClient(c)
	if err != nil {
		return err
	}
	items := []node.ReviewItem{}
	if err := cl.read(c.Context, "/v1/review", &items); err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(c, items)
	}
	if len(items) == 0 {
		say(c, "Nothing waits for review.\n")
		return nil
	}
	for _, it := range items {
		a := it.Assessment
		say(c, "%s\n", it.Incident)
		columns(c.App.Writer, [][]string{
			{"  finding", finding(a.Finding, a.Party, a.Clause)},
			{"  likelihood", fmt.Sprintf("%s (%s); confidence %s", printable(it.Likelihood), percent(a.Likelihood), a.Confidence)},
			{"  what, when", fmt.Sprintf("%s at %s", a.Class, a.Time)},
			{"  where", a.Position.String()},
			{"  heard by", fmt.Sprintf("%s; holds without any %d of them", join(a.Contributors), a.Resilience)},
			{"  reasons", reasons(a.Reasons)},
			{"  waits since", it.Since.String()},
		})
	}
	hint(c, "truceline node review approve|change|decline INCIDENT\n")
	return nil
}

// finding is a finding in one phrase.
func finding(f treaty.Finding, p treaty.Party, clause treaty.ClauseID) string {
	if f != treaty.Breach {
		return f.String()
	}
	return fmt.Sprintf("%s by %s of clause %s", f, printable(string(p)), printable(string(clause)))
}

func reasons(rs []treaty.Reason) string {
	words := make([]string, len(rs))
	for i, r := range rs {
		words[i] = r.String()
	}
	if len(words) == 0 {
		return "-"
	}
	return join(words)
}

func reviewDecide(action string) ucli.ActionFunc {
	return func(c *ucli.Context) error {
		if err := want(c, 1, 1, "one incident's id"); err != nil {
			return err
		}
		incident, err := treaty.ParseHash(c.Args().First())
		if err != nil {
			return usagef("%q is no incident's id: copy all 64 characters from truceline node review list", c.Args().First())
		}
		d := node.Decision{Action: action, Why: c.String("why")}
		if action == "change" {
			if err := d.Finding.UnmarshalText([]byte(c.String("finding"))); err != nil || d.Finding == treaty.Breach {
				return usagef("--finding %q: want INCONCLUSIVE or NO_BREACH; a person may doubt what was computed, but not accuse where it does not", c.String("finding"))
			}
		}
		cl, err := operatorClient(c)
		if err != nil {
			return err
		}
		var done map[string]string
		if err := cl.send(c.Context, "/v1/review/"+incident.String(), d, &done); err != nil {
			return err
		}
		if c.Bool("json") {
			return printJSON(c, done)
		}
		if id := done["record"]; id != "" {
			say(c, "attested: record %s\n", printable(id))
			return nil
		}
		say(c, "declined: this nation attests nothing about incident %s\n", incident.Short())
		return nil
	}
}
