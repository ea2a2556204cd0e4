package node

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"truceline/node/evidence"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// A liar seals another nation's digest for a window so old that its seal is forgotten at once. Catches forgetting of the
// other seal of that digest with it: the batch is then neither asked for nor given up, and judging stands still.
func TestOldCopyOfADigest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBench(t, false)
		defer func() { _ = r.db.Close() }()
		w := treaty.WindowOf(treatytest.Founded.Add(5*time.Hour), 2*time.Second)
		for _, k := range []treaty.Nation{"AUT", "BEL", "CZE"} {
			r.order(r.sealOf(k, w, treaty.Hash{}, 0))
		}
		b := r.batch("BEL", w+1)
		r.order(r.sealOf("BEL", w+1, b.Digest(), 1), r.sealOf("DNK", 1, b.Digest(), 1))
		for i := range treaty.Window(60) {
			for _, k := range []treaty.Nation{"AUT", "BEL", "CZE"} {
				r.order(r.sealOf(k, w+2+i, treaty.Hash{}, 0))
			}
		}
		r.certify()
		r.p.complete(t.Context())
		if err := r.p.batch(arrivedBatch{from: "BEL", raw: treaty.Encode(b)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * giveUpAfter)
		r.p.complete(t.Context())
		r.p.complete(t.Context())
		if n := len(r.p.evidence.all()); n != 1 {
			t.Errorf("%d detections in evidence, must be BEL's one", n)
		}
		if r.p.through <= w+1 {
			t.Errorf("judging stands still at window %d, the copied one is %d", r.p.through, w+1)
		}
	})
}

// A liar seals and shows a batch that names a nation outside the roster. Catches a node that ends because of it.
func TestBatchOfNobody(t *testing.T) {
	r := newBench(t, false)
	w := treaty.WindowOf(treatytest.Founded.Add(time.Hour), 2*time.Second)
	b := r.batch("ZZZ", w)
	r.order(r.sealOf("DNK", w, b.Digest(), 1))
	if err := r.p.batch(arrivedBatch{from: "DNK", raw: treaty.Encode(b)}); err != nil {
		t.Errorf("the pipeline, and with it every node, ends: %v", err)
	}
	if n := len(r.p.evidence.all()); n != 0 {
		t.Errorf("%d detections of nobody are evidence", n)
	}
}

// Batches that no incident can cite any more leave the disk, later ones stay.
func TestBatchesArePruned(t *testing.T) {
	r := newBench(t, false)
	w := treaty.WindowOf(treatytest.Founded.Add(time.Hour), 2*time.Second)
	old, late := r.batch("BEL", w), r.batch("BEL", w+5+2*pruneEvery)
	for _, b := range []*treaty.Batch{old, late} {
		r.order(r.sealOf("BEL", b.Window, b.Digest(), 1))
		if err := r.p.batch(arrivedBatch{from: "BEL", raw: treaty.Encode(b)}); err != nil {
			t.Fatal(err)
		}
	}
	policy := r.fix.Net.Accord.Policy
	r.p.forget(w.End(policy.Window()).Add(policy.Horizon() - time.Second))
	if _, err := r.p.cfg.Store.Batch(old.Digest()); err != nil {
		t.Errorf("a batch that can still be cited: %v", err)
	}
	r.p.forget((w + 5 + pruneEvery).End(policy.Window()).Add(policy.Horizon()))
	if _, err := r.p.cfg.Store.Batch(old.Digest()); !errors.Is(err, evidence.ErrNotFound) {
		t.Errorf("a batch beyond the horizon: %v", err)
	}
	if _, err := r.p.cfg.Store.Batch(late.Digest()); err != nil {
		t.Errorf("a later batch: %v", err)
	}
}
