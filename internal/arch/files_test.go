package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// maxLines is where one file is probably two.
const maxLines = 500

// long are files over maxLines that are one thing all the same, with the reason.
var long = map[string]string{}

// Would catch a package that does not say what it is for, what it promises and what it does not do.
func TestPackageComments(t *testing.T) {
	has := map[string]bool{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		has[s.room] = has[s.room] || s.ast.Doc != nil && len(s.ast.Doc.Text()) >= 40
	}
	for room, ok := range has {
		if !ok {
			t.Errorf("package %s has no package comment: what it is for, what it promises, what it does not do", room)
		}
	}
}

// Would catch a file into which two jobs have moved. Long tests are only reported.
func TestFileLength(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sources(t) {
		if s.lines <= maxLines {
			continue
		}
		seen[s.path] = true
		switch {
		case s.test:
			t.Logf("%s has %d lines: perhaps one test file per theme", s.path, s.lines)
		case long[s.path] == "":
			t.Errorf("%s has %d lines, over %d: have two jobs moved in? If not, add it to long with the reason", s.path, s.lines, maxLines)
		}
	}
	for f := range long {
		if !seen[f] {
			t.Errorf("%s is no longer long: take it off the list", f)
		}
	}
}

// banned are words that no file of the project may hold, with the reason. They are written in two halves here so that
// this file may be checked too.
var banned = []struct {
	re  *regexp.Regexp
	why string
}{
	{regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME)\b|\bX` + `XX:|// X` + `XX\b`), "unfinished work is an issue, or a sentence that says what is missing and why"},
	{
		regexp.MustCompile(`(?i)proxy\.golang` + `\.org|sum\.golang` + `\.org|registry\.npm` + `js|artifact` + `ory\.|docker\.` + `io/|ghcr\.` + `io/|pypi\.` + `org`),
		"where modules are fetched from is the business of the machine that builds",
	},
}

// text are the kinds of file that people write.
var text = regexp.MustCompile(`(\.(go|md|sh|ya?ml|html|css|js|cddl|txt|txtar|mod|toml|json)|^\.ci/run|Makefile|Dockerfile)$`)

// Would catch work left lying about, and names of hosts that the project must not depend on.
func TestBannedWords(t *testing.T) {
	base := root(t)
	n := 0
	for _, f := range files(t) {
		if !text.MatchString(f) || strings.HasSuffix(f, "go.sum") {
			continue
		}
		n++
		b, err := os.ReadFile(filepath.Join(base, filepath.FromSlash(f)))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range banned {
			if at := w.re.FindIndex(b); at != nil {
				t.Errorf("%s:%d holds %q: %s", f, 1+strings.Count(string(b[:at[0]]), "\n"), b[at[0]:at[1]], w.why)
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d text files found: the walk is broken", n)
	}
}
