package tally_test

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"truceline/consensus/tally"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// book writes unsigned records, numbered as each nation would.
type book struct {
	net *treaty.Network
	seq map[treaty.Nation]uint64
	ids uint64
}

func newBook(net *treaty.Network) *book { return &book{net: net, seq: map[treaty.Nation]uint64{}} }

func (b *book) record(k treaty.Nation, at treaty.Time, body treaty.Body) *treaty.Record {
	b.seq[k]++
	b.ids++
	r := &treaty.Record{
		Nation: k, Seq: b.seq[k], Time: at, ID: treaty.HashOf(binary.BigEndian.AppendUint64(nil, b.ids)),
		Signed: &treaty.Signed{Header: treaty.Header{Accord: b.net.Digest, Epoch: b.net.Accord.Epoch, Claims: treaty.Claims{Issuer: k}}},
	}
	switch x := body.(type) {
	case *treaty.Seal:
		r.Seal = x
	case *treaty.Incident:
		r.Incident = x
	case *treaty.Attestation:
		r.Attestation = x
	case *treaty.Remark:
		r.Remark = x
	}
	return r
}

func (b *book) breach(id treaty.Hash, cites treaty.Cites) *treaty.Attestation {
	return &treaty.Attestation{Incident: id, Assessment: treaty.Assessment{
		Finding: treaty.Breach, Party: "A", Clause: "1.2", Class: treaty.ClassArtillery, Time: start,
		Covariance: treaty.Covariance{EE: 1, NN: 1}, Likelihood: treaty.Certain, Confidence: treaty.ConfidenceHigh,
		Control: treaty.PartyOdds{A: treaty.Certain}, Resilience: 2, Cites: cites,
		Modalities: []treaty.Modality{treaty.ModalityAcoustic, treaty.ModalityHuman},
	}}
}

func must(t testing.TB, s *tally.State, r *treaty.Record, rejected string) tally.Result {
	t.Helper()
	res := s.Apply(r)
	if !res.Taken || res.Rejected != rejected {
		t.Fatalf("%s by %s: %+v, want rejected %q", r.ID.Short(), r.Nation, res, rejected)
	}
	return res
}

// A nation that seals windows far ahead, or proposes without end, must not make everybody's state grow without end; and
// it must not keep others from being heard.
func TestBounds(t *testing.T) {
	net := treatytest.NewWith(4, func(a *treaty.Accord) {
		a.Policy.HorizonNs = int64(10 * time.Minute)
	}).Net
	s, b := tally.New(net), newBook(net)
	w := treaty.WindowOf(start, net.Accord.Policy.Window())
	for _, k := range net.Nations() {
		must(t, s, b.record(k, start, &treaty.Remark{Text: "here"}), "")
	}
	var prev, first treaty.Hash
	for i := range 5_000 { // of the past: what is beyond the horizon goes when ledger time moves, or there are too many
		r := b.record("AUT", start.Add(24*time.Hour), &treaty.Seal{Window: w - 4_950 + treaty.Window(i), Digest: digestOf(i), Count: treaty.MaxDetections, Prev: prev})
		must(t, s, r, "")
		if prev = r.ID; i == 0 {
			first = prev
		}
	}
	if _, ok := s.Seal(first); ok {
		t.Error("seals beyond the horizon are kept without end")
	}
	const kept = (10+1+1)*60/2 + 2 // horizon, heartbeat, a minute; windows of 2 s
	if n := len(s.Encode()); n > 4_000+kept*100 {
		t.Errorf("the state of %d seals has %d bytes", kept, n)
	}
	// One detection, over and over: the same event, until it is decided; then amendments, eight in all.
	cite := func(i int) treaty.Cites { return treaty.NewCites([]treaty.Ref{{Seal: prev, Index: uint32(i)}}) }
	for i := range tally.MaxProposals {
		must(t, s, b.record("AUT", start.Add(24*time.Hour), &treaty.Incident{Time: start, Class: treaty.ClassOther, Cites: cite(i % treaty.MaxDetections)}), "")
	}
	must(t, s, b.record("AUT", start.Add(24*time.Hour), &treaty.Incident{Time: start, Class: treaty.ClassOther, Cites: cite(1)}), tally.RejectedQuota)
	if n := len(s.Incidents()); n != tally.MaxProposals {
		t.Errorf("%d open incidents", n)
	}
	own := b.record("BEL", start.Add(2*time.Second), &treaty.Seal{Window: w, Digest: digestOf(1), Count: 1})
	must(t, s, own, "")
	mine := b.record("BEL", start.Add(2*time.Second), &treaty.Incident{
		Time: start, Class: treaty.ClassOther, Cites: treaty.NewCites([]treaty.Ref{{Seal: own.ID}}),
	})
	must(t, s, mine, "")
	// All expire, are forgotten, and the quota is there again.
	for _, d := range []time.Duration{3 * time.Minute, 20 * time.Minute} {
		verdicts := 0
		for _, k := range net.Nations()[1:] {
			verdicts += len(must(t, s, b.record(k, start.Add(d), &treaty.Remark{Text: "later"}), "").Derived)
		}
		if want := tally.MaxProposals + 1; d == 3*time.Minute && verdicts != want {
			t.Errorf("%d verdicts, want %d", verdicts, want)
		}
	}
	if _, ok := s.Incident(mine.ID); ok {
		t.Error("an incident is kept beyond the horizon")
	}
	again := b.record("AUT", start.Add(24*time.Hour), &treaty.Seal{Window: w + 600, Digest: digestOf(0), Count: 2, Prev: prev})
	must(t, s, again, "")
	prev = again.ID
	must(t, s, b.record("AUT", start.Add(24*time.Hour), &treaty.Incident{Time: start, Class: treaty.ClassOther, Cites: cite(1)}), "")
}

