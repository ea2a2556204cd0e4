package treaty_test

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// A reader and checker of the part of CDDL (RFC 8610) that treaty.cddl uses: rules, choices, maps with integer keys,
// arrays with occurrences, ranges, literals, tags, .size, .cbor and .regexp.

type cddl map[string]cType

// cType says whether a decoded CBOR item has its type.
type cType interface {
	check(c cddl, v any) error
}

type (
	cName   string
	cChoice []cType
	cRange  struct{ low, high int64 }
	cText   string
	cTrue   struct{}
	cTag    struct {
		number uint64
		item   cType
	}
	cControl struct {
		of   cType
		op   string
		with cType
	}
	cGroup struct {
		array   bool
		entries []cEntry
	}
	cEntry struct {
		low, high int // occurrence; high -1: any number
		key       int64
		item      cType
	}
)

func asInt(v any) (int64, bool) {
	switch x := v.(type) {
	case uint64:
		return int64(x), x <= 1<<63-1
	case int64:
		return x, true
	}
	return 0, false
}

func (n cName) check(c cddl, v any) error {
	ok := true
	switch n {
	case "int":
		_, ok = asInt(v)
	case "uint":
		_, ok = v.(uint64)
	case "tstr":
		_, ok = v.(string)
	case "bstr":
		_, ok = v.([]byte)
	default:
		rule, known := c[string(n)]
		if !known {
			return fmt.Errorf("no rule %q", string(n))
		}
		if err := rule.check(c, v); err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
		return nil
	}
	if !ok {
		return fmt.Errorf("%T is no %s", v, n)
	}
	return nil
}

func (ch cChoice) check(c cddl, v any) (err error) {
	for _, t := range ch {
		if err = t.check(c, v); err == nil {
			return nil
		}
	}
	return fmt.Errorf("no choice fits, the last because: %w", err)
}

func (r cRange) check(_ cddl, v any) error {
	if x, ok := asInt(v); !ok || x < r.low || x > r.high {
		return fmt.Errorf("%v is not in %d..%d", v, r.low, r.high)
	}
	return nil
}

func (t cText) check(_ cddl, v any) error {
	if v != string(t) {
		return fmt.Errorf("%v is not %q", v, string(t))
	}
	return nil
}

func (cTrue) check(_ cddl, v any) error {
	if v != true {
		return fmt.Errorf("%v is not true", v)
	}
	return nil
}

func (t cTag) check(c cddl, v any) error {
	tag, ok := v.(cbor.Tag)
	if !ok || tag.Number != t.number {
		return fmt.Errorf("%T without tag %d", v, t.number)
	}
	return t.item.check(c, tag.Content)
}

func (x cControl) check(c cddl, v any) error {
	if err := x.of.check(c, v); err != nil {
		return err
	}
	text, _ := v.(string)
	switch x.op {
	case "size":
		n := len(text)
		if b, ok := v.([]byte); ok {
			n = len(b)
		}
		return x.with.check(c, int64(n))
	case "regexp":
		if !regexp.MustCompile("^(" + string(x.with.(cText)) + ")$").MatchString(text) {
			return fmt.Errorf("%q does not match", text)
		}
		return nil
	case "cbor":
		item, err := decodeAny(v.([]byte))
		if err != nil {
			return err
		}
		return x.with.check(c, item)
	}
	return fmt.Errorf("unknown control .%s", x.op)
}

func (g cGroup) check(c cddl, v any) error {
	if !g.array {
		return g.checkMap(c, v)
	}
	list, ok := v.([]any)
	if !ok {
		return fmt.Errorf("%T is no array", v)
	}
	i := 0
	for _, e := range g.entries {
		n := 0
		for ; i < len(list) && (e.high < 0 || n < e.high); i, n = i+1, n+1 {
			if err := e.item.check(c, list[i]); err != nil {
				return fmt.Errorf("[%d] %w", i, err)
			}
		}
		if n < e.low {
			return fmt.Errorf("%d items, at least %d", n, e.low)
		}
	}
	if i < len(list) {
		return fmt.Errorf("%d items, at most %d", len(list), i)
	}
	return nil
}

func (g cGroup) checkMap(c cddl, v any) error {
	m, ok := v.(map[any]any)
	if !ok {
		return fmt.Errorf("%T is no map", v)
	}
	known := 0
	for _, e := range g.entries {
		var item any
		found := false
		for k, x := range m {
			if n, ok := asInt(k); ok && n == e.key {
				item, found = x, true
			}
		}
		switch {
		case found:
			known++
			if err := e.item.check(c, item); err != nil {
				return fmt.Errorf("key %d: %w", e.key, err)
			}
		case e.low > 0:
			return fmt.Errorf("key %d is missing", e.key)
		}
	}
	if known != len(m) {
		return fmt.Errorf("map has %d keys, %d of them known", len(m), known)
	}
	return nil
}

