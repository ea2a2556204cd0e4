package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"truceline/attribution"
	"truceline/consensus/ledger"
	"truceline/consensus/tally"
	"truceline/node/evidence"
	"truceline/sensorio/seal"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// bench is a pipeline on a real ledger and store, whose inputs a test makes: records in order, batches, certificates.
type bench struct {
	t     testing.TB
	fix   *treatytest.Fixture
	db    *pebble.DB
	l     *ledger.Ledger
	p     *pipeline
	seq   map[treaty.Nation]uint64
	prev  map[treaty.Nation]treaty.Hash
	index uint64
	h     uint64
	sent  []treaty.Body
}

func newBench(t testing.TB, review bool) *bench {
	r := &bench{t: t, fix: treatytest.New(4), seq: map[treaty.Nation]uint64{}, prev: map[treaty.Nation]treaty.Hash{}}
	log := slog.New(slog.DiscardHandler)
	db, err := pebble.Open("db", &pebble.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	r.db = db
	net := r.fix.Net
	r.l, err = ledger.Open(ledger.Config{
		DB: db, Net: net, Log: log,
		New:  func() ledger.Machine { return tallyMachine{tally.New(net)} },
		Load: func(b []byte) (ledger.Machine, error) { s, err := tally.Decode(net, b); return tallyMachine{s}, err },
	})
	if err != nil {
		t.Fatal(err)
	}
	store, err := evidence.Open(evidence.Config{DB: db, Net: net, Nation: "AUT", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	judge, err := attribution.New(attribution.Config{Net: net})
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := seal.New(seal.Config{Accord: net.Digest, Nation: "AUT", Policy: net.Accord.Policy})
	if err != nil {
		t.Fatal(err)
	}
	r.p = newPipeline(pipelineConfig{
		Net: net, Nation: "AUT", Clock: func() treaty.Time { return treatytest.Founded }, Judge: judge,
		Store: store, Ledger: r.l, Review: review, Metrics: newMetrics(prometheus.NewRegistry()), Log: log, Events: newEvents(nil),
		Fetch: func(context.Context, treaty.Nation, treaty.Hash) ([]byte, error) { return nil, errors.New("withheld") },
		Submit: func(_ context.Context, b treaty.Body) (*treaty.Record, error) {
			r.sent = append(r.sent, b)
			return r.make("AUT", treatytest.Founded, b), nil
		},
	}, sealer)
	return r
}

func (r *bench) make(k treaty.Nation, at treaty.Time, b treaty.Body) *treaty.Record {
	r.seq[k]++
	rec, err := r.fix.Signers[k].SignRecord(r.seq[k], at, b)
	if err != nil {
		r.t.Fatal(err)
	}
	return rec
}

func (r *bench) order(recs ...*treaty.Record) {
	r.index++
	for _, lf := range r.l.Apply(r.index, 1, recs) {
		r.p.ordered(lf)
	}
}

func (r *bench) sealOf(k treaty.Nation, w treaty.Window, digest treaty.Hash, count uint32) *treaty.Record {
	rec := r.make(k, w.End(2*time.Second), &treaty.Seal{Window: w, Digest: digest, Count: count, Prev: r.prev[k]})
	r.prev[k] = rec.ID
	return rec
}

func (r *bench) certify() {
	r.h++
	c := r.l.Frontier()
	cert := &treaty.Certificate{Height: r.h, Step: treaty.StepCommit, Checkpoint: c}
	v := treaty.Vote{Height: r.h, Step: treaty.StepCommit, Checkpoint: c, Prepared: treaty.HashOf([]byte("p"))}
	for _, k := range r.fix.Net.Nations()[:r.fix.Net.Q] {
		raw, err := r.fix.Signers[k].SignVote(v)
		if err != nil {
			r.t.Fatal(err)
		}
		s, _ := treaty.ParseSigned(raw, treaty.MaxVote)
		cert.Sigs = append(cert.Sigs, treaty.VoteSigOf(s, v))
	}
	b := r.db.NewBatch()
	st, err := r.l.Stage(b, cert)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := b.Commit(pebble.Sync); err != nil {
		r.t.Fatal(err)
	}
	st.Done()
}

func shotAt(sensor string, at treaty.Time) treaty.Detection {
	return treaty.Detection{
		Sensor: treaty.SensorID(sensor), Modality: treaty.ModalityAcoustic, Mode: treaty.ModeSimulated,
		Time: treaty.TimeQuantity{Value: at, SigmaNs: 1000}, TimeSource: treaty.TimeGNSS,
		Pose:  treaty.Pose{Position: treaty.Position{LatE7: 48e7, LonE7: 38e7}, SigmaMm: 1000},
		Class: treaty.ClassShot, Confidence: 500_000, Trust: treaty.TrustManual, Arrival: &treaty.Arrival{Phase: treaty.PhaseUnknown},
	}
}

func (r *bench) batch(k treaty.Nation, w treaty.Window) *treaty.Batch {
	return &treaty.Batch{
		Accord: r.fix.Net.Digest, Nation: k, Window: w, Salt: treaty.Hash{1},
		Detections: []treaty.Detection{shotAt("mic", w.End(2*time.Second).Add(-time.Second))},
	}
}

// A liar seals another nation's digest, which it reads in the ledger seconds before the batch is revealed.
func TestCopiedDigest(t *testing.T) {
	for _, revealedFirst := range []bool{false, true} {
		r := newBench(t, false)
		w := treaty.WindowOf(treatytest.Founded.Add(time.Hour), 2*time.Second)
		b := r.batch("BEL", w)
		r.order(r.sealOf("BEL", w, b.Digest(), 1))
		if !revealedFirst {
			r.order(r.sealOf("DNK", w, b.Digest(), 1))
		}
		if err := r.p.batch(arrivedBatch{from: "BEL", raw: treaty.Encode(b)}); err != nil {
			t.Fatal(err)
		}
		if revealedFirst {
			r.order(r.sealOf("DNK", w+1, b.Digest(), 1))
		}
		ev := r.p.evidence.all()
		if len(ev) != 1 {
			t.Errorf("liar's seal after the reveal: %v: %d detections in evidence, must be BEL's one", revealedFirst, len(ev))
		}
		for _, e := range ev {
			v := tally.SealView{}
			r.p.tally(func(s *tally.State) { v, _ = s.Seal(e.Ref.Seal) })
			if v.Nation != "BEL" || !e.Independent {
				t.Errorf("a detection of %s stands under the seal of %s, independent %v", e.Nation, v.Nation, e.Independent)
			}
		}
	}
}

// A liar seals every window and reveals none. How far is the judging behind after two minutes?
func TestWithheldBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBench(t, false)
		w := treaty.WindowOf(treatytest.Founded.Add(time.Hour), 2*time.Second)
		var last treaty.Window
		for i := range treaty.Window(90) {
			last = w + i
			r.order(r.sealOf("AUT", last, treaty.Hash{}, 0), r.sealOf("BEL", last, treaty.Hash{}, 0), r.sealOf("CZE", last, treaty.Hash{}, 0),
				r.sealOf("DNK", last, treaty.HashOf(fmt.Append(nil, i)), 1))
			r.certify()
			for range 50 { // 2 s of the pipeline's own pace
				time.Sleep(40 * time.Millisecond)
				for len(r.p.fetched) > 0 {
					b := <-r.p.fetched
					delete(r.p.fetching, b.want)
				}
				r.p.complete(t.Context())
			}
		}
		behind := time.Duration(last-r.p.through) * 2 * time.Second
		if behind > 20*time.Second {
			t.Errorf("after %d s every honest node judges %s behind (evidence is forgotten after %s)", 90*2, behind, keepEvidence)
		}
		_ = r.db.Close()
	})
}

