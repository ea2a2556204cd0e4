package cli

import (
	"fmt"
	"path/filepath"
	"strings"

	ucli "github.com/urfave/cli/v2"

	"truceline/node/observe"
	"truceline/treaty"
)

func verdictCommand() *ucli.Command {
	from := text("from", "http://127.0.0.1:8701", "`URL` of any node's public API")
	return &ucli.Command{
		Name: "verdict", Usage: "what is FINAL, and how to check it", Subcommands: []*ucli.Command{
			{
				Name: "list", Usage: "list FINAL verdicts, newest first", Action: verdictList,
				Flags: []ucli.Flag{from, &ucli.IntFlag{Name: "limit", Value: 50, Usage: "at most so many (`N`)"}, jsonFlag()},
			},
			{Name: "show", Usage: "show one verdict", ArgsUsage: "ID", Action: verdictShow, Flags: []ucli.Flag{from, jsonFlag()}},
			{
				Name: "export", Usage: "save a verdict, its proof and the policy, checked", ArgsUsage: "ID", Action: verdictExport,
				Flags: []ucli.Flag{from, text("dir", ".", "`FOLDER` to write to"), jsonFlag()},
			},
			{
				Name: "verify", Usage: "check a verdict from its three files, offline", ArgsUsage: "ENTRY PROOF POLICY", Action: verdictVerify,
				Description: "Needs no network and no node. The policy decides whom you trust: take it from the founding document\n" +
					"(truceline accord policy), or compare it with one from somebody else.",
				Flags: []ucli.Flag{&ucli.BoolFlag{Name: "own-policy", Usage: "the policy is one you wrote: accept whatever it demands"}, jsonFlag()},
			},
		},
	}
}

// maxList bounds how many verdicts one command fetches.
const maxList = 100_000

func verdictList(c *ucli.Context) error {
	if err := want(c, 0, 0, "no arguments"); err != nil {
		return err
	}
	limit := c.Int("limit")
	if limit < 1 || limit > maxList {
		return usagef("--limit %d: want 1 to %d", limit, maxList)
	}
	cl, err := newClient(c.String("from"))
	if err != nil {
		return err
	}
	all := observe.VerdictList{Verdicts: []observe.VerdictView{}}
	bar := NewDisplay(c.App.ErrWriter)
	for next := fmt.Sprintf("/v1/verdicts?limit=%d", min(limit, 200)); next != "" && len(all.Verdicts) < limit; {
		var page observe.VerdictList
		if err := cl.read(c.Context, next, &page); err != nil {
			return err
		}
		// Each page must be older than the one before, or a lying node could keep us here for ever.
		if k := len(all.Verdicts); k > 0 && len(page.Verdicts) > 0 && page.Verdicts[0].Index >= all.Verdicts[k-1].Index {
			return unreachable(fmt.Errorf("the node's pages do not go back in time: ask another node"))
		}
		for _, v := range page.Verdicts {
			if v.Verdict == nil {
				return unreachable(fmt.Errorf("the node lists a verdict without its content: ask another node"))
			}
		}
		if next = page.Next; len(page.Verdicts) == 0 || !strings.HasPrefix(next, "/v1/verdicts?") {
			next = ""
		}
		all.Exercise, all.Size, all.Next = page.Exercise, max(all.Size, page.Size), next
		all.Verdicts = append(all.Verdicts, page.Verdicts...)
		if bar.Live() && limit > 200 {
			bar.Progress(Bar{Label: "verdicts", Done: int64(len(all.Verdicts)), Unit: "read"})
		}
	}
	bar.Close()
	all.Verdicts = all.Verdicts[:min(len(all.Verdicts), limit)]
	if c.Bool("json") {
		return printJSON(c, all)
	}
	if all.Exercise {
		say(c, "EXERCISE: none of these is a real event.\n")
	}
	if len(all.Verdicts) == 0 {
		say(c, "No verdict is FINAL yet (ledger of %d entries).\n", all.Size)
		return nil
	}
	d := NewDisplay(c.App.Writer)
	t := Table{Head: []string{"time", "outcome", "party", "clause", "likelihood", "class", "status", "id"}}
	for _, v := range all.Verdicts {
		t.Rows = append(t.Rows, []string{
			v.Verdict.Time.Std().Format("2006-01-02 15:04:05"), outcome(d, v.Verdict.Outcome), dash(string(v.Verdict.Party)), dash(string(v.Verdict.Clause)),
			treaty.Likelihood(v.Verdict.Likelihood), v.Verdict.Class.String(), printable(v.Status), v.ID.String(),
		})
	}
	for _, l := range t.Lines(0) {
		say(c, "%s\n", l)
	}
	return nil
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return printable(s)
}

func outcome(d *Display, f treaty.Finding) string {
	switch f {
	case treaty.Breach:
		return d.Paint(Bad, f.String())
	case treaty.Inconclusive:
		return d.Paint(Warn, f.String())
	}
	return f.String()
}

// verdictID reads the one argument.
func verdictID(c *ucli.Context) (treaty.Hash, error) {
	if err := want(c, 1, 1, "one verdict's id"); err != nil {
		return treaty.Hash{}, err
	}
	id, err := treaty.ParseHash(c.Args().First())
	if err != nil {
		return id, usagef("%q is no verdict's id: copy all 64 characters from truceline verdict list", c.Args().First())
	}
	return id, nil
}

