package observe

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"truceline/consensus/ledger"
	"truceline/consensus/tally"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// machine is the tally as the ledger runs it.
type machine struct{ *tally.State }

func (m machine) Apply(r *treaty.Record) (bool, [][]byte) {
	res := m.State.Apply(r)
	return res.Taken, res.Derived
}
func (m machine) Clone() ledger.Machine { return machine{m.State.Clone()} }

type quiet struct{}

func (quiet) Infof(string, ...any)           {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }

// world is a real ledger with a real tally on a disk in memory, fed by four nations, and a server over it.
type world struct {
	t      testing.TB
	f      *treatytest.Fixture
	fs     *vfs.MemFS
	db     *pebble.DB
	ledger *ledger.Ledger
	srv    *Server
	reg    *prometheus.Registry
	seq    map[treaty.Nation]uint64
	last   map[treaty.Nation]treaty.Hash
	index  uint64
	height uint64
	window treaty.Window
	cited  map[treaty.Hash]treaty.Cites // by incident
	now    treaty.Time
	asked  int // of the network view
	broken string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{
		t: t, f: treatytest.New(4), fs: vfs.NewCrashableMem(), seq: map[treaty.Nation]uint64{}, last: map[treaty.Nation]treaty.Hash{},
		cited: map[treaty.Hash]treaty.Cites{},
		index: 1, now: treatytest.Founded.Add(time.Hour),
	}
	w.window = treaty.WindowOf(w.now, w.f.Net.Accord.Policy.Window())
	w.open()
	t.Cleanup(func() { w.db.Close() })
	return w
}

