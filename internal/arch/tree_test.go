package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// module is the import path of the root.
const module = "truceline"

// source is one Go file of the module.
type source struct {
	path    string // from the root, with slashes
	room    string // its package's folder from the root
	test    bool   // _test.go
	ast     *ast.File
	lines   int
	imports []imported
}

// imported is one import: ours (a room) or somebody else's (a path).
type imported struct {
	path string // for ours, the room
	ours bool
	line int
}

var fset = token.NewFileSet()

// root is the folder of go.mod.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = up
	}
}

// files are all files of the project from the root, without what is not ours to judge: version control, other modules
// inside this one, build output, test data.
func files(t *testing.T) []string {
	t.Helper()
	base := root(t)
	var out []string
	err := filepath.WalkDir(base, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(base, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			name := d.Name()
			if rel != "." && (name == ".git" || name == ".artifacts" || name == "testdata" || name == "node_modules") {
				return fs.SkipDir
			}
			if _, err := os.Stat(filepath.Join(p, "go.mod")); rel != "." && err == nil {
				return fs.SkipDir
			}
			return nil
		}
		if d.Type().IsRegular() {
			out = append(out, rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// sources are all Go files, parsed once.
func sources(t *testing.T) []source {
	t.Helper()
	base := root(t)
	parsedOnce.Do(func() {
		for _, f := range files(t) {
			if !strings.HasSuffix(f, ".go") {
				continue
			}
			b, err := os.ReadFile(filepath.Join(base, filepath.FromSlash(f)))
			if err != nil {
				t.Fatal(err)
			}
			parsedSources = append(parsedSources, parse(t, f, b))
		}
	})
	if len(parsedSources) < 10 {
		t.Fatalf("only %d Go files found: the walk is broken", len(parsedSources))
	}
	return parsedSources
}

var (
	parsedOnce    sync.Once
	parsedSources []source
)

func parse(t *testing.T, name string, text []byte) source {
	t.Helper()
	f, err := parser.ParseFile(fset, name, text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	s := source{path: name, room: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), ast: f, lines: strings.Count(string(text), "\n")}
	for _, i := range f.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		rel, ours := strings.CutPrefix(p, module+"/")
		s.imports = append(s.imports, imported{path: rel, ours: ours, line: fset.Position(i.Pos()).Line})
	}
	return s
}

// in says whether a room is one of the given rooms or lies below one of them ("consensus/raft*" matches by prefix).
func in(room string, rooms ...string) bool {
	return slices.ContainsFunc(rooms, func(r string) bool {
		if prefix, ok := strings.CutSuffix(r, "*"); ok {
			return strings.HasPrefix(room, prefix)
		}
		if exact, ok := strings.CutPrefix(r, "="); ok {
			return room == exact
		}
		return room == r || strings.HasPrefix(room, r+"/")
	})
}
