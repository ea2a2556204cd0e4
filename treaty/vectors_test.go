package treaty_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"truceline/treaty"
	"truceline/treaty/treatytest"

	"golang.org/x/mod/sumdb/tlog"
)

var rewrite = flag.Bool("rewrite", false, "write the golden vectors; a difference is a break with every node that runs")

// vector is one thing of the treaty in its bytes.
type vector struct {
	name string
	rule string // of treaty.cddl; "" for text
	data []byte
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// full values: every field of every type is set in at least one of them.
var (
	at    = treatytest.Founded.Add(86_400e9 + 1)
	there = treaty.Position{LatE7: 480_123_456, LonE7: 378_765_432, HAEmm: 152_500}
	plus  = treaty.Covariance{EE: 4_000_000, EN: -1_000_000, NN: 9_000_000}
)

func h(s string) treaty.Hash { return treaty.HashOf([]byte(s)) }

func angle(urad int64) *treaty.Angle { return &treaty.Angle{Urad: urad, SigmaUrad: 5_000} }

// detections has one of every kind, with every field.
func detections() []treaty.Detection {
	base := treaty.Detection{
		Sensor: "acoustic:17", NativeID: "n-1", Modality: treaty.ModalityAcoustic, Mode: treaty.ModeReal,
		Time: treaty.TimeQuantity{Value: at, SigmaNs: 2_000_000}, TimeSource: treaty.TimeGNSS,
		Pose:  treaty.Pose{Position: there, SigmaMm: 1_000},
		Class: treaty.ClassBurst, Confidence: 930_000, Trust: treaty.TrustSensorSigned, Raw: h("raw"),
	}
	loc := &treaty.Location{Position: there, Covariance: plus}
	out := make([]treaty.Detection, 9)
	for i := range out {
		out[i] = base
	}
	out[0].Arrival = &treaty.Arrival{Phase: treaty.PhaseMuzzleBlast, BackAzimuth: angle(-1), SNRmB: 1_250, AmplitudeMB: 9_400, PeriodUs: 33_000}
	out[1].Bearing = &treaty.Bearing{Azimuth: *angle(1_570_796), Elevation: angle(-20_000)}
	out[2].RangeBearing = &treaty.RangeBearing{Azimuth: *angle(1), Elevation: angle(2), RangeMm: 7_654_321, SigmaRangeMm: 15_000}
	out[3].Location = loc
	out[4].Trajectory = &treaty.Trajectory{
		Points: []treaty.TrackPoint{{Time: at, Position: there, SigmaMm: 900}, {Time: at + 1, Position: there, SigmaMm: 901}},
		Launch: loc, Impact: loc, Rounds: 3,
	}
	out[5].Thermal = &treaty.ThermalPixel{Position: there, ScanM: 390, TrackM: 360, BrightMK: 331_250, FRPkW: 4_200, Satellite: "N20", Day: true}
	out[6].Human = &treaty.HumanReport{
		Means: "PATROL", Observation: "HEARD", CountMin: 2, CountMax: 3, Azimuth: angle(3_141_593),
		DistanceMinMm: 1_000_000, DistanceMaxMm: 3_000_000, Weapon: "mortar", Text: "two or three, Übung?",
	}
	out[7].Status = &treaty.SensorStatus{System: "OK", RangeM: 9_000, ClockNs: 40, WindMmS: 3_200, TempMC: -4_250, HaveTemp: true, WindFrom: angle(4)}
	out[8].Gap = &treaty.Gap{Begin: at, End: at + 9, Lost: 12, Cause: "buffer"}
	return out
}

func fullAssessment() treaty.Assessment {
	return treaty.Assessment{
		Finding: treaty.Breach, Party: "B", Clause: "1.2", Class: treaty.ClassMortar, Time: at, Position: there, Covariance: plus,
		Likelihood: 987_654, Confidence: treaty.ConfidenceHigh, Control: treaty.PartyOdds{A: 1_000, B: 998_000, Neither: 1_000},
		Contributors: []treaty.Nation{"AUT", "BEL"}, Modalities: []treaty.Modality{treaty.ModalityAcoustic, treaty.ModalityWeaponRadar},
		Resilience: 1, Reasons: []treaty.Reason{treaty.ReasonOperator}, Cites: fullCites(), Method: "tdoa/1",
	}
}

func fullCites() treaty.Cites {
	return treaty.NewCites([]treaty.Ref{{Seal: h("seal b"), Index: 4095}, {Seal: h("seal a"), Index: 7}, {Seal: h("seal a"), Index: 300}})
}

func fullVerdict() *treaty.Verdict {
	return &treaty.Verdict{
		Incident: h("incident"), Amends: h("verdict before"), Outcome: treaty.Breach, Party: "B", Clause: "1.2",
		Class: treaty.ClassMortar, Time: at, Position: there, Likelihood: 980_000, Confidence: treaty.ConfidenceModerate,
		Attesters: []treaty.Nation{"AUT", "BEL", "CZE"}, Dissents: []treaty.Dissent{{Nation: "DNK", Finding: treaty.Breach, Party: "A"}},
		Missing: []treaty.Nation{"EST"}, Independent: []treaty.Nation{"AUT", "BEL"}, Modalities: []treaty.Modality{treaty.ModalityAcoustic},
		Resilience: 1, Reasons: []treaty.Reason{treaty.ReasonDeadline, treaty.ReasonOneModality}, LedgerTime: at + 5, Exercise: true,
		Summary: "Party B broke clause 1.2.",
	}
}

// certificate makes one of the network's first k nations.
func certificate(f *treatytest.Fixture, step treaty.Step, cp treaty.Checkpoint, k int) *treaty.Certificate {
	c := &treaty.Certificate{Height: 3, Round: 1, Step: step, Checkpoint: cp}
	for _, n := range f.Net.Nations()[:k] {
		v := treaty.Vote{Height: 3, Round: 1, Step: step, Checkpoint: cp}
		if step == treaty.StepCommit {
			v.Prepared = h("prepare certificate")
		}
		s := must(treaty.ParseSigned(must(f.Signers[n].SignVote(v)), treaty.MaxVote))
		c.Sigs = append(c.Sigs, treaty.VoteSigOf(s, v))
	}
	return c
}

// election is the first k nations' votes for CZE.
func election(f *treatytest.Fixture, k int) *treaty.Election {
	e := &treaty.Election{Term: 7, Candidate: "CZE", Start: h("start")}
	for _, n := range f.Net.Nations()[:k] {
		e.Sigs = append(e.Sigs, must(f.Signers[n].SignElection(e.Vote())))
	}
	return e
}

// vectors are one of everything, the same every time: keys and signatures are deterministic.
func vectors(t testing.TB) []vector {
	f := treatytest.New(4)
	s := f.Signers["BEL"]
	record := func(seq uint64, b treaty.Body) []byte { return must(s.SignRecord(seq, at, b)).Raw() }
	batch := &treaty.Batch{Accord: f.Net.Digest, Nation: "BEL", Window: treaty.WindowOf(at, 2e9), Salt: h("salt"), Detections: detections()}
	cp := treaty.Checkpoint{Size: 1, Root: treaty.Hash(tlog.RecordHash(f.Net.VerdictEntry(fullVerdict()))), Index: 18, Term: 2}
	prepare := certificate(f, treaty.StepPrepare, cp, 3)
	vote := func(v treaty.Vote) []byte { return must(s.SignVote(v)) }
	wish := must(s.Sign(treaty.TypeWish, treaty.Encode(treaty.Wish{Height: 3, Round: 2, Prepared: prepare})))
	var cosigs []*treaty.Cosignature
	for _, k := range f.Net.Nations()[:3] {
		cosigs = append(cosigs, must(f.Net.Cosign(k, f.Keys[k].Cosign, cp, 946_771_200)))
	}
	note := must(f.Net.CheckpointNote(cosigs))
	return []vector{
		{"accord", "accord", treaty.Encode(richAccord(4))},
		{"accord-signature", "accord-signature", must(treaty.SignAccord(f.Net.Accord, "BEL", f.Keys["BEL"].Treaty))},
		{"founding", "founding", found(t, f, f.Net.Nations()...).Encode()},
		{"batch", "batch", treaty.Encode(batch)},
		{"record-seal", "record-seal", record(1, &treaty.Seal{Window: batch.Window, Digest: batch.Digest(), Count: 9, Prev: h("previous")})},
		{"record-seal-empty", "record-seal", record(2, &treaty.Seal{Window: batch.Window + 1})},
		{"record-incident", "record-incident", record(3, &treaty.Incident{Time: at, Position: there, Class: treaty.ClassMortar, Cites: fullCites(), Amends: h("incident before")})},
		{"record-attestation", "record-attestation", record(4, &treaty.Attestation{Incident: h("incident"), Assessment: fullAssessment(), Reviewed: true})},
		{"record-remark", "record-remark", record(1<<62, &treaty.Remark{About: h("verdict"), Text: "Seen.\nAnd noted."})},
		{"record-misbehaviour", "record-misbehaviour", record(5, must(treaty.NewMisbehaviour("CZE", treaty.TwoHeads,
			must(f.Signers["CZE"].SignHead(treaty.Head{Term: 7, Start: h("start"), Index: 18, Chain: h("chain")})),
			must(f.Signers["CZE"].SignHead(treaty.Head{Term: 7, Start: h("start"), Index: 18, Chain: h("other")})))))},
		{"verdict-entry", "verdict-entry", f.Net.VerdictEntry(fullVerdict())},
		{"vote-prepare", "vote-message", vote(treaty.Vote{Height: 3, Round: 1, Step: treaty.StepPrepare, Checkpoint: cp})},
		{"vote-commit", "vote-message", vote(treaty.Vote{Height: 3, Round: 1, Step: treaty.StepCommit, Checkpoint: cp, Prepared: prepare.Digest()})},
		{"status", "status-message", must(s.Sign(treaty.TypeStatus, treaty.Encode(treaty.Status{Height: 3, Frontier: cp})))},
		{"wish", "wish-message", wish},
		{"proposal", "proposal-message", must(s.Sign(treaty.TypeProposal, treaty.Encode(treaty.Proposal{Height: 3, Round: 2, Checkpoint: cp, Wishes: [][]byte{wish}})))},
		{"certificate-prepare", "certificate", treaty.Encode(prepare)},
		{"certificate-commit", "certificate", treaty.Encode(certificate(f, treaty.StepCommit, cp, 4))},
		{"cosignature", "cosignature", treaty.Encode(cosigs[0])},
		{"head", "head-message", must(s.SignHead(treaty.Head{Term: 7, Start: h("start"), Index: 18, Chain: h("chain")}))},
		{"complaint-record", "complaint-message", must(s.SignComplaint(treaty.Complaint{
			Term: 7, Leader: "CZE", About: treaty.GrievanceRecord, Record: h("record"), Waited: 10_250,
		}))},
		{"complaint-tenure", "complaint-message", must(s.SignComplaint(treaty.Complaint{Term: 7, Leader: "BEL", About: treaty.GrievanceTenure}))},
		{"election", "election", treaty.Encode(election(f, 3))},
		{"member", "member", treaty.Encode(f.Net.Accord.Members[1])},
		{"policy.text", "", f.Net.Policy()},
		{"checkpoint.text", "", note},
		{"proof.text", "", treaty.FormatProof(0, nil, note)},
		{"card.text", "", must(treaty.MakeCard("BEL", "Belgium", f.Keys["BEL"].Treaty, f.Keys["BEL"].Cosign, f.Keys["BEL"].Node)).Encode()},
		{"keyfile.text", "", (&treaty.KeyFile{Nation: "BEL", Role: treaty.RoleTreaty, Private: f.Keys["BEL"].Treaty}).Encode()},
		{"accordfile.text", "", treaty.FormatAccordYAML(richAccord(4))},
	}
}

// file is the vector as it is kept: text as it is, bytes in hexadecimal with their rule and SHA-256.
func (v vector) file() []byte {
	if v.rule == "" {
		return v.data
	}
	var b strings.Builder
	fmt.Fprintf(&b, "rule %s\nsha256 %s\n\n", v.rule, treaty.HashOf(v.data))
	for text := hex.EncodeToString(v.data); text != ""; {
		n := min(len(text), 120)
		b.WriteString(text[:n] + "\n")
		text = text[n:]
	}
	return []byte(b.String())
}

func readVector(t testing.TB, path string) vector {
	t.Helper()
	b := must(os.ReadFile(path))
	v := vector{name: strings.TrimSuffix(filepath.Base(path), ".txt")}
	if strings.HasSuffix(v.name, ".text") {
		v.data = b
		return v
	}
	head, body, _ := strings.Cut(string(b), "\n\n")
	var sum string
	if _, err := fmt.Sscanf(head, "rule %s\nsha256 %s", &v.rule, &sum); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	v.data = must(hex.DecodeString(strings.ReplaceAll(body, "\n", "")))
	if got := treaty.HashOf(v.data).String(); got != sum {
		t.Fatalf("%s: sha256 is %s, the file says %s", path, got, sum)
	}
	return v
}

// decoders read a vector by its rule as the running code does, strictly; they return the bytes written again.
var decoders = map[string]func(b []byte) ([]byte, error){
	"accord": func(b []byte) ([]byte, error) {
		a, err := treaty.DecodeAccord(b)
		return treaty.Encode(a), err
	},
	"accord-signature":    payloadAs[struct{}](treaty.TypeAccord, false),
	"founding":            func(b []byte) ([]byte, error) { _, err := treaty.VerifyFounding(b); return b, err },
	"batch":               func(b []byte) ([]byte, error) { x, err := treaty.DecodeBatch(b); return treaty.Encode(x), err },
	"record-seal":         recordAs(treaty.TypeSeal),
	"record-incident":     recordAs(treaty.TypeIncident),
	"record-attestation":  recordAs(treaty.TypeAttestation),
	"record-remark":       recordAs(treaty.TypeRemark),
	"record-misbehaviour": recordAs(treaty.TypeMisbehaviour),
	"verdict-entry": func(b []byte) ([]byte, error) {
		net := treatytest.New(4).Net
		v, err := net.ParseVerdict(b)
		if err != nil {
			return nil, err
		}
		return net.VerdictEntry(v), nil
	},
	"vote-message":     payloadAs[treaty.Vote](treaty.TypeVote, true),
	"status-message":   payloadAs[treaty.Status](treaty.TypeStatus, true),
	"wish-message":     payloadAs[treaty.Wish](treaty.TypeWish, true),
	"proposal-message": payloadAs[treaty.Proposal](treaty.TypeProposal, true),
	"certificate": func(b []byte) ([]byte, error) {
		c, err := treaty.DecodeCertificate(b)
		if err == nil {
			err = treatytest.New(4).Net.VerifyCertificate(c)
		}
		return treaty.Encode(c), err
	},
	"cosignature": func(b []byte) ([]byte, error) {
		c := new(treaty.Cosignature)
		err := treaty.Decode(b, treaty.MaxVote, c)
		if err == nil {
			err = treatytest.New(4).Net.VerifyCosignature(c)
		}
		return treaty.Encode(c), err
	},
	"head-message": func(b []byte) ([]byte, error) {
		s, _, err := treaty.ParseHead(b)
		if err != nil {
			return nil, err
		}
		return s.Raw, treatytest.New(4).Net.Verify(s)
	},
	"complaint-message": func(b []byte) ([]byte, error) {
		s, _, err := treaty.ParseComplaint(b)
		if err != nil {
			return nil, err
		}
		return s.Raw, treatytest.New(4).Net.Verify(s)
	},
	"election": func(b []byte) ([]byte, error) {
		e, err := treaty.DecodeElection(b)
		if err == nil {
			err = treatytest.New(4).Net.VerifyElection(e)
		}
		return treaty.Encode(e), err
	},
	"member": func(b []byte) ([]byte, error) {
		m := new(treaty.Member)
		err := treaty.Decode(b, treaty.MaxAccord, m)
		return treaty.Encode(m), err
	},
}

func recordAs(want treaty.ContentType) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		r, err := treaty.ParseRecord(b)
		if err != nil {
			return nil, err
		}
		if r.Type() != want {
			return nil, fmt.Errorf("type %s, want %s", r.Type(), want)
		}
		return r.Raw(), treatytest.New(4).Net.Verify(r.Signed)
	}
}

