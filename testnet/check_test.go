package testnet

import (
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"truceline/consensus/tally"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// book is a ledger made by hand, for breaking.
type book struct {
	fix     *treatytest.Fixture
	state   *tally.State
	seq     map[treaty.Nation]uint64
	entries [][]byte
	now     treaty.Time
}

func newBook(n int) *book {
	f := treatytest.New(n)
	return &book{fix: f, state: tally.New(f.Net), seq: map[treaty.Nation]uint64{}, now: treatytest.Founded.Add(48 * time.Hour)}
}

// add puts a record and what follows from it into the ledger.
func (b *book) add(t testing.TB, k treaty.Nation, body treaty.Body) *treaty.Record {
	t.Helper()
	b.seq[k]++
	b.now = b.now.Add(100 * time.Millisecond)
	r, err := b.fix.Signers[k].SignRecord(b.seq[k], b.now, body)
	if err != nil {
		t.Fatal(err)
	}
	got := b.state.Apply(r)
	if !got.Taken || got.Rejected != "" {
		t.Fatalf("%s: %+v", k, got)
	}
	b.entries = append(append(b.entries, r.Raw()), got.Derived...)
	return r
}

// judged is a ledger in which every nation sealed two detections, one incident cites them, and as many nations as given
// attest that it is no breach.
func judged(t testing.TB, n, attest int) *book {
	b := newBook(n)
	ks := b.fix.Net.Nations()
	w := treaty.WindowOf(b.now, b.fix.Net.Accord.Policy.Window())
	b.now = w.End(b.fix.Net.Accord.Policy.Window())
	var cites treaty.Cites
	for _, k := range ks {
		r := b.add(t, k, &treaty.Seal{Window: w, Digest: treaty.HashOf([]byte(k)), Count: 2})
		cites = append(cites, treaty.SealCite{Seal: r.ID, Indexes: []uint32{0, 1}})
	}
	slices.SortFunc(cites, func(x, y treaty.SealCite) int { return treaty.CompareHash(x.Seal, y.Seal) })
	at := treaty.Position{LatE7: 481e6, LonE7: 38e7}
	inc := b.add(t, ks[0], &treaty.Incident{Time: b.now, Position: at, Class: treaty.ClassThunder, Cites: cites})
	for _, k := range ks[:attest] {
		b.add(t, k, &treaty.Attestation{Incident: inc.ID, Assessment: treaty.Assessment{
			Finding: treaty.NoBreach, Class: treaty.ClassThunder, Time: b.now, Position: at, Likelihood: 990_000,
			Covariance: treaty.Covariance{EE: 1e6, NN: 1e6}, Confidence: treaty.ConfidenceHigh, Control: treaty.PartyOdds{Neither: treaty.Certain},
			Contributors: slices.Clone(ks), Modalities: []treaty.Modality{treaty.ModalityAcoustic}, Resilience: 1,
			Reasons: []treaty.Reason{}, Cites: cites, Method: "by hand",
		}})
	}
	return b
}

func (b *book) hashes(entries [][]byte) tlog.HashReaderFunc {
	var stored []tlog.Hash
	read := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range at {
			out = append(out, stored[i])
		}
		return out, nil
	})
	for i, e := range entries {
		hs, err := tlog.StoredHashesForRecordHash(int64(i), tlog.RecordHash(e), read)
		if err != nil {
			panic(err)
		}
		stored = append(stored, hs...)
	}
	return read
}

