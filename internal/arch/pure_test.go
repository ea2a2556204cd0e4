package arch

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// pure are the rooms whose results every nation must reproduce: state and input in, state and output out.
var pure = []string{
	"treaty", "attribution", "consensus/tally", "consensus/finality", "consensus/depose", "sensorio/seal", "sensorio/detect", "sensorio/decode",
}

const whyPure = "every nation must compute the same from the same input; time, chance and the world come in as arguments"

// bannedImports in pure rooms.
var bannedImports = []string{
	"os", "net", "log", "sync", "math/rand", "crypto/rand", "runtime", "syscall", "database", "context", "plugin", "expvar",
}

// excused imports of pure rooms, with the reason.
var excused = map[string]string{
	"treaty crypto/rand": "batch verification of Ed25519 draws secret coefficients; its answer does not depend on them " +
		"(a false accept has a chance of 2^-128, a false reject none)",
}

// bannedCalls in pure rooms, by package.
var bannedCalls = map[string][]string{
	"time":    {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"},
	"maphash": {"MakeSeed"},
	"reflect": {"Select"},
}

// impurities lists what a file of a pure room may not do.
func impurities(s source) (found []string) {
	bad := func(line int, format string, args ...any) {
		found = append(found, fmt.Sprintf("%s:%d ", s.path, line)+fmt.Sprintf(format, args...))
	}
	for _, i := range s.imports {
		if i.ours || excused[s.room+" "+i.path] != "" {
			continue
		}
		if in(i.path, bannedImports...) {
			bad(i.line, "imports %s", i.path)
		}
	}
	ast.Inspect(s.ast, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.GoStmt:
			bad(fset.Position(x.Pos()).Line, "starts a goroutine")
		case *ast.SelectStmt:
			bad(fset.Position(x.Pos()).Line, "selects: the choice is random")
		case *ast.FuncDecl:
			if x.Recv == nil && x.Name.Name == "init" {
				bad(fset.Position(x.Pos()).Line, "has an init function")
			}
		case *ast.SelectorExpr:
			if id, ok := x.X.(*ast.Ident); ok && id.Obj == nil && slices.Contains(bannedCalls[id.Name], x.Sel.Name) {
				bad(fset.Position(x.Pos()).Line, "uses %s.%s", id.Name, x.Sel.Name)
			}
		}
		return true
	})
	return found
}

// Would catch a clock, chance, a goroutine or the world in a room whose results are signed.
func TestPureRooms(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || !in(s.room, pure...) || in(s.room, "treaty/treatytest") {
			continue
		}
		for _, f := range impurities(s) {
			t.Errorf("%s: %s", f, whyPure)
		}
	}
}

// Would catch a checker that sees nothing.
func TestPureRule(t *testing.T) {
	bad := parse(t, "consensus/tally/bad.go", []byte(`package tally

import (
	"crypto/rand"
	"net/http"
	"time"
)

func init() {}

func f() {
	go f()
	select {}
	_ = time.Now()
	_ = rand.Reader
	_ = http.DefaultClient
}
`))
	got := strings.Join(impurities(bad), "\n")
	for _, want := range []string{
		":4 imports crypto/rand", ":5 imports net/http", ":9 has an init", ":12 starts a goroutine", ":13 selects", ":14 uses time.Now",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q not found in:\n%s", want, got)
		}
	}
	good := parse(t, "consensus/tally/good.go", []byte("package tally\n\nimport \"time\"\n\nconst d = 2 * time.Second\n"))
	if f := impurities(good); len(f) > 0 {
		t.Errorf("refused: %v", f)
	}
}