func (w *world) open() {
	w.t.Helper()
	var err error
	if w.db, err = pebble.Open("db", &pebble.Options{FS: w.fs, Logger: quiet{}}); err != nil {
		w.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if w.ledger, err = ledger.Open(ledger.Config{
		DB: w.db, Net: w.f.Net, Log: log,
		New: func() ledger.Machine { return machine{tally.New(w.f.Net)} },
		Load: func(b []byte) (ledger.Machine, error) {
			s, err := tally.Decode(w.f.Net, b)
			return machine{s}, err
		},
	}); err != nil {
		w.t.Fatal(err)
	}
	w.reg = prometheus.NewRegistry()
	if w.srv, err = New(Config{
		Net: w.f.Net, Ledger: w.ledger, DB: w.db, Network: w.network, Gatherer: w.reg, Registerer: w.reg, Log: log,
	}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) network() NetworkView {
	w.asked++
	a := w.f.Net.Accord
	v := NetworkView{
		Name: a.Name, Origin: a.Origin, Exercise: a.Exercise, Accord: w.f.Net.Digest, Epoch: a.Epoch, N: w.f.Net.N, F: w.f.Net.F,
		Quorum: w.f.Net.Q, Parties: a.Parties, Lines: a.Lines, Zones: a.Zones, Clauses: a.Clauses,
		Node: NodeView{
			Nation: "AUT", Leader: "BEL", Height: w.height, FinalSize: w.ledger.FinalSize(), CosignedSize: w.ledger.CosignedSize(),
			LedgerTime: w.now, Problem: w.broken,
		},
	}
	for _, g := range w.f.Net.Members() {
		v.Members = append(v.Members, MemberView{Nation: g.Nation, Name: g.Name, Connected: g.Nation != "DNK", LastSeq: w.seq[g.Nation]})
	}
	return v
}

// say orders one record of a nation.
func (w *world) say(k treaty.Nation, body treaty.Body) *treaty.Record {
	w.t.Helper()
	w.seq[k]++
	r, err := w.f.Signers[k].SignRecord(w.seq[k], w.now, body)
	if err != nil {
		w.t.Fatal(err)
	}
	w.index++
	w.ledger.Apply(w.index, 1, []*treaty.Record{r})
	return r
}

// seal lets everybody seal the next window with one detection, and cites them all.
func (w *world) seal() treaty.Cites {
	w.t.Helper()
	w.window++
	w.now = w.window.End(w.f.Net.Accord.Policy.Window())
	var refs []treaty.Ref
	for _, k := range w.f.Net.Nations() {
		r := w.say(k, &treaty.Seal{Window: w.window, Count: 1, Digest: treaty.HashOf(fmt.Appendf(nil, "%s %d", k, w.window)), Prev: w.last[k]})
		w.last[k] = r.ID
		refs = append(refs, treaty.Ref{Seal: r.ID})
	}
	return treaty.NewCites(refs)
}

// judge orders an incident and what all nations find; it returns the incident.
func (w *world) judge(finding treaty.Finding, party treaty.Party, at treaty.Position, amends treaty.Hash) *treaty.Record {
	w.t.Helper()
	cites := w.seal()
	if before := w.cited[amends]; before != nil { // an amendment is about the same event, with more evidence
		cites = treaty.NewCites(slices.AppendSeq(slices.Collect(cites.All()), before.All()))
	}
	inc := w.say("AUT", &treaty.Incident{Time: w.now, Position: at, Class: treaty.ClassArtillery, Cites: cites, Amends: amends})
	w.cited[inc.ID] = cites
	for i, k := range w.f.Net.Nations() {
		a := treaty.Assessment{
			Finding: finding, Party: party, Class: treaty.ClassArtillery, Time: w.now, Position: at, Covariance: treaty.Covariance{EE: 1e8, NN: 1e8},
			Likelihood: 987_654, Confidence: treaty.ConfidenceModerate, Control: treaty.PartyOdds{A: treaty.Certain},
			Contributors: w.f.Net.Nations(), Modalities: []treaty.Modality{treaty.ModalitySeismic, treaty.ModalityAcoustic}, Resilience: 1, Cites: cites, Method: "test",
		}
		switch finding {
		case treaty.Breach:
			a.Clause = "1.2"
			if i == 3 { // one nation doubts
				a.Finding, a.Party, a.Clause, a.Reasons = treaty.Inconclusive, "", "", []treaty.Reason{treaty.ReasonPoorFit}
			}
		case treaty.Inconclusive:
			a.Likelihood, a.Reasons = 612_000, []treaty.Reason{treaty.ReasonCloseToLine, treaty.ReasonMirrorSolution}
		default:
			a.Class, a.Reasons = treaty.ClassExplosion, []treaty.Reason{treaty.ReasonNotFire}
		}
		w.say(k, &treaty.Attestation{Incident: inc.ID, Assessment: a})
	}
	return inc
}

// certify makes everything ordered certified, but nothing cosigned.
func (w *world) certify() treaty.Checkpoint {
	w.t.Helper()
	c := w.ledger.Frontier()
	w.height++
	cert := &treaty.Certificate{Height: w.height, Step: treaty.StepCommit, Checkpoint: c}
	v := treaty.Vote{Height: w.height, Step: treaty.StepCommit, Checkpoint: c, Prepared: treaty.HashOf([]byte("prepared"))}
	for _, k := range w.f.Net.Nations()[:w.f.Net.Q] {
		raw, err := w.f.Signers[k].SignVote(v)
		if err != nil {
			w.t.Fatal(err)
		}
		s, err := treaty.ParseSigned(raw, treaty.MaxVote)
		if err != nil {
			w.t.Fatal(err)
		}
		cert.Sigs = append(cert.Sigs, treaty.VoteSigOf(s, v))
	}
	w.settle(func(b *pebble.Batch) (*ledger.Staged, error) { return w.ledger.Stage(b, cert) })
	return c
}

func (w *world) cosign(c treaty.Checkpoint) {
	w.t.Helper()
	var cs []*treaty.Cosignature
	for _, k := range w.f.Net.Nations()[:w.f.Net.Q] {
		s, err := w.f.Net.Cosign(k, w.f.Keys[k].Cosign, c, 1_700_000_000)
		if err != nil {
			w.t.Fatal(err)
		}
		cs = append(cs, s)
	}
	note, err := w.f.Net.CheckpointNote(cs)
	if err != nil {
		w.t.Fatal(err)
	}
	w.settle(func(b *pebble.Batch) (*ledger.Staged, error) { return w.ledger.SetCosigned(b, c.Size, note) })
}

func (w *world) settle(fill func(*pebble.Batch) (*ledger.Staged, error)) {
	w.t.Helper()
	b := w.db.NewBatch()
	defer b.Close()
	s, err := fill(b)
	if err == nil {
		err = b.Commit(pebble.Sync)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	s.Done()
}

// finish makes everything ordered FINAL and indexed.
func (w *world) finish() {
	w.t.Helper()
	w.cosign(w.certify())
	w.catchUp()
}

func (w *world) catchUp() {
	w.t.Helper()
	if err := w.srv.catchUp(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// ask asks the server without a socket, each time from another address unless told.
func (w *world) ask(method, path string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	for _, f := range change {
		f(r)
	}
	rec := httptest.NewRecorder()
	w.srv.Handler().ServeHTTP(rec, r)
	return rec
}

func place(lat, lon float64) treaty.Position {
	return treaty.Position{LatE7: int64(lat * 1e7), LonE7: int64(lon * 1e7)}
}

// night is a little of everything: an inconclusive verdict superseded by a breach of A, a breach of B, a blast.
func (w *world) night() {
	first := w.judge(treaty.Inconclusive, "", place(48.012, 37.9), treaty.Hash{})
	w.judge(treaty.Breach, "B", place(47.97, 38.05), treaty.Hash{})
	w.judge(treaty.NoBreach, "", place(48.05, 38.12), treaty.Hash{})
	w.judge(treaty.Breach, "A", place(48.015, 37.902), first.ID)
	w.judge(treaty.Inconclusive, "", place(47.999, 37.8), treaty.Hash{})
	w.finish()
}

// tallyVerdict is the verdict that the tally has reached, final or not.
func (w *world) tallyVerdict(incident treaty.Hash) (id treaty.Hash, ok bool) {
	w.ledger.With(func(live ledger.Machine, _ uint64) { id, _, ok = live.(machine).Verdict(incident) })
	return id, ok
}
