package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"truceline/consensus/ledger"
	"truceline/consensus/tally"
	"truceline/node/observe"
	"truceline/testnet"
	"truceline/treaty"
)

// fork is a generator for another goroutine.
func (w *World) fork() *rand.Rand { return rand.New(rand.NewPCG(w.rng.Uint64(), 3)) }

// Settle waits until every running honest nation has the same cosigned ledger, nothing above it, and every acknowledged record
// in it.
func (w *World) Settle(limit time.Duration) {
	w.t.Helper()
	w.Wait("settled: every running nation has everything", limit, w.settled)
}

func (w *World) settled() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	size, first := uint64(0), true
	for _, s := range w.seats {
		if s.node == nil || s.tamper != nil {
			continue
		}
		v := s.node.Network().Node
		if first {
			size, first = v.CosignedSize, false
		}
		if v.CosignedSize != size || v.TentativeSize != size || v.Waiting != 0 || !holds(s, w.acked) {
			return false
		}
	}
	return true
}

// holds says whether a node shows all these as FINAL.
func holds(s *seat, ids []treaty.Hash) bool {
	for _, id := range ids {
		if !s.node.IsFinal(id) {
			return false
		}
	}
	return true
}

// Verdicts are what a nation's public API lists, oldest first.
func (w *World) Verdicts(i int) []observe.VerdictView {
	w.t.Helper()
	var list observe.VerdictList
	code, b := w.get(i, "/v1/verdicts?limit=500")
	if code != http.StatusOK {
		w.t.Fatalf("%s: verdicts: %d %s", w.seats[i].nation, code, b)
	}
	if err := json.Unmarshal(b, &list); err != nil {
		w.t.Fatal(err)
	}
	out := list.Verdicts
	for a, b := 0, len(out)-1; a < b; a, b = a+1, b-1 {
		out[a], out[b] = out[b], out[a]
	}
	return out
}

// get asks a nation's public API, waiting as long as its rate limit wants.
func (w *World) get(i int, path string) (int, []byte) {
	for {
		rec := httptest.NewRecorder()
		w.seats[i].node.Observer().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		if rec.Code != http.StatusTooManyRequests {
			return rec.Code, rec.Body.Bytes()
		}
		time.Sleep(time.Second)
	}
}

// End heals everything, starts who is down, waits until all have caught up, stops all, and checks what is on the disks.
func (w *World) End() {
	w.t.Helper()
	w.playing.Wait()
	w.Heal()
	w.StartAll()
	w.Settle(5 * time.Minute)
	in := testnet.Inspection{Net: w.Net, Acknowledged: w.acked}
	evidence := make([]map[treaty.Hash][2][]byte, len(w.seats))
	for i, s := range w.seats {
		if s.tamper != nil {
			continue
		}
		in.Reach = max(in.Reach, s.node.Network().Node.CosignedSize)
		evidence[i] = map[treaty.Hash][2][]byte{}
		for _, v := range w.Verdicts(i) {
			var files [2][]byte
			for k, what := range []string{"entry", "proof"} {
				code, b := w.get(i, "/v1/verdicts/"+v.ID.String()+"/"+what)
				if code != http.StatusOK {
					w.t.Errorf("%s: %s of verdict %s: %d %s", s.nation, what, v.ID.Short(), code, b)
				}
				files[k] = b
			}
			evidence[i][v.ID] = files
		}
	}
	w.Close()
	for i, s := range w.seats {
		if s.tamper != nil {
			continue // nobody honest rests on what it keeps
		}
		ch, closeStore, err := w.chain(s, evidence[i])
		if err != nil {
			w.t.Errorf("%s: its disk cannot be read: %v", s.nation, err)
			continue
		}
		defer closeStore()
		in.Chains = append(in.Chains, ch)
	}
	for _, v := range testnet.Check(in) {
		w.t.Errorf("VIOLATION: %s", v)
	}
	w.convicted = w.convictions(in.Chains[0])
	for k, kinds := range w.convicted {
		if w.seats[slices.Index(w.Net.Nations(), k)].tamper == nil {
			w.t.Errorf("VIOLATION: %s is honest and the ledger convicts it of %v", k, kinds)
		}
	}
	w.t.Logf("%d nations, %d hostile, %d entries, %d acknowledged records, convicted %v: checked on every honest disk",
		len(w.seats), len(w.opts.Hostile), in.Reach, len(in.Acknowledged), w.convicted)
	if w.t.Failed() {
		w.dump()
	}
}