func decodeAny(b []byte) (v any, err error) {
	err = cbor.Unmarshal(b, &v)
	return v, err
}

// cddlParser reads the grammar by recursive descent; a mistake in the file stops the test.
type cddlParser struct {
	t    *testing.T
	toks []string
}

var cddlToken = regexp.MustCompile(`"[^"]*"|#6\.\d+|\.\.|\.[a-z]+|-?\d+|[a-z][a-z0-9-]*|[=/{}\[\]()?*:,]`)

func readCDDL(t *testing.T) cddl {
	t.Helper()
	b, err := os.ReadFile("treaty.cddl")
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m);.*$`).ReplaceAllString(string(b), "")
	if rest := strings.TrimSpace(cddlToken.ReplaceAllString(text, "")); rest != "" {
		t.Fatalf("treaty.cddl: cannot read %.40q", rest)
	}
	p := &cddlParser{t: t, toks: cddlToken.FindAllString(text, -1)}
	c := cddl{}
	for len(p.toks) > 0 {
		name := p.next()
		p.want("=")
		if c[name] != nil {
			t.Fatalf("treaty.cddl: rule %s is there twice", name)
		}
		c[name] = p.choice()
	}
	return c
}

func (p *cddlParser) peek(i int) string {
	if i < len(p.toks) {
		return p.toks[i]
	}
	return ""
}

func (p *cddlParser) next() string {
	s := p.peek(0)
	if s == "" {
		p.t.Fatal("treaty.cddl: ends too early")
	}
	p.toks = p.toks[1:]
	return s
}

func (p *cddlParser) want(s string) {
	p.t.Helper()
	if got := p.next(); got != s {
		p.t.Fatalf("treaty.cddl: %q where %q is due, before %v", got, s, p.toks[:min(8, len(p.toks))])
	}
}

func (p *cddlParser) choice() cType {
	ts := cChoice{p.ranged()}
	for p.peek(0) == "/" {
		p.next()
		ts = append(ts, p.ranged())
	}
	if len(ts) == 1 {
		return ts[0]
	}
	return ts
}

func (p *cddlParser) ranged() cType {
	left := p.single()
	op := p.peek(0)
	switch {
	case op == "..":
		p.next()
		return cRange{low: left.(cRange).low, high: p.single().(cRange).low}
	case len(op) > 1 && op[0] == '.':
		p.next()
		return cControl{of: left, op: op[1:], with: p.single()}
	}
	return left
}

func (p *cddlParser) single() cType {
	s := p.next()
	switch {
	case s == "(":
		t := p.choice()
		p.want(")")
		return t
	case s == "{", s == "[":
		return p.group(s == "[")
	case strings.HasPrefix(s, "#6."):
		n, err := strconv.ParseUint(s[3:], 10, 64)
		if err != nil {
			p.t.Fatal(err)
		}
		p.want("(")
		t := cTag{number: n, item: p.choice()}
		p.want(")")
		return t
	case s[0] == '"':
		return cText(s[1 : len(s)-1])
	case s == "true":
		return cTrue{}
	case s[0] == '-' || s[0] >= '0' && s[0] <= '9':
		n := p.number(s)
		return cRange{low: n, high: n}
	case s[0] >= 'a' && s[0] <= 'z':
		return cName(s)
	}
	p.t.Fatalf("treaty.cddl: %q begins no type", s)
	return nil
}

func (p *cddlParser) number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

func (p *cddlParser) group(array bool) cType {
	g := cGroup{array: array}
	end := map[bool]string{true: "]", false: "}"}[array]
	for p.peek(0) != end {
		e := cEntry{low: 1, high: 1}
		switch {
		case p.peek(0) == "?":
			p.next()
			e.low = 0
		case p.peek(0) == "*" || p.peek(1) == "*":
			e.low, e.high = 0, -1
			if p.peek(0) != "*" {
				e.low = int(p.number(p.next()))
			}
			p.want("*")
			if d := p.peek(0); d[0] >= '0' && d[0] <= '9' && p.peek(1) != ".." {
				e.high = int(p.number(p.next()))
			}
		}
		if p.peek(1) == ":" {
			if k := p.next(); !array {
				e.key = p.number(k)
			}
			p.want(":")
		} else if !array {
			p.t.Fatalf("treaty.cddl: map entry without a key at %v", p.toks[:4])
		}
		e.item = p.choice()
		g.entries = append(g.entries, e)
		if p.peek(0) == "," {
			p.next()
		}
	}
	p.next()
	return g
}
