package treaty_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"truceline/treaty"
	"truceline/treaty/treatytest"

	"golang.org/x/mod/sumdb/tlog"
)

// readC2SP verifies an entry as the C2SP documents say (tlog-proof, tlog-policy, tlog-checkpoint, tlog-cosignature,
// signed-note, RFC 6962), with the standard library alone: an observer's own reading, sharing no line with treaty or
// torchwood.
func readC2SP(entry, proof, policy []byte) error {
	type vkey struct {
		name string
		id   [4]byte
		kind byte
		pub  []byte
	}
	parse := func(s string) (k vkey, err error) {
		p := strings.SplitN(s, "+", 3)
		if len(p) != 3 {
			return k, fmt.Errorf("vkey %q", s)
		}
		raw, err := base64.StdEncoding.DecodeString(p[2])
		if err != nil || len(raw) != 33 {
			return k, fmt.Errorf("vkey %q: %v", s, err)
		}
		sum := sha256.Sum256(append([]byte(p[0]+"\n"), raw...))
		if fmt.Sprintf("%x", sum[:4]) != p[1] {
			return k, fmt.Errorf("vkey %q: id is %x", s, sum[:4])
		}
		return vkey{p[0], [4]byte(sum[:4]), raw[0], raw[1:]}, nil
	}
	var log vkey
	witness := map[string]vkey{}
	var group []string
	need := -1
	quorum := ""
	for line := range strings.SplitSeq(string(policy), "\n") {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		var err error
		switch f[0] {
		case "log":
			log, err = parse(f[1])
		case "witness":
			witness[f[1]], err = parse(f[2])
		case "group":
			need, err = strconv.Atoi(f[2])
			group = f[3:]
			quorum += f[1]
		case "quorum":
			if f[1] != quorum {
				err = fmt.Errorf("quorum %q is not the group %q", f[1], quorum)
			}
		default:
			err = fmt.Errorf("policy line %q", line)
		}
		if err != nil {
			return err
		}
	}
	head, note, ok := strings.Cut(string(proof), "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || lines[0] != "c2sp.org/tlog-proof@v1" || !strings.HasPrefix(lines[1], "index ") {
		return fmt.Errorf("proof head %q", head)
	}
	index, err := strconv.ParseUint(strings.TrimPrefix(lines[1], "index "), 10, 63)
	if err != nil {
		return err
	}
	// The checkpoint's text goes up to and with the newline before the last empty line.
	cut := strings.LastIndex(note, "\n\n") + 1
	text, sigs := note[:cut], note[cut+1:]
	t := strings.Split(text, "\n")
	if len(t) != 4 || t[0] != log.name {
		return fmt.Errorf("checkpoint %q of log %q", text, log.name)
	}
	size, err := strconv.ParseUint(t[1], 10, 63)
	if err != nil {
		return err
	}
	root, err := base64.StdEncoding.DecodeString(t[2])
	if err != nil {
		return err
	}
	signed := map[string]bool{}
	for line := range strings.SplitSeq(strings.TrimSuffix(sigs, "\n"), "\n") {
		f := strings.Split(line, " ")
		if len(f) != 3 || f[0] != "\u2014" {
			return fmt.Errorf("signature line %q", line)
		}
		raw, err := base64.StdEncoding.DecodeString(f[2])
		if err != nil || len(raw) < 4 {
			return fmt.Errorf("signature line %q", line)
		}
		is := func(k vkey) bool { return k.name == f[1] && bytes.Equal(raw[:4], k.id[:]) }
		if is(log) && log.kind == 1 {
			if !ed25519.Verify(log.pub, []byte(text), raw[4:]) {
				return fmt.Errorf("log signature")
			}
			signed["log"] = true
		}
		for id, w := range witness {
			if !is(w) || w.kind != 4 {
				continue
			}
			at := binary.BigEndian.Uint64(raw[4:12])
			if !ed25519.Verify(w.pub, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, text), raw[12:]) {
				return fmt.Errorf("cosignature of %s", id)
			}
			signed["witness "+id] = true
		}
	}
	have := 0
	for _, id := range group {
		if signed["witness "+id] {
			have++
		}
	}
	if !signed["log"] || need < 1 || have < need {
		return fmt.Errorf("log %v, %d of %d witnesses", signed["log"], have, need)
	}
	// RFC 9162 section 2.1.3.2.
	sum := sha256.Sum256(append([]byte{0}, entry...))
	node := sum[:]
	join := func(l, r []byte) []byte {
		s := sha256.Sum256(append(append([]byte{1}, l...), r...))
		return s[:]
	}
	fn, sn := index, size-1
	if fn > sn {
		return fmt.Errorf("index %d of %d", index, size)
	}
	for _, l := range lines[2:] {
		p, err := base64.StdEncoding.DecodeString(l)
		if err != nil || sn == 0 {
			return fmt.Errorf("proof hash %q", l)
		}
		if fn&1 == 1 || fn == sn {
			node = join(p, node)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			node = join(node, p)
		}
		fn, sn = fn>>1, sn>>1
	}
	if sn != 0 || !bytes.Equal(node, root) {
		return fmt.Errorf("the proof leads to another root")
	}
	return nil
}

