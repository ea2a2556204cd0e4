package treaty

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// The scalars of the accord file. Each reads from its text, exactly, and says on which line it could not.

// scalar gets the text of a YAML scalar; parse errors become problems of that line.
func scalar(n *yaml.Node, parse func(s string) error) error {
	if n.Kind != yaml.ScalarNode {
		return lineError(n, "want a single value here")
	}
	if err := parse(n.Value); err != nil {
		return lineError(n, "%s", plain(err))
	}
	return nil
}

// plain is an error's text for the author of a file, without the sentinel.
func plain(err error) string { return strings.TrimPrefix(err.Error(), ErrMalformed.Error()+": ") }

// docEnum is one of a fixed list of words.
type docEnum[T any, P interface {
	*T
	encoding.TextUnmarshaler
}] struct{ V T }

func (d *docEnum[T, P]) UnmarshalYAML(n *yaml.Node) error {
	return scalar(n, func(s string) error { return P(&d.V).UnmarshalText([]byte(s)) })
}
func (d docEnum[T, P]) MarshalYAML() (any, error) { return d.V, nil }

// docTime is a date, or a date and time with offset (RFC 3339).
type docTime Time

func (t *docTime) UnmarshalYAML(n *yaml.Node) error {
	return scalar(n, func(s string) error {
		at, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			if at, err = time.Parse(time.DateOnly, s); err != nil {
				return fmt.Errorf("%q is no time: write 2026-11-23 or 2026-11-23T08:00:00Z", s)
			}
		}
		if y := at.UTC().Year(); y < 1970 || y > 2261 {
			return fmt.Errorf("time %q is outside the years 1970 to 2261", s)
		}
		*t = docTime(TimeOf(at))
		return nil
	})
}

func (t docTime) MarshalYAML() (any, error) {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!timestamp", Value: Time(t).String()}, nil
}

// docDuration is a duration with units, such as "2s" or "1m30s".
type docDuration time.Duration

func (d *docDuration) UnmarshalYAML(n *yaml.Node) error {
	return scalar(n, func(s string) error {
		v, err := time.ParseDuration(s)
		if err != nil {
			return fmt.Errorf("%q is no duration: write 500ms, 2s, 1m30s or 2h", s)
		}
		*d = docDuration(v)
		return nil
	})
}
func (d docDuration) MarshalYAML() (any, error) { return time.Duration(d).String(), nil }

// docLength is a length with its unit, exact to a millimetre: "15mm", "20m", "7.5km".
type docLength int64

func (l *docLength) UnmarshalYAML(n *yaml.Node) error {
	return scalar(n, func(s string) error {
		for _, u := range lengthUnits {
			number, ok := strings.CutSuffix(s, u.name)
			if !ok {
				continue
			}
			v, err := parseDecimal(strings.TrimSpace(number), u.places, false)
			if err != nil {
				return fmt.Errorf("length: %w", err)
			}
			*l = docLength(v)
			return nil
		}
		return fmt.Errorf("%q is no length: write 15mm, 20m or 7.5km", s)
	})
}

// lengthUnits are tried in order: "m" also ends "mm" and "km".
var lengthUnits = []struct {
	name   string
	places int
}{{"km", 6}, {"mm", 0}, {"m", 3}}

func (l docLength) MarshalYAML() (any, error) {
	if l%1_000_000 == 0 {
		return formatDecimal(int64(l), 6) + "km", nil
	}
	return formatDecimal(int64(l), 3) + "m", nil
}

// docPPM is a probability in percent, such as "95%", exact to a millionth.
type docPPM PPM

func (p *docPPM) UnmarshalYAML(n *yaml.Node) error {
	return scalar(n, func(s string) error {
		number, ok := strings.CutSuffix(s, "%")
		if !ok {
			return fmt.Errorf("%q is no percentage: write 95%%", s)
		}
		v, err := parseDecimal(strings.TrimSpace(number), 4, false)
		if err != nil {
			return fmt.Errorf("percentage: %w", err)
		}
		if v < 0 || v > int64(Certain) {
			return fmt.Errorf("percentage %q is outside 0%% to 100%%", s)
		}
		*p = docPPM(v)
		return nil
	})
}
func (p docPPM) MarshalYAML() (any, error) { return formatDecimal(int64(p), 4) + "%", nil }

// docBytes is a public key in hexadecimal or base64.
type docBytes []byte

func (b *docBytes) UnmarshalYAML(n *yaml.Node) error {
	return scalar(n, func(s string) error {
		// A 32-byte key has 64 hexadecimal characters, or 44 in base64, which ends in "=": never both.
		v, err := hex.DecodeString(s)
		if err != nil {
			v, err = base64.StdEncoding.Strict().DecodeString(s)
		}
		if err != nil || strings.ContainsAny(s, "\r\n") {
			return fmt.Errorf("key %.20q is neither hexadecimal nor base64", s)
		}
		*b = v
		return nil
	})
}
func (b docBytes) MarshalYAML() (any, error) { return base64.StdEncoding.EncodeToString(b), nil }

