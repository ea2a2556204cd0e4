package cli

import (
	"errors"
	"fmt"

	ucli "github.com/urfave/cli/v2"

	"truceline/node/observe"
	"truceline/treaty"
)

func misbehaviourCommand() *ucli.Command {
	from := text("from", "http://127.0.0.1:8701", "`URL` of any node's public API")
	return &ucli.Command{
		Name: "misbehaviour", Usage: "what nations proved against themselves by their own signatures", Subcommands: []*ucli.Command{
			{Name: "list", Usage: "list what is FINAL, newest first", Action: misbehaviourList, Flags: []ucli.Flag{from, jsonFlag()}},
			{Name: "show", Usage: "show one", ArgsUsage: "ID", Action: misbehaviourShow, Flags: []ucli.Flag{from, jsonFlag()}},
			{
				Name: "verify", Usage: "check one from files, offline", ArgsUsage: "ENTRY ACCORD [PROOF]", Action: misbehaviourVerify,
				Description: "ACCORD is the founding document or the accord file: the nations' keys in it are all that the proof of\n" +
					"misbehaviour needs. With PROOF it also checks that the ledger has the entry, and that this is FINAL.",
				Flags: []ucli.Flag{jsonFlag()},
			},
		},
	}
}

func misbehaviourList(c *ucli.Context) error {
	if err := want(c, 0, 0, "no arguments"); err != nil {
		return err
	}
	cl, err := newClient(c.String("from"))
	if err != nil {
		return err
	}
	var page observe.MisbehaviourList
	if err := cl.read(c.Context, "/v1/misbehaviour?limit=20", &page); err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(c, page)
	}
	if page.Exercise {
		say(c, "EXERCISE: none of this is real.\n")
	}
	if len(page.Misbehaviour) == 0 {
		say(c, "No nation is recorded for misbehaviour (ledger of %d entries).\n", page.Size)
		return nil
	}
	t := Table{Head: []string{"nation", "kind", "what", "id"}}
	for _, m := range page.Misbehaviour {
		t.Rows = append(t.Rows, []string{printable(string(m.Accused)), m.Kind.String(), printable(m.Text), m.ID.String()})
	}
	for _, l := range t.Lines(0) {
		say(c, "%s\n", l)
	}
	if page.Next != "" {
		hint(c, "Older ones: %s%s\n", c.String("from"), page.Next)
	}
	return nil
}

func misbehaviourShow(c *ucli.Context) error {
	if err := want(c, 1, 1, "one record's id"); err != nil {
		return err
	}
	id, err := treaty.ParseHash(c.Args().First())
	if err != nil {
		return usagef("%q is no record's id: copy all 64 characters from truceline misbehaviour list", c.Args().First())
	}
	cl, err := newClient(c.String("from"))
	if err != nil {
		return err
	}
	var v observe.MisbehaviourView
	if err := cl.read(c.Context, "/v1/misbehaviour/"+id.String(), &v); err != nil {
		return err
	}
	if v.ID != id {
		return unreachable(errors.New("the node answers with another record: ask another node"))
	}
	if c.Bool("json") {
		return printJSON(c, v)
	}
	if v.Exercise {
		say(c, "EXERCISE: not real\n")
	}
	say(c, "%s\n\n", printable(v.Text))
	rows := [][]string{
		{"nation", printable(string(v.Accused))},
		{"kind", v.Kind.String()},
		{"reported by", printable(string(v.Reporter))},
		{"when", v.Time.String()},
		{"ledger index", fmt.Sprint(v.Index)},
		{"id", id.String()},
	}
	for _, s := range v.Statements {
		rows = append(rows, []string{"statement", fmt.Sprintf("%x", s)})
	}
	columns(c.App.Writer, rows)
	at := c.String("from")
	hint(c, "This is what the node says. To check it, save %s%s and %s%s, then:\n"+
		"truceline misbehaviour verify ENTRY ACCORD PROOF\n", at, printable(v.Links.Entry), at, printable(v.Links.Proof))
	return nil
}

