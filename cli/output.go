package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	ucli "github.com/urfave/cli/v2"

	"truceline/internal/durable"
)

// printJSON is an answer for machines: one indented value.
func printJSON(c *ucli.Context, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write the answer as JSON: %w", err)
	}
	_, err = fmt.Fprintf(c.App.Writer, "%s\n", b)
	return err
}

func say(c *ucli.Context, format string, args ...any) {
	fmt.Fprintf(c.App.Writer, format, args...)
}

// hint is for people beside the answer.
func hint(c *ucli.Context, format string, args ...any) {
	fmt.Fprintf(c.App.ErrWriter, format, args...)
}

// printable is one line of text from outside, without what could move a terminal's cursor or pose as our own output.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return '\uFFFD'
	}, s)
}

// printableLines keeps line breaks, indented so that no line can pose as another message.
func printableLines(s string) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	for i := range lines {
		if lines[i] = printable(lines[i]); i > 0 {
			lines[i] = "  " + strings.TrimLeft(lines[i], " ")
		}
	}
	return strings.Join(lines, "\n")
}

// indent sets every line of a block apart.
func indent(by, block string) string { return by + strings.ReplaceAll(block, "\n", "\n"+by) }

// readFile reads a bounded file; what cannot be read is the caller's to mend, so it exits with 2.
func readFile(path string, limit int) ([]byte, error) {
	b, err := durable.ReadFile(path, limit)
	if err != nil {
		return nil, refused(err)
	}
	return b, nil
}

// writeNew writes a document that must not change under its readers: the same bytes again are fine, others are refused.
func writeNew(path string, b []byte, perm fs.FileMode) error {
	err := durable.CreateNew(path, b, perm)
	if !errors.Is(err, durable.ErrExists) {
		return refused(err)
	}
	if old, err := durable.ReadFile(path, len(b)); err == nil && string(old) == string(b) {
		return nil
	}
	return usagef("%s exists and holds something else: move it away, or choose another name", path)
}

// makeDir makes a folder of the node's own.
func makeDir(dir string, perm fs.FileMode) error {
	if err := os.MkdirAll(dir, perm); err != nil {
		return refused(fmt.Errorf("make the folder %s: %w", dir, err))
	}
	return nil
}

// beside resolves a name in a file against the file's folder.
func beside(dir, name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// columns writes rows in columns, two spaces apart, as wide as they need to be.
func columns(w io.Writer, rows [][]string) {
	for _, l := range (Table{Rows: rows}).Lines(0) {
		fmt.Fprintln(w, l)
	}
}
