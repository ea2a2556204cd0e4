package tally_test

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"truceline/consensus/tally"
	"truceline/treaty"
)

// nation finds one by the first letter of its code.
func (h *history) nation(s string) (treaty.Nation, error) {
	for _, k := range h.Net.Nations() {
		if strings.EqualFold(s, string(k)) || len(s) == 1 && strings.EqualFold(s, string(k[:1])) {
			return k, nil
		}
	}
	return "", fmt.Errorf("no nation %q", s)
}

func (h *history) nationsOf(s string) ([]treaty.Nation, error) {
	if s == "all" {
		return h.Net.Nations(), nil
	}
	var ks []treaty.Nation
	for _, p := range strings.Split(s, ",") {
		k, err := h.nation(p)
		if err != nil {
			return nil, err
		}
		ks = append(ks, k)
	}
	return ks, nil
}

// args are key=value words.
type args map[string]string

func (a args) get(key, def string) string {
	if v, ok := a[key]; ok {
		return v
	}
	return def
}

func (a args) num(key string, def int64) int64 {
	v, err := strconv.ParseInt(a.get(key, strconv.FormatInt(def, 10)), 10, 64)
	if err != nil {
		panic(fmt.Sprintf("%s=%s: %v", key, a[key], err))
	}
	return v
}

// at reads a time in seconds since start, with a fraction.
func (a args) at(key string, def treaty.Time) treaty.Time {
	s, ok := a[key]
	if !ok {
		return def
	}
	x, err := time.ParseDuration(s + "s")
	if err != nil {
		panic(err)
	}
	return start.Add(x)
}

func seconds(t treaty.Time) string {
	if t == 0 {
		return "0"
	}
	return strconv.FormatFloat(t.Sub(start).Seconds(), 'f', -1, 64) + "s"
}

// run does one line and says what came of it.
func (h *history) run(f []string) (string, error) {
	a := args{}
	var words []string
	for _, w := range f {
		if k, v, ok := strings.Cut(w, "="); ok {
			a[k] = v
		} else {
			words = append(words, w)
		}
	}
	need := map[string]int{"tick": 2, "seal": 3, "incident": 3, "attest": 4, "again": 2}
	if len(words) < need[words[0]] {
		return "", fmt.Errorf("needs %d words", need[words[0]])
	}
	switch words[0] {
	case "tick": // tick <nations> at=<s>
		ks, err := h.nationsOf(words[1])
		if err != nil {
			return "", err
		}
		var out string
		for _, k := range ks {
			s, err := h.apply(k, "", a, a.at("at", start), &treaty.Remark{Text: "tick"})
			if err != nil {
				return "", err
			}
			out += s
		}
		return fmt.Sprintf("%sledger time %s\n", out, seconds(h.state.LedgerTime())), nil
	case "seal": // seal <nations> <window> [count=] [prev=] [at=]
		return h.runSeal(words, a)
	case "incident": // incident <name> <nation> cites= [amends=] [at=]
		k, err := h.nation(words[2])
		if err != nil {
			return "", err
		}
		cites, err := h.cites(a["cites"])
		if err != nil {
			return "", err
		}
		b := &treaty.Incident{
			Time: start.Add(time.Second), Position: treaty.Position{LatE7: 481e6, LonE7: 38e7}, Class: treaty.ClassExplosion,
			Cites: cites, Amends: h.ids[a["amends"]],
		}
		if a["amends"] == "unknown" {
			b.Amends = treaty.HashOf([]byte("unknown"))
		}
		return h.apply(k, words[1], a, a.at("at", h.now(k)), b)
	case "attest": // attest <incident> <nations> <finding> cites= ...
		return h.runAttest(words, a)
	case "again": // again <record name>: the same bytes once more
		r := h.records[words[1]]
		if r == nil {
			return "", fmt.Errorf("no record %q", words[1])
		}
		return h.take(words[1], r), nil
	}
	return "", fmt.Errorf("unknown word %q", words[0])
}

// now is a nation's latest time, so that a record does not move it unless told.
func (h *history) now(k treaty.Nation) treaty.Time {
	return max(h.stamp[k], start)
}

func (h *history) runSeal(words []string, a args) (string, error) {
	ks, err := h.nationsOf(words[1])
	if err != nil {
		return "", err
	}
	w, err := strconv.Atoi(words[2])
	if err != nil {
		return "", err
	}
	p := h.Net.Accord.Policy
	window := treaty.WindowOf(start, p.Window()) + treaty.Window(w)
	var out string
	for _, k := range ks {
		name := strings.ToLower(string(k[:1])) + words[2]
		b := &treaty.Seal{Window: window, Count: uint32(a.num("count", 1)), Prev: h.last[k]}
		if b.Count > 0 {
			b.Digest = treaty.HashOf([]byte(name))
		}
		if a["prev"] == "none" {
			b.Prev = treaty.Hash{}
		}
		s, err := h.apply(k, name, a, a.at("at", max(h.now(k), window.End(p.Window()))), b)
		if err != nil {
			return "", err
		}
		out += s
	}
	return out, nil
}