// convictions are the kinds of misbehaviour that a ledger holds of each nation.
func (w *World) convictions(ch testnet.Chain) map[treaty.Nation][]treaty.MisbehaviourKind {
	out := map[treaty.Nation][]treaty.MisbehaviourKind{}
	for e, err := range ch.Entries() {
		if err != nil || treaty.IsVerdict(e) {
			continue // Check has said so
		}
		r, err := treaty.ParseRecord(e)
		if err != nil || r.Misbehaviour == nil {
			continue
		}
		if m := r.Misbehaviour; !slices.Contains(out[m.Accused], m.Kind) {
			out[m.Accused] = append(out[m.Accused], m.Kind)
		}
	}
	return out
}

// Close stops everything without checking.
func (w *World) Close() {
	w.closed = true
	for i := range w.seats {
		w.Stop(i)
	}
	w.wire.sim.Close()
}

// machine is the tally as the ledger drives it.
type machine struct{ *tally.State }

func (m machine) Apply(r *treaty.Record) (bool, [][]byte) {
	res := m.State.Apply(r)
	return res.Taken, res.Derived
}

func (m machine) Clone() ledger.Machine { return machine{m.State.Clone()} }

// chain reads what a nation kept.
func (w *World) chain(s *seat, evidence map[treaty.Hash][2][]byte) (ch testnet.Chain, _ func(), err error) {
	db, err := pebble.Open("/data/store", &pebble.Options{FS: s.disk.mem, FormatMajorVersion: pebble.FormatNewest, Logger: silent{}})
	if err != nil {
		return ch, nil, err
	}
	l, err := ledger.Open(ledger.Config{
		DB: db, Net: w.Net, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		New: func() ledger.Machine { return machine{tally.New(w.Net)} },
		Load: func(b []byte) (ledger.Machine, error) {
			t, err := tally.Decode(w.Net, b)
			return machine{t}, err
		},
	})
	if err == nil {
		err = l.Audit(nil)
	}
	if err != nil {
		return ch, nil, errors.Join(err, db.Close())
	}
	size := l.CosignedSize()
	return testnet.Chain{
		Nation: s.nation, Size: size,
		Entries: func() iter.Seq2[[]byte, error] {
			return func(yield func([]byte, error) bool) {
				es, failed := l.Entries(0, size)
				for _, e := range es {
					if !yield(e, nil) {
						return
					}
				}
				if err := failed(); err != nil {
					yield(nil, err)
				}
			}
		},
		Notes: func() iter.Seq2[[]byte, error] { return found(size, l.CosignedAt) },
		Certificates: func() iter.Seq2[*treaty.Certificate, error] {
			last := l.Certified()
			if last == nil {
				return found(0, l.CertificateAt)
			}
			return found(last.Height, l.CertificateAt)
		},
		Prove: func(_ uint64, id treaty.Hash) ([]byte, []byte, error) {
			files, ok := evidence[id]
			if !ok {
				return nil, nil, fmt.Errorf("verdict %s is not listed by the API", id.Short())
			}
			return files[0], files[1], nil
		},
		State: func() (n uint64, digest treaty.Hash, err error) {
			l.With(func(live ledger.Machine, final uint64) { n, digest = final, treaty.HashOf(live.Encode()) })
			return n, digest, nil
		},
	}, func() { _ = db.Close() }, nil
}

// found is everything that is stored under the numbers 1 to last.
func found[T any](last uint64, at func(uint64) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for k := uint64(1); k <= last; k++ {
			v, err := at(k)
			if errors.Is(err, ledger.ErrNotFound) {
				continue
			}
			if !yield(v, err) {
				return
			}
		}
	}
}

type silent struct{}

func (silent) Infof(string, ...any)           {}
func (silent) Errorf(string, ...any)          {}
func (silent) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }
