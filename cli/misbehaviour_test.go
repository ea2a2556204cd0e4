package cli_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"truceline/cli"
	"truceline/node/observe"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// run runs one command and returns its exit code and what it printed.
func run(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = cli.Run(t.Context(), args, strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

func save(t *testing.T, name string, b []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// twoHeads is AUT's report that the accused led two ways in term 7, as the signer's heads show.
func twoHeads(t *testing.T, f *treatytest.Fixture, accused, signer treaty.Nation) *treaty.Record {
	t.Helper()
	head := func(chain string) []byte {
		raw, err := f.Signers[signer].SignHead(treaty.Head{
			Term: 7, Start: treaty.HashOf([]byte("run")), Index: 5, Chain: treaty.HashOf([]byte(chain)),
		})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	m, err := treaty.NewMisbehaviour(accused, treaty.TwoHeads, head("one"), head("two"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.Signers["AUT"].SignRecord(1, treatytest.Founded, m)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Would catch an accusation that verifies although a byte of it was changed, another nation signed it, another accord
// holds, or the proof is of another entry.
func TestMisbehaviourVerify(t *testing.T) {
	f := treatytest.New(4)
	r := twoHeads(t, f, "BEL", "BEL")
	accord := save(t, "accord.yaml", treaty.FormatAccordYAML(f.Net.Accord))
	entry := save(t, "entry", r.Raw())
	const text = "BEL is recorded as having signed two different orders as leader of term 7"
	if code, out, errs := run(t, "misbehaviour", "verify", entry, accord); code != 0 || !strings.Contains(out, "PROVEN: "+text) {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	root := treaty.Hash(tlog.RecordHash(r.Raw()))
	proof := func(by int) []byte {
		var cs []*treaty.Cosignature
		for _, k := range f.Net.Nations()[:by] {
			c, err := f.Net.Cosign(k, f.Keys[k].Cosign, treaty.Checkpoint{Size: 1, Root: root}, 946684800)
			if err != nil {
				t.Fatal(err)
			}
			cs = append(cs, c)
		}
		note, err := f.Net.CheckpointNote(cs)
		if err != nil {
			t.Fatal(err)
		}
		return treaty.FormatProof(0, nil, note)
	}
	good := proof(f.Net.Q)
	code, out, _ := run(t, "misbehaviour", "verify", entry, accord, save(t, "proof", good), "--json")
	var v cli.Convicted
	if err := json.Unmarshal([]byte(out), &v); err != nil || code != 0 || !v.Final || v.Signers != f.Net.Q || v.Accused != "BEL" || v.Text != text {
		t.Errorf("exit %d: %v: %+v", code, err, v)
	}
	for i := range r.Raw() {
		bad := bytes.Clone(r.Raw())
		bad[i] ^= 4
		if v, err := cli.VerifyMisbehaviour(f.Net, bad, nil); err == nil {
			t.Fatalf("byte %d changed: %+v", i, v)
		}
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 4
		if _, err := cli.VerifyMisbehaviour(f.Net, r.Raw(), bad); err == nil {
			t.Fatalf("proof byte %d (%q) changed", i, good[i])
		}
	}
	other := treatytest.NewWith(4, func(a *treaty.Accord) { a.Name = "Another line" })
	for name, args := range map[string][]string{
		"signed by another": {save(t, "entry", twoHeads(t, f, "CZE", "BEL").Raw()), accord},
		"another accord":    {entry, save(t, "accord.yaml", treaty.FormatAccordYAML(other.Net.Accord))},
		"proof of another":  {save(t, "entry", twoHeads(t, f, "CZE", "CZE").Raw()), accord, save(t, "proof", good)},
		"no record":         {accord, accord},
	} {
		if code, out, errs := run(t, append([]string{"misbehaviour", "verify"}, args...)...); code != 1 || out != "" || !strings.Contains(errs, "NOT PROVEN") {
			t.Errorf("%s: exit %d: %s%s", name, code, out, errs)
		}
	}
	if code, _, _ := run(t, "misbehaviour", "verify", entry); code != 2 {
		t.Errorf("without an accord: exit %d", code)
	}
}

// Would catch a list or page that hides, renames or garbles what the node says.
func TestMisbehaviourShow(t *testing.T) {
	f := treatytest.New(4)
	r := twoHeads(t, f, "BEL", "BEL")
	v := observe.MisbehaviourView{
		ID: r.ID, Index: 4, Exercise: true, Accused: "BEL", Kind: treaty.TwoHeads, Text: "BEL \x1b[2J signed", Reporter: "AUT",
		Time: treatytest.Founded, Statements: r.Misbehaviour.Statements, Links: observe.Links{Entry: "/e", Proof: "/p"},
	}
	mux := http.NewServeMux()
	for path, answer := range map[string]any{
		"/v1/misbehaviour":                  observe.MisbehaviourList{Exercise: true, Size: 9, Misbehaviour: []observe.MisbehaviourView{v}},
		"/v1/misbehaviour/" + r.ID.String(): v, "/none/v1/misbehaviour": observe.MisbehaviourList{Size: 9},
	} {
		b, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(b) })
	}
	server := httptest.NewServer(mux)
	defer server.Close()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"list"}, r.ID.String()},
		{[]string{"show", r.ID.String()}, "reported by"},
		{[]string{"list", "--json"}, `"accused": "BEL"`},
		{[]string{"show", r.ID.String(), "--json"}, `"kind": "heads"`},
	} {
		code, out, errs := run(t, append(append([]string{"misbehaviour"}, c.args...), "--from", server.URL)...)
		if code != 0 || !strings.Contains(out, c.want) || strings.Contains(out, "\x1b[2J") || !strings.Contains(strings.ToUpper(out), "EXERCISE") {
			t.Errorf("%v: exit %d: %q %s", c.args, code, out, errs)
		}
	}
	if code, out, _ := run(t, "misbehaviour", "list", "--from", server.URL+"/none"); code != 0 || !strings.Contains(out, "No nation is recorded") {
		t.Errorf("nothing: exit %d: %s", code, out)
	}
	if code, _, _ := run(t, "misbehaviour", "show", "x", "--from", server.URL); code != 2 {
		t.Errorf("a bad id: exit %d", code)
	}
}

// Would catch a fork that names too few or the wrong nations, one that is none, and an exit code that a script would
// take for the other answer.
func TestProveFork(t *testing.T) {
	f := treatytest.New(5) // where 2f+1 would let two quorums share one nation only
	ns := f.Net.Nations()
	note := func(size uint64, root string, by []treaty.Nation) string {
		var cs []*treaty.Cosignature
		for _, k := range by {
			c, err := f.Net.Cosign(k, f.Keys[k].Cosign, treaty.Checkpoint{Size: size, Root: treaty.HashOf([]byte(root))}, 946684800)
			if err != nil {
				t.Fatal(err)
			}
			cs = append(cs, c)
		}
		b, err := f.Net.CheckpointNote(cs)
		if err != nil {
			t.Fatal(err)
		}
		return save(t, "checkpoint", b)
	}
	a, b := note(9, "one", ns[:4]), note(9, "two", ns[1:])
	accord := save(t, "accord.yaml", treaty.FormatAccordYAML(f.Net.Accord))
	policy := save(t, "policy", f.Net.Policy())
	for _, from := range [][]string{{"--accord", accord}, {"--policy", policy}} {
		code, out, errs := run(t, append([]string{"prove-fork", a, b}, from...)...)
		if code != 0 || !strings.Contains(out, "FORK PROVEN") || !strings.Contains(out, "BEL, CZE, DNK (3 nations, f+1 is 2)") {
			t.Errorf("%v: exit %d: %s%s", from, code, out, errs)
		}
	}
	code, out, _ := run(t, "prove-fork", a, b, "--accord", accord, "--json")
	var got struct {
		Proven bool     `json:"proven"`
		Both   []string `json:"signed_both"`
		Least  int      `json:"at_least"`
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || !got.Proven || len(got.Both) != 3 || got.Least != 2 {
		t.Errorf("exit %d, %v: %+v", code, err, got)
	}
	bogus := save(t, "proof", []byte(base64.StdEncoding.EncodeToString(make([]byte, 32))+"\n"))
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"the same", []string{a, a, "--accord", accord}, 1, "NO FORK"},
		{"two sizes", []string{note(8, "one", ns), b, "--accord", accord}, 1, "NOT PROVEN"},
		{"two sizes, bad proof", []string{note(8, "one", ns), b, "--accord", accord, "--consistency", bogus}, 1, "NOT PROVEN"},
		{"another accord", []string{a, b, "--accord", save(t, "accord.yaml", treaty.FormatAccordYAML(treatytest.New(6).Net.Accord))}, 1, "NOT PROVEN"},
		{"nobody's word", []string{a, b}, 2, "--accord or --policy"},
		{"one file", []string{a, "--accord", accord}, 2, "two cosigned"},
		{"no checkpoint", []string{accord, b, "--accord", accord}, 1, "NOT PROVEN"},
	} {
		code, out, errs := run(t, append([]string{"prove-fork"}, c.args...)...)
		if code != c.code || !strings.Contains(out+errs, c.want) || strings.Contains(out, "AUT") || strings.Contains(out, "BEL") {
			t.Errorf("%s: exit %d: %s%s", c.name, code, out, errs)
		}
	}
}