// Convicted is what a misbehaviour's files prove.
type Convicted struct {
	Valid    bool                    `json:"valid"`
	ID       treaty.Hash             `json:"id"`
	Accused  treaty.Nation           `json:"accused"`
	Kind     treaty.MisbehaviourKind `json:"kind"`
	Text     string                  `json:"text"`
	Reporter treaty.Nation           `json:"reporter"`
	Accord   treaty.Hash             `json:"accord"`
	Exercise bool                    `json:"exercise"`
	// Final says that a proof was given and leads to a cosigned checkpoint; the rest is zero without.
	Final      bool   `json:"final"`
	Index      uint64 `json:"index,omitempty"`
	Checkpoint uint64 `json:"checkpoint_size,omitempty"`
	Signers    int    `json:"signers,omitempty"`
}

// VerifyMisbehaviour checks a misbehaviour's ledger entry from the accord and nothing else; proof may be nil.
func VerifyMisbehaviour(net *treaty.Network, entry, proof []byte) (*Convicted, error) {
	r, err := treaty.ParseRecord(entry)
	if err != nil {
		return nil, err
	}
	if r.Misbehaviour == nil {
		return nil, fmt.Errorf("%w: the entry is %q, not a misbehaviour", treaty.ErrMalformed, r.Type())
	}
	if err := net.Verify(r.Signed); err != nil {
		return nil, fmt.Errorf("the report: %w", err)
	}
	p, err := net.CheckMisbehaviour(r.Misbehaviour)
	if err != nil {
		return nil, err
	}
	out := &Convicted{
		Valid: true, ID: r.ID, Accused: r.Misbehaviour.Accused, Kind: r.Misbehaviour.Kind, Text: p.Text, Reporter: r.Nation,
		Accord: net.Digest, Exercise: net.Accord.Exercise,
	}
	if proof == nil {
		return out, nil
	}
	policy := net.Policy()
	if out.Checkpoint, out.Index, err = treaty.VerifyEntry(entry, proof, policy); err != nil {
		return nil, err
	}
	pol, err := readPolicy(policy)
	if err == nil {
		out.Signers, err = signers(proof, pol)
	}
	if err != nil {
		return nil, err
	}
	out.Final = true
	return out, nil
}

func misbehaviourVerify(c *ucli.Context) error {
	if err := want(c, 2, 3, "the entry, the accord, and perhaps the proof"); err != nil {
		return err
	}
	entry, err := readFile(c.Args().Get(0), treaty.MaxRecord)
	if err != nil {
		return err
	}
	net, err := readNetwork(c.Args().Get(1))
	if err != nil {
		return err
	}
	var proof []byte
	if c.Args().Len() == 3 {
		if proof, err = readFile(c.Args().Get(2), treaty.MaxProof); err != nil {
			return err
		}
	}
	v, err := VerifyMisbehaviour(net, entry, proof)
	if c.Bool("json") {
		var answer any = v
		if err != nil {
			answer = map[string]any{"valid": false, "reason": err.Error()}
		}
		if e := printJSON(c, answer); e != nil || err == nil {
			return e
		}
		return errAnswerIsNo
	}
	if err != nil {
		return fmt.Errorf("NOT PROVEN: %w", err)
	}
	say(c, "%s: %s%s\n\n", NewDisplay(c.App.Writer).Paint(Bad, "PROVEN"), printable(v.Text), exerciseMark(v.Exercise))
	rows := [][]string{{"id", v.ID.String()}, {"reported by", string(v.Reporter)}, {"accord", v.Accord.String()}}
	if v.Final {
		rows = append(rows, []string{"entry", fmt.Sprintf("%d of a ledger of %d", v.Index, v.Checkpoint)},
			[]string{"signers", fmt.Sprintf("%d of %d nations, quorum %d", v.Signers, net.N, net.Q)})
	}
	columns(c.App.Writer, rows)
	return nil
}

// readNetwork reads a founding document, whose signatures must hold, or an accord file, which the reader vouches for.
func readNetwork(file string) (*treaty.Network, error) {
	a, f, err := readAccord(file)
	if err != nil {
		return nil, err
	}
	var net *treaty.Network
	if f != nil {
		net, err = treaty.VerifyFounding(f.Encode())
	} else {
		net, err = treaty.NewNetwork(a)
	}
	if err != nil {
		return nil, refused(fmt.Errorf("%s: %w", file, err))
	}
	return net, nil
}
