package tally_test

import (
	"encoding/binary"
	"slices"
	"time"

	"truceline/treaty"
)

// source turns bytes into choices; when they run out, every choice is 0.
type source struct {
	data []byte
}

func (s *source) done() bool { return len(s.data) == 0 }

func (s *source) byte() byte {
	if len(s.data) == 0 {
		return 0
	}
	b := s.data[0]
	s.data = s.data[1:]
	return b
}

func (s *source) below(n int) int {
	if n <= 0 {
		return 0
	}
	return int(s.byte()) % n
}

// generator makes records as a network with liars might: mostly sound, with every kind of mistake among them. They are
// not signed, because Apply does not look. The ids are made up in order.
type generator struct {
	source
	net       *treaty.Network
	now       treaty.Time
	seq       map[treaty.Nation]uint64
	last      map[treaty.Nation]treaty.Hash
	named     map[treaty.Nation]treaty.Hash // last seal in the ledger, with or without effect
	window    map[treaty.Nation]treaty.Window
	seals     []madeSeal
	incidents []treaty.Hash
	proposed  map[treaty.Hash]*treaty.Incident
	made      []*treaty.Record
	ids       uint64
}

type madeSeal struct {
	id    treaty.Hash
	count uint32
}

func newGenerator(net *treaty.Network, data []byte) *generator {
	return &generator{
		source: source{data}, net: net, now: start, seq: map[treaty.Nation]uint64{}, last: map[treaty.Nation]treaty.Hash{},
		window: map[treaty.Nation]treaty.Window{}, named: map[treaty.Nation]treaty.Hash{}, proposed: map[treaty.Hash]*treaty.Incident{},
	}
}

// next makes one record. taken must be told what became of it.
func (g *generator) next() *treaty.Record {
	k := g.net.Nations()[g.below(g.net.N)]
	g.ids++
	r := &treaty.Record{
		Nation: k, Seq: g.seq[k] + 1, ID: treaty.HashOf(binary.BigEndian.AppendUint64(nil, g.ids)),
		Signed: &treaty.Signed{Header: treaty.Header{Accord: g.net.Digest, Epoch: g.net.Accord.Epoch, Claims: treaty.Claims{Issuer: k}}},
	}
	g.now = g.now.Add(time.Duration(g.below(8)) * 250 * time.Millisecond)
	switch g.below(64) { // a jump, a liar's clock
	case 0:
		g.now = g.now.Add(time.Duration(g.below(20)) * 10 * time.Minute)
	case 1:
		r.Time = 1<<63 - 1
	case 2:
		r.Time = 1
	}
	if r.Time == 0 {
		r.Time = g.now
	}
	switch op := g.below(16); {
	case op < 3:
		g.seal(r)
	case op < 6:
		g.incident(r)
	case op < 14:
		g.attestation(r)
	case op < 15:
		r.Remark = &treaty.Remark{Text: "x"}
	default:
		g.odd(r)
	}
	g.made = append(g.made, r)
	return r
}

func (g *generator) seal(r *treaty.Record) {
	w := g.net.Accord.Policy.Window()
	b := &treaty.Seal{Prev: g.last[r.Nation], Window: treaty.WindowOf(r.Time, w) - 1, Count: uint32(g.below(4))}
	switch g.below(12) {
	case 0:
		b.Window -= 5 // late
	case 1:
		b.Window = g.window[r.Nation]
	case 2:
		b.Prev = treaty.HashOf(nil)
	case 3:
		b.Window += 100
	case 4:
		b.Window = ^treaty.Window(0) - 1
	case 5, 6:
		b.Prev = g.named[r.Nation]
	case 7:
		b.Window -= 15 // later than SealWait
	}
	if b.Count > 0 {
		b.Digest = r.ID
	}
	r.Seal = b
}

func (g *generator) cites() treaty.Cites {
	var refs []treaty.Ref
	for range 1 + g.below(6) {
		ref := treaty.Ref{Seal: treaty.HashOf(nil)}
		if len(g.seals) > 0 && g.below(24) > 0 {
			s := g.seals[len(g.seals)-1-g.below(min(len(g.seals), 12))]
			ref = treaty.Ref{Seal: s.id, Index: uint32(g.below(int(s.count)))}
		}
		if g.below(40) == 0 {
			ref.Index += 3
		}
		refs = append(refs, ref)
	}
	return treaty.NewCites(refs)
}

func (g *generator) anyIncident() treaty.Hash {
	if len(g.incidents) == 0 {
		return treaty.HashOf(nil)
	}
	return g.incidents[len(g.incidents)-1-g.below(min(len(g.incidents), 3))]
}

