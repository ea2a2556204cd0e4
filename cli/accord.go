package cli

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	ucli "github.com/urfave/cli/v2"
	"gopkg.in/yaml.v3"

	"truceline/internal/durable"
	"truceline/treaty"
)

func accordCommand() *ucli.Command {
	keysFlags := []ucli.Flag{text("nation", "", "your nation's `CODE`"), text("keys", "", "the keys' `FOLDER`")}
	out := func(value, usage string) ucli.Flag {
		return &ucli.StringFlag{Name: "out", Aliases: []string{"o"}, Value: value, Usage: usage}
	}
	return &ucli.Command{
		Name: "accord", Usage: "the ceremony that founds a network",
		Description: "1. every nation   truceline keys new, truceline accord card         and sends its card\n" +
			"2. the drafter    truceline accord init, edit, truceline accord draft   and sends accord.yaml to all\n" +
			"3. every nation   truceline accord show, compares the fingerprint by voice, truceline accord sign\n" +
			"4. anybody        truceline accord merge, truceline accord verify       and sends founding.cbor to all",
		Subcommands: []*ucli.Command{
			{
				Name: "init", Usage: "write a template of an accord and its line, to be edited", Action: accordInit,
				Flags: []ucli.Flag{
					text("dir", ".", "`FOLDER` to write to"), text("name", "A made-up line", "the accord's `NAME`"),
					text("origin", "line.example/1", "the ledger's `NAME` for observers, without the EXERCISE"),
					&ucli.BoolFlag{Name: "real", Usage: "not an exercise: only REAL detections count"}, jsonFlag(),
				},
			},
			{
				Name: "card", Usage: "export your nation's public card, signed", Action: accordCard,
				Flags: append([]ucli.Flag{text("name", "", "the nation's `NAME`"), out("", "`FILE` (default CODE.card.yaml)"), jsonFlag()}, keysFlags...),
			},
			{
				Name: "draft", Usage: "put template and cards together", ArgsUsage: "CARD...", Action: accordDraft,
				Flags: []ucli.Flag{text("template", "accord-template.yaml", "the edited template `FILE`"), out("accord.yaml", "`FILE` to write"), jsonFlag()},
			},
			{
				Name: "lint", Usage: "list everything that is wrong with an accord file", ArgsUsage: "ACCORD", Action: accordLint, Flags: []ucli.Flag{jsonFlag()},
			},
			{
				Name: "show", Usage: "show what an accord says and its fingerprint", ArgsUsage: "ACCORD|FOUNDING", Action: accordShow, Flags: []ucli.Flag{jsonFlag()},
			},
			{
				Name: "sign", Usage: "sign an accord, after its fingerprint was compared by voice", ArgsUsage: "ACCORD", Action: accordSign,
				Flags: append([]ucli.Flag{
					text("fingerprint", "", "all 16 groups, as the others read them to you (`GROUPS`)"), out("", "`FILE` (default CODE.accord-sig)"), jsonFlag(),
				}, keysFlags...),
			},
			{
				Name: "merge", Usage: "gather signatures into the founding document", ArgsUsage: "SIGNATURE...", Action: accordMerge,
				Flags: []ucli.Flag{text("accord", "accord.yaml", "the accord `FILE`"), out("founding.cbor", "the document; signatures in it already are kept (`FILE`)"), jsonFlag()},
			},
			{
				Name: "verify", Usage: "check a founding document and say who has not signed", ArgsUsage: "FOUNDING", Action: accordVerify, Flags: []ucli.Flag{jsonFlag()},
			},
			{
				Name: "policy", Usage: "print the policy file by which observers check verdicts", ArgsUsage: "FOUNDING", Action: accordPolicy,
			},
		},
	}
}

func accordInit(c *ucli.Context) error {
	if err := want(c, 0, 0, "no arguments"); err != nil {
		return err
	}
	dir, origin := c.String("dir"), c.String("origin")
	if !c.Bool("real") {
		origin = "EXERCISE." + origin
	}
	if err := makeDir(dir, 0o755); err != nil {
		return err
	}
	b := template(c.String("name"), origin, !c.Bool("real"), time.Now())
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return usagef("the name or origin cannot be written down: %w", err)
	}
	for name, b := range map[string][]byte{"accord-template.yaml": b, "line.geojson": []byte(lineTemplate)} {
		if err := writeNew(filepath.Join(dir, name), b, 0o644); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		return printJSON(c, map[string]string{"template": filepath.Join(dir, "accord-template.yaml"), "line": filepath.Join(dir, "line.geojson")})
	}
	say(c, "%s\n%s\n", filepath.Join(dir, "accord-template.yaml"), filepath.Join(dir, "line.geojson"))
	hint(c, "Edit both, gather the nations' cards, then: truceline accord draft --template %s CARD...\n", filepath.Join(dir, "accord-template.yaml"))
	return nil
}

