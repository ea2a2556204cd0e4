package node

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"truceline/consensus/finality"
	"truceline/node/evidence"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// stage is what an attacker has seen: everything that ever left a nation, honest or not.
type stage struct {
	t     *testing.T
	f     *treatytest.Fixture
	rng   *rand.Rand
	liars map[treaty.Nation]bool
	said  map[treaty.Nation][][]byte
	had   map[string]bool
	// amnesia makes restarted nodes forget what they had written down: the fault that this test must notice.
	amnesia bool
	crashes int
	refused int // second attestations
}

func newStage(t *testing.T, n int, seed uint64, amnesia bool) *stage {
	s := &stage{
		t: t, f: treatytest.New(n), rng: rand.New(rand.NewPCG(seed, 11)), liars: map[treaty.Nation]bool{},
		said: map[treaty.Nation][][]byte{}, had: map[string]bool{}, amnesia: amnesia,
	}
	for _, k := range s.f.Net.Nations()[n-s.f.Net.F:] {
		s.liars[k] = true
	}
	return s
}

// leave is what every statement does: after it, the attacker has it.
func (s *stage) leave(k treaty.Nation, raw []byte) {
	if !s.had[string(raw)] {
		s.had[string(raw)] = true
		s.said[k] = append(s.said[k], raw)
	}
}

// anySide is most often the first: with a fork all the time nothing would ever be certified.
func (s *stage) anySide() int { return max(0, s.rng.IntN(5)-3) }

// voter is a nation's finality machine on a disk that keeps what was written before a crash and nothing else.
type voter struct {
	s      *stage
	nation treaty.Nation
	m      *finality.Machine
	side   int // which of two orders it has applied: Raft may give it another after a restart
	disk   *finality.State
	last   *treaty.Certificate
	inbox  []finality.Message
	others []*voter
}

func (v *voter) checkpoint(size uint64) treaty.Checkpoint {
	base := uint64(0)
	if v.last != nil {
		base = v.last.Checkpoint.Size
	}
	size += base
	return treaty.Checkpoint{Size: size, Root: treaty.HashOf(fmt.Appendf(nil, "%d on side %d", size, v.side)), Index: size, Term: 1}
}

func (v *voter) Frontier() treaty.Checkpoint { return v.checkpoint(5) }
func (v *voter) Boundaries() []treaty.Checkpoint {
	return []treaty.Checkpoint{v.checkpoint(3), v.checkpoint(5)}
}

func (v *voter) Holds(c treaty.Checkpoint) bool { return c == v.checkpoint(3) || c == v.checkpoint(5) }

func (v *voter) Objection(treaty.Checkpoint) string { return "" }

func (v *voter) start(now time.Duration) {
	cfg := finality.Config{Net: v.s.f.Net, Self: v.nation, View: v, Timeout: time.Second, State: v.disk, Last: v.last}
	if v.s.amnesia {
		cfg.State = nil
	}
	var err error
	if v.m, err = finality.New(cfg, now); err != nil {
		v.s.t.Fatal(err)
	}
}

// carry carries effects out in order, as the driver does, and may lose its power before any of them.
func (v *voter) carry(now time.Duration, effects []finality.Effect) {
	for len(effects) > 0 {
		e := effects[0]
		effects = effects[1:]
		if v.s.rng.IntN(40) == 0 {
			v.s.crashes++
			v.side = v.s.anySide()
			v.inbox = nil
			v.start(now)
			return
		}
		switch {
		case e.Persist != nil:
			state, err := finality.DecodeState(e.Persist.Encode())
			if err != nil {
				v.s.t.Fatal(err)
			}
			v.disk = state
		case e.Say != nil:
			effects = append(effects, v.say(now, e.Say)...)
		case e.Certified != nil:
			v.last = e.Certified
			if err := v.s.f.Net.VerifyCertificate(v.last); err != nil {
				v.s.t.Fatal(err)
			}
			cosig, err := v.s.f.Net.Cosign(v.nation, v.s.f.Keys[v.nation].Cosign, v.last.Checkpoint, 1)
			if err != nil {
				v.s.t.Fatal(err)
			}
			effects = append(effects, v.m.Settled(now, e.Certified, cosig)...)
		}
	}
}

func (v *voter) say(now time.Duration, say *finality.Say) []finality.Effect {
	msg := finality.Message{From: v.nation, Certificate: say.Certificate, Cosignature: say.Cosignature}
	var t treaty.ContentType
	var body any
	switch {
	case say.Status != nil:
		t, body = treaty.TypeStatus, say.Status
	case say.Proposal != nil:
		t, body = treaty.TypeProposal, say.Proposal
	case say.Vote != nil:
		t, body = treaty.TypeVote, say.Vote
	case say.Wish != nil:
		t, body = treaty.TypeWish, say.Wish
	}
	if t != "" {
		msg = v.sign(t, body)
	}
	for _, o := range v.others {
		if o != v && (say.To == "" || say.To == o.nation) {
			o.inbox = append(o.inbox, msg)
			if v.s.liars[v.nation] && say.Vote != nil { // the other side too, to everybody
				other := *say.Vote
				other.Checkpoint.Root = treaty.HashOf(fmt.Appendf(nil, "%d on side %d", other.Checkpoint.Size, 1-v.side))
				o.inbox = append(o.inbox, v.sign(treaty.TypeVote, &other))
			}
		}
	}
	if say.Vote == nil && say.Wish == nil {
		return nil
	}
	return v.m.Step(now, msg)
}

