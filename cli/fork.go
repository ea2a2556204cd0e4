package cli

import (
	"fmt"
	"strings"

	ucli "github.com/urfave/cli/v2"

	"truceline/treaty"
)

func forkCommand() *ucli.Command {
	return &ucli.Command{
		Name: "prove-fork", Usage: "name the nations that cosigned two conflicting checkpoints", ArgsUsage: "A B",
		Action: proveFork,
		Description: "A and B are cosigned checkpoints, as GET /checkpoint answers. If they conflict, more nations broke the\n" +
			"rules than the network withstands, and at least f+1 that signed both are named: exit code 0. If they do not,\n" +
			"or it cannot be told, it is 1.\n" +
			"Two sizes need --consistency: a file of base64 lines, first the root that the larger tree has at the smaller\n" +
			"size, then the consistency proof (RFC 9162 section 2.1.4), which any copy of the larger ledger's tiles gives.",
		Flags: []ucli.Flag{
			text("accord", "", "founding document or accord `FILE`"),
			text("policy", "", "policy `FILE`, instead of the accord"),
			text("consistency", "", "`FILE` with the consistency proof"), jsonFlag(),
		},
	}
}

func proveFork(c *ucli.Context) error {
	if err := want(c, 2, 2, "two cosigned checkpoints"); err != nil {
		return err
	}
	if (c.String("accord") == "") == (c.String("policy") == "") {
		return usagef("give --accord or --policy, one of them: whose signatures count")
	}
	var notes [2][]byte
	for i := range notes {
		var err error
		if notes[i], err = readFile(c.Args().Get(i), treaty.MaxCheckpointNote); err != nil {
			return err
		}
	}
	var policy, proof []byte
	var err error
	if file := c.String("policy"); file != "" {
		if policy, err = readFile(file, treaty.MaxPolicy); err != nil {
			return err
		}
	} else {
		net, err := readNetwork(c.String("accord"))
		if err != nil {
			return err
		}
		policy = net.Policy()
	}
	if file := c.String("consistency"); file != "" {
		if proof, err = readFile(file, treaty.MaxProof); err != nil {
			return err
		}
	}
	f, err := treaty.CheckFork(notes[0], notes[1], policy, proof)
	if err != nil {
		if c.Bool("json") {
			if e := printJSON(c, map[string]any{"proven": false, "reason": err.Error()}); e != nil {
				return e
			}
			return errAnswerIsNo
		}
		return fmt.Errorf("NOT PROVEN: %w", err)
	}
	if err := sayFork(c, f); err != nil || f.Conflict {
		return err
	}
	return errAnswerIsNo
}

func sayFork(c *ucli.Context, f *treaty.Fork) error {
	answer, reason := "NO FORK", "both checkpoints are of one ledger"
	switch {
	case f.Conflict:
		answer, reason = "FORK PROVEN", "no ledger has both; each nation below signed both"
	case !f.Consistent:
		answer = "NOT PROVEN"
		reason = "the sizes differ, so both may be of one ledger: give --consistency with a proof from the larger one"
	}
	both := []string{}
	if f.Conflict {
		for _, k := range f.Both {
			both = append(both, strings.ToUpper(k))
		}
	}
	if c.Bool("json") {
		return printJSON(c, map[string]any{
			"proven": f.Conflict, "consistent": f.Consistent, "reason": reason, "origin": f.Origin, "sizes": f.Sizes,
			"roots": f.Roots, "signed_both": both, "at_least": f.Least,
		})
	}
	colour := Good
	if f.Conflict {
		colour = Bad
	}
	say(c, "%s: %s\n\n", NewDisplay(c.App.Writer).Paint(colour, answer), reason)
	rows := [][]string{
		{"ledger", printable(f.Origin)},
		{"smaller", fmt.Sprintf("size %d, root %s", f.Sizes[0], f.Roots[0])},
		{"larger", fmt.Sprintf("size %d, root %s", f.Sizes[1], f.Roots[1])},
	}
	if f.Conflict {
		who := fmt.Sprintf("%s (%d nations, f+1 is %d)", printable(strings.Join(both, ", ")), len(both), f.Least)
		rows = append(rows, []string{"signed both", who})
	}
	columns(c.App.Writer, rows)
	return nil
}
