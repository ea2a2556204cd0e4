package treaty

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// The accord as people write it: YAML, with times as RFC 3339 dates, durations as "2s", lengths as "20km", probabilities
// as "95%", and the line and zones as GeoJSON, inline or in a file beside it. Lists may be in any order; they are put
// into the signed order. What is signed is the canonical CBOR of the result, never the YAML.

// accordDoc is the file. Members, zones, clauses and classes may stand in any order.
type accordDoc struct {
	Name     string      `yaml:"name"`
	Origin   string      `yaml:"origin"`
	Epoch    uint32      `yaml:"epoch"`
	Exercise bool        `yaml:"exercise,omitempty"`
	Founded  docTime     `yaml:"founded"`
	Members  []docMember `yaml:"members"`
	Parties  []docParty  `yaml:"parties"`
	Lines    []docLine   `yaml:"lines"`
	Zones    []docZone   `yaml:"zones,omitempty"`
	Clauses  []docClause `yaml:"clauses"`
	Policy   docPolicy   `yaml:"policy"`
}

type docMember struct {
	Nation Nation   `yaml:"nation"`
	Name   string   `yaml:"name"`
	Keys   []docKey `yaml:"keys"`
}

type docKey struct {
	Role   docEnum[KeyRole, *KeyRole] `yaml:"role"`
	Kind   docEnum[KeyKind, *KeyKind] `yaml:"kind"`
	Public docBytes                   `yaml:"public"`
}

type docParty struct {
	Code Party  `yaml:"code"`
	Name string `yaml:"name"`
}

type docLine struct {
	From     docTime   `yaml:"from"`
	Until    docTime   `yaml:"until,omitempty"`
	Sigma    docLength `yaml:"sigma"`
	docShape `yaml:",inline"`
}

type docZone struct {
	ID       string                       `yaml:"id"`
	Name     string                       `yaml:"name"`
	Kind     docEnum[ZoneKind, *ZoneKind] `yaml:"kind"`
	Party    Party                        `yaml:"party,omitempty"`
	From     docTime                      `yaml:"from"`
	Until    docTime                      `yaml:"until,omitempty"`
	docShape `yaml:",inline"`
}

// docShape is GeoJSON, inline or the name of a file.
type docShape struct {
	Geometry yaml.Node `yaml:"geometry,omitempty"`
	File     string    `yaml:"file,omitempty"`
}

type docClause struct {
	ID       ClauseID                           `yaml:"id"`
	Text     string                             `yaml:"text"`
	Act      docEnum[Act, *Act]                 `yaml:"act"`
	Classes  []docEnum[EventClass, *EventClass] `yaml:"classes,flow"`
	Zones    []string                           `yaml:"zones,flow,omitempty"`
	Within   docLength                          `yaml:"within,omitempty"`
	ExceptIn []string                           `yaml:"except_in,flow,omitempty"`
	Severity uint32                             `yaml:"severity"`
	From     docTime                            `yaml:"from"`
	Until    docTime                            `yaml:"until,omitempty"`
}

type docPolicy struct {
	Window             docDuration `yaml:"window"`
	Grace              docDuration `yaml:"grace"`
	Heartbeat          docDuration `yaml:"heartbeat"`
	Deadline           docDuration `yaml:"deadline"`
	Horizon            docDuration `yaml:"horizon"`
	MinLikelihood      docPPM      `yaml:"min_likelihood"`
	MinFactor          docPPM      `yaml:"min_factor"`
	Guard              docPPM      `yaml:"guard"`
	Resilience         uint32      `yaml:"resilience,omitempty"`
	OneModalityNations uint32      `yaml:"one_modality_nations"`
}

// ParseAccordYAML reads an accord file. file resolves the `file:` of a line or zone, by the name written there; it may
// be nil where there are none. The error lists every problem found, with the line of the file where it is known.
func ParseAccordYAML(b []byte, file func(string) ([]byte, error)) (*Accord, error) {
	var doc accordDoc
	found, err := decodeYAML(b, MaxAccordFile, &doc)
	if err != nil {
		return nil, fmt.Errorf("accord file: %w", err)
	}
	a := &Accord{
		Name: doc.Name, Origin: doc.Origin, Epoch: doc.Epoch, Exercise: doc.Exercise, Founded: Time(doc.Founded),
		Policy: doc.Policy.policy(),
	}
	for _, m := range doc.Members {
		a.Members = append(a.Members, m.member())
	}
	for _, p := range doc.Parties {
		a.Parties = append(a.Parties, PartyInfo(p))
	}
	for i, l := range doc.Lines {
		ps, err := l.resolve("LineString", file)
		found = append(found, problemsOf(fmt.Sprintf("line %d of lines: ", i+1), err)...)
		a.Lines = append(a.Lines, Line{From: Time(l.From), Until: Time(l.Until), SigmaMm: int64(l.Sigma), Vertices: ps})
	}
	for _, z := range doc.Zones {
		ps, err := z.resolve("Polygon", file)
		found = append(found, problemsOf(fmt.Sprintf("zone %q: ", z.ID), err)...)
		a.Zones = append(a.Zones, Zone{
			ID: z.ID, Name: z.Name, Kind: z.Kind.V, Party: z.Party, From: Time(z.From), Until: Time(z.Until), Ring: ps,
		})
	}
	for _, c := range doc.Clauses {
		a.Clauses = append(a.Clauses, c.clause())
	}
	a.sort()
	if len(found) == 0 {
		// With a part unread, Check would complain of what is merely missing.
		if err := a.Check(); err != nil {
			return nil, fmt.Errorf("accord file: %w", err)
		}
		if n := len(Encode(a)); n > MaxAccord {
			return nil, fmt.Errorf("accord file: %w: its canonical form has %d bytes, at most %d: thin out the line", ErrTooLarge, n, MaxAccord)
		}
		return a, nil
	}
	return nil, fmt.Errorf("%w: accord file has %d problems:\n  %s", ErrMalformed, len(found), strings.Join(found, "\n  "))
}

