package ledger

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"truceline/treaty/treatytest"
)

// Cosigning stands still (a liar that commits and never cosigns, and one honest nation that is slow) while 1,024
// certificates are made; then the node restarts. Catches thinning away the very note that observers are shown.
func TestThinKeepsTheCosigned(t *testing.T) {
	f := treatytest.New(4)
	n := newNode(t, f, vfs.NewMem())
	h := newHistory(f, 1)
	h.grow(t, 2600)
	at := 0
	for _, e := range h.entries {
		n.apply(e)
		if e.checkpoint.Size == 0 {
			continue
		}
		n.certify(n.Frontier())
		if n.height() == 5 {
			n.cosign(n.Certified().Checkpoint)
		}
		if at++; at == 1100 {
			break
		}
	}
	if _, err := n.CosignedAt(n.CosignedSize()); err != nil {
		t.Error(err)
	}
	if err := n.db.Close(); err != nil {
		t.Fatal(err)
	}
	n.db = openDB(t, n.fs)
	if _, err := Open(config(f, n.db)); err != nil {
		t.Errorf("the node never starts again: %v", err)
	}
}