func digestOf(i int) treaty.Hash {
	return treaty.HashOf(binary.BigEndian.AppendUint64([]byte("digest"), uint64(i)))
}

// One nation may not bring the same detection before the others more than MaxUses times, however it is dressed up.
func TestUses(t *testing.T) {
	net := nets[0]
	s, b := tally.New(net), newBook(net)
	w := treaty.WindowOf(start, net.Accord.Policy.Window())
	seal := b.record("AUT", start.Add(2*time.Second), &treaty.Seal{Window: w, Digest: digestOf(1), Count: 100})
	must(t, s, seal, "")
	for i := range tally.MaxUses + 1 {
		want := ""
		if i == tally.MaxUses {
			want = tally.RejectedQuota
		}
		cites := treaty.NewCites([]treaty.Ref{{Seal: seal.ID}, {Seal: seal.ID, Index: uint32(2*i + 1)}, {Seal: seal.ID, Index: uint32(2*i + 2)}})
		must(t, s, b.record("AUT", start.Add(2*time.Second), &treaty.Incident{Time: start, Class: treaty.ClassOther, Cites: cites}), want)
	}
	cites := treaty.NewCites([]treaty.Ref{{Seal: seal.ID}, {Seal: seal.ID, Index: 90}})
	must(t, s, b.record("BEL", start.Add(2*time.Second), &treaty.Incident{Time: start, Class: treaty.ClassOther, Cites: cites}), "")
}

// A state of another network, or one with a part that does not fit, must not be loaded.
func TestDecodeRefuses(t *testing.T) {
	s := tally.New(nets[0])
	b := s.Encode()
	if _, err := tally.Decode(nets[1], b); err == nil {
		t.Error("a state of another network was loaded")
	}
	for i := range b {
		if _, err := tally.Decode(nets[0], b[:i]); err == nil {
			t.Fatalf("%d bytes of %d were loaded", i, len(b))
		}
	}
	if _, err := tally.Decode(nets[0], append(b, 0)); err == nil {
		t.Error("a byte too many was loaded")
	}
}

