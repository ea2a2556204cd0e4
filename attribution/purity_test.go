package attribution

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
)

// TestNoFusableProducts catches a product that a compiler may fuse with a sum: that gives other bits on arm64 than on
// amd64. Every product must be the direct argument of a conversion, in every file that is not a test. It also refuses
// the mathematics whose results differ between processors, and clocks, randomness and goroutines.
func TestNoFusableProducts(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	seen := 0
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		src, err := parser.ParseFile(fset, f.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		seen++
		for _, bad := range impurities(src) {
			t.Errorf("%s: %s", fset.Position(bad.pos), bad.why)
		}
	}
	if seen < 8 {
		t.Fatalf("only %d files looked at", seen)
	}
}

// TestImpuritiesAreSeen catches a checker that accepts everything.
func TestImpuritiesAreSeen(t *testing.T) {
	for src, want := range map[string]int{
		"func f(a, b, c float64) float64 { return a*b + c }":                         1,
		"func f(a, b, c float64) float64 { return float64(a*b) + c }":                0,
		"func f(a, b, c float64) float64 { x := a * b; return x + c }":               1,
		"func f(a, c float64) float64 { return a/2 + c }":                            1,
		"func f(a, b float64) { b *= a }":                                            1,
		"func f(a float64) float64 { return math.Exp(a) }":                           1,
		"func f(a float64) float64 { return math.Sqrt(a) }":                          0,
		"func f() { go f() }":                                                        1,
		"func f(a, b, c float64) float64 { return float64(a*b*c) - float64(a*c+b) }": 1,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\n"+src, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(impurities(file)); got != want {
			t.Errorf("%s: %d findings, want %d", src, got, want)
		}
	}
}

type impurity struct {
	pos token.Pos
	why string
}

func impurities(src *ast.File) (out []impurity) {
	allowed := map[ast.Node]bool{}
	exact := map[string]bool{
		"Sqrt": true, "Abs": true, "Floor": true, "Round": true, "Inf": true, "IsNaN": true, "Frexp": true, "Ldexp": true,
		"Pi": true, "Ln2": true, "MaxInt64": true,
	}
	var allow func(e ast.Expr)
	allow = func(e ast.Expr) {
		if b, ok := e.(*ast.BinaryExpr); ok && (b.Op == token.MUL || b.Op == token.QUO) {
			allowed[b] = true
			allow(b.X)
			allow(b.Y)
		}
	}
	constant := func(e ast.Expr) bool {
		switch x := e.(type) {
		case *ast.BasicLit:
			return true
		case *ast.Ident:
			return x.Name == "latticeRings" || x.Name == "latticeTurns"
		case *ast.SelectorExpr:
			p, ok := x.X.(*ast.Ident)
			return ok && (p.Name == "time" || p.Name == "math" && x.Sel.Name == "Pi")
		}
		return false
	}
	ast.Inspect(src, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.CallExpr:
			if id, ok := x.Fun.(*ast.Ident); ok && len(x.Args) == 1 {
				switch id.Name {
				case "float64", "int64", "int", "uint64":
					allow(x.Args[0])
				}
			}
			if sel, ok := x.Fun.(*ast.SelectorExpr); ok {
				if p, ok := sel.X.(*ast.Ident); ok && (p.Name == "math" && !exact[sel.Sel.Name] || p.Name == "rand") {
					out = append(out, impurity{sel.Pos(), p.Name + "." + sel.Sel.Name + " differs between processors or runs"})
				}
				if p, ok := sel.X.(*ast.Ident); ok && p.Name == "time" && (sel.Sel.Name == "Now" || sel.Sel.Name == "Since") {
					out = append(out, impurity{sel.Pos(), "reads a clock"})
				}
			}
		case *ast.BinaryExpr:
			// x/2 is compiled as x*0.5, and then fused.
			for _, y := range []ast.Expr{x.X, x.Y} {
				q, ok := y.(*ast.BinaryExpr)
				if ok && (x.Op == token.ADD || x.Op == token.SUB) && q.Op == token.QUO && powerOfTwo(q.Y) && !allowed[q] {
					out = append(out, impurity{x.Pos(), "a quotient by a constant in a sum: write float64(a/2)"})
				}
			}
			if x.Op == token.MUL && !allowed[x] && !(constant(x.X) && constant(x.Y)) && !integers(x) {
				out = append(out, impurity{x.Pos(), "a product outside of a conversion: write float64(a*b)"})
			}
		case *ast.AssignStmt:
			if x.Tok == token.MUL_ASSIGN {
				out = append(out, impurity{x.Pos(), "*= of a float may be fused: write x = float64(x*y)"})
			}
		case *ast.GoStmt:
			out = append(out, impurity{x.Pos(), "a goroutine"})
		}
		return true
	})
	return out
}

// integers knows the few integer products by their names.
func integers(x *ast.BinaryExpr) bool {
	whole := map[string]bool{"cols": true, "rows": true, "per": true, "sigma": true, "bits": true}
	named := func(e ast.Expr) bool {
		switch v := e.(type) {
		case *ast.Ident:
			return whole[v.Name] || v.Name == "fnvPrime"
		case *ast.SelectorExpr:
			return whole[v.Sel.Name]
		case *ast.BasicLit:
			return v.Kind == token.INT
		case *ast.CallExpr:
			id, ok := v.Fun.(*ast.Ident)
			return ok && id.Name == "len"
		case *ast.ParenExpr:
			return true
		}
		return false
	}
	return named(x.X) && named(x.Y)
}

// powerOfTwo knows the divisors that become products.
func powerOfTwo(e ast.Expr) bool {
	l, ok := e.(*ast.BasicLit)
	return ok && (l.Value == "2" || l.Value == "4" || l.Value == "8" || l.Value == "16")
}