func (v *voter) sign(t treaty.ContentType, body any) finality.Message {
	raw, err := v.s.f.Signers[v.nation].Sign(t, treaty.Encode(body))
	if err != nil {
		v.s.t.Fatal(err)
	}
	v.s.leave(v.nation, raw)
	msg, err := finality.Open(v.s.f.Net, raw)
	if err != nil {
		v.s.t.Fatal(err)
	}
	return msg
}

// vote lets the nations agree for a while, over a network that loses and reorders, with power cuts everywhere.
func (s *stage) vote(steps int) (heights uint64) {
	var vs []*voter
	for _, k := range s.f.Net.Nations() {
		vs = append(vs, &voter{s: s, nation: k, side: s.anySide()})
	}
	for _, v := range vs {
		v.others = vs
		v.start(0)
	}
	now := time.Duration(0)
	for range steps {
		now += time.Duration(s.rng.IntN(60)) * time.Millisecond
		v := vs[s.rng.IntN(len(vs))]
		switch x := s.rng.IntN(10); {
		case x == 0:
			v.carry(now, v.m.Advance(now))
		case x == 1:
			v.carry(now, v.m.Tick(now))
		case len(v.inbox) > 0:
			i := s.rng.IntN(min(len(v.inbox), 4))
			msg := v.inbox[i]
			v.inbox = append(v.inbox[:i:i], v.inbox[i+1:]...)
			v.carry(now, v.m.Step(now, msg))
		}
		heights = max(heights, v.m.Height()-1)
	}
	return heights
}

// write lets one honest nation number, seal and attest, on a disk that loses its power after any step.
func (s *stage) write(k treaty.Nation, steps int) {
	var disk *vfs.MemFS
	var db *pebble.DB
	var store *evidence.Store
	open := func(fs *vfs.MemFS) {
		var err error
		if db, err = pebble.Open("db", &pebble.Options{FS: fs, Logger: quietLog{}}); err != nil {
			s.t.Fatal(err)
		}
		log := slog.New(slog.NewTextHandler(io.Discard, nil))
		if store, err = evidence.Open(evidence.Config{DB: db, Net: s.f.Net, Nation: k, Log: log}); err != nil {
			s.t.Fatal(err)
		}
		disk = fs
	}
	open(vfs.NewCrashableMem())
	clock := treatytest.Founded
	for i := range steps {
		clock = clock.Add(time.Duration(s.rng.IntN(5)-1) * time.Second) // it is set back at times
		if s.rng.IntN(6) == 0 {                                         // crash: what was not synced may be lost or not
			s.crashes++
			fs := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: s.rng.IntN(101), RNG: s.rng})
			if s.amnesia {
				fs = vfs.NewCrashableMem()
			}
			_ = db.Close()
			open(fs)
		}
		var body treaty.Body
		switch s.rng.IntN(3) {
		case 0:
			body = &treaty.Remark{Text: fmt.Sprint("remark ", i)}
		case 1: // a window is sealed once (node.lastSeal, sensorio/seal)
			w := max(treaty.WindowOf(clock, 2*time.Second), store.Sealed()+1)
			body = &treaty.Seal{Window: w, Count: 1, Digest: treaty.HashOf(fmt.Appendf(nil, "batch %d", i))}
		case 2: // its view of one incident may change: what it signs may not
			body = &treaty.Attestation{
				Incident: treaty.HashOf([]byte{byte(s.rng.IntN(4))}),
				Assessment: treaty.Assessment{
					Finding: treaty.NoBreach, Class: treaty.ClassThunder, Time: clock, Likelihood: treaty.PPM(s.rng.IntN(1_000_000)),
					Confidence: treaty.ConfidenceLow, Control: treaty.PartyOdds{Neither: treaty.Certain},
					Covariance: treaty.Covariance{EE: 1, NN: 1},
					Cites:      treaty.NewCites([]treaty.Ref{{Seal: treaty.HashOf([]byte("seal"))}}),
				},
			}
		}
		r, err := store.NextRecord(func(seq uint64) (*treaty.Record, error) { return s.f.Signers[k].SignRecord(seq, clock, body) })
		switch {
		case err == nil:
			s.leave(k, r.Raw())
		case errors.Is(err, evidence.ErrAttested): // refused: nothing leaves
			s.refused++
		default:
			s.t.Fatal(err)
		}
	}
	_ = db.Close()
}

