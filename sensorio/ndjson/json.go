package ndjson

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"truceline/treaty"
)

// encoding/json accepts repeated fields, any case of a name, and turns numbers into floats; a line that is evidence may
// do none of it. This reader keeps numbers as their digits. It knows objects, arrays, strings, numbers and booleans;
// there is no null: what is unknown is left out.

// MaxLine bounds one line: a detection has at most treaty.MaxDetection bytes in CBOR; names, digits and escapes make it
// up to four times as long, and a trajectory of 64 points takes 12 KiB.
const MaxLine = 64 << 10

const (
	maxDepth  = 6
	maxFields = 64
	maxItems  = 4 * treaty.MaxTrack
)

type kind byte

const (
	isObject kind = iota + 1
	isArray
	isString
	isNumber
	isBool
)

func (k kind) String() string {
	return [...]string{"nothing", "an object", "a list", "a text", "a number", "true or false"}[k]
}

// node is one JSON value.
type node struct {
	kind   kind
	text   string // of a string, or the digits of a number
	yes    bool
	fields []field
	items  []node
}

type field struct {
	name  string
	value node
	used  bool
}

type parser struct {
	b  []byte
	at int
}

func (p *parser) fail(format string, args ...any) error {
	return fmt.Errorf("%w: at byte %d: %s", treaty.ErrMalformed, p.at+1, fmt.Sprintf(format, args...))
}

func (p *parser) space() {
	for p.at < len(p.b) {
		switch p.b[p.at] {
		case ' ', '\t', '\r', '\n':
			p.at++
		default:
			return
		}
	}
}

// parse reads one whole line.
func parse(line []byte) (node, error) {
	if len(line) > MaxLine {
		return node{}, fmt.Errorf("%w: a line of %d bytes, at most %d", treaty.ErrTooLarge, len(line), MaxLine)
	}
	if !utf8.Valid(line) {
		return node{}, fmt.Errorf("%w: the line is not UTF-8", treaty.ErrMalformed)
	}
	p := &parser{b: line}
	n, err := p.value(0)
	if err != nil {
		return node{}, err
	}
	if p.space(); p.at < len(line) {
		return node{}, p.fail("something follows the object: write one object per line")
	}
	if n.kind != isObject {
		return node{}, fmt.Errorf("%w: a line is one object {...}, this is %s", treaty.ErrMalformed, n.kind)
	}
	return n, nil
}

func (p *parser) value(depth int) (n node, err error) {
	if depth > maxDepth {
		return n, p.fail("nested deeper than %d", maxDepth)
	}
	p.space()
	if p.at == len(p.b) {
		return n, p.fail("the line ends in the middle of a value; it may have been cut off")
	}
	switch c := p.b[p.at]; {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		n.kind = isString
		n.text, err = p.str()
		return n, err
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	}
	for _, w := range []struct {
		word string
		n    node
	}{{"true", node{kind: isBool, yes: true}}, {"false", node{kind: isBool}}} {
		if len(p.b)-p.at >= len(w.word) && string(p.b[p.at:p.at+len(w.word)]) == w.word {
			p.at += len(w.word)
			return w.n, nil
		}
	}
	return n, p.fail("expected a value: {, [, a text, a plain number, true or false (no null, NaN or Infinity: leave the field out)")
}

func (p *parser) object(depth int) (n node, err error) {
	n.kind = isObject
	p.at++
	for first := true; ; first = false {
		if p.space(); p.at < len(p.b) && p.b[p.at] == '}' && first {
			p.at++
			return n, nil
		}
		if p.at == len(p.b) || p.b[p.at] != '"' {
			return n, p.fail("expected a field name in quotes")
		}
		name, err := p.str()
		if err != nil {
			return n, err
		}
		for i := range n.fields {
			if n.fields[i].name == name {
				return n, p.fail("field %q comes twice: keep one", name)
			}
		}
		if len(n.fields) == maxFields {
			return n, p.fail("more than %d fields", maxFields)
		}
		if p.space(); p.at == len(p.b) || p.b[p.at] != ':' {
			return n, p.fail("expected : after field %q", name)
		}
		p.at++
		v, err := p.value(depth + 1)
		if err != nil {
			return n, err
		}
		n.fields = append(n.fields, field{name: name, value: v})
		if done, err := p.more('}'); done || err != nil {
			return n, err
		}
	}
}

func (p *parser) array(depth int) (n node, err error) {
	n.kind = isArray
	p.at++
	if p.space(); p.at < len(p.b) && p.b[p.at] == ']' {
		p.at++
		return n, nil
	}
	for {
		if len(n.items) == maxItems {
			return n, p.fail("a list of more than %d", maxItems)
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return n, err
		}
		n.items = append(n.items, v)
		if done, err := p.more(']'); done || err != nil {
			return n, err
		}
	}
}

// more reads a comma (go on) or the closing bracket (done).
func (p *parser) more(end byte) (done bool, err error) {
	p.space()
	if p.at < len(p.b) && (p.b[p.at] == ',' || p.b[p.at] == end) {
		p.at++
		return p.b[p.at-1] == end, nil
	}
	return false, p.fail("expected , or %c; the line may have been cut off", end)
}

func (p *parser) str() (string, error) {
	start := p.at
	p.at++
	plain := true
	for p.at < len(p.b) {
		switch c := p.b[p.at]; {
		case c == '"':
			p.at++
			if plain {
				return string(p.b[start+1 : p.at-1]), nil
			}
			var s string
			if err := json.Unmarshal(p.b[start:p.at], &s); err != nil {
				return "", p.fail("a text with a wrong escape: %v", err)
			}
			return s, nil
		case c == '\\':
			plain = false
			p.at += 2
		case c < ' ':
			return "", p.fail("a control character in a text: write it as an escape")
		default:
			p.at++
		}
	}
	p.at = len(p.b)
	return "", p.fail("a text without its closing quote; the line may have been cut off")
}

// number reads -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)?
func (p *parser) number() (node, error) {
	start := p.at
	if p.b[p.at] == '-' {
		p.at++
	}
	whole := p.digits()
	if whole == 0 || whole > 1 && p.b[p.at-whole] == '0' {
		return node{}, p.fail("not a plain number such as -48.01")
	}
	if p.at < len(p.b) && p.b[p.at] == '.' {
		p.at++
		if p.digits() == 0 {
			return node{}, p.fail("a number with nothing after its point")
		}
	}
	if p.at < len(p.b) && (p.b[p.at] == 'e' || p.b[p.at] == 'E') {
		p.at++
		if p.at < len(p.b) && (p.b[p.at] == '+' || p.b[p.at] == '-') {
			p.at++
		}
		if n := p.digits(); n == 0 || n > 3 {
			return node{}, p.fail("a number with an exponent of %d digits, 1 to 3 are allowed", n)
		}
	}
	return node{kind: isNumber, text: string(p.b[start:p.at])}, nil
}

func (p *parser) digits() (n int) {
	for p.at < len(p.b) && p.b[p.at] >= '0' && p.b[p.at] <= '9' {
		p.at++
		n++
	}
	return n
}
