package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Would catch a live block that is drawn more often than ten times a second, leaves lines of the last drawing behind,
// wraps at the terminal's edge, or does not show the newest state at the end.
func TestLiveDisplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		d := &Display{w: &b, live: true, colour: true, percent: map[string]int{}, width: func() int { return 20 }}
		for i := range 1000 { // one second
			d.Show(func(width int) []string {
				return []string{d.Paint(Bad, strings.Repeat("x", 50)), fmt.Sprintf("step %d of %d", i, width)}
			})
			if i == 500 {
				d.Line("a line that stays")
			}
			time.Sleep(time.Millisecond)
		}
		d.Close()
		out := b.String()
		if n := strings.Count(out, "step "); n < 8 || n > 13 {
			t.Errorf("%d drawings in a second", n)
		}
		if ups, draws := strings.Count(out, "\x1b[2A\r\x1b[J"), strings.Count(out, "step "); ups != draws-1 {
			t.Errorf("%d drawings, %d cleared: all but the last must be", draws, ups)
		}
		if !strings.HasSuffix(out, "step 999 of 20\n") {
			t.Errorf("ends with %q", out[len(out)-40:])
		}
		for l := range strings.Lines(out) {
			if n := strings.Count(l, "x"); n > 19 {
				t.Errorf("%d characters on a line of 20", n)
			}
		}
		if strings.Count(out, "a line that stays\n") != 1 {
			t.Error("the line that stays is drawn again, or lost")
		}
	})
}

// Would catch text from a node or a file that moves the cursor, colours, or begins a line of its own.
func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"Österreich":            "Österreich",
		"a\x1b[2Jb":             "a\uFFFD[2Jb",
		"a\nVERIFIED":           "a VERIFIED",
		"\u202etxt.exe":         "\uFFFDtxt.exe", // right-to-left override
		"a\u0085b\x7f\rc\u200b": "a\uFFFDb\uFFFD\uFFFDc\uFFFD",
	} {
		if got := printable(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := printableLines("one\ntruceline: two\x1b\n"); got != "one\n  truceline: two\uFFFD" {
		t.Errorf("%q", got)
	}
}

// Would catch flags that are lost, or arguments taken for their values, when they stand after the arguments.
func TestFlagsFirst(t *testing.T) {
	for in, want := range map[string]string{
		"verdict show ID --from URL --json":    "verdict show --from URL --json ID",
		"verdict show --json ID --from=URL":    "verdict show --json --from=URL ID",
		"verdict verify a b c --own-policy":    "verdict verify --own-policy a b c",
		"accord merge a -o x b":                "accord merge -o x a b",
		"sensor lint - --json":                 "sensor lint --json -",
		"accord sign accord.yaml -- --nation":  "accord sign -- accord.yaml --nation",
		"node review approve ID --why ok":      "node review approve --why ok ID",
		"nonsense --json":                      "--json nonsense",
		"verdict list --limit":                 "verdict list --limit",
		"node init --peer A=1 --peer B=2 rest": "node init --peer A=1 --peer B=2 rest",
	} {
		if got := strings.Join(flagsFirst(commands(), strings.Fields(in)), " "); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
