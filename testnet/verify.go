package testnet

import (
	"bytes"
	"context"
	"fmt"

	"truceline/treaty"
)

// cutNote splits a signed note into its text, with the last newline, and its signatures.
func cutNote(note []byte) (text string, sigs []byte, ok bool) {
	i := bytes.LastIndex(note, []byte("\n\n"))
	if i < 0 {
		return "", nil, false
	}
	return string(note[:i+1]), note[i+2:], true
}

// Proven is the result of verifying verdicts offline.
type Proven struct {
	Verdicts int      `json:"verdicts"`
	Verified int      `json:"verified"`
	Problems []string `json:"problems,omitempty"`
}

// Prove verifies every verdict as an observer does who trusts nobody: entry and proof from some node, another one for each
// verdict in turn, checked against the policy file that he holds already, with nothing else. told is called as it goes on.
func Prove(ctx context.Context, t *Testnet, clients []*Client, verdicts []Sighting, told func(done int)) Proven {
	p := Proven{Verdicts: len(verdicts)}
	for i, v := range verdicts {
		if err := proveOne(ctx, t, clients[i%len(clients)], v); err != nil {
			p.Problems = append(p.Problems, fmt.Sprintf("verdict %s: %v", v.ID.Short(), err))
		} else {
			p.Verified++
		}
		told(i + 1)
	}
	return p
}

func proveOne(ctx context.Context, t *Testnet, c *Client, v Sighting) error {
	entry, proof, err := c.Evidence(ctx, v.ID)
	if err != nil {
		return err
	}
	if treaty.HashOf(entry) != v.ID {
		return fmt.Errorf("%s serves another entry under this id", c.Nation)
	}
	_, index, err := treaty.VerifyEntry(entry, proof, t.Policy)
	if err != nil {
		return fmt.Errorf("proof of %s: %w", c.Nation, err)
	}
	if index != v.Index {
		return fmt.Errorf("proof of %s is for entry %d, it was shown as %d", c.Nation, index, v.Index)
	}
	told, err := t.Net.ParseVerdict(entry)
	if err != nil {
		return err
	}
	if !bytes.Equal(treaty.Encode(told), treaty.Encode(v.Verdict)) {
		return fmt.Errorf("what %s showed is not what is in the ledger", v.From)
	}
	return nil
}
