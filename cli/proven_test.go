package cli_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"truceline/node/observe"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// proven is a ledger with one verdict in it, and what proves it, made from keys and hashes alone.
type proven struct {
	fix     *treatytest.Fixture
	id      treaty.Hash
	verdict *treaty.Verdict
	index   uint64
	size    uint64
	entry   []byte
	policy  []byte
	record  tlog.RecordProof
	cosigs  []*treaty.Cosignature
}

func newProven(t testing.TB, n int) *proven {
	t.Helper()
	p := &proven{fix: treatytest.New(n), index: 5, size: 11}
	p.verdict = &treaty.Verdict{
		Incident: treaty.HashOf([]byte("incident")), Outcome: treaty.Breach, Party: "A", Clause: "1.2", Class: treaty.ClassMortar,
		Time: treatytest.Founded.Add(time.Hour), Position: treaty.Position{LatE7: 480100000, LonE7: 380000000},
		Likelihood: 990_000, Confidence: treaty.ConfidenceHigh, Attesters: p.fix.Net.Nations(), Dissents: []treaty.Dissent{},
		Missing: []treaty.Nation{}, Independent: p.fix.Net.Nations()[:3], Modalities: []treaty.Modality{treaty.ModalityAcoustic},
		Resilience: 1, Reasons: []treaty.Reason{}, LedgerTime: treatytest.Founded.Add(2 * time.Hour), Exercise: true,
		Summary: "Mortar fire by party A.",
	}
	p.entry = p.fix.Net.VerdictEntry(p.verdict)
	p.id = treaty.HashOf(p.entry)
	p.policy = p.fix.Net.Policy()
	var hashes []tlog.Hash
	reader := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(at))
		for i, x := range at {
			out[i] = hashes[x]
		}
		return out, nil
	})
	for i := range int64(p.size) {
		leaf := []byte{byte(i)}
		if uint64(i) == p.index {
			leaf = p.entry
		}
		more, err := tlog.StoredHashes(i, leaf, reader)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, more...)
	}
	root, err := tlog.TreeHash(int64(p.size), reader)
	if err != nil {
		t.Fatal(err)
	}
	if p.record, err = tlog.ProveRecord(int64(p.size), int64(p.index), reader); err != nil {
		t.Fatal(err)
	}
	for _, k := range p.fix.Net.Nations() {
		c, err := p.fix.Net.Cosign(k, p.fix.Keys[k].Cosign, treaty.Checkpoint{Size: p.size, Root: treaty.Hash(root)}, 946684800)
		if err != nil {
			t.Fatal(err)
		}
		p.cosigs = append(p.cosigs, c)
	}
	return p
}

// proof has the cosignatures of the first n nations, of all when n is 0.
func (p *proven) proof(n int) []byte {
	if n == 0 {
		n = len(p.cosigs)
	}
	note, err := p.fix.Net.CheckpointNote(p.cosigs[:n])
	if err != nil {
		panic(err)
	}
	return treaty.FormatProof(p.index, p.record, note)
}

// write puts the three files into a folder, and the policy of another network beside them.
func (p *proven) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	other := treatytest.NewWith(4, func(a *treaty.Accord) { a.Name = "Another line" })
	for name, b := range map[string][]byte{"entry": p.entry, "proof": p.proof(0), "policy": p.policy, "other-policy": other.Net.Policy()} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// observer answers as a node's public API does, with the real views and proofs of one verdict; and, under other
// prefixes, as nodes that lie. The real API is tested in node/observe and, with this program, in the network script.
func (p *proven) observer() http.Handler {
	id := p.id.String()
	view := observe.VerdictView{
		ID: p.id, Index: p.index, Status: "FINAL", Exercise: true, Likelihood: "almost certain", Verdict: p.verdict,
		Links: observe.Links{Entry: "/v1/verdicts/" + id + "/entry"},
	}
	list := observe.VerdictList{Exercise: true, Size: p.size, Verdicts: []observe.VerdictView{view}}
	m := http.NewServeMux()
	answer := func(path string, v any) {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		m.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(b) })
	}
	raw := func(path string, b []byte) {
		m.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(b) })
	}
	answer("/v1/verdicts", list)
	answer("/v1/verdicts/"+id, view)
	other := *p.verdict
	other.Party = "B"
	for _, x := range []struct {
		prefix        string
		entry, policy []byte
	}{
		{"", p.entry, p.policy},
		{"/other-entry", p.fix.Net.VerdictEntry(&other), p.policy},
		{"/other-policy", p.entry, treatytest.New(5).Net.Policy()},
	} {
		raw(x.prefix+"/v1/verdicts/"+id+"/entry", x.entry)
		raw(x.prefix+"/v1/verdicts/"+id+"/proof", p.proof(0))
		raw(x.prefix+"/v1/policy", x.policy)
	}
	// A node that serves the same page for ever, one whose answer never ends, one that sends control characters.
	list.Next = "/v1/verdicts?before=6"
	answer("/endless/v1/verdicts", list)
	m.HandleFunc("/huge/v1/verdicts", func(w http.ResponseWriter, _ *http.Request) {
		for b := make([]byte, 1<<20); ; {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	})
	m.HandleFunc("/rude/v1/verdicts", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write([]byte("{\"error\":\"\x1b[2J\\u001b[31mVERIFIED\"}"))
	})
	m.HandleFunc("/elsewhere/v1/verdicts", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/v1/verdicts", http.StatusFound)
	})
	return m
}