func (m docMember) member() Member {
	out := Member{Nation: m.Nation, Name: m.Name}
	for _, k := range m.Keys {
		out.Keys = append(out.Keys, Key{Role: k.Role.V, Kind: k.Kind.V, Public: k.Public})
	}
	return out
}

func docMemberOf(m Member) docMember {
	out := docMember{Nation: m.Nation, Name: m.Name}
	for _, k := range m.Keys {
		d := docKey{Public: k.Public}
		d.Role.V, d.Kind.V = k.Role, k.Kind
		out.Keys = append(out.Keys, d)
	}
	return out
}

func (c docClause) clause() Clause {
	out := Clause{
		ID: c.ID, Text: c.Text, Act: c.Act.V, Zones: c.Zones, WithinMm: int64(c.Within), ExceptIn: c.ExceptIn,
		Severity: c.Severity, From: Time(c.From), Until: Time(c.Until),
	}
	for _, k := range c.Classes {
		out.Classes = append(out.Classes, k.V)
	}
	return out
}

func docClauseOf(c Clause) docClause {
	out := docClause{
		ID: c.ID, Text: c.Text, Zones: c.Zones, Within: docLength(c.WithinMm), ExceptIn: c.ExceptIn,
		Severity: c.Severity, From: docTime(c.From), Until: docTime(c.Until),
	}
	out.Act.V = c.Act
	for _, k := range c.Classes {
		out.Classes = append(out.Classes, docEnum[EventClass, *EventClass]{V: k})
	}
	return out
}

func (p docPolicy) policy() Policy {
	return Policy{
		WindowNs: int64(p.Window), GraceNs: int64(p.Grace), HeartbeatNs: int64(p.Heartbeat),
		DeadlineNs: int64(p.Deadline), HorizonNs: int64(p.Horizon),
		MinLikelihood: PPM(p.MinLikelihood), MinFactor: PPM(p.MinFactor), Guard: PPM(p.Guard),
		Resilience: p.Resilience, OneModalityNations: p.OneModalityNations,
	}
}

func docPolicyOf(p Policy) docPolicy {
	return docPolicy{
		Window: docDuration(p.WindowNs), Grace: docDuration(p.GraceNs), Heartbeat: docDuration(p.HeartbeatNs),
		Deadline: docDuration(p.DeadlineNs), Horizon: docDuration(p.HorizonNs),
		MinLikelihood: docPPM(p.MinLikelihood), MinFactor: docPPM(p.MinFactor), Guard: docPPM(p.Guard),
		Resilience: p.Resilience, OneModalityNations: p.OneModalityNations,
	}
}

// shapeOf is an inline GeoJSON geometry, one position a line.
func shapeOf(kind string, ps []Position) docShape {
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, p := range ps {
		pos := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, c := range p.coordinates() {
			pos.Content = append(pos.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: c})
		}
		list.Content = append(list.Content, pos)
	}
	if kind == "Polygon" {
		list = &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{list}}
	}
	word := func(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: s} }
	return docShape{Geometry: yaml.Node{
		Kind: yaml.MappingNode, Content: []*yaml.Node{word("type"), word(kind), word("coordinates"), list},
	}}
}

// FormatAccordYAML writes an accord as ParseAccordYAML reads it: the same accord comes back, digest and all. It panics
// when a does not pass Check.
func FormatAccordYAML(a *Accord) []byte {
	if err := a.Check(); err != nil {
		panic(fmt.Sprintf("treaty: format accord: %v", err))
	}
	doc := accordDoc{
		Name: a.Name, Origin: a.Origin, Epoch: a.Epoch, Exercise: a.Exercise, Founded: docTime(a.Founded),
		Policy: docPolicyOf(a.Policy),
	}
	for _, m := range a.Members {
		doc.Members = append(doc.Members, docMemberOf(m))
	}
	for _, p := range a.Parties {
		doc.Parties = append(doc.Parties, docParty(p))
	}
	for _, l := range a.Lines {
		doc.Lines = append(doc.Lines, docLine{
			From: docTime(l.From), Until: docTime(l.Until), Sigma: docLength(l.SigmaMm), docShape: shapeOf("LineString", l.Vertices),
		})
	}
	for _, z := range a.Zones {
		d := docZone{
			ID: z.ID, Name: z.Name, Party: z.Party, From: docTime(z.From), Until: docTime(z.Until), docShape: shapeOf("Polygon", z.Ring),
		}
		d.Kind.V = z.Kind
		doc.Zones = append(doc.Zones, d)
	}
	for _, c := range a.Clauses {
		doc.Clauses = append(doc.Clauses, docClauseOf(c))
	}
	return marshalYAML(doc)
}

func marshalYAML(v any) []byte {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("treaty: encode %T as YAML: %v", v, err)) // plain data; a bug of ours
	}
	return b.Bytes()
}
