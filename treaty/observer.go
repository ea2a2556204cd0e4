package treaty

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"filippo.io/torchwood"
	voi "github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// What observers see is C2SP, byte for byte: tlog-checkpoint, tlog-cosignature, tlog-policy, tlog-proof.

// LogKey is the network's log key. Every C2SP tool wants one log signature per checkpoint, so there is one key, made
// from the accord's digest: everybody can compute it and it carries no trust. The nations' cosignatures do.
func (n *Network) LogKey() ed25519.PrivateKey { return n.logKey }

// prepareObserver makes what cosigned checkpoints need of the accord, once: keys and key ids cost more than a checkpoint.
func (n *Network) prepareObserver() error {
	n.logKey = logKey(n.Digest)
	log, err := note.NewVerifier(n.LogVerifierKey())
	if err != nil {
		return fmt.Errorf("%w: accord: log key: %v", ErrMalformed, err)
	}
	n.logKeyID = log.KeyHash()
	for _, g := range n.members {
		v, err := torchwood.NewCosignatureVerifierFromKey(n.CosignerName(g.Nation), g.Cosign)
		if err != nil {
			return fmt.Errorf("%w: accord: cosign key of %s: %v", ErrMalformed, g.Nation, err)
		}
		g.cosigner, g.cosignerID = v.Name(), v.KeyHash()
	}
	return nil
}

// CosignerName is the C2SP name of a nation's cosign key: lower-case nation, then the origin.
func (n *Network) CosignerName(k Nation) string {
	return strings.ToLower(string(k)) + "." + n.Accord.Origin
}

func logKey(accord Hash) ed25519.PrivateKey {
	seed := HashOf(append([]byte("truceline/log-key/v1\n"), accord[:]...))
	return ed25519.NewKeyFromSeed(seed[:])
}

// LogVerifierKey is the log's vkey (C2SP signed-note).
func (n *Network) LogVerifierKey() string {
	k, err := LogVerifierKeyOf(n.Accord.Origin, n.Digest)
	if err != nil {
		panic(err) // Accord.Check has accepted the name
	}
	return k
}

// LogVerifierKeyOf is the log's vkey of the network with this origin and accord: what an observer who has no accord can
// hold a policy to.
func LogVerifierKeyOf(origin string, accord Hash) (string, error) {
	k, err := note.NewEd25519VerifierKey(origin, logKey(accord).Public().(ed25519.PublicKey))
	if err != nil {
		return "", fmt.Errorf("%w: origin %q: %v", ErrMalformed, origin, err)
	}
	return k, nil
}

// CosignerKey is a nation's cosignature vkey (C2SP tlog-cosignature, type 0x04).
func (n *Network) CosignerKey(g *Guarantor) string {
	v, err := torchwood.NewCosignatureVerifierFromKey(n.CosignerName(g.Nation), g.Cosign)
	if err != nil {
		panic(err)
	}
	return v.String()
}

// Policy is the tlog-policy file: what an observer must hold to check verdicts, and nothing else.
func (n *Network) Policy() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# Truceline policy (C2SP tlog-policy): %s\n", n.Accord.Name)
	fmt.Fprintf(&b, "# accord %s, epoch %d. A checkpoint is final with %d of %d nations.\n", n.Digest, n.Accord.Epoch, n.Q, n.N)
	if n.Accord.Exercise {
		b.WriteString("# EXERCISE: nothing under this policy is a real event.\n")
	}
	fmt.Fprintf(&b, "log %s\n", n.LogVerifierKey())
	ids := make([]string, 0, n.N)
	for _, g := range n.members {
		id := strings.ToLower(string(g.Nation))
		fmt.Fprintf(&b, "witness %s %s\n", id, n.CosignerKey(g))
		ids = append(ids, id)
	}
	fmt.Fprintf(&b, "group guarantors %d %s\nquorum guarantors\n", n.Q, strings.Join(ids, " "))
	return []byte(b.String())
}

