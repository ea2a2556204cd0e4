package observe

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// It would catch a route without a description, a description without a route, and an answer with fields that its
// schema does not name or without fields that it requires.
func TestOpenAPI(t *testing.T) {
	var doc struct {
		Paths      map[string]any
		Components struct {
			Schemas map[string]struct {
				Required   []string
				Properties map[string]any
			}
		}
	}
	w := newWorld(t)
	w.night()
	if err := yaml.Unmarshal(w.ask("GET", "/openapi.yaml").Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("server.go")
	if err != nil {
		t.Fatal(err)
	}
	var routes []string
	for _, m := range regexp.MustCompile(`m\.Handle(?:Func)?\("GET ([^"]+)"`).FindAllStringSubmatch(string(source), -1) {
		routes = append(routes, strings.NewReplacer("{$}", "", "...}", "}").Replace(m[1]))
	}
	var described []string
	for p := range doc.Paths {
		described = append(described, p)
	}
	slices.Sort(routes)
	slices.Sort(described)
	if !slices.Equal(routes, described) || len(routes) < 10 {
		t.Errorf("routes   %v\ndescribed %v", routes, described)
	}
	w.misbehave("DNK", 7)
	w.finish()
	v := get[VerdictList](t, w, "/v1/verdicts", 200).Verdicts[4]
	for path, name := range map[string]string{
		"/v1/verdicts?limit=1": "VerdictList", "/v1/verdicts/" + v.ID.String(): "VerdictView", "/v1/checkpoint": "CheckpointView",
		"/v1/misbehaviour": "MisbehaviourList", get[MisbehaviourList](t, w, "/v1/misbehaviour", 200).Misbehaviour[0].Links.Entry[:len("/v1/misbehaviour/")+64]: "MisbehaviourView",
		"/v1/incidents/" + v.Verdict.Incident.String() + "?limit=1": "IncidentView", "/v1/network": "NetworkView", "/none": "Problem",
	} {
		var got map[string]json.RawMessage
		if err := json.Unmarshal(w.ask("GET", path).Body.Bytes(), &got); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		schema := doc.Components.Schemas[name]
		for _, k := range schema.Required {
			if _, ok := got[k]; !ok {
				t.Errorf("%s: no %s, which %s requires", path, k, name)
			}
		}
		for k := range got {
			if _, ok := schema.Properties[k]; !ok {
				t.Errorf("%s: %s is not in %s", path, k, name)
			}
		}
	}
}
