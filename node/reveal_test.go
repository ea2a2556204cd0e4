package node

import (
	"log/slog"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"truceline/consensus/ledger"
	"truceline/consensus/tally"
	"truceline/node/evidence"
	"truceline/sensorio/seal"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// unveiling is a pipeline of AUT on a ledger that a test orders and certifies by hand.
type unveiling struct {
	t      *testing.T
	fix    *treatytest.Fixture
	db     *pebble.DB
	l      *ledger.Ledger
	p      *pipeline
	seq    map[treaty.Nation]uint64
	prev   map[treaty.Nation]treaty.Hash
	index  uint64
	height uint64
	shown  int
}

func newUnveiling(t *testing.T) *unveiling {
	u := &unveiling{t: t, fix: treatytest.New(4), seq: map[treaty.Nation]uint64{}, prev: map[treaty.Nation]treaty.Hash{}}
	net, log := u.fix.Net, slog.New(slog.DiscardHandler)
	u.db = sure(pebble.Open("db", &pebble.Options{FS: vfs.NewMem()}))(t)
	t.Cleanup(func() { _ = u.db.Close() })
	u.l = sure(ledger.Open(ledger.Config{
		DB: u.db, Net: net, Log: log, New: func() ledger.Machine { return tallyMachine{tally.New(net)} },
		Load: func(b []byte) (ledger.Machine, error) { s, err := tally.Decode(net, b); return tallyMachine{s}, err },
	}))(t)
	u.p = newPipeline(pipelineConfig{
		Net: net, Nation: "AUT", Ledger: u.l, Log: log, Reveal: func([]byte) { u.shown++ },
		Store: sure(evidence.Open(evidence.Config{DB: u.db, Net: net, Nation: "AUT", Log: log}))(t),
	}, sure(seal.New(seal.Config{Accord: net.Digest, Nation: "AUT", Policy: net.Accord.Policy}))(t))
	return u
}

func sure[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// order orders one nation's seal of a window, signed that long after its end; AUT's has a batch behind it.
func (u *unveiling) order(w treaty.Window, after time.Duration, k treaty.Nation) {
	u.t.Helper()
	s := &treaty.Seal{Window: w, Prev: u.prev[k]}
	var own *treaty.Batch
	if k == "AUT" {
		own = &treaty.Batch{Accord: u.fix.Net.Digest, Nation: k, Window: w, Salt: treaty.Hash{byte(w)}, Detections: []treaty.Detection{{
			Sensor: "mic", Modality: treaty.ModalityAcoustic, Mode: treaty.ModeSimulated, TimeSource: treaty.TimeGNSS,
			Time:  treaty.TimeQuantity{Value: treatytest.Founded, SigmaNs: 1},
			Pose:  treaty.Pose{Position: treaty.Position{LatE7: 48e7, LonE7: 38e7}, SigmaMm: 1},
			Class: treaty.ClassShot, Confidence: 1, Trust: treaty.TrustManual, Arrival: &treaty.Arrival{Phase: treaty.PhaseUnknown},
		}}}
		s.Count, s.Digest = 1, own.Digest()
		sure(u.p.cfg.Store.PutOwn(own))(u.t)
	}
	u.seq[k]++
	r := sure(u.fix.Signers[k].SignRecord(u.seq[k], w.End(u.fix.Net.Accord.Policy.Window()).Add(after), s))(u.t)
	u.prev[k] = r.ID
	if own != nil {
		u.p.mine = append(u.p.mine, &ownWindow{w, s.Digest, r.ID, treaty.Encode(own)})
	}
	u.index++
	u.l.Apply(u.index, 1, []*treaty.Record{r})
}

// certify makes everything ordered final.
func (u *unveiling) certify() {
	u.t.Helper()
	u.height++
	c := u.l.Frontier()
	cert := &treaty.Certificate{Height: u.height, Step: treaty.StepCommit, Checkpoint: c}
	v := treaty.Vote{Height: u.height, Step: treaty.StepCommit, Checkpoint: c, Prepared: treaty.HashOf([]byte("p"))}
	for _, k := range u.fix.Net.Nations()[:u.fix.Net.Q] {
		s := sure(treaty.ParseSigned(sure(u.fix.Signers[k].SignVote(v))(u.t), treaty.MaxVote))(u.t)
		cert.Sigs = append(cert.Sigs, treaty.VoteSigOf(s, v))
	}
	b := u.db.NewBatch()
	st := sure(u.l.Stage(b, cert))(u.t)
	if err := b.Commit(pebble.Sync); err != nil {
		u.t.Fatal(err)
	}
	st.Done()
}

// reveals lets the pipeline reveal and says how many batches it has shown so far.
func (u *unveiling) reveals(why string, want int) {
	u.t.Helper()
	if err := u.p.reveal(); err != nil {
		u.t.Fatal(err)
	}
	if u.shown != want {
		u.t.Errorf("%s: %d batches are shown, want %d", why, u.shown, want)
	}
}

// A batch may be shown only when the FINAL state has its window closed for everybody: else somebody could read it and
// still seal, in time, what fits it. Neither ledger time alone nor what is only ordered is enough.
func TestRevealOnlyWhatIsClosed(t *testing.T) {
	u := newUnveiling(t)
	w := treaty.WindowOf(treatytest.Founded.Add(time.Hour), u.fix.Net.Accord.Policy.Window())
	for _, k := range []treaty.Nation{"BEL", "CZE", "DNK"} {
		u.order(w-1, 0, k)
	}
	u.order(w, 10*time.Second, "AUT")
	for _, k := range []treaty.Nation{"BEL", "CZE"} {
		u.order(w, 10*time.Second, k)
	}
	u.certify()
	u.reveals("one listening nation has not sealed the window", 0)
	u.order(w, 10*time.Second, "DNK")
	u.reveals("its seal is ordered, and not final", 0)
	u.certify()
	u.reveals("its seal is final", 1)

	u.order(w+10, 0, "AUT")
	u.order(w+30, 0, "AUT") // not closed before the end
	for _, k := range []treaty.Nation{"BEL", "CZE"} {
		u.order(w+10, u.fix.Net.Accord.Policy.SealWait()+time.Second, k)
	}
	u.reveals("the wait is over in what is ordered", 1)
	u.certify()
	u.reveals("the wait is over in what is final", 2)
}