func payloadAs[T any](want treaty.ContentType, read bool) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		s, err := treaty.ParseSigned(b, treaty.MaxVote)
		if err != nil {
			return nil, err
		}
		if s.Header.Type != want {
			return nil, fmt.Errorf("type %s, want %s", s.Header.Type, want)
		}
		if read {
			if err := treaty.Decode(s.Payload, treaty.MaxVote, new(T)); err != nil {
				return nil, err
			}
		}
		return s.Raw, treatytest.New(4).Net.Verify(s)
	}
}

// Would catch any change of any bytes: a node with it could not talk to the others, nor read its own past.
func TestVectors(t *testing.T) {
	dir := filepath.Join("testdata", "vectors")
	for _, v := range vectors(t) {
		path := filepath.Join(dir, v.name+".txt")
		if *rewrite {
			if err := os.WriteFile(path, v.file(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		kept, err := os.ReadFile(path)
		if err != nil {
			t.Errorf("%v; write it with: go test ./treaty -run Vectors -rewrite", err)
			continue
		}
		if !bytes.Equal(kept, v.file()) {
			t.Errorf("%s is no longer what it was. If that is meant, it is a new content type version, in a new vector.\n got %.300s\nwant %.300s",
				v.name, v.file(), kept)
		}
	}
}

// Would catch code that can no longer read what an older version wrote, and bytes that treaty.cddl does not describe.
// It runs over every file that was ever kept, also those that nothing above writes any more.
func TestVectorsStayReadable(t *testing.T) {
	c := readCDDL(t)
	paths, err := filepath.Glob("testdata/vectors/*.txt")
	if err != nil || len(paths) < 20 {
		t.Fatalf("%d vectors, %v", len(paths), err)
	}
	for _, path := range paths {
		v := readVector(t, path)
		if v.rule == "" {
			continue
		}
		decode := decoders[v.rule]
		if decode == nil {
			t.Errorf("%s: no decoder for rule %s", v.name, v.rule)
			continue
		}
		again, err := decode(v.data)
		if err != nil || !bytes.Equal(again, v.data) {
			t.Errorf("%s: %v; written again the same: %v", v.name, err, bytes.Equal(again, v.data))
		}
		item, err := decodeAny(v.data)
		if err == nil {
			err = cName(v.rule).check(c, item)
		}
		if err != nil {
			t.Errorf("%s is not what treaty.cddl says: %v", v.name, err)
		}
	}
	text := func(name string) []byte {
		return readVector(t, filepath.Join("testdata/vectors", name+".text.txt")).data
	}
	entry := readVector(t, "testdata/vectors/verdict-entry.txt").data
	if _, _, err := treaty.VerifyEntry(entry, text("proof"), text("policy")); err != nil {
		t.Errorf("the kept verdict no longer verifies: %v", err)
	}
	if _, err := treaty.ParseCard(text("card")); err != nil {
		t.Errorf("the kept card: %v", err)
	}
	if _, err := treaty.ParseKeyFile(text("keyfile"), "BEL", treaty.RoleTreaty); err != nil {
		t.Errorf("the kept key file: %v", err)
	}
	a, err := treaty.ParseAccordYAML(text("accordfile"), nil)
	if want := readVector(t, "testdata/vectors/accord.txt").data; err != nil || !bytes.Equal(treaty.Encode(a), want) {
		t.Errorf("the kept accord file: %v", err)
	}
}