// A nation may make the others remember MaxCited citations and no more; what it cites without effect is not counted.
func TestCited(t *testing.T) {
	net := nets[0]
	s, b := tally.New(net), newBook(net)
	w, at := treaty.WindowOf(start, net.Accord.Policy.Window()), start.Add(2*time.Second)
	seal := b.record("BEL", at, &treaty.Seal{Window: w, Digest: digestOf(1), Count: treaty.MaxDetections})
	must(t, s, seal, "")
	one := func(i int) treaty.Cites { return treaty.Cites{{Seal: seal.ID, Indexes: []uint32{uint32(i)}}} }
	all := treaty.Cites{{Seal: seal.ID}}
	for i := range treaty.MaxCites {
		all[0].Indexes = append(all[0].Indexes, uint32(i))
	}
	// A detection carries one BREACH of a nation, so each of these cites a seal of its own.
	var prev treaty.Hash
	breach := func(id treaty.Hash, i int) *treaty.Attestation {
		k := w - 1_100 + treaty.Window(i)
		r := b.record("DNK", at, &treaty.Seal{Window: k, Digest: digestOf(i + 2), Count: treaty.MaxDetections, Prev: prev})
		must(t, s, r, "")
		prev = r.ID
		return b.breach(id, treaty.Cites{{Seal: r.ID, Indexes: all[0].Indexes}})
	}
	for i := range tally.MaxCited/treaty.MaxCites + 1 {
		in := b.record("BEL", at, &treaty.Incident{Time: start, Class: treaty.ClassOther, Cites: one(i)})
		must(t, s, in, "")
		for k, f := range map[treaty.Nation]treaty.Finding{"CZE": treaty.NoBreach, "DNK": treaty.Inconclusive} { // cost nothing
			a := b.breach(in.ID, all)
			a.Assessment.Finding, a.Assessment.Party, a.Assessment.Clause = f, "", ""
			must(t, s, b.record(k, at, a), "")
		}
		want := ""
		if i == tally.MaxCited/treaty.MaxCites {
			want = tally.RejectedQuota
		}
		must(t, s, b.record("AUT", at, breach(in.ID, i)), want)
	}
	must(t, s, b.record("AUT", at, &treaty.Incident{Time: start, Class: treaty.ClassOther, Cites: one(4_000)}), tally.RejectedQuota)
	must(t, s, b.record("CZE", at, &treaty.Incident{Time: start, Class: treaty.ClassOther, Cites: one(4_000)}), "")
}

// What another network's, another epoch's or another nation's key has signed must not enter, nor what has no one body.
func TestRefuses(t *testing.T) {
	net := nets[0]
	for name, c := range map[string]struct {
		change func(*treaty.Record)
		want   string
	}{
		"nothing":        {func(r *treaty.Record) { *r = treaty.Record{} }, tally.RefusedMalformed},
		"no signature":   {func(r *treaty.Record) { r.Signed = nil }, tally.RefusedMalformed},
		"no id":          {func(r *treaty.Record) { r.ID = treaty.Hash{} }, tally.RefusedMalformed},
		"no time":        {func(r *treaty.Record) { r.Time = 0 }, tally.RefusedMalformed},
		"number 0":       {func(r *treaty.Record) { r.Seq = 0 }, tally.RefusedMalformed},
		"no body":        {func(r *treaty.Record) { r.Remark = nil }, tally.RefusedMalformed},
		"two bodies":     {func(r *treaty.Record) { r.Seal = &treaty.Seal{} }, tally.RefusedMalformed},
		"bad body":       {func(r *treaty.Record) { r.Remark.Text = "" }, tally.RefusedMalformed},
		"other accord":   {func(r *treaty.Record) { r.Signed.Header.Accord[0]++ }, tally.RefusedStranger},
		"other epoch":    {func(r *treaty.Record) { r.Signed.Header.Epoch++ }, tally.RefusedStranger},
		"other issuer":   {func(r *treaty.Record) { r.Signed.Header.Claims.Issuer = "BEL" }, tally.RefusedStranger},
		"not a member":   {func(r *treaty.Record) { r.Nation, r.Signed.Header.Claims.Issuer = "XXX", "XXX" }, tally.RefusedStranger},
		"number too big": {func(r *treaty.Record) { r.Seq = 2 }, tally.RefusedGap},
	} {
		s, r := tally.New(net), newBook(net).record("AUT", start, &treaty.Remark{Text: "x"})
		c.change(r)
		if res := s.Apply(r); res.Taken || res.Duplicate || res.Refused != c.want {
			t.Errorf("%s: %+v, want refused %s", name, res, c.want)
		}
		if !s.Equal(tally.New(net)) {
			t.Errorf("%s: it changed the state", name)
		}
	}
	if res := tally.New(net).Apply(nil); res.Refused != tally.RefusedMalformed {
		t.Errorf("nil: %+v", res)
	}
}

