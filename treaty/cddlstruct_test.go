package treaty_test

import (
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"truceline/treaty"
)

// described are the Go types and the rules that describe them.
var described = map[string]any{
	"header": treaty.Header{}, "seal": treaty.Seal{}, "incident": treaty.Incident{}, "seal-cite": treaty.SealCite{},
	"attestation": treaty.Attestation{}, "assessment": treaty.Assessment{}, "party-odds": treaty.PartyOdds{}, "remark": treaty.Remark{},
	"misbehaviour": treaty.Misbehaviour{},
	"verdict":      treaty.Verdict{}, "dissent": treaty.Dissent{}, "batch": treaty.Batch{}, "detection": treaty.Detection{},
	"position": treaty.Position{}, "covariance": treaty.Covariance{}, "time-quantity": treaty.TimeQuantity{}, "pose": treaty.Pose{},
	"angle": treaty.Angle{}, "arrival": treaty.Arrival{}, "bearing": treaty.Bearing{}, "range-bearing": treaty.RangeBearing{},
	"location": treaty.Location{}, "trajectory": treaty.Trajectory{}, "track-point": treaty.TrackPoint{}, "thermal-pixel": treaty.ThermalPixel{},
	"human-report": treaty.HumanReport{}, "sensor-status": treaty.SensorStatus{}, "gap": treaty.Gap{},
	"accord": treaty.Accord{}, "member": treaty.Member{}, "key": treaty.Key{}, "party-info": treaty.PartyInfo{}, "line": treaty.Line{},
	"zone": treaty.Zone{}, "clause": treaty.Clause{}, "policy": treaty.Policy{}, "founding": treaty.Founding{},
	"checkpoint": treaty.Checkpoint{}, "vote": treaty.Vote{}, "vote-sig": treaty.VoteSig{}, "certificate": treaty.Certificate{},
	"status": treaty.Status{}, "wish": treaty.Wish{}, "proposal": treaty.Proposal{}, "cosignature": treaty.Cosignature{},
	"head": treaty.Head{}, "election": treaty.Election{}, "election-sig": treaty.ElectionSig{}, "election-vote": treaty.ElectionVote{},
	"complaint": treaty.Complaint{},
}

// Would catch a field that was added, renumbered or made optional in Go and not in the description, or the reverse.
func TestCDDLMatchesStructs(t *testing.T) {
	c := readCDDL(t)
	for rule, v := range described {
		g, ok := c[rule].(cGroup)
		if !ok || g.array {
			t.Errorf("treaty.cddl has no map %s", rule)
			continue
		}
		want := map[int64]bool{} // key -> optional
		for _, e := range g.entries {
			want[e.key] = e.low == 0
		}
		typ := reflect.TypeOf(v)
		for i := range typ.NumField() {
			tag := strings.Split(typ.Field(i).Tag.Get("cbor"), ",")
			key, err := strconv.ParseInt(tag[0], 10, 64)
			if err != nil || tag[1] != "keyasint" {
				t.Errorf("%s.%s: tag %v", typ, typ.Field(i).Name, tag)
				continue
			}
			optional, known := want[key]
			if inGo := len(tag) > 2; !known || optional != inGo {
				t.Errorf("%s.%s, key %d: optional %v in Go; in treaty.cddl known %v, optional %v", typ, typ.Field(i).Name, key, inGo, known, optional)
			}
			delete(want, key)
		}
		if len(want) > 0 {
			t.Errorf("%s has no fields for keys %v of treaty.cddl", typ, want)
		}
	}
	// Every map with a name has a Go type, but for the one that is not exported.
	for rule, typ := range c {
		if g, ok := typ.(cGroup); ok && !g.array && described[rule] == nil && rule != "consent" {
			t.Errorf("rule %s describes no Go type", rule)
		}
	}
}