// Would catch observer files that only our own code understands: torchwood (through VerifyEntry) and an independent
// reading must both accept them for every entry and tree size, and both refuse the same damage.
func TestObserverFilesInterop(t *testing.T) {
	for _, n := range []int{4, 5, 6, 7, 35} {
		f := treatytest.New(n)
		var hashes []tlog.Hash
		read := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
			out := make([]tlog.Hash, len(at))
			for i, x := range at {
				out[i] = hashes[x]
			}
			return out, nil
		})
		var entries [][]byte
		for size := int64(1); size <= 9; size++ {
			v := fullVerdict()
			v.Summary = fmt.Sprint(size)
			entries = append(entries, f.Net.VerdictEntry(v))
			hashes = append(hashes, must(tlog.StoredHashes(size-1, entries[size-1], read))...)
			cp := treaty.Checkpoint{Size: uint64(size), Root: treaty.Hash(must(tlog.TreeHash(size, read)))}
			var cosigs []*treaty.Cosignature
			for _, k := range f.Net.Nations()[n-f.Net.Q:] {
				cosigs = append(cosigs, must(f.Net.Cosign(k, f.Keys[k].Cosign, cp, 1_700_000_000)))
			}
			note := must(f.Net.CheckpointNote(cosigs))
			policy := f.Net.Policy()
			for i := range size {
				p := must(tlog.ProveRecord(size, i, read))
				proof := treaty.FormatProof(uint64(i), p, note)
				if s, x, err := treaty.VerifyEntry(entries[i], proof, policy); err != nil || s != uint64(size) || x != uint64(i) {
					t.Fatalf("n=%d, %d of %d: torchwood: size %d, index %d, %v", n, i, size, s, x, err)
				}
				if err := readC2SP(entries[i], proof, policy); err != nil {
					t.Fatalf("n=%d, %d of %d: independent reading: %v\n%s%s", n, i, size, err, policy, proof)
				}
				for name, bad := range map[string][3][]byte{
					"another entry":  {append([]byte{0}, entries[i]...), proof, policy},
					"another index":  {entries[i], treaty.FormatProof(uint64(i)^1, p, note), policy},
					"another policy": {entries[i], proof, treatytest.New(8).Net.Policy()},
					"one line fewer": {entries[i], proof[:bytes.LastIndexByte(proof[:len(proof)-1], '\n')+1], policy},
				} {
					_, _, ours := treaty.VerifyEntry(bad[0], bad[1], bad[2])
					if theirs := readC2SP(bad[0], bad[1], bad[2]); ours == nil || theirs == nil {
						t.Errorf("n=%d, %d of %d, %s: torchwood %v, independent reading %v", n, i, size, name, ours, theirs)
					}
				}
			}
		}
	}
}

// Would catch a policy file with which fewer nations than it says satisfy it, or that stops the verifier; torchwood
// alone accepts, or panics on, every one of these.
func TestPolicyRefusals(t *testing.T) {
	f := treatytest.New(4)
	read := func(name string) []byte { return readVector(t, "testdata/vectors/"+name+".txt").data }
	entry, proof, good := read("verdict-entry"), read("proof.text"), string(f.Net.Policy())
	if _, _, err := treaty.VerifyEntry(entry, proof, []byte(good)); err != nil {
		t.Fatal(err)
	}
	aut := f.Net.CosignerKey(f.Net.Members()[0])
	log := "log " + f.Net.LogVerifierKey() + "\n"
	for name, bad := range map[string]string{
		"quorum none":            log + "quorum none\n",
		"no log, quorum none":    "quorum none\n",
		"one nation twice":       log + "witness a " + aut + "\ngroup g 2 a a\nquorum g\n",
		"one nation in a nest":   log + "witness a " + aut + "\ngroup g any a\ngroup h all a g\nquorum h\n",
		"one key, two names":     log + "witness a " + aut + "\nwitness b " + aut + "\ngroup g all a b\nquorum g\n",
		"the same, by a comment": log + "witness a " + aut + "\nwitness b " + aut + "#\ngroup g all a b\nquorum g\n",
		"vertical tab":           good + "\v",
		"next line":              good + "\u0085\n",
		"no UTF-8":               good + "#\xff\n",
	} {
		if _, _, err := treaty.VerifyEntry(entry, proof, []byte(bad)); !errors.Is(err, treaty.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