type quietLog struct{}

func (quietLog) Infof(string, ...any)            {}
func (quietLog) Errorf(string, ...any)           {}
func (quietLog) Fatalf(format string, a ...any)  { panic(fmt.Sprintf(format, a...)) }
func (s *stage) isHonest(k treaty.Nation) bool   { return !s.liars[k] }
func (s *stage) attacker() (liar *treaty.Signer) { return s.f.Signers[s.f.Net.Nations()[s.f.Net.N-1]] }

func (s *stage) forgeries(raw []byte) (out [][]byte) {
	m, err := treaty.ParseSigned(raw, treaty.MaxRecord)
	if err != nil {
		s.t.Fatal(err)
	}
	// Other words in the same nation's name, signed with the liar's key; its own signature over other words.
	as := *s.attacker()
	as.Nation = m.Header.Claims.Issuer
	payload := append([]byte{}, m.Payload...)
	payload[s.rng.IntN(len(payload))] ^= byte(1 + s.rng.IntN(255))
	if f, err := as.Sign(m.Header.Type, payload); err == nil {
		out = append(out, f)
	}
	flipped := append([]byte{}, raw...)
	flipped[s.rng.IntN(len(raw))] ^= byte(1 + s.rng.IntN(255))
	return append(out, flipped)
}

var allKinds = []treaty.MisbehaviourKind{
	treaty.TwoVotes, treaty.TwoAttestations, treaty.TwoSeals, treaty.TwoHeads, treaty.TwoRecords, treaty.Censorship,
}

// attack tries every pair of what was said, and of what the attacker made of it, as every kind, against everybody. It
// returns whom the pairs convict.
func (s *stage) attack() map[treaty.Nation]string {
	convicted := map[treaty.Nation]string{}
	try := func(accused treaty.Nation, a, b []byte) {
		for _, kind := range allKinds {
			m, err := treaty.NewMisbehaviour(accused, kind, a, b)
			if err != nil {
				continue
			}
			if p, err := s.f.Net.CheckMisbehaviour(m); err == nil {
				convicted[accused] = p.Text
			}
		}
	}
	nations := s.f.Net.Nations()
	for _, k := range nations {
		all := s.said[k]
		for _, raw := range s.said[k][:min(len(s.said[k]), 20)] {
			all = append(all[:len(all):len(all)], s.forgeries(raw)...)
		}
		for i, a := range all {
			for _, b := range all[i+1:] {
				try(k, a, b)
			}
			// Against others, and with what others said.
			o := nations[s.rng.IntN(len(nations))]
			if len(s.said[o]) > 0 {
				b := s.said[o][s.rng.IntN(len(s.said[o]))]
				try(o, a, b)
				try(k, a, b)
				try(nations[s.rng.IntN(len(nations))], a, b)
			}
		}
	}
	return convicted
}

// Would catch a rule that an honest nation can be made to break, by its peers or by a power cut anywhere, and a check
// that convicts for less than two signatures of the accused: then an innocent nation could be framed.
func TestNobodyHonestIsFramed(t *testing.T) {
	seeds := 12
	if testing.Short() {
		seeds = 4
	}
	crashes, refused, liars, statements := 0, 0, 0, 0
	var heights uint64
	for seed := range seeds {
		s := newStage(t, 4+seed%4, uint64(seed), false)
		heights += s.vote(2_000)
		for _, k := range s.f.Net.Nations()[:2] {
			s.write(k, 30)
		}
		for k, text := range s.attack() {
			if s.isHonest(k) {
				t.Errorf("seed %d: honest %s is framed: %s", seed, k, text)
			} else {
				liars++
			}
		}
		crashes += s.crashes
		refused += s.refused
		for _, said := range s.said {
			statements += len(said)
		}
	}
	t.Logf("%d statements, %d crashes, %d heights, %d liars convicted", statements, crashes, heights, liars)
	// The test means nothing if nothing happens in it.
	if crashes < 20*seeds || refused < seeds || heights < uint64(seeds) || liars < seeds {
		t.Errorf("%d crashes, %d refused, %d heights, %d liars convicted in %d runs", crashes, refused, heights, liars, seeds)
	}
}

// Would catch a framing test that sees nothing: nations that forget what they wrote down contradict themselves, in
// votes and in records, and must be seen to.
func TestFramingTestSees(t *testing.T) {
	votes, records := false, false
	for seed := uint64(0); seed < 20 && !(votes && records); seed++ {
		s := newStage(t, 4, seed, true)
		s.vote(2_000)
		for k := range s.attack() {
			votes = votes || s.isHonest(k)
		}
		s.said = map[treaty.Nation][][]byte{}
		s.write("AUT", 30)
		records = records || s.attack()["AUT"] != ""
	}
	if !votes || !records {
		t.Errorf("amnesia goes unseen: in votes %v, in records %v", votes, records)
	}
}
