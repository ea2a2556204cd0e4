package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	ucli "github.com/urfave/cli/v2"
	"golang.org/x/term"

	"truceline/internal/durable"
	"truceline/treaty"
)

// maxSignature bounds a nation's signature file: more than any signature needs, so that treaty says what is wrong.
const maxSignature = 4 << 10

func accordLint(c *ucli.Context) error {
	if err := want(c, 1, 1, "one accord file"); err != nil {
		return err
	}
	file := c.Args().First()
	b, err := readFile(file, treaty.MaxAccordFile)
	if err != nil {
		return err
	}
	a, err := treaty.ParseAccordYAML(b, fileBeside(file))
	if c.Bool("json") {
		v := map[string]any{"file": file, "ok": err == nil, "problems": []string{}}
		if err != nil {
			v["problems"] = problemLines(err)
		} else {
			v["accord"] = a.Digest()
		}
		if e := printJSON(c, v); e != nil || err == nil {
			return e
		}
		return errAnswerIsNo
	}
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	say(c, "%s: no problems\n", file)
	return nil
}

// problemLines takes an error that lists problems apart.
func problemLines(err error) []string {
	var out []string
	for l := range strings.SplitSeq(err.Error(), "\n") {
		for p := range strings.SplitSeq(l, "; ") {
			if p = strings.TrimSpace(p); p != "" {
				out = append(out, p)
			}
		}
	}
	return out
}

func accordSign(c *ucli.Context) error {
	if err := errors.Join(need(c, "nation", "keys"), want(c, 1, 1, "one accord file")); err != nil {
		return refused(err)
	}
	nation, err := nationFlag(c)
	if err != nil {
		return err
	}
	a, _, err := readAccord(c.Args().First())
	if err != nil {
		return err
	}
	key, err := loadKey(keyPath(c.String("keys"), treaty.RoleTreaty), nation, treaty.RoleTreaty)
	if err != nil {
		return refused(err)
	}
	if err := compared(c, a); err != nil {
		return err
	}
	sig, err := treaty.SignAccord(a, nation, key)
	if err != nil {
		return refused(fmt.Errorf("%w: is %s in this accord, with these keys? (truceline accord show)", err, nation))
	}
	file := c.String("out")
	if file == "" {
		file = string(nation) + ".accord-sig"
	}
	if err := writeNew(file, sig, 0o644); err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(c, map[string]any{"nation": nation, "accord": a.Digest(), "file": file})
	}
	say(c, "%s\n", file)
	return nil
}

// compared makes sure that a person has compared the fingerprint: a nation that signs what it was merely sent has
// agreed to nothing.
func compared(c *ucli.Context, a *treaty.Accord) error {
	d := a.Digest()
	given := strings.ToLower(strings.Join(strings.Fields(c.String("fingerprint")), ""))
	in, isFile := c.App.Reader.(*os.File)
	switch {
	case given == d.String():
		return nil
	case given != "":
		return usagef("the fingerprint given is not this accord's: do not sign; this one is\n%s", d.Fingerprint())
	case !isFile || !term.IsTerminal(int(in.Fd())):
		return usagef("compare the fingerprint with the other nations by voice (truceline accord show), then give it: --fingerprint \"all 16 groups\"")
	}
	hint(c, "%s\n\n%s\n\n%s\n\nHave you compared all of it with the other nations, by voice? Type yes: ",
		printable(a.Name), indent("  ", d.Fingerprint()), indent("  ", d.Spoken()))
	line, err := bufio.NewReader(io.LimitReader(in, 64)).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "yes" {
		return usagef("not signed")
	}
	return nil
}