func accordCard(c *ucli.Context) error {
	if err := errors.Join(need(c, "nation", "name", "keys"), want(c, 0, 0, "no arguments")); err != nil {
		return refused(err)
	}
	nation, err := nationFlag(c)
	if err != nil {
		return err
	}
	keys, err := LoadKeys(c.String("keys"), nation)
	if err != nil {
		return refused(err)
	}
	card, err := treaty.MakeCard(nation, c.String("name"), keys.Treaty, keys.Cosign, keys.Node)
	if err != nil {
		return refused(err)
	}
	file := c.String("out")
	if file == "" {
		file = string(nation) + ".card.yaml"
	}
	if err := writeNew(file, card.Encode(), 0o644); err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(c, map[string]any{"nation": nation, "file": file, "fingerprint": oneLine(card.Fingerprint())})
	}
	say(c, "%s\n%s\n", file, indent("  ", card.Fingerprint()))
	hint(c, "Send the card to the drafter and read these groups to each other.\n")
	return nil
}

func oneLine(groups string) string { return strings.ReplaceAll(groups, "\n", " ") }

// accordDraft appends the cards to the template as it stands, so that a problem's line number is the template's.
func accordDraft(c *ucli.Context) error {
	if err := want(c, 1, -1, "the nations' cards"); err != nil {
		return err
	}
	file := c.String("template")
	b, err := readFile(file, treaty.MaxAccordFile)
	if err != nil {
		return err
	}
	var doc map[string]yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return usagef("%s: %s", file, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if _, has := doc["members"]; has {
		return usagef("%s has members: remove them, the cards bring them", file)
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s\nmembers:\n", bytes.TrimRight(b, "\n"))
	var errs []error
	var prints [][]string
	for _, name := range c.Args().Slice() {
		card, member, err := readCard(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		text.Write(member)
		prints = append(prints, []string{string(card.Member.Nation), printable(card.Member.Name), oneLine(card.Fingerprint())})
	}
	if len(errs) > 0 {
		return refused(errors.Join(errs...))
	}
	a, err := treaty.ParseAccordYAML(text.Bytes(), fileBeside(file))
	if err != nil {
		return refused(fmt.Errorf("%s with %d cards: %w", file, c.Args().Len(), err))
	}
	d := a.Digest()
	head := fmt.Sprintf("# Accord %s. Drafted by truceline; what is signed is its canonical form, not this text.\n# Compare: truceline accord show.\n", d)
	if err := writeNew(c.String("out"), append([]byte(head), treaty.FormatAccordYAML(a)...), 0o644); err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(c, map[string]any{"accord": d, "file": c.String("out"), "nations": len(a.Members), "quorum": treaty.Quorum(len(a.Members))})
	}
	say(c, "%s: %d nations, quorum %d\n%s\n", c.String("out"), len(a.Members), treaty.Quorum(len(a.Members)), indent("  ", d.Fingerprint()))
	hint(c, "The cards, for comparing with their senders by voice:\n")
	columns(c.App.ErrWriter, prints)
	return nil
}

// readCard checks a card and gives it back as an item of the accord's list of members.
func readCard(name string) (*treaty.Card, []byte, error) {
	b, err := readFile(name, treaty.MaxCard)
	if err != nil {
		return nil, nil, err
	}
	card, err := treaty.ParseCard(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	var m struct {
		Nation    string    `yaml:"nation"`
		Name      string    `yaml:"name"`
		Keys      yaml.Node `yaml:"keys"`
		Signature yaml.Node `yaml:"signature"`
	}
	if err := yaml.Unmarshal(b, &m); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	item, err := yaml.Marshal([]any{map[string]any{"nation": m.Nation, "name": m.Name, "keys": &m.Keys}})
	return card, item, err
}

// fileBeside reads the files that an accord file names: beside it or below, nowhere else.
func fileBeside(accord string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if !filepath.IsLocal(name) {
			return nil, fmt.Errorf("%q leads out of the accord's folder: put the file beside the accord", name)
		}
		return durable.ReadFile(filepath.Join(filepath.Dir(accord), name), treaty.MaxAccordFile)
	}
}

// readAccord reads an accord from its YAML, or from a founding document, which comes back too.
func readAccord(file string) (*treaty.Accord, *treaty.Founding, error) {
	b, err := readFile(file, max(treaty.MaxAccordFile, treaty.MaxFounding))
	if err != nil {
		return nil, nil, err
	}
	if isFounding(b) {
		f, err := treaty.DecodeFounding(b)
		if err != nil {
			return nil, nil, refused(fmt.Errorf("%s: %w", file, err))
		}
		a, err := treaty.DecodeAccord(f.Accord)
		if err != nil {
			return nil, nil, refused(fmt.Errorf("%s: %w", file, err))
		}
		return a, f, nil
	}
	a, err := treaty.ParseAccordYAML(b, fileBeside(file))
	if err != nil {
		return nil, nil, refused(fmt.Errorf("%s: %w", file, err))
	}
	return a, nil, nil
}

// isFounding tells a founding document, which begins as a CBOR map, from YAML, which is UTF-8 and cannot.
func isFounding(b []byte) bool { return len(b) > 0 && b[0]&0xc0 == 0x80 }
