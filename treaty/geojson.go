package treaty

import (
	"encoding/json"
	"fmt"

	"gopkg.in/yaml.v3"
)

// GeoJSON (RFC 7946) is written here by hand: two geometries in, two views out. github.com/paulmach/orb, which the
// design names, brings a MongoDB driver along and reads coordinates as floats; signed places must come from decimal
// digits. JSON is read as the YAML it is, which keeps the digits and the line numbers.

// geometryOf finds the coordinates of a LineString or a Polygon's only ring in a geometry, a Feature, or a
// FeatureCollection of one Feature. Everything else in the file (properties, bbox) is passed over.
func geometryOf(n *yaml.Node, want string) ([]Position, error) {
	if n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
		n = n.Content[0]
	}
	if n.Kind != yaml.MappingNode {
		return nil, lineError(n, "want a GeoJSON %s here", want)
	}
	fields := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if fields[k.Value] != nil {
			return nil, lineError(k, "GeoJSON member %q is there twice", k.Value)
		}
		fields[k.Value] = n.Content[i+1]
	}
	if crs := fields["crs"]; crs != nil {
		return nil, lineError(crs, "GeoJSON is in WGS 84 (RFC 7946); convert the file and take its crs member out")
	}
	kind := fields["type"]
	if kind == nil {
		return nil, lineError(n, "this GeoJSON has no type; want %s", want)
	}
	switch kind.Value {
	case "Feature":
		if g := fields["geometry"]; g != nil {
			return geometryOf(g, want)
		}
	case "FeatureCollection":
		fs := fields["features"]
		if fs == nil || fs.Kind != yaml.SequenceNode || len(fs.Content) != 1 {
			return nil, lineError(n, "want a FeatureCollection of exactly one %s", want)
		}
		return geometryOf(fs.Content[0], want)
	case want:
		c := fields["coordinates"]
		if c == nil || c.Kind != yaml.SequenceNode {
			return nil, lineError(n, "%s without coordinates", want)
		}
		if want == "Polygon" {
			if len(c.Content) != 1 || c.Content[0].Kind != yaml.SequenceNode {
				return nil, lineError(c, "a zone is a Polygon of one ring, without holes")
			}
			c = c.Content[0]
		}
		return positions(c)
	}
	return nil, lineError(kind, "GeoJSON %q, want %s", kind.Value, want)
}

// positions reads [[longitude, latitude, height in metres], ...]; the height may be left out and is then 0.
func positions(list *yaml.Node) ([]Position, error) {
	if len(list.Content) > MaxVertices {
		return nil, lineError(list, "%d positions, at most %d", len(list.Content), MaxVertices)
	}
	ps := make([]Position, 0, len(list.Content))
	for _, n := range list.Content {
		if n.Kind != yaml.SequenceNode || len(n.Content) < 2 || len(n.Content) > 3 {
			return nil, lineError(n, "a position is [longitude, latitude] or [longitude, latitude, metres]")
		}
		var p Position
		for i, target := range []*int64{&p.LonE7, &p.LatE7, &p.HAEmm}[:len(n.Content)] {
			c := n.Content[i]
			places := 7
			if i == 2 {
				places = 3
			}
			v, err := parseDecimal(c.Value, places, true)
			if c.Kind != yaml.ScalarNode || err != nil {
				return nil, lineError(c, "coordinate %q is not a plain decimal number such as 48.0123", c.Value)
			}
			*target = v
		}
		if err := p.Check(); err != nil {
			return nil, lineError(n, "%s (GeoJSON has longitude first)", plain(err))
		}
		ps = append(ps, p)
	}
	return ps, nil
}

// coordinates are the position's GeoJSON numbers, as text.
func (p Position) coordinates() []string {
	c := []string{formatDecimal(p.LonE7, 7), formatDecimal(p.LatE7, 7)}
	if p.HAEmm != 0 {
		c = append(c, formatDecimal(p.HAEmm, 3))
	}
	return c
}

// Feature is a GeoJSON Feature, for views: encoding/json writes it, coordinates as exact decimals.
type Feature struct {
	Type       string         `json:"type"`
	ID         string         `json:"id,omitempty"`
	Properties map[string]any `json:"properties"`
	Geometry   Geometry       `json:"geometry"`
}

// Geometry is a GeoJSON geometry: a LineString, or a Polygon of one ring.
type Geometry struct {
	Type        string `json:"type"`
	Coordinates any    `json:"coordinates"`
}

// FeatureCollection is a GeoJSON FeatureCollection.
type FeatureCollection struct {
	Type     string    `json:"type"`
	Features []Feature `json:"features"`
}

func geoNumbers(ps []Position) [][]json.Number {
	out := make([][]json.Number, 0, len(ps))
	for _, p := range ps {
		var c []json.Number
		for _, s := range p.coordinates() {
			c = append(c, json.Number(s))
		}
		out = append(out, c)
	}
	return out
}

func spanProperties(from, until Time) map[string]any {
	m := map[string]any{"from": from}
	if until != 0 {
		m["until"] = until
	}
	return m
}

// LineFeature is the GeoJSON view of a contact line, with its span and uncertainty as properties.
func (l *Line) LineFeature() Feature {
	m := spanProperties(l.From, l.Until)
	m["sigma_mm"] = l.SigmaMm
	return Feature{Type: "Feature", Properties: m, Geometry: Geometry{Type: "LineString", Coordinates: geoNumbers(l.Vertices)}}
}

// LinesFeatureCollection is the GeoJSON view of all the accord's contact lines.
func (a *Accord) LinesFeatureCollection() FeatureCollection {
	c := FeatureCollection{Type: "FeatureCollection", Features: []Feature{}}
	for i := range a.Lines {
		c.Features = append(c.Features, a.Lines[i].LineFeature())
	}
	return c
}

// ZonesFeatureCollection is the GeoJSON view of the accord's zones.
func (a *Accord) ZonesFeatureCollection() FeatureCollection {
	c := FeatureCollection{Type: "FeatureCollection", Features: []Feature{}}
	for _, z := range a.Zones {
		m := spanProperties(z.From, z.Until)
		m["name"], m["kind"] = z.Name, z.Kind
		if z.Party != "" {
			m["party"] = z.Party
		}
		c.Features = append(c.Features, Feature{
			Type: "Feature", ID: z.ID, Properties: m,
			Geometry: Geometry{Type: "Polygon", Coordinates: [][][]json.Number{geoNumbers(z.Ring)}},
		})
	}
	return c
}

// lineError is a problem at a place of a YAML file; yaml collects such errors and goes on reading.
func lineError(n *yaml.Node, format string, args ...any) error {
	return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: ", n.Line) + fmt.Sprintf(format, args...)}}
}