// note is the checkpoint of entries, cosigned by so many nations.
func (b *book) note(t testing.TB, entries [][]byte, signers int) []byte {
	t.Helper()
	root, err := tlog.TreeHash(int64(len(entries)), b.hashes(entries))
	if err != nil {
		t.Fatal(err)
	}
	var cs []*treaty.Cosignature
	for _, k := range b.fix.Net.Nations()[:signers] {
		c, err := b.fix.Net.Cosign(k, b.fix.Keys[k].Cosign, treaty.Checkpoint{Size: uint64(len(entries)), Root: treaty.Hash(root)}, 1)
		if err != nil {
			t.Fatal(err)
		}
		cs = append(cs, c)
	}
	n, err := b.fix.Net.CheckpointNote(cs)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (b *book) chain(t testing.TB, k treaty.Nation, entries [][]byte) Chain {
	note := b.note(t, entries, b.fix.Net.Q)
	return Chain{
		Nation: k, Size: uint64(len(entries)), Entries: listed(entries), Notes: listed([][]byte{note}),
		Prove: func(i uint64, _ treaty.Hash) ([]byte, []byte, error) {
			p, err := tlog.ProveRecord(int64(len(entries)), int64(i), b.hashes(entries))
			return entries[i], treaty.FormatProof(i, p, note), err
		},
		State: func() (uint64, treaty.Hash, error) {
			return uint64(len(entries)), treaty.HashOf(b.state.Encode()), nil
		},
	}
}

func listed(items [][]byte) func() iter.Seq2[[]byte, error] {
	return func() iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			for _, e := range items {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// Check must find nothing in a sound network and every one of these breaks, each of which would be the end of trust in a
// real one. A checker that misses one makes every simulation worthless.
func TestCheck(t *testing.T) {
	const n = 5
	b := judged(t, n, 4)
	ks := b.fix.Net.Nations()
	last := len(b.entries)
	if !treaty.IsVerdict(b.entries[last-1]) {
		t.Fatal("the ledger by hand has no verdict")
	}
	sound := func() Inspection {
		in := Inspection{Net: b.fix.Net, Reach: uint64(last), Acknowledged: []treaty.Hash{treaty.HashOf(b.entries[0])}}
		for _, k := range ks {
			in.Chains = append(in.Chains, b.chain(t, k, b.entries))
		}
		return in
	}
	if got := Check(sound()); len(got) > 0 {
		t.Fatalf("a sound network: %q", got)
	}
	forged := func(i int, e []byte) [][]byte {
		out := slices.Clone(b.entries)
		out[i] = e
		return out
	}
	v, err := b.fix.Net.ParseVerdict(b.entries[last-1])
	if err != nil {
		t.Fatal(err)
	}
	v.Outcome, v.Party = treaty.Breach, "A"
	other := treatytest.New(n + 1)
	strange, err := other.Signers[ks[0]].SignRecord(1, b.now, &treaty.Remark{Text: "of another network"})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name, want string
		break_     func(*Inspection)
	}{
		{"one nation holds another entry", "holds another entry", func(in *Inspection) {
			in.Chains[2] = b.chain(t, ks[2], forged(1, b.entries[0]))
		}},
		{"two roots of one size", "two roots", func(in *Inspection) {
			in.Chains[3].Notes = listed([][]byte{b.note(t, forged(1, b.entries[0]), 4)})
		}},
		{"a certificate for another root", "does not hold", func(in *Inspection) {
			in.Chains[3].Certificates = func() iter.Seq2[*treaty.Certificate, error] {
				return func(yield func(*treaty.Certificate, error) bool) {
					yield(&treaty.Certificate{Height: 1, Step: treaty.StepCommit, Checkpoint: treaty.Checkpoint{Size: 1}}, nil)
				}
			}
		}},
		{"a forged verdict on all nodes", "not the verdict that the tally derives", func(in *Inspection) {
			for i := range in.Chains {
				in.Chains[i] = b.chain(t, ks[i], forged(last-1, b.fix.Net.VerdictEntry(v)))
			}
		}},
		{"and it has no quorum", "stands on 0 nations", func(in *Inspection) {
			for i := range in.Chains {
				in.Chains[i] = b.chain(t, ks[i], forged(last-1, b.fix.Net.VerdictEntry(v)))
			}
		}},
		{"a record that nobody of the roster signed", "wrong accord", func(in *Inspection) {
			for i := range in.Chains {
				in.Chains[i] = b.chain(t, ks[i], append(slices.Clone(b.entries), strange.Raw()))
			}
		}},
		{"an acknowledged record is missing", "was acknowledged", func(in *Inspection) {
			in.Acknowledged = append(in.Acknowledged, strange.ID)
		}},
		{"one did not catch up", "has not caught up", func(in *Inspection) {
			in.Chains[4] = b.chain(t, ks[4], b.entries[:last-2])
			in.Chains[4].State = nil
		}},
		{"another state", "another state", func(in *Inspection) {
			in.Chains[1].State = func() (uint64, treaty.Hash, error) { return uint64(last), treaty.HashOf(nil), nil }
		}},
		{"a proof of something else", "does not prove", func(in *Inspection) {
			prove := in.Chains[1].Prove
			in.Chains[1].Prove = func(i uint64, id treaty.Hash) ([]byte, []byte, error) {
				e, p, err := prove(i, id)
				p[len(p)/2] ^= 1
				return e, p, err
			}
		}},
		{"a checkpoint without a quorum", "not cosigned by a quorum", func(in *Inspection) {
			note := string(b.note(t, b.entries, b.fix.Net.Q))
			lines := strings.SplitAfter(note, "\n")
			in.Chains[0].Notes = listed([][]byte{[]byte(strings.Join(lines[:len(lines)-2], ""))})
		}},
		{"final beyond its checkpoint", "under a checkpoint of size", func(in *Inspection) {
			in.Chains[0].Notes = listed([][]byte{b.note(t, b.entries[:1], b.fix.Net.Q)})
		}},
	} {
		in := sound()
		x.break_(&in)
		got := Check(in)
		if !slices.ContainsFunc(got, func(v string) bool { return strings.Contains(v, x.want) }) {
			t.Errorf("%s: want %q among %q", x.name, x.want, got)
		}
	}
}