func (g *generator) incident(r *treaty.Record) {
	r.Incident = &treaty.Incident{Time: start, Class: treaty.ClassExplosion, Cites: g.cites()}
	if g.below(3) == 0 {
		r.Incident.Amends = g.anyIncident()
		if in := g.proposed[r.Incident.Amends]; in != nil && g.below(4) > 0 { // the same event, with something more
			r.Incident.Cites = treaty.NewCites(slices.AppendSeq(slices.Collect(in.Cites.All()), r.Incident.Cites.All()))
		}
	}
}

func (g *generator) attestation(r *treaty.Record) {
	a := treaty.Assessment{
		Finding: treaty.Breach, Class: treaty.ClassArtillery + treaty.EventClass(g.below(3)), Time: start.Add(time.Duration(g.below(9)) * time.Second),
		Position:   treaty.Position{LatE7: int64(g.byte()), LonE7: -int64(g.byte()), HAEmm: int64(g.byte())},
		Covariance: treaty.Covariance{EE: 1, NN: 1}, Likelihood: treaty.PPM(g.byte()) * 3900, Confidence: treaty.Confidence(1 + g.below(3)),
		Control: treaty.PartyOdds{A: treaty.Certain}, Cites: g.cites(), Resilience: 1,
		Modalities: []treaty.Modality{treaty.ModalityAcoustic},
	}
	if len(g.seals) > 4 && g.below(4) > 0 { // what everybody has heard
		var refs []treaty.Ref
		for _, s := range g.seals[len(g.seals)-4-g.below(2):] {
			refs = append(refs, treaty.Ref{Seal: s.id, Index: uint32(g.below(int(s.count)))})
		}
		a.Cites = treaty.NewCites(refs)
	}
	if g.below(2) == 0 {
		a.Modalities = append(a.Modalities, treaty.ModalitySatellite)
	}
	switch g.below(8) {
	case 0:
		a.Finding = treaty.NoBreach
	case 1:
		a.Finding = treaty.Inconclusive
	}
	if g.below(4) == 0 {
		a.Reasons = []treaty.Reason{treaty.ReasonPoorFit}
	}
	if g.below(12) == 0 {
		a.Resilience = uint32(g.below(4))
	}
	if a.Finding == treaty.Breach {
		a.Party = []treaty.Party{"A", "A", "A", "A", "A", "A", "A", "A", "B", "Z"}[g.below(10)]
		a.Clause = []treaty.ClauseID{"1", "1.1", "1.2", "1.2", "1.2", "9"}[g.below(6)]
	}
	id := g.anyIncident()
	if in := g.proposed[id]; in != nil && !in.Amends.IsZero() && g.below(3) > 0 {
		a.Cites = treaty.NewCites(slices.AppendSeq(slices.Collect(in.Cites.All()), a.Cites.All()))
	}
	r.Attestation = &treaty.Attestation{Incident: id, Assessment: a}
}

// odd makes what ParseRecord would never let through, and repetitions.
func (g *generator) odd(r *treaty.Record) {
	r.Remark = &treaty.Remark{Text: "odd"}
	switch g.below(10) {
	case 0:
		r.Seq += 1 + uint64(g.byte())
	case 1:
		r.Signed = nil
	case 2:
		r.Remark = nil
	case 3:
		r.Seal = &treaty.Seal{}
	case 4:
		r.Remark, r.Incident = nil, &treaty.Incident{}
	case 5:
		r.Remark, r.Attestation = nil, &treaty.Attestation{Incident: r.ID}
	case 6:
		r.Signed.Header.Epoch++
	case 7:
		r.Nation = "XXX"
	case 8:
		if len(g.made) > 0 {
			*r = *g.made[g.below(len(g.made))]
		}
	case 9:
		r.Seq = 1<<64 - 1
	}
}

// taken notes the effect of a record, so that later ones can refer to it.
func (g *generator) taken(r *treaty.Record, rejected string) {
	g.seq[r.Nation] = r.Seq
	if r.Seal != nil {
		g.named[r.Nation] = r.ID
	}
	switch {
	case rejected != "":
	case r.Seal != nil:
		g.last[r.Nation], g.window[r.Nation] = r.ID, r.Seal.Window
		if r.Seal.Count > 0 {
			g.seals = append(g.seals, madeSeal{r.ID, r.Seal.Count})
		}
	case r.Incident != nil:
		g.incidents = append(g.incidents, r.ID)
		g.proposed[r.ID] = r.Incident
	}
}
