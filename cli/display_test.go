package cli_test

import (
	"bytes"
	"strings"
	"testing"

	"truceline/cli"
)

// Would catch escape codes in logs and pipes, and a log drowned in progress.
func TestPlainDisplay(t *testing.T) {
	var b bytes.Buffer
	d := cli.NewDisplay(&b)
	for i := range int64(1001) {
		d.Progress(cli.Bar{Label: "replay", Done: i, Total: 1000, Unit: "detections"})
	}
	d.Show(func(int) []string { return []string{"a block"} })
	d.Line("%s", d.Paint(cli.Bad, "BREACH"))
	d.Close()
	if s := b.String(); strings.Contains(s, "\x1b") || strings.Contains(s, "a block") || !strings.HasSuffix(s, "BREACH\n") {
		t.Errorf("%q", s)
	}
	if n := strings.Count(b.String(), "replay: "); n != 11 {
		t.Errorf("%d lines of progress, want one for each tenth and one at the start", n)
	}
}

// Would catch columns that drift apart when a cell is painted or holds letters of more than one byte.
func TestTable(t *testing.T) {
	table := cli.Table{Head: []string{"nation", "connected"}, Rows: [][]string{{"Österreich", "\x1b[32myes\x1b[0m"}, {"POL", "no", "x"}}}
	want := []string{"nation      connected", "Österreich  \x1b[32myes\x1b[0m", "POL         no         x"}
	for i, l := range table.Lines(0) {
		if l != want[i] {
			t.Errorf("line %d: %q, want %q", i, l, want[i])
		}
	}
	if l := table.Lines(5)[1]; !strings.HasPrefix(l, "Öster\x1b[0m") || strings.Contains(l, "reich") {
		t.Errorf("cut at 5: %q", l)
	}
}

// Would catch a bar that is wider than the terminal, which would scroll it at every drawing, or one that divides by zero.
func TestBar(t *testing.T) {
	for _, b := range []cli.Bar{
		{Label: "x", Done: 5, Total: 10, Unit: "detections"}, {Label: "x", Done: 20, Total: 10}, {Label: "x", Done: 3}, {Label: "x", Done: -1, Total: 3},
	} {
		for width := 40; width < 100; width++ {
			if s := b.String(width); len(s) > width {
				t.Errorf("%+v at %d: %d characters: %s", b, width, len(s), s)
			}
		}
	}
	if s := (cli.Bar{Label: "x", Done: 5, Total: 10, Unit: "u"}).String(41); strings.Count(s, "#") != 10 || strings.Count(s, ".") != 10 {
		t.Errorf("half: %s", s)
	}
}