// A liar's batches hold detections dated in the future, or the status of sensors that do not exist.
func TestWindowForgets(t *testing.T) {
	w := newWindow()
	now := treatytest.Founded.Add(time.Hour)
	for i := range 20 {
		b := &treaty.Batch{Nation: "DNK", Window: treaty.WindowOf(now, 2*time.Second)}
		for j := range 1000 {
			b.Detections = append(b.Detections, shotAt("mic", now.Add(100*365*24*time.Hour)))
			s := shotAt(fmt.Sprintf("ghost %d %d", i, j), now)
			s.Arrival, s.Status = nil, &treaty.SensorStatus{}
			b.Detections = append(b.Detections, s)
		}
		w.add(treaty.HashOf(fmt.Append(nil, i)), b, true, 2*time.Second)
	}
	w.forget(now.Add(10 * 365 * 24 * time.Hour)) // ten years later
	if n := len(w.all()); n > maxSensors {
		t.Errorf("ten years later %d detections are still kept, copied and sorted at every window", n)
	}
	if len(w.items) > 0 {
		t.Errorf("%d measurements are kept for ever", len(w.items))
	}
}

func refs(s byte, is ...uint32) (rs []treaty.Ref) {
	for _, i := range is {
		rs = append(rs, treaty.Ref{Seal: treaty.Hash{s}, Index: i})
	}
	return rs
}