// What is beyond the horizon must not stand in the way of what comes after it, though a seal that cannot expire yet
// still holds its traces.
func TestForgottenIsFree(t *testing.T) {
	net := treatytest.NewWith(4, func(a *treaty.Accord) {
		a.Policy.DeadlineNs, a.Policy.HorizonNs = int64(10*time.Second), int64(10*time.Second)
	}).Net
	s, b := tally.New(net), newBook(net)
	far := start.Add(24 * time.Hour)
	for _, k := range net.Nations() {
		must(t, s, b.record(k, start, &treaty.Remark{Text: "here"}), "")
	}
	seal := b.record("AUT", far, &treaty.Seal{Window: treaty.WindowOf(start, 2*time.Second) + 58, Digest: digestOf(1), Count: 100})
	must(t, s, seal, "")
	propose := func(i int) *treaty.Record {
		cites := treaty.NewCites([]treaty.Ref{{Seal: seal.ID}, {Seal: seal.ID, Index: uint32(2*i + 1)}, {Seal: seal.ID, Index: uint32(2*i + 2)}})
		r := b.record("AUT", far, &treaty.Incident{Time: start, Class: treaty.ClassOther, Cites: cites})
		must(t, s, r, "")
		return r
	}
	cites := treaty.NewCites([]treaty.Ref{{Seal: seal.ID, Index: 50}})
	for i := range tally.MaxUses {
		in := propose(i)
		want := ""
		if i > 0 {
			want = tally.RejectedSecondBreach
		}
		must(t, s, b.record("AUT", far, b.breach(in.ID, cites)), want)
	}
	for _, d := range []time.Duration{11 * time.Second, 30 * time.Second} {
		for _, k := range net.Nations()[1:] {
			must(t, s, b.record(k, start.Add(d), &treaty.Remark{Text: "later"}), "")
		}
	}
	if _, ok := s.Seal(seal.ID); !ok {
		t.Fatal("the seal should still be there")
	}
	in := propose(0)
	must(t, s, b.record("AUT", far, b.breach(in.ID, cites)), "")
}

// A stored state whose parts do not fit each other must not be loaded.
func TestDecodeChecksBreaches(t *testing.T) {
	net := nets[0]
	s, b := tally.New(net), newBook(net)
	at := start.Add(2 * time.Second)
	seal := b.record("AUT", at, &treaty.Seal{Window: treaty.WindowOf(start, 2*time.Second), Digest: digestOf(1), Count: 3})
	must(t, s, seal, "")
	cites := treaty.NewCites([]treaty.Ref{{Seal: seal.ID, Index: 2}})
	in := b.record("AUT", at, &treaty.Incident{Time: start, Class: treaty.ClassOther, Cites: cites})
	must(t, s, in, "")
	must(t, s, b.record("BEL", at, b.breach(in.ID, cites)), "")
	row := []byte{0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1 << 1}
	enc := s.Encode()
	if bytes.Count(enc, row) != 1 {
		t.Fatal("the row is not where this test looks for it")
	}
	for what, c := range map[string]struct{ at, to byte }{
		"no such seal": {3, 1}, "no such detection": {7, 3}, "no such incident": {15, 2}, "nobody": {23, 0},
		"a nation that did not attest": {23, 1}, "no nation": {16, 0x80},
	} {
		bad := bytes.Clone(row)
		bad[c.at] = c.to
		if _, err := tally.Decode(net, bytes.Replace(enc, row, bad, 1)); err == nil {
			t.Errorf("%s: loaded", what)
		}
	}
	bad := bytes.Clone(row)
	bad[7] = 1
	if _, err := tally.Decode(net, bytes.Replace(enc, row, bad, 1)); err != nil {
		t.Errorf("another detection of that seal: %v", err)
	}
}