// cites reads "a0:0,a0:1,b0" (no index means 0); "x" is a seal nobody made.
func (h *history) cites(s string) (treaty.Cites, error) {
	var refs []treaty.Ref
	for _, w := range strings.Split(s, ",") {
		seal, index, _ := strings.Cut(w, ":")
		r := treaty.Ref{Seal: h.ids[seal]}
		if seal == "x" {
			r.Seal = treaty.HashOf([]byte("x"))
		} else if r.Seal.IsZero() {
			return nil, fmt.Errorf("no seal %q", seal)
		}
		if index != "" {
			i, err := strconv.ParseUint(index, 10, 32)
			if err != nil {
				return nil, err
			}
			r.Index = uint32(i)
		}
		refs = append(refs, r)
	}
	return treaty.NewCites(refs), nil
}

func (h *history) runAttest(words []string, a args) (string, error) {
	ks, err := h.nationsOf(words[2])
	if err != nil {
		return "", err
	}
	cites, err := h.cites(a["cites"])
	if err != nil {
		return "", err
	}
	x := treaty.Assessment{
		Class: treaty.ClassArtillery, Time: a.at("time", start.Add(time.Second)),
		Position:   treaty.Position{LatE7: a.num("lat", 481_000_000), LonE7: a.num("lon", 380_000_000), HAEmm: a.num("hae", 120_000)},
		Covariance: treaty.Covariance{EE: 1e6, NN: 1e6}, Likelihood: treaty.PPM(a.num("likelihood", 987_654)),
		Confidence: treaty.Confidence(a.num("confidence", 3)), Control: treaty.PartyOdds{A: treaty.Certain},
		Resilience: uint32(a.num("e", 1)), Cites: cites, Method: "history",
	}
	if err := x.Finding.UnmarshalText([]byte(strings.ToUpper(words[3]))); err != nil {
		return "", err
	}
	if x.Finding == treaty.Breach {
		x.Party, x.Clause = treaty.Party(a.get("party", "A")), treaty.ClauseID(a.get("clause", "1.2"))
	}
	if c, ok := a["class"]; ok {
		if err := x.Class.UnmarshalText([]byte(c)); err != nil {
			return "", err
		}
	}
	for _, m := range strings.Split(a.get("modality", "seismic,acoustic"), ",") {
		var y treaty.Modality
		if err := y.UnmarshalText([]byte(m)); err != nil {
			return "", err
		}
		x.Modalities = append(x.Modalities, y)
	}
	if r, ok := a["reason"]; ok {
		var y treaty.Reason
		if err := y.UnmarshalText([]byte(r)); err != nil {
			return "", err
		}
		x.Reasons = []treaty.Reason{y}
	}
	id := h.ids[words[1]]
	if id.IsZero() {
		id = treaty.HashOf([]byte(words[1]))
	}
	var out string
	for _, k := range ks {
		name := fmt.Sprintf("%s/%s", words[1], strings.ToLower(string(k[:1])))
		s, err := h.apply(k, name, a, a.at("at", h.now(k)), &treaty.Attestation{Incident: id, Assessment: x})
		if err != nil {
			return "", err
		}
		out += s
	}
	return out, nil
}

// apply signs a record, with seq=+2 a number too high, and applies it.
func (h *history) apply(k treaty.Nation, name string, a args, at treaty.Time, body treaty.Body) (string, error) {
	seq := h.seq[k] + uint64(a.num("seq", 1))
	r, err := h.Signers[k].SignRecord(seq, at, body)
	if err != nil {
		return "", err
	}
	if name == "" {
		name = fmt.Sprintf("%s#%d", k, seq)
	}
	return h.take(name, r), nil
}

// take applies a record and prints what came of it; plain success of a tick is not printed.
func (h *history) take(name string, r *treaty.Record) string {
	res := h.state.Apply(r)
	h.applied = append(h.applied, r)
	var b strings.Builder
	switch {
	case res.Duplicate:
		fmt.Fprintf(&b, "%s by %s: duplicate\n", name, r.Nation)
	case res.Refused != "":
		fmt.Fprintf(&b, "%s by %s: refused %s\n", name, r.Nation, res.Refused)
	default:
		h.leaves = append(h.leaves, r)
		h.seq[r.Nation] = r.Seq
		h.stamp[r.Nation] = max(h.stamp[r.Nation], r.Time)
		if res.Rejected != "" {
			fmt.Fprintf(&b, "%s by %s: rejected %s", name, r.Nation, res.Rejected)
			if !res.About.IsZero() {
				fmt.Fprintf(&b, " about %s", h.name(res.About))
			}
			b.WriteString("\n")
			break
		}
		if r.Seal != nil {
			h.last[r.Nation] = r.ID
			v, ok := h.state.Seal(r.ID)
			switch {
			case !ok:
				fmt.Fprintf(&b, "%s: empty\n", name)
			case v.Late:
				fmt.Fprintf(&b, "%s: late\n", name)
			default:
				fmt.Fprintf(&b, "%s: ok\n", name)
			}
		} else if r.Remark == nil {
			fmt.Fprintf(&b, "%s by %s: ok\n", name, r.Nation)
		}
		if _, taken := h.names[r.ID]; !taken {
			h.names[r.ID], h.ids[name], h.records[name] = name, r.ID, r
		}
	}
	for _, e := range res.Derived {
		h.verdict++
		v, err := h.Net.ParseVerdict(e)
		if err != nil {
			fmt.Fprintf(&b, "BAD VERDICT %v\n", err)
			continue
		}
		h.names[treaty.HashOf(e)] = fmt.Sprintf("V%d", h.verdict)
		fmt.Fprintf(&b, "V%d: %s", h.verdict, tally.DescribeVerdict(v, h.name))
	}
	return b.String()
}