// A liar proposes one incident of two detections: one of a harmless event, one of a breach.
func TestDecoy(t *testing.T) {
	r := newBench(t, false)
	e1 := attribution.Event{Members: refs(1, 0, 1, 2, 3, 4, 5)}
	e2 := attribution.Event{Members: refs(2, 0, 1, 2, 3, 4, 5)}
	r.p.events = []attribution.Event{e1, e2}
	decoy := &incidentCase{id: treaty.Hash{9}, incident: &treaty.Incident{Cites: treaty.NewCites([]treaty.Ref{e1.Members[0], e2.Members[0]})}}
	r.p.cases[decoy.id] = decoy
	if r.p.proposedAlready(&r.p.events[0]) || r.p.proposedAlready(&r.p.events[1]) || r.p.matched(decoy) != nil {
		t.Error("an incident of scraps of two events keeps honest nations from proposing either")
	}
}

// Two incidents match one event. A node that sees both at once must speak to the earlier in the ledger, as a node that had
// seen only that one did.
func TestEarliestIncident(t *testing.T) {
	for salt := range 8 {
		r := newBench(t, false)
		w := treaty.WindowOf(treatytest.Founded.Add(time.Hour), 2*time.Second)
		s := r.sealOf("BEL", w, treaty.Hash{7}, 9)
		r.order(s)
		var ms []treaty.Ref
		for i := range uint32(6) {
			ms = append(ms, treaty.Ref{Seal: s.ID, Index: i})
		}
		at := treatytest.Founded.Add(time.Hour)
		first := r.make("BEL", at, &treaty.Incident{Time: at, Class: treaty.ClassOther, Cites: treaty.NewCites(ms)})
		second := r.make("DNK", at, &treaty.Incident{Time: at + treaty.Time(salt), Class: treaty.ClassOther, Cites: treaty.NewCites(ms[:1])})
		r.order(first, second)
		r.p.events = []attribution.Event{{
			Members: ms, Time: at, Position: treaty.Position{LatE7: 48e7, LonE7: 38e7}, ClassGuess: treaty.ClassShot,
			Covariance: treaty.Covariance{EE: 1, NN: 1},
		}}
		r.p.through = w + 1000
		if err := r.p.attest(t.Context()); err != nil {
			t.Fatal(err)
		}
		judged := r.p.cases[first.ID].judged.Len()
		if judged == 0 || r.p.cases[second.ID].judged.Len() != 0 {
			t.Errorf("salt %d: the event is judged under the later incident", salt)
		}
	}
}

// The duty officer's queue is full: 10,000 incidents by a flooding nation.
func TestFullReviewQueue(t *testing.T) {
	r := newBench(t, true)
	w := treaty.WindowOf(treatytest.Founded.Add(time.Hour), 2*time.Second)
	s := r.sealOf("BEL", w, treaty.Hash{7}, 9)
	r.order(s)
	in := &treaty.Incident{Time: treatytest.Founded.Add(time.Hour), Class: treaty.ClassOther, Cites: treaty.NewCites([]treaty.Ref{{Seal: s.ID}})}
	a := notConfirmed(in)
	for i := range evidence.MaxPending {
		if err := r.p.cfg.Store.PutReview(&treaty.Attestation{Incident: treaty.HashOf(fmt.Append(nil, i)), Assessment: a}, 1); err != nil {
			t.Fatal(err)
		}
	}
	r.order(r.make("DNK", treatytest.Founded.Add(time.Hour), in))
	r.p.through = w + 1000
	if err := r.p.attest(t.Context()); err != nil {
		t.Errorf("the pipeline, and with it the node, stops: %v", err)
	}
	for _, c := range r.p.cases {
		if c.done || c.retryAt.IsZero() {
			t.Error("the incident that found no room is forgotten")
		}
	}
}