// CheckpointText is the tlog-checkpoint that observers verify.
func (n *Network) CheckpointText(c Checkpoint) string {
	return fmt.Sprintf("%s\n%d\n%s\n", n.Accord.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

// Cosignature is one nation's C2SP signature line over a certified checkpoint: key id, timestamp, signature.
type Cosignature struct {
	Nation Nation `cbor:"1,keyasint"`
	Size   uint64 `cbor:"2,keyasint"`
	Root   Hash   `cbor:"3,keyasint"`
	// Unix is the cosigner's time, seconds.
	Unix uint64 `cbor:"4,keyasint"`
	Sig  []byte `cbor:"5,keyasint"`
}

// cosignMessage is the text of C2SP tlog-cosignature, cosignature/v1.
func (n *Network) cosignMessage(size uint64, root Hash, unix uint64) []byte {
	return []byte("cosignature/v1\ntime " + strconv.FormatUint(unix, 10) + "\n" +
		n.CheckpointText(Checkpoint{Size: size, Root: root}))
}

// Cosign signs a certified checkpoint with a nation's cosign key. Call it only for a checkpoint under a verified
// commit certificate, after what is signed was written down, synced (design 7.3.5).
func (n *Network) Cosign(k Nation, key crypto.Signer, c Checkpoint, unix uint64) (*Cosignature, error) {
	sig, err := key.Sign(nil, n.cosignMessage(c.Size, c.Root, unix), crypto.Hash(0))
	if err != nil {
		return nil, fmt.Errorf("cosign as %s: %w", k, err)
	}
	return &Cosignature{Nation: k, Size: c.Size, Root: c.Root, Unix: unix, Sig: sig}, nil
}

// stdlib is Go's crypto/ed25519: no cofactor, canonical encodings. Keys are expanded once, so it is faster.
var stdlib = &voi.Options{Verify: voi.VerifyOptionsStdLib}

// VerifyCosignature checks one cosignature line before it is joined with others: one corrupt line of a known key
// makes a whole note unverifiable. By the rules of Go's standard library, which the tools that will read it use.
func (n *Network) VerifyCosignature(c *Cosignature) error {
	g, ok := n.Member(c.Nation)
	if !ok {
		return fmt.Errorf("%w: cosignature of %s", ErrUnknownNation, c.Nation)
	}
	if len(c.Sig) != ed25519.SignatureSize || c.Unix == 0 || c.Unix > 1<<40 || c.Size == 0 || c.Size > 1<<62 {
		return fmt.Errorf("%w: cosignature of %s", ErrMalformed, c.Nation)
	}
	if !voi.VerifyExpandedWithOptions(g.cosign, n.cosignMessage(c.Size, c.Root, c.Unix), c.Sig, stdlib) {
		return fmt.Errorf("%w: cosignature of %s", ErrBadSignature, c.Nation)
	}
	return nil
}

// CheckpointNote joins verified cosignatures, at least q, all of one size and root, into the cosigned checkpoint.
func (n *Network) CheckpointNote(cosigs []*Cosignature) ([]byte, error) {
	if len(cosigs) == 0 {
		return nil, fmt.Errorf("%w: no cosignatures", ErrNoQuorum)
	}
	cosigs = slices.Clone(cosigs)
	slices.SortFunc(cosigs, func(a, b *Cosignature) int { return strings.Compare(string(a.Nation), string(b.Nation)) })
	first := cosigs[0]
	text := n.CheckpointText(Checkpoint{Size: first.Size, Root: first.Root})
	var b bytes.Buffer
	b.WriteString(text + "\n")
	line := func(name string, keyID uint32, sig []byte) {
		raw := append(binary.BigEndian.AppendUint32(nil, keyID), sig...)
		fmt.Fprintf(&b, "\u2014 %s %s\n", name, base64.StdEncoding.EncodeToString(raw))
	}
	line(n.Accord.Origin, n.logKeyID, ed25519.Sign(n.logKey, []byte(text)))
	count := 0
	for i, c := range cosigs {
		if c.Size != first.Size || c.Root != first.Root || i > 0 && cosigs[i-1].Nation == c.Nation {
			return nil, fmt.Errorf("%w: cosignatures of different checkpoints, or one nation twice", ErrMalformed)
		}
		g, ok := n.Member(c.Nation)
		if !ok {
			return nil, fmt.Errorf("%w: %s", ErrUnknownNation, c.Nation)
		}
		line(g.cosigner, g.cosignerID, append(binary.BigEndian.AppendUint64(nil, c.Unix), c.Sig...))
		count++
	}
	if count < n.Q {
		return nil, fmt.Errorf("%w: %d cosignatures, need %d of %d", ErrNoQuorum, count, n.Q, n.N)
	}
	return b.Bytes(), nil
}

// FormatProof writes the tlog-proof of one ledger entry under a cosigned checkpoint.
func FormatProof(index uint64, p tlog.RecordProof, checkpoint []byte) []byte {
	return torchwood.FormatProof(int64(index), p, checkpoint)
}

// VerifyEntry checks offline that an entry is final: its proof leads to a checkpoint that satisfies the policy. It
// needs these three files and nothing else. It returns the checkpoint's size and the entry's index.
func VerifyEntry(entry, proof, policy []byte) (size, index uint64, err error) {
	if len(entry) > MaxRecord || len(proof) > MaxProof || len(policy) > MaxPolicy {
		return 0, 0, fmt.Errorf("%w: entry, proof or policy file", ErrTooLarge)
	}
	if err := checkPolicy(policy); err != nil {
		return 0, 0, err
	}
	pol, err := torchwood.ParsePolicy(policy)
	if err != nil {
		return 0, 0, fmt.Errorf("%w: policy: %v", ErrMalformed, err)
	}
	if err := torchwood.VerifyProof(pol, tlog.RecordHash(entry), proof); err != nil {
		return 0, 0, fmt.Errorf("%w: %v", ErrNotFinal, err)
	}
	return proofPlace(proof)
}

// checkPolicy refuses what torchwood lets pass and the specification forbids: one public key under two names, or one
// name twice in groups, with either of which one nation could meet a quorum of two. It also refuses a policy without a
// quorum, because the log key carries no trust here, and white space on which torchwood's parser panics.
func checkPolicy(policy []byte) error {
	if !utf8.Valid(policy) || bytes.ContainsFunc(policy, func(r rune) bool {
		return r != ' ' && r != '\t' && r != '\n' && (unicode.IsSpace(r) || unicode.IsControl(r))
	}) {
		return fmt.Errorf("%w: policy: not plain text, or with control characters", ErrMalformed)
	}
	keys, grouped := map[string]string{}, map[string]bool{}
	for line := range strings.SplitSeq(string(policy), "\n") {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		switch {
		case len(f) >= 2 && f[0] == "quorum" && f[1] == "none":
			return fmt.Errorf("%w: policy: quorum none would accept what no nation has signed", ErrMalformed)
		case len(f) >= 4 && f[0] == "group":
			for _, member := range f[3:] {
				if grouped[member] {
					return fmt.Errorf("%w: policy: %s is counted twice in groups", ErrMalformed, member)
				}
				grouped[member] = true
			}
		case len(f) >= 3 && f[0] == "witness":
			parts := strings.SplitN(f[2], "+", 3)
			if len(parts) != 3 {
				return fmt.Errorf("%w: policy: witness %s has no verifier key", ErrMalformed, f[1])
			}
			if other, twice := keys[parts[2]]; twice {
				return fmt.Errorf("%w: policy: witnesses %s and %s have one key", ErrMalformed, other, f[1])
			}
			keys[parts[2]] = f[1]
		}
	}
	return nil
}

// proofPlace reads the index and the checkpoint size of a proof that has been verified.
func proofPlace(proof []byte) (size, index uint64, err error) {
	lines := strings.Split(string(proof), "\n")
	for i, l := range lines {
		if rest, ok := strings.CutPrefix(l, "index "); ok {
			if index, err = strconv.ParseUint(rest, 10, 63); err != nil {
				break
			}
		}
		if l == "" && i+2 < len(lines) {
			size, err = strconv.ParseUint(lines[i+2], 10, 63)
			return size, index, err
		}
	}
	return 0, 0, fmt.Errorf("%w: proof", ErrMalformed)
}