// decodeYAML reads exactly one YAML document with known fields only. Problems at single places come back in found,
// what makes the whole unreadable as an error.
func decodeYAML(b []byte, limit int, v any) (found []string, err error) {
	if len(b) > limit {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(b), limit)
	}
	// An alias lets a short file stand for a huge one; nobody needs them here.
	var whole yaml.Node
	if err := yaml.Unmarshal(b, &whole); err != nil {
		return nil, fmt.Errorf("%w: %s", ErrMalformed, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if n := aliasIn(&whole); n != nil {
		return nil, fmt.Errorf("%w: line %d: YAML anchors and aliases are not allowed; write the value out", ErrMalformed, n.Line)
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(v); err != nil {
		if _, ok := errors.AsType[*yaml.TypeError](err); !ok {
			return nil, fmt.Errorf("%w: %s", ErrMalformed, strings.TrimPrefix(err.Error(), "yaml: "))
		}
		found = problemsOf("", err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: more than one YAML document in one file", ErrMalformed)
	}
	return found, nil
}

func aliasIn(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return n
	}
	for _, c := range n.Content {
		if a := aliasIn(c); a != nil {
			return a
		}
	}
	return nil
}

// problemsOf lists what a yaml error holds; prefix says where, for errors that come from another file.
func problemsOf(prefix string, err error) []string {
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*yaml.TypeError](err)
	if !ok {
		return []string{prefix + err.Error()}
	}
	var out []string
	for _, s := range e.Errors {
		// "field x not found in type treaty.docY" means nothing to the file's author.
		if i := strings.Index(s, " not found in type "); i >= 0 {
			s = s[:i] + " is unknown here: check its spelling"
		}
		out = append(out, prefix+s)
	}
	return out
}

// resolve reads the shape, from the file it names or from the document.
func (s *docShape) resolve(want string, file func(string) ([]byte, error)) ([]Position, error) {
	inline := !s.Geometry.IsZero()
	switch {
	case inline == (s.File != ""):
		return nil, fmt.Errorf("give either geometry (GeoJSON %s) or file, the name of a GeoJSON file", want)
	case inline:
		return geometryOf(&s.Geometry, want)
	case file == nil:
		return nil, fmt.Errorf("file %q: files cannot be read here; write the geometry inline", s.File)
	}
	b, err := file(s.File)
	if err != nil {
		return nil, fmt.Errorf("file %q: %w", s.File, err)
	}
	var n yaml.Node
	if _, err := decodeYAML(b, MaxAccordFile, &n); err != nil {
		return nil, fmt.Errorf("file %q: %w", s.File, err)
	}
	ps, err := geometryOf(&n, want)
	if err != nil {
		return nil, fmt.Errorf("file %q: %s", s.File, strings.Join(problemsOf("", err), "; "))
	}
	return ps, nil
}

// sort puts every list into its signed order.
func (a *Accord) sort() {
	slices.SortStableFunc(a.Members, func(x, y Member) int { return strings.Compare(string(x.Nation), string(y.Nation)) })
	for _, m := range a.Members {
		slices.SortStableFunc(m.Keys, func(x, y Key) int {
			return (int(x.Role)-int(y.Role))<<8 + int(x.Kind) - int(y.Kind)
		})
	}
	slices.SortStableFunc(a.Zones, func(x, y Zone) int { return strings.Compare(x.ID, y.ID) })
	slices.SortStableFunc(a.Clauses, func(x, y Clause) int { return strings.Compare(string(x.ID), string(y.ID)) })
	for _, c := range a.Clauses {
		slices.Sort(c.Classes)
		slices.Sort(c.Zones)
		slices.Sort(c.ExceptIn)
	}
}