// Would catch a rule that is misspelt where it is used, or that nothing uses.
func TestCDDLRulesAreUsed(t *testing.T) {
	c := readCDDL(t)
	used := map[string]bool{"sign1": true, "int": true, "uint": true, "tstr": true, "bstr": true}
	for r := range decoders {
		used[r] = true
	}
	// Words that stand in byte strings, one byte each.
	used["modality"], used["reason"] = true, true
	// What the signatures of an election are over; it never travels.
	used["election-vote"] = true
	var walk func(x cType)
	walk = func(x cType) {
		switch x := x.(type) {
		case cName:
			used[string(x)] = true
			if c[string(x)] == nil && !strings.Contains(" int uint tstr bstr ", " "+string(x)+" ") {
				t.Errorf("rule %s is used and not there", x)
			}
		case cChoice:
			for _, y := range x {
				walk(y)
			}
		case cTag:
			walk(x.item)
		case cControl:
			walk(x.of)
			walk(x.with)
		case cGroup:
			for _, e := range x.entries {
				walk(e.item)
			}
		}
	}
	for _, x := range c {
		walk(x)
	}
	for r := range c {
		if !used[r] {
			t.Errorf("nothing uses rule %s", r)
		}
	}
}

// Would catch a word that was added to a list in Go and not in the description.
func TestCDDLMatchesEnums(t *testing.T) {
	c := readCDDL(t)
	for rule, valid := range map[string]func(uint8) bool{
		"modality":          func(v uint8) bool { return treaty.Modality(v).Valid() },
		"mode":              func(v uint8) bool { return treaty.Mode(v).Valid() },
		"trust":             func(v uint8) bool { return treaty.Trust(v).Valid() },
		"event-class":       func(v uint8) bool { return treaty.EventClass(v).Valid() },
		"phase":             func(v uint8) bool { return treaty.Phase(v).Valid() },
		"time-source":       func(v uint8) bool { return treaty.TimeSource(v).Valid() },
		"finding":           func(v uint8) bool { return treaty.Finding(v).Valid() },
		"confidence":        func(v uint8) bool { return treaty.Confidence(v).Valid() },
		"reason":            func(v uint8) bool { return treaty.Reason(v).Valid() },
		"misbehaviour-kind": func(v uint8) bool { return treaty.MisbehaviourKind(v).Valid() },
		"zone-kind":         func(v uint8) bool { return treaty.ZoneKind(v).Valid() },
		"act":               func(v uint8) bool { return treaty.Act(v).Valid() },
		"key-role":          func(v uint8) bool { return v >= 1 && v <= uint8(treaty.RoleNode) },
		"key-kind":          func(v uint8) bool { return v >= 1 && v <= uint8(treaty.KindMLDSA44) },
		"step":              func(v uint8) bool { return v >= uint8(treaty.StepPrepare) && v <= uint8(treaty.StepCommit) },
	} {
		for v := range math.MaxUint8 + 1 {
			if got := cName(rule).check(c, uint64(v)) == nil; got != valid(uint8(v)) {
				t.Errorf("%s %d: legal %v in treaty.cddl, %v in Go", rule, v, got, valid(uint8(v)))
			}
		}
	}
}

// Would catch a checker that accepts anything: each of these must be refused.
func TestCDDLRefuses(t *testing.T) {
	c := readCDDL(t)
	hash := make([]byte, 32)
	good := map[any]any{uint64(1): uint64(5), uint64(2): hash, uint64(3): uint64(1), uint64(4): uint64(0)}
	if err := cName("checkpoint").check(c, good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(m map[any]any){
		"missing key":   func(m map[any]any) { delete(m, uint64(2)) },
		"unknown key":   func(m map[any]any) { m[uint64(5)] = uint64(1) },
		"text key":      func(m map[any]any) { m["x"] = uint64(1) },
		"short hash":    func(m map[any]any) { m[uint64(2)] = hash[:31] },
		"text for hash": func(m map[any]any) { m[uint64(2)] = string(hash) },
		"negative":      func(m map[any]any) { m[uint64(1)] = int64(-1) },
		"null":          func(m map[any]any) { m[uint64(3)] = nil },
		"float":         func(m map[any]any) { m[uint64(3)] = 1.5 },
		"over 2^40":     func(m map[any]any) { m[uint64(4)] = uint64(1 << 41) },
	} {
		bad := map[any]any{}
		for k, v := range good {
			bad[k] = v
		}
		change(bad)
		if cName("checkpoint").check(c, bad) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for rule, v := range map[string]any{
		"nation": "Pol", "event-classes": []any{uint64(1)}, "cites": []any{}, "seal-cite": []any{}, "party": "", "content-type": "text/plain",
		"founding": map[any]any{uint64(1): []byte{0x01}, uint64(2): []any{}},
	} {
		if cName(rule).check(c, v) == nil {
			t.Errorf("%s: accepted %v", rule, v)
		}
	}
}
