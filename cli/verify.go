package cli

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"filippo.io/torchwood"
	ucli "github.com/urfave/cli/v2"
	"golang.org/x/mod/sumdb/note"

	"truceline/internal/durable"
	"truceline/treaty"
)

// Verified is what a verdict's three files prove.
type Verified struct {
	Valid      bool            `json:"valid"`
	ID         treaty.Hash     `json:"id"`
	Outcome    treaty.Finding  `json:"outcome"`
	Exercise   bool            `json:"exercise"`
	Origin     string          `json:"origin"`
	Accord     treaty.Hash     `json:"accord"`
	Epoch      uint32          `json:"epoch"`
	Index      uint64          `json:"index"`
	Checkpoint uint64          `json:"checkpoint_size"`
	Signers    int             `json:"signers"`   // nations whose cosignatures are on the checkpoint and hold
	Witnesses  int             `json:"witnesses"` // nations that the policy names
	Verdict    *treaty.Verdict `json:"verdict"`
}

// Verify checks a verdict's ledger entry from three files and nothing else: no network, no node, no clock.
//
// treaty.VerifyEntry decides whether the proof leads to a checkpoint that satisfies the policy. On top of it, Verify is
// as strict as the files allow: they must be exactly what a Truceline node writes, every signature on the checkpoint
// must be of the policy's and must hold, and the policy must demand the quorum of the entry's own accord. C2SP lets a
// verifier pass over signatures that it does not know; for evidence that may be changed on its way, no byte is passed
// over. ownPolicy leaves out what concerns the policy's form, for one that the observer wrote.
func Verify(entry, proof, policy []byte, ownPolicy bool) (*Verified, error) {
	size, index, err := treaty.VerifyEntry(entry, proof, policy)
	if err != nil {
		return nil, err
	}
	v, accord, epoch, err := treaty.PeekVerdict(entry)
	if err != nil {
		return nil, err
	}
	out := &Verified{
		Valid: true, ID: treaty.HashOf(entry), Outcome: v.Outcome, Exercise: v.Exercise, Accord: accord, Epoch: epoch,
		Index: index, Checkpoint: size, Verdict: v,
	}
	pol, err := readPolicy(policy)
	if err != nil {
		return nil, err
	}
	out.Origin, out.Witnesses = pol.origin, len(pol.witnesses)
	if !ownPolicy {
		if err := pol.exactly(policy, accord, epoch); err != nil {
			return nil, err
		}
	}
	if out.Signers, err = signers(proof, pol); err != nil {
		return nil, err
	}
	if v.Exercise != strings.HasPrefix(pol.origin, "EXERCISE") {
		return nil, fmt.Errorf("%w: the verdict and the name of its ledger (%s) do not agree on whether this is an exercise", treaty.ErrMalformed, pol.origin)
	}
	return out, nil
}

// policyFile is what a tlog-policy names.
type policyFile struct {
	origin    string
	log       string // vkey
	witnesses []*torchwood.CosignatureVerifier
}

// readPolicy picks apart a policy that treaty.VerifyEntry has accepted.
func readPolicy(b []byte) (*policyFile, error) {
	p := new(policyFile)
	for line := range strings.SplitSeq(string(b), "\n") {
		line, _, _ = strings.Cut(line, "#")
		switch f := strings.Fields(line); {
		case len(f) >= 2 && f[0] == "log" && p.log == "":
			p.log = f[1]
			p.origin, _, _ = strings.Cut(f[1], "+")
		case len(f) >= 2 && f[0] == "log":
			return nil, fmt.Errorf("%w: policy: more than one log", treaty.ErrMalformed)
		case len(f) >= 3 && f[0] == "witness":
			v, err := torchwood.NewCosignatureVerifier(f[2])
			if err != nil {
				return nil, fmt.Errorf("%w: policy: witness %s: %v", treaty.ErrMalformed, f[1], err)
			}
			p.witnesses = append(p.witnesses, v)
		}
	}
	if p.log == "" || len(p.witnesses) == 0 {
		return nil, fmt.Errorf("%w: policy: it names no log or no witnesses", treaty.ErrMalformed)
	}
	return p, nil
}

