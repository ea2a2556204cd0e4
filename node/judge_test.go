package node

import (
	"testing"

	"truceline/attribution"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// TestJudgedOnce catches one event being judged for two incidents because it has grown since, or shrunk, or begins with
// another arrival than before.
func TestJudgedOnce(t *testing.T) {
	j, err := attribution.New(attribution.Config{Net: treatytest.New(4).Net})
	if err != nil {
		t.Fatal(err)
	}
	refs := func(from, to uint32) (out []treaty.Ref) {
		for i := from; i < to; i++ {
			out = append(out, treaty.Ref{Seal: treaty.HashOf([]byte("seal")), Index: i})
		}
		return out
	}
	first := &incidentCase{id: treaty.HashOf([]byte("first")), judged: treaty.NewCites(refs(10, 20)), incident: &treaty.Incident{}}
	silent := &incidentCase{id: treaty.HashOf([]byte("silent")), incident: &treaty.Incident{Cites: treaty.NewCites(refs(40, 50))}}
	second := &incidentCase{id: treaty.HashOf([]byte("second")), incident: &treaty.Incident{}}
	amends := &incidentCase{id: treaty.HashOf([]byte("amends")), incident: &treaty.Incident{Amends: first.id}}
	p := &pipeline{cfg: pipelineConfig{Judge: j}, cases: map[treaty.Hash]*incidentCase{}}
	for _, c := range []*incidentCase{first, silent, second, amends} {
		p.cases[c.id] = c
	}
	for _, x := range []struct {
		name     string
		c        *incidentCase
		from, to uint32
		want     bool
	}{
		{"the same", second, 10, 20, true},
		{"grown, another first arrival", second, 5, 25, true},
		{"shrunk", second, 14, 18, true},
		{"another event", second, 20, 30, false},
		{"one arrival shared", second, 19, 30, false},
		{"what nobody confirmed", second, 40, 50, false},
		{"its own incident", first, 10, 20, false},
		{"an amendment", amends, 5, 25, false},
	} {
		if got := p.judgedElsewhere(x.c, attribution.Event{Members: refs(x.from, x.to)}); got != x.want {
			t.Errorf("%s: judged elsewhere %v, want %v", x.name, got, x.want)
		}
	}
}
