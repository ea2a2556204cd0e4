package evidence

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

const self = treaty.Nation("BEL")

var fix = treatytest.New(4)

// fatalLog ends the goroutine where Pebble would end the process.
type fatalLog struct{}

func (fatalLog) Infof(string, ...any)         {}
func (fatalLog) Errorf(string, ...any)        {}
func (fatalLog) Fatalf(f string, args ...any) { panic(fatal(fmt.Sprintf(f, args...))) }

type fatal string

func openDB(t *testing.T, fs vfs.FS) *pebble.DB {
	t.Helper()
	db, err := pebble.Open("db", &pebble.Options{FS: fs, Logger: fatalLog{}})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func config(db *pebble.DB) Config {
	return Config{DB: db, Net: fix.Net, Nation: self, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

// open opens a store on fs; the database closes with the test.
func open(t *testing.T, fs vfs.FS) *Store {
	t.Helper()
	db := openDB(t, fs)
	t.Cleanup(func() { db.Close() })
	s, err := Open(config(db))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func batch(n treaty.Nation, w treaty.Window, salt byte) *treaty.Batch {
	return &treaty.Batch{
		Accord: fix.Net.Digest, Nation: n, Window: w, Salt: treaty.Hash{salt, 1},
		Detections: []treaty.Detection{{
			Sensor: "acoustic:1", Modality: treaty.ModalityAcoustic, Mode: treaty.ModeSimulated,
			Time: treaty.TimeQuantity{Value: treatytest.Founded, SigmaNs: 1}, TimeSource: treaty.TimeGNSS,
			Pose:  treaty.Pose{Position: treaty.Position{LatE7: 48e7, LonE7: 38e7}, SigmaMm: 1},
			Class: treaty.ClassExplosion, Confidence: 1, Trust: treaty.TrustChannel,
			Arrival: &treaty.Arrival{Phase: treaty.PhaseMuzzleBlast},
		}},
	}
}

func remark(text string) Sign {
	return func(seq uint64) (*treaty.Record, error) {
		return fix.Signers[self].SignRecord(seq, treatytest.Founded, &treaty.Remark{Text: text})
	}
}

// attestation finds a breach in incident i over the detections of one seal.
func attestation(i byte, breach bool, indexes ...uint32) *treaty.Attestation {
	a := treaty.Assessment{
		Finding: treaty.NoBreach, Class: treaty.ClassExplosion, Time: treatytest.Founded, Confidence: treaty.ConfidenceLow,
		Position:   treaty.Position{LatE7: 48e7, LonE7: 38e7},
		Covariance: treaty.Covariance{EE: 1, NN: 1}, Control: treaty.PartyOdds{Neither: treaty.Certain}, Method: "test",
		Cites: treaty.Cites{{Seal: treaty.Hash{9}, Indexes: indexes}},
	}
	if breach {
		a.Finding, a.Party, a.Clause = treaty.Breach, "A", "1"
	}
	return &treaty.Attestation{Incident: treaty.Hash{i, 1}, Assessment: a}
}

func attest(a *treaty.Attestation) Sign {
	return func(seq uint64) (*treaty.Record, error) {
		return fix.Signers[self].SignRecord(seq, treatytest.Founded, a)
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func outbox(t *testing.T, s *Store) (seqs []uint64) {
	t.Helper()
	for r, err := range s.Outbox() {
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, r.Seq)
	}
	return seqs
}

func windows(t *testing.T, s *Store, from, to treaty.Window) string {
	t.Helper()
	var out []string
	for b, err := range s.Windows(from, to) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%d%s", b.Window, b.Nation))
	}
	return strings.Join(out, " ")
}

// TestBatches would catch a hidden batch being handed to a peer, a scan that misses or misorders, and pruning that
// takes too much or too little.
func TestBatches(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := open(t, fs)
	own := must[treaty.Hash](t)(s.PutOwn(batch(self, 10, 1)))
	if _, err := s.Revealed(own); !errors.Is(err, ErrNotFound) {
		t.Fatalf("a hidden batch was handed out: %v", err)
	}
	if _, err := s.PutRevealed(treaty.Encode(batch(self, 10, 1))); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Revealed(own); !errors.Is(err, ErrNotFound) {
		t.Fatalf("hearing it from a peer revealed it: %v", err)
	}
	if b, err := s.Batch(own); err != nil || b.Window != 10 {
		t.Fatalf("%v %v", b, err)
	}
	if h, err := s.Hidden(); err != nil || len(h) != 1 || h[own] != 10 {
		t.Fatalf("%v %v", h, err)
	}
	if err := s.Reveal(own); err != nil {
		t.Fatal(err)
	}
	must[treaty.Hash](t)(s.PutOwn(batch(self, 10, 1))) // the seal is made again after a crash
	if _, err := s.Revealed(own); err != nil {
		t.Fatalf("a repeat hid a revealed batch: %v", err)
	}
	var seals []treaty.Hash
	for i, n := range []treaty.Nation{"CZE", "AUT", "DNK"} {
		for w := treaty.Window(9); w < 12; w++ {
			d := must[treaty.Hash](t)(s.PutRevealed(treaty.Encode(batch(n, w, byte(i+2)))))
			seal := treaty.Hash{byte(i), byte(w)}
			seals = append(seals, seal)
			if err := s.IndexSeal(seal, d, w); err != nil {
				t.Fatal(err)
			}
			if got, err := s.SealDigest(seal); err != nil || got != d {
				t.Fatalf("%v %v", got, err)
			}
		}
	}
	if got := windows(t, s, 10, 11); got != "10AUT 10BEL 10CZE 10DNK 11AUT 11CZE 11DNK" {
		t.Fatal(got)
	}
	hidden := must[treaty.Hash](t)(s.PutOwn(batch(self, 9, 9)))
	if n, err := s.Prune(11); err != nil || n != 7 {
		t.Fatalf("pruned %d, %v", n, err)
	}
	if got := windows(t, s, 0, 100); got != "9BEL 11AUT 11CZE 11DNK" {
		t.Fatal(got)
	}
	if _, err := s.Batch(hidden); err != nil {
		t.Fatalf("a hidden batch was pruned: %v", err)
	}
	left := 0
	for _, x := range seals {
		if _, err := s.SealDigest(x); err == nil {
			left++
		}
	}
	if left != 3 {
		t.Fatalf("%d seals left", left)
	}
	for what, b := range map[string]*treaty.Batch{"stranger": batch("XXX", 1, 1), "accord": {Accord: treaty.Hash{1}}, "empty": {}} {
		if _, err := s.PutRevealed(treaty.Encode(b)); err == nil {
			t.Errorf("%s: kept", what)
		}
	}
	if _, err := s.PutOwn(batch("AUT", 1, 1)); err == nil {
		t.Error("another's batch kept as our own")
	}
}

// TestDoubleSign would catch a second record under one number, by any way in, before and after reopening and after
// finality.
func TestDoubleSign(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := open(t, fs)
	for i := range 3 {
		if r := must[*treaty.Record](t)(s.NextRecord(remark(fmt.Sprint(i)))); r.Seq != uint64(i+1) {
			t.Fatalf("number %d", r.Seq)
		}
	}
	check := func(s *Store) {
		t.Helper()
		for seq := uint64(1); seq <= 3; seq++ {
			same := must[*treaty.Record](t)(remark(fmt.Sprint(seq - 1))(seq))
			other := must[*treaty.Record](t)(remark("other")(seq))
			if err := s.Keep(other); !errors.Is(err, ErrDoubleSign) {
				t.Errorf("record %d signed twice: %v", seq, err)
			}
			if _, final := s.Last(); seq > final {
				if err := s.Keep(same); err != nil {
					t.Errorf("the same record %d again: %v", seq, err)
				}
			}
		}
		if _, err := s.NextRecord(func(uint64) (*treaty.Record, error) { return remark("x")(2) }); err == nil {
			t.Error("a record with another number than asked for was kept")
		}
		if err := s.Keep(must[*treaty.Record](t)(fix.Signers["AUT"].SignRecord(9, treatytest.Founded, &treaty.Remark{Text: "x"}))); err == nil {
			t.Error("another nation's record kept as our own")
		}
	}
	check(s)
	if err := s.MarkFinal(2); err != nil {
		t.Fatal(err)
	}
	if got := outbox(t, s); fmt.Sprint(got) != "[3]" {
		t.Fatalf("outbox %v", got)
	}
	check(s)
	again := open(t, fs.CrashClone(vfs.CrashCloneCfg{}))
	check(again)
	if r := must[*treaty.Record](t)(again.NextRecord(remark("next"))); r.Seq != 4 {
		t.Fatalf("number %d after reopening", r.Seq)
	}
}

// TestOldBackup would catch a node that was started from a backup using numbers that its key has used.
func TestOldBackup(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := open(t, fs)
	must[*treaty.Record](t)(s.NextRecord(remark("one")))
	if err := s.Keep(must[*treaty.Record](t)(remark("seen at a peer")(7))); err != nil {
		t.Fatal(err)
	}
	if err := s.MarkFinal(12); err != nil {
		t.Fatal(err)
	}
	s = open(t, fs.CrashClone(vfs.CrashCloneCfg{}))
	if r := must[*treaty.Record](t)(s.NextRecord(remark("next"))); r.Seq != 13 {
		t.Fatalf("number %d", r.Seq)
	}
}

// TestAttestOnce would catch two attestations to one incident and two breaches over one detection.
func TestAttestOnce(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := open(t, fs)
	r := must[*treaty.Record](t)(s.NextRecord(attest(attestation(1, true, 3, 5))))
	for _, s := range []*Store{s, open(t, fs.CrashClone(vfs.CrashCloneCfg{}))} {
		if id, err := s.Attested(treaty.Hash{1, 1}); err != nil || id != r.ID {
			t.Fatalf("%v %v", id, err)
		}
		for what, a := range map[string]*treaty.Attestation{
			"same incident": attestation(1, false, 8), "cited before": attestation(2, true, 5, 6),
		} {
			if _, err := s.NextRecord(attest(a)); !errors.Is(err, ErrAttested) {
				t.Errorf("%s: %v", what, err)
			}
			if err := s.PutReview(a, 1); !errors.Is(err, ErrAttested) {
				t.Errorf("%s, review: %v", what, err)
			}
		}
		for _, a := range []*treaty.Attestation{attestation(3, false, 3), attestation(4, true, 4)} {
			if _, err := s.NextRecord(attest(a)); err != nil {
				t.Errorf("refused a sound one: %v", err)
			}
		}
		if last, _ := s.Last(); last != 3 {
			t.Errorf("a refused attestation used a number: %d", last)
		}
	}
}

// A breach that was called on an incident must be callable again on one that amends it, by every way an attestation
// takes, after a crash, and with what an earlier release stored; or the nations that found it in time are missing when the
// case is reopened. In another case it must not.
func TestBreachOnAmendment(t *testing.T) {
	id := func(i byte) treaty.Hash { return treaty.Hash{i, 1} }
	cases := func(incident treaty.Hash) treaty.Hash { // 2 amends 1, and 3 amends 2
		if incident == id(2) || incident == id(3) {
			return id(1)
		}
		return incident
	}
	opened := func(fs vfs.FS, first func(treaty.Hash) treaty.Hash) *Store {
		db := openDB(t, fs)
		t.Cleanup(func() { db.Close() })
		c := config(db)
		c.Case = first
		return must[*Store](t)(Open(c))
	}
	for _, earlier := range []bool{false, true} {
		fs := vfs.NewCrashableMem()
		first := cases
		if earlier { // an earlier release kept the incident itself
			first = nil
		}
		s := opened(fs, first)
		must[*treaty.Record](t)(s.NextRecord(attest(attestation(2, true, 3, 5))))
		s = opened(fs.CrashClone(vfs.CrashCloneCfg{}), cases)
		if err := s.PutReview(attestation(1, true, 3), 1); err != nil {
			t.Errorf("earlier %v: review of the first incident: %v", earlier, err)
		}
		if _, err := s.NextRecord(attest(attestation(3, true, 3, 5, 7))); err != nil {
			t.Errorf("earlier %v: an amendment: %v", earlier, err)
		}
		if _, err := s.NextRecord(attest(attestation(3, true, 9))); !errors.Is(err, ErrAttested) {
			t.Errorf("earlier %v: the same incident twice: %v", earlier, err)
		}
		for _, index := range []uint32{3, 7} {
			if _, err := s.NextRecord(attest(attestation(4, true, index))); !errors.Is(err, ErrAttested) {
				t.Errorf("earlier %v: detection %d in another case: %v", earlier, index, err)
			}
		}
		cites := attestation(4, true, 3, 7, 8).Assessment.Cites
		if left, err := s.Unspent(id(4), cites); err != nil || left.Len() != 1 || left[0].Indexes[0] != 8 {
			t.Errorf("earlier %v: unspent in another case: %v, %v", earlier, left, err)
		}
		if left, err := s.Unspent(id(2), cites); err != nil || left.Len() != 3 {
			t.Errorf("earlier %v: unspent in the same case: %v, %v", earlier, left, err)
		}
		if got, err := s.BreachOn(treaty.Ref{Seal: treaty.Hash{9}, Index: 7}); err != nil || got != id(1) {
			t.Errorf("earlier %v: breach on %s, %v", earlier, got.Short(), err)
		}
	}
}

// TestReview would catch an attestation lost from the queue, in it after it was signed, or signed for another incident.
func TestReview(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := open(t, fs)
	for i := byte(1); i <= 4; i++ {
		if err := s.PutReview(attestation(i, true, uint32(i)), 5); err != nil {
			t.Fatal(err)
		}
	}
	sign := func(seq uint64, p *Pending) (*treaty.Record, error) {
		a := p.Attestation
		a.Reviewed = true
		return attest(&a)(seq)
	}
	if _, err := s.Approve(treaty.Hash{1, 1}, func(seq uint64, _ *Pending) (*treaty.Record, error) {
		return attest(attestation(2, true, 2))(seq)
	}); err == nil {
		t.Fatal("signed for another incident")
	}
	r := must[*treaty.Record](t)(s.Approve(treaty.Hash{1, 1}, sign))
	if !r.Attestation.Reviewed {
		t.Fatal("not marked")
	}
	if err := s.Decline(treaty.Hash{2, 1}, "thunder", 6); err != nil {
		t.Fatal(err)
	}
	must[*treaty.Record](t)(s.NextRecord(attest(attestation(3, true, 3)))) // automatic after all
	for _, s := range []*Store{s, open(t, fs.CrashClone(vfs.CrashCloneCfg{}))} {
		if s.waits != 1 {
			t.Errorf("%d wait by count", s.waits)
		}
		for p, err := range s.Reviews() {
			if err != nil || p.Attestation.Incident != (treaty.Hash{4, 1}) {
				t.Errorf("waits: %v %v", p, err)
			}
		}
		for i := byte(1); i <= 3; i++ {
			if _, err := s.Approve(treaty.Hash{i, 1}, sign); !errors.Is(err, ErrNotFound) {
				t.Errorf("incident %d: %v", i, err)
			}
		}
		var notes []string
		for n, err := range s.Notes() {
			if err != nil {
				t.Fatal(err)
			}
			notes = append(notes, n.Text)
		}
		if fmt.Sprint(notes) != "[declined: thunder]" {
			t.Errorf("notes %q", notes)
		}
	}
}

// TestForeign would catch a store of another nation, accord or release being used.
func TestForeign(t *testing.T) {
	db := openDB(t, vfs.NewMem())
	defer db.Close()
	if _, err := Open(config(db)); err != nil {
		t.Fatal(err)
	}
	other := config(db)
	other.Nation = "AUT"
	if _, err := Open(other); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "belongs to BEL") {
		t.Errorf("nation: %v", err)
	}
	other = config(db)
	other.Net = treatytest.New(5).Net
	if _, err := Open(other); !errors.Is(err, ErrForeign) {
		t.Errorf("accord: %v", err)
	}
	set := func(k, v []byte) {
		if err := db.Set(k, v, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	set(key(kindVersion), treaty.Encode(schema{Version: version + 1, Nation: self, Accord: fix.Net.Digest}))
	if _, err := Open(config(db)); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "format version 2") {
		t.Errorf("version: %v", err)
	}
	if err := db.Delete(key(kindVersion), pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	set(key(kindNumbers), []byte{1})
	if _, err := Open(config(db)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("keys without a version: %v", err)
	}
	if _, err := Open(Config{}); err == nil || !strings.Contains(err.Error(), "logger") || !strings.Contains(err.Error(), "database") {
		t.Errorf("config: %v", err)
	}
}

// TestCorrupt would catch a changed value being answered as if it were what was written.
func TestCorrupt(t *testing.T) {
	db := openDB(t, vfs.NewMem())
	defer db.Close()
	s, err := Open(config(db))
	if err != nil {
		t.Fatal(err)
	}
	d := must[treaty.Hash](t)(s.PutRevealed(treaty.Encode(batch("AUT", 1, 1))))
	must[*treaty.Record](t)(s.NextRecord(remark("one")))
	if err := s.PutReview(attestation(1, true, 1), 1); err != nil {
		t.Fatal(err)
	}
	flip := func(k []byte) {
		t.Helper()
		v, err := s.get(k)
		if err != nil {
			t.Fatal(err)
		}
		v[len(v)/2] ^= 0x40
		if err := db.Set(k, v, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	flip(key(kindBatch, d[:]))
	if _, err := s.Batch(d); !errors.Is(err, ErrCorrupt) {
		t.Errorf("batch: %v", err)
	}
	if _, err := s.Revealed(d); !errors.Is(err, ErrCorrupt) {
		t.Errorf("revealed: %v", err)
	}
	for _, err := range s.Windows(0, 9) {
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("windows: %v", err)
		}
	}
	// Whole and sound values under the wrong key.
	raw, err := s.get(key(kindOutbox, be64(1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Set(key(kindOutbox, be64(2)), raw, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(config(db)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("record under another number: %v", err)
	}
	if err := db.Delete(key(kindOutbox, be64(2)), pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	raw, err = s.get(key(kindReview, []byte{1, 1}, make([]byte, 30)))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Set(key(kindReview, []byte{2, 1}, make([]byte, 30)), raw, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(config(db)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("review under another incident: %v", err)
	}
}

// Would catch a window that is sealed twice after a restart, because the ledger took no notice of its first seal: two
// seals of one window are misbehaviour, and an honest nation could be convicted.
func TestSealedSurvives(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := open(t, fs)
	seal := func(w treaty.Window) *treaty.Record {
		r, err := s.NextRecord(func(seq uint64) (*treaty.Record, error) {
			return fix.Signers[self].SignRecord(seq, 1, &treaty.Seal{Window: w})
		})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	seal(41)
	_, _, err := s.NextRecords(2, func(i int, seq uint64) (*treaty.Record, error) {
		return fix.Signers[self].SignRecord(seq, 1, &treaty.Seal{Window: 42 - treaty.Window(i)})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.MarkFinal(3); err != nil { // the outbox forgets them
		t.Fatal(err)
	}
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	if got := open(t, crashed).Sealed(); got != 42 {
		t.Errorf("sealed up to window %d after a crash, want 42", got)
	}
}