// policyTitle begins every policy; the accord's name that follows on the same line is for people and bound to nothing.
const policyTitle = "# Truceline policy (C2SP tlog-policy): "

// exactly holds a policy to the one text that a network of these witnesses under this accord has.
func (p *policyFile) exactly(b []byte, accord treaty.Hash, epoch uint32) error {
	title, rest, _ := strings.Cut(string(b), "\n")
	if !strings.HasPrefix(title, policyTitle) {
		return fmt.Errorf("%w: the policy does not begin as a Truceline network's does (if you wrote it yourself: --own-policy)", treaty.ErrMalformed)
	}
	n := len(p.witnesses)
	if n < treaty.MinNations || n > treaty.MaxNations {
		return fmt.Errorf("%w: policy: %d nations, an accord has %d to %d", treaty.ErrMalformed, n, treaty.MinNations, treaty.MaxNations)
	}
	q := treaty.Quorum(n)
	log, err := treaty.LogVerifierKeyOf(p.origin, accord)
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	if p.log != log {
		return fmt.Errorf("%w: the policy is not that of accord %s, under which the verdict was reached", treaty.ErrWrongAccord, accord.Short())
	}
	var w strings.Builder
	fmt.Fprintf(&w, "# accord %s, epoch %d. A checkpoint is final with %d of %d nations.\n", accord, epoch, q, n)
	if strings.HasPrefix(p.origin, "EXERCISE") {
		w.WriteString("# EXERCISE: nothing under this policy is a real event.\n")
	}
	fmt.Fprintf(&w, "log %s\n", p.log)
	ids := make([]string, n)
	for i, x := range p.witnesses {
		ids[i], _, _ = strings.Cut(x.Name(), ".")
		fmt.Fprintf(&w, "witness %s %s\n", ids[i], x) // the key as it is written, not as it was
	}
	fmt.Fprintf(&w, "group guarantors %d %s\nquorum guarantors\n", q, strings.Join(ids, " "))
	if rest == w.String() {
		return nil
	}
	have, want := strings.Split(rest, "\n"), strings.Split(w.String(), "\n")
	at := 0
	for at < min(len(have), len(want))-1 && have[at] == want[at] {
		at++
	}
	return fmt.Errorf("%w: line %d of the policy is not what the network of this verdict has there: it was changed, or is of another network (if you wrote it yourself: --own-policy)",
		treaty.ErrMalformed, at+2)
}

