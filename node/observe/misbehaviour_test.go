package observe

import (
	"net/http"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"truceline/consensus/tally"
	"truceline/treaty"
)

// misbehave lets AUT report that a nation led two ways in a term.
func (w *world) misbehave(k treaty.Nation, term uint64) *treaty.Record {
	w.t.Helper()
	return w.report(k, k, term)
}

func (w *world) report(accused, signer treaty.Nation, term uint64) *treaty.Record {
	w.t.Helper()
	head := func(chain string) []byte {
		raw, err := w.f.Signers[signer].SignHead(treaty.Head{
			Term: term, Start: treaty.HashOf([]byte("run")), Index: 5, Chain: treaty.HashOf([]byte(chain)),
		})
		if err != nil {
			w.t.Fatal(err)
		}
		return raw
	}
	m, err := treaty.NewMisbehaviour(accused, treaty.TwoHeads, head("one"), head("two"))
	if err != nil {
		w.t.Fatal(err)
	}
	return w.say("AUT", m)
}

// It would catch an accusation that is shown without proof or before it is FINAL, one shown twice, a list that differs
// from the tally's or from itself after a restart, and a verdict that does not name what is recorded of its attesters.
func TestMisbehaviour(t *testing.T) {
	w := newWorld(t)
	w.night()
	verdict := func() VerdictView {
		return get[VerdictList](t, w, "/v1/verdicts?limit=2", 200).Verdicts[1]
	}
	if v := verdict(); len(v.Misbehaviour) != 0 {
		t.Fatalf("before: %+v", v.Misbehaviour)
	}
	first := w.misbehave("BEL", 7)
	again := w.misbehave("BEL", 7)
	false1 := w.report("CZE", "AUT", 7) // AUT's signatures do not convict CZE
	path := "/v1/misbehaviour/"
	if code := w.ask("GET", path+first.ID.String()).Code; code != http.StatusNotFound {
		t.Errorf("shown before it is final: %d", code)
	}
	w.finish()
	for i := range tally.MaxMisbehaviour + 2 {
		w.misbehave("BEL", uint64(100+i))
	}
	w.finish()
	check := func(when string) {
		t.Helper()
		list := get[MisbehaviourList](t, w, "/v1/misbehaviour?limit=10", 200)
		next := get[MisbehaviourList](t, w, list.Next, 200)
		all := append(list.Misbehaviour, next.Misbehaviour...)
		if len(all) != tally.MaxMisbehaviour || next.Next != "" || all[len(all)-1].ID != first.ID {
			t.Fatalf("%s: %d listed, next %q", when, len(all), next.Next)
		}
		one := get[MisbehaviourView](t, w, path+first.ID.String(), 200)
		if one.Accused != "BEL" || one.Reporter != "AUT" || one.Kind != treaty.TwoHeads || len(one.Statements) != 2 ||
			one.Text != "BEL is recorded as having signed two different orders as leader of term 7" {
			t.Errorf("%s: %+v", when, one)
		}
		for name, id := range map[string]treaty.Hash{"a repeat": again.ID, "unproven": false1.ID} {
			if code := w.ask("GET", path+id.String()).Code; code != http.StatusNotFound {
				t.Errorf("%s: %s is shown: %d", when, name, code)
			}
		}
		v := verdict() // BEL attested to it
		if len(v.Misbehaviour) != 1 || v.Misbehaviour[0].ID != first.ID || v.Misbehaviour[0].Text != one.Text {
			t.Errorf("%s: the verdict names %+v", when, v.Misbehaviour)
		}
	}
	check("at once")
	// The three files prove it offline.
	entry := w.ask("GET", path+first.ID.String()+"/entry").Body.Bytes()
	proof := w.ask("GET", path+first.ID.String()+"/proof").Body.Bytes()
	if treaty.HashOf(entry) != first.ID {
		t.Error("the entry is another one")
	}
	if _, _, err := treaty.VerifyEntry(entry, proof, w.f.Net.Policy()); err != nil {
		t.Errorf("its proof: %v", err)
	}
	// A new server over the same index, and one that makes it anew, answer the same.
	w.db.Close()
	w.open()
	check("after a restart")
	if err := w.db.DeleteRange([]byte{prefix}, []byte{prefix + 1}, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	w.db.Close()
	w.open()
	w.catchUp()
	check("after the index was made anew")
	if body := w.ask("GET", "/v1/misbehaviour?limit=0").Body.String(); !strings.Contains(body, "limit") {
		t.Errorf("a bad query: %s", body)
	}
}