func accordMerge(c *ucli.Context) error {
	if err := want(c, 1, -1, "signature files"); err != nil {
		return err
	}
	a, _, err := readAccord(c.String("accord"))
	if err != nil {
		return err
	}
	f, err := treaty.NewFounding(a)
	if err != nil {
		return refused(err)
	}
	file := c.String("out")
	old, err := durable.ReadFile(file, treaty.MaxFounding)
	switch {
	case err == nil:
		if f, err = treaty.DecodeFounding(old); err != nil {
			return refused(fmt.Errorf("%s: %w", file, err))
		}
		if got := treaty.HashOf(f.Accord); got != a.Digest() {
			return usagef("%s founds another accord, %s; this is %s: choose another --out", file, got.Short(), a.Digest().Short())
		}
	case !errors.Is(err, fs.ErrNotExist):
		return refused(err)
	}
	for _, name := range c.Args().Slice() {
		sig, err := readFile(name, maxSignature)
		if err != nil {
			return err
		}
		if err := f.Merge(sig); err != nil {
			return refused(fmt.Errorf("%s: %w", name, err))
		}
	}
	net, missing, err := f.Open()
	if err != nil {
		return refused(err)
	}
	if err := durable.WriteFile(file, f.Encode(), 0o644); err != nil {
		return refused(err)
	}
	if c.Bool("json") {
		return printJSON(c, signedView(net, missing))
	}
	say(c, "%s: %d of %d have signed\n", file, net.N-len(missing), net.N)
	if len(missing) > 0 {
		say(c, "missing: %s\n", join(missing))
	}
	return nil
}

// signed says who has signed an accord.
type signed struct {
	Accord   treaty.Hash     `json:"accord"`
	Complete bool            `json:"complete"`
	Signed   []treaty.Nation `json:"signed"`
	Missing  []treaty.Nation `json:"missing"`
	Quorum   int             `json:"quorum"`
	Exercise bool            `json:"exercise"`
}

func signedView(net *treaty.Network, missing []treaty.Nation) signed {
	if missing == nil {
		missing = []treaty.Nation{}
	}
	return signed{net.Digest, len(missing) == 0, net.Missing(missing), missing, net.Q, net.Accord.Exercise}
}

// join lists words of ours, such as nations.
func join[T ~string](words []T) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = printable(string(w))
	}
	return strings.Join(out, ", ")
}

func accordVerify(c *ucli.Context) error {
	if err := want(c, 1, 1, "one founding document"); err != nil {
		return err
	}
	file := c.Args().First()
	b, err := readFile(file, treaty.MaxFounding)
	if err != nil {
		return err
	}
	f, err := treaty.DecodeFounding(b)
	var net *treaty.Network
	var missing []treaty.Nation
	if err == nil {
		net, missing, err = f.Open()
	}
	switch {
	case err != nil && c.Bool("json"):
		if e := printJSON(c, map[string]any{"complete": false, "problem": err.Error()}); e != nil {
			return e
		}
		return errAnswerIsNo
	case err != nil:
		return fmt.Errorf("%s: %w", file, err)
	case c.Bool("json"):
		if err := printJSON(c, signedView(net, missing)); err != nil {
			return err
		}
	case len(missing) == 0:
		say(c, "%s: accord %s, signed by all %d nations; quorum %d, %d may lie%s\n%s\n", file, printable(net.Accord.Name), net.N, net.Q, net.F,
			exerciseMark(net.Accord.Exercise), indent("  ", net.Digest.Fingerprint()))
	default:
		say(c, "%s: accord %s, signed by %d of %d nations; missing: %s\n", file, printable(net.Accord.Name), net.N-len(missing), net.N, join(missing))
		hint(c, "Ask those for their signature files, then: truceline accord merge --out %s FILE...\n", file)
	}
	if len(missing) > 0 {
		return errAnswerIsNo
	}
	return nil
}

func accordPolicy(c *ucli.Context) error {
	if err := want(c, 1, 1, "one founding document"); err != nil {
		return err
	}
	b, err := readFile(c.Args().First(), treaty.MaxFounding)
	if err != nil {
		return err
	}
	net, err := treaty.VerifyFounding(b)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Args().First(), err)
	}
	_, err = c.App.Writer.Write(net.Policy())
	return err
}

func exerciseMark(yes bool) string {
	if yes {
		return " (EXERCISE)"
	}
	return ""
}