// signers counts the nations whose cosignatures are on the checkpoint. Every line must be known and hold, and every
// base64 text must be the only one of its bytes.
func signers(proof []byte, p *policyFile) (int, error) {
	if strings.ContainsRune(string(proof), '\r') {
		return 0, fmt.Errorf("%w: the proof has a carriage return: it was changed on its way", treaty.ErrMalformed)
	}
	head, checkpoint, ok := strings.Cut(string(proof), "\n\n")
	if !ok {
		return 0, fmt.Errorf("%w: proof without a checkpoint", treaty.ErrMalformed)
	}
	lines := strings.Split(head, "\n")
	if len(lines) < 2 || !strings.HasPrefix(lines[1], "index ") {
		return 0, fmt.Errorf("%w: the proof carries extra data, which no node writes", treaty.ErrMalformed)
	}
	index := strings.TrimPrefix(lines[1], "index ")
	if n, err := strconv.ParseUint(index, 10, 63); err != nil || strconv.FormatUint(n, 10) != index {
		return 0, fmt.Errorf("%w: the proof's index is written in another way than nodes do", treaty.ErrMalformed)
	}
	texts := lines[2:]
	body, signatures, ok := strings.Cut(checkpoint, "\n\n")
	if !ok || strings.Count(body, "\n") != 2 {
		return 0, fmt.Errorf("%w: the checkpoint has extension lines, which no node writes", treaty.ErrMalformed)
	}
	texts = append(texts, body[strings.LastIndexByte(body, '\n')+1:])
	for l := range strings.SplitSeq(strings.TrimSuffix(signatures, "\n"), "\n") {
		texts = append(texts, l[strings.LastIndexByte(l, ' ')+1:])
	}
	for _, t := range texts {
		if _, err := base64.StdEncoding.Strict().DecodeString(t); err != nil {
			return 0, fmt.Errorf("%w: the proof is not written as nodes write it: the base64 text that begins %.12q", treaty.ErrMalformed, t)
		}
	}
	var known []note.Verifier
	log, err := note.NewVerifier(p.log)
	if err != nil {
		return 0, fmt.Errorf("%w: policy: log: %v", treaty.ErrMalformed, err)
	}
	known = append(known, log)
	for _, w := range p.witnesses {
		known = append(known, w)
	}
	n, err := note.Open([]byte(checkpoint), note.VerifierList(known...))
	if err != nil {
		return 0, fmt.Errorf("%w: checkpoint: %v", treaty.ErrBadSignature, err)
	}
	if len(n.UnverifiedSigs) > 0 {
		return 0, fmt.Errorf("%w: the checkpoint has a signature of %q that the policy does not know: it was changed on its way", treaty.ErrBadSignature, n.UnverifiedSigs[0].Name)
	}
	if lines := strings.Count(signatures, "\n"); lines != len(n.Sigs) {
		return 0, fmt.Errorf("%w: a nation signs the checkpoint twice", treaty.ErrMalformed)
	}
	return len(n.Sigs) - 1, nil // the first is the log's
}

// writeProof writes a proof. One of an earlier, smaller checkpoint may lie there: it is as good, and stays when it holds.
func writeProof(file string, proof, entry, policy []byte) error {
	err := durable.CreateNew(file, proof, 0o644)
	if !errors.Is(err, durable.ErrExists) {
		return refused(err)
	}
	old, err := durable.ReadFile(file, treaty.MaxProof)
	if err == nil {
		_, err = Verify(entry, old, policy, false)
	}
	if err != nil {
		return usagef("%s exists and does not prove this verdict: move it away (%w)", file, err)
	}
	return nil
}

func verdictVerify(c *ucli.Context) error {
	if err := want(c, 3, 3, "three files: the entry, its proof and the policy"); err != nil {
		return err
	}
	var parts [3][]byte
	for i, limit := range []int{treaty.MaxRecord, treaty.MaxProof, treaty.MaxPolicy} {
		var err error
		if parts[i], err = readFile(c.Args().Get(i), limit); err != nil {
			return err
		}
	}
	v, err := Verify(parts[0], parts[1], parts[2], c.Bool("own-policy"))
	if c.Bool("json") {
		var answer any = v
		if err != nil {
			answer = map[string]any{"valid": false, "reason": err.Error()}
		}
		if e := printJSON(c, answer); e != nil || err == nil {
			return e
		}
		return errAnswerIsNo
	}
	if err != nil {
		return fmt.Errorf("NOT VERIFIED: %w", err)
	}
	d := NewDisplay(c.App.Writer)
	say(c, "%s: %s%s\n", d.Paint(Good, "VERIFIED"), finding(v.Outcome, v.Verdict.Party, v.Verdict.Clause), exerciseMark(v.Exercise))
	if v.Exercise {
		say(c, "EXERCISE: not a real event\n")
	}
	say(c, "%s\n\n", printable(v.Verdict.Summary))
	columns(c.App.Writer, [][]string{
		{"entry", fmt.Sprintf("%d of a ledger of %d", v.Index, v.Checkpoint)},
		{"signers", fmt.Sprintf("%d of %d nations, quorum %d", v.Signers, v.Witnesses, treaty.Quorum(v.Witnesses))},
		{"ledger", printable(v.Origin)},
		{"accord", fmt.Sprintf("%s, epoch %d", v.Accord, v.Epoch)},
		{"when", v.Verdict.Time.String()},
		{"where", v.Verdict.Position.String()},
		{"id", v.ID.String()},
	})
	return nil
}