// What an incident is about, when it cites more, less or other things than our own events hold.
func TestMatch(t *testing.T) {
	e := func(s byte, n uint32) attribution.Event {
		var is []uint32
		for i := range n {
			is = append(is, i)
		}
		return attribution.Event{Members: refs(s, is...)}
	}
	one, two := e(1, 6), e(2, 6)
	for _, x := range []struct {
		name  string
		cites [][]treaty.Ref
		want  int
	}{
		{"exactly it", [][]treaty.Ref{one.Members}, 0},
		{"a part of it", [][]treaty.Ref{two.Members[:2]}, 1},
		{"it, among more that we do not have", [][]treaty.Ref{one.Members, e(3, 9).Members}, 0},
		{"all of both", [][]treaty.Ref{one.Members, two.Members}, -1},
		{"most of one, a scrap of the other", [][]treaty.Ref{one.Members[:5], two.Members[:2]}, 0},
		{"a scrap, among what we do not have", [][]treaty.Ref{one.Members[:2], e(3, 9).Members}, -1},
		{"none of ours", [][]treaty.Ref{e(4, 3).Members}, -1},
	} {
		var all []treaty.Ref
		for _, c := range x.cites {
			all = append(all, c...)
		}
		if got := match([]attribution.Event{one, two}, treaty.NewCites(all)); got != x.want {
			t.Errorf("%s: event %d, want %d", x.name, got, x.want)
		}
	}
}

// A peer's batches whose seal nobody has ordered. Catches one peer that pushes out what others showed, and growth.
func TestOrphans(t *testing.T) {
	o := orphans{}
	good := []byte("good")
	o.keep("BEL", treaty.HashOf(good), good)
	for i := range 100 {
		raw := fmt.Append(nil, i)
		o.keep("DNK", treaty.HashOf(raw), raw)
		o.keep("DNK", treaty.HashOf(raw), raw)
	}
	if len(o["DNK"]) != maxOrphans {
		t.Errorf("%d batches of one peer are kept", len(o["DNK"]))
	}
	if raw := o.take(treaty.HashOf(good)); string(raw) != "good" || o.take(treaty.HashOf(good)) != nil || len(o["BEL"]) != 0 {
		t.Errorf("took %q", raw)
	}
}

// The tally refuses an own seal, here because its window is far ahead of ledger time. Catches detections that are lost with
// it: they must go into the next window.
func TestRefusedSealIsSealedAgain(t *testing.T) {
	r := newBench(t, false)
	w := treaty.WindowOf(treatytest.Founded.Add(time.Hour), 2*time.Second)
	for _, k := range []treaty.Nation{"BEL", "CZE", "DNK"} { // ledger time runs
		r.order(r.sealOf(k, w, treaty.Hash{}, 0))
	}
	b := r.batch("AUT", w+10_000)
	if _, err := r.p.cfg.Store.PutOwn(b); err != nil {
		t.Fatal(err)
	}
	ahead := r.sealOf("AUT", b.Window, b.Digest(), 1)
	o := &ownWindow{b.Window, b.Digest(), ahead.ID, treaty.Encode(b)}
	r.p.mine, r.p.pending[ahead.ID] = append(r.p.mine, o), o
	r.order(ahead)
	if len(r.p.mine) != 0 || len(r.p.pending) != 0 {
		t.Errorf("a refused window still waits to be revealed: %v, %v", r.p.mine, r.p.pending)
	}
	later := r.p.cfg.Clock().Add(time.Minute)
	closed, ok := r.p.sealer.Close(later, treaty.Hash{}, treaty.Hash{1})
	if !ok || len(closed.Batch.Detections) != 1 || closed.Batch.Detections[0].Sensor != b.Detections[0].Sensor {
		t.Errorf("sealed again: %v, %+v", ok, closed.Batch.Detections)
	}
}