func verdictShow(c *ucli.Context) error {
	id, err := verdictID(c)
	if err != nil {
		return err
	}
	cl, err := newClient(c.String("from"))
	if err != nil {
		return err
	}
	var v observe.VerdictView
	if err := cl.read(c.Context, "/v1/verdicts/"+id.String(), &v); err != nil {
		return err
	}
	if v.Verdict == nil || v.ID != id {
		return unreachable(fmt.Errorf("the node answers with another verdict: ask another node"))
	}
	if c.Bool("json") {
		return printJSON(c, v)
	}
	showVerdict(c, v.Verdict)
	rows := [][]string{{"status", printable(v.Status)}, {"ledger index", fmt.Sprint(v.Index)}, {"id", id.String()}}
	for _, m := range v.Misbehaviour {
		rows = append(rows, []string{"note", printable(m.Text)})
	}
	if !v.Standing.IsZero() {
		rows = append(rows, []string{"stands instead", v.Standing.String()})
	}
	if !v.SupersededBy.IsZero() {
		rows = append(rows, []string{"superseded by", v.SupersededBy.String()})
	}
	columns(c.App.Writer, rows)
	hint(c, "This is what the node says. To check it: truceline verdict export %s --from %s\n", id, c.String("from"))
	return nil
}

func showVerdict(c *ucli.Context, v *treaty.Verdict) {
	if v.Exercise {
		say(c, "EXERCISE: not a real event\n")
	}
	d := NewDisplay(c.App.Writer)
	say(c, "%s\n%s\n\n", d.Paint(outcomeColour(v.Outcome), finding(v.Outcome, v.Party, v.Clause)), printable(v.Summary))
	dissents := []string{}
	for _, x := range v.Dissents {
		dissents = append(dissents, fmt.Sprintf("%s (%s)", printable(string(x.Nation)), finding(x.Finding, x.Party, "")))
	}
	rows := [][]string{
		{"likelihood", fmt.Sprintf("%s (%s)", treaty.Likelihood(v.Likelihood), percent(v.Likelihood))},
		{"confidence", v.Confidence.String()},
		{"what", v.Class.String()},
		{"when", v.Time.String()},
		{"where", v.Position.String()},
		{"attested by", dash(join(v.Attesters))},
		{"dissenting", dash(strings.Join(dissents, ", "))},
		{"missing", dash(join(v.Missing))},
		{"independent evidence", dash(join(v.Independent))},
		{"resilience", fmt.Sprintf("the same without any %d of them", v.Resilience)},
		{"reasons", reasons(v.Reasons)},
		{"incident", v.Incident.String()},
	}
	if !v.Amends.IsZero() {
		rows = append(rows, []string{"supersedes", v.Amends.String()})
	}
	columns(c.App.Writer, rows)
}

func outcomeColour(f treaty.Finding) Colour {
	switch f {
	case treaty.Breach:
		return Bad
	case treaty.Inconclusive:
		return Warn
	}
	return Good
}

// verdictExport writes nothing that does not verify: a file on disk will be believed.
func verdictExport(c *ucli.Context) error {
	id, err := verdictID(c)
	if err != nil {
		return err
	}
	cl, err := newClient(c.String("from"))
	if err != nil {
		return err
	}
	var parts [3][]byte
	for i, p := range []struct {
		path  string
		limit int
	}{
		{"/v1/verdicts/" + id.String() + "/entry", treaty.MaxRecord},
		{"/v1/verdicts/" + id.String() + "/proof", treaty.MaxProof},
		{"/v1/policy", treaty.MaxPolicy},
	} {
		if parts[i], err = cl.get(c.Context, p.path, p.limit); err != nil {
			return err
		}
	}
	entry, proof, policy := parts[0], parts[1], parts[2]
	if got := treaty.HashOf(entry); got != id {
		return fmt.Errorf("the node sent another entry (%s): nothing was written; ask another node", got.Short())
	}
	v, err := Verify(entry, proof, policy, false)
	if err != nil {
		return fmt.Errorf("what the node sent does not verify; nothing was written; ask another node: %w", err)
	}
	files := []string{id.String() + ".verdict", id.String() + ".tlog-proof", "policy.txt"}
	dir := c.String("dir")
	if err := makeDir(dir, 0o755); err != nil {
		return err
	}
	for i := range files {
		files[i] = filepath.Join(dir, files[i])
	}
	// The policy first: if one of another network lies there already, nothing else is written beside it.
	if err := writeNew(files[2], policy, 0o644); err != nil {
		return err
	}
	if err := writeNew(files[0], entry, 0o644); err != nil {
		return err
	}
	if err := writeProof(files[1], proof, entry, policy); err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(c, map[string]any{"entry": files[0], "proof": files[1], "policy": files[2], "verified": v})
	}
	for _, f := range files {
		say(c, "%s\n", f)
	}
	hint(c, "Verified against the policy that the same node gave. Compare policy.txt with the founding document's\n"+
		"(truceline accord policy) or another node's; then: truceline verdict verify %s\n", strings.Join(files, " "))
	return nil
}
