package ledger

import (
	"bytes"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// Whatever bytes a damaged disk gives for a stored value, decoding must not panic, and what is accepted must be exactly
// what was written.
func FuzzStoredValues(f *testing.F) {
	f.Add(uint64(0), treaty.Encode(finalPointer{Version: 1, Height: 3, Time: 9}))
	f.Add(uint64(7), encodeMark(5, []byte("state")))
	f.Add(uint64(3), make([]byte, 3*tlog.HashSize))
	f.Add(uint64(1<<64-1), []byte{0, 0, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, n uint64, b []byte) {
		if p, err := decodeFinal(b); err == nil && !bytes.Equal(treaty.Encode(p), b) {
			t.Errorf("final pointer %+v is not what %x says", p, b)
		}
		if size, state, err := decodeMark(b); err == nil && !bytes.Equal(encodeMark(size, state), b) {
			t.Errorf("mark %d is not what %x says", size, b)
		}
		for level := range 66 {
			h, err := decodeHash(n, level, b)
			if (err == nil) != (len(b) == 32*completed(n) && level < completed(n)) {
				t.Errorf("entry %d, level %d, %d bytes: %v", n, level, len(b), err)
			}
			if err == nil && !bytes.Equal(h[:], b[32*level:32*level+32]) {
				t.Errorf("entry %d: hash of level %d is another", n, level)
			}
		}
		if _, err := decodeNumber("n", b); (err == nil) != (len(b) == 8) {
			t.Error(err)
		}
	})
}

// A tally state sum must notice any flipped bit: a wrong state would derive wrong verdicts after a restart.
func TestMarkSum(t *testing.T) {
	good := encodeMark(77, []byte("tally state"))
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			if _, _, err := decodeMark(bad); err == nil {
				t.Fatalf("bit %d of byte %d flipped, and the mark is accepted", bit, i)
			}
		}
	}
}

// The layer's own hashing and tlog.StoredHashesForRecordHash must give the same hashes at the same places, from any base:
// what is stored is what x/mod later reads.
func TestPushIsTlog(t *testing.T) {
	var all []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			out[i] = all[index]
		}
		return out, nil
	})
	fix := treatytest.New(4)
	cfg := &Config{MarkEvery: 1 << 20}
	layers := map[uint64]*layer{}
	for n := range uint64(300) {
		lay, err := newLayer(cfg, newCounter(fix.Net), n, reader)
		if err != nil {
			t.Fatal(err)
		}
		layers[n] = lay
		entry := []byte{byte(n), byte(n >> 8)}
		hs, err := tlog.StoredHashesForRecordHash(int64(n), tlog.RecordHash(entry), reader)
		if err != nil {
			t.Fatal(err)
		}
		if len(hs) != completed(n) {
			t.Fatalf("entry %d completes %d hashes, completed says %d", n, len(hs), completed(n))
		}
		all = append(all, hs...)
		for base, lay := range layers {
			if err := lay.push(entry, treaty.HashOf(entry)); err != nil {
				t.Fatal(err)
			}
			if got := lay.hashes.view(lay.hashes.end()-uint64(len(hs)), lay.hashes.end()); len(got) != len(hs) || got[len(hs)-1] != hs[len(hs)-1] {
				t.Fatalf("entry %d from base %d: other hashes than x/mod", n, base)
			}
			if lay.hashes.end() != uint64(len(all)) {
				t.Fatalf("entry %d from base %d: %d hashes, x/mod stores %d", n, base, lay.hashes.end(), len(all))
			}
		}
	}
}

// Dropping from the front must give memory back and never change a view taken before.
func TestSpanDrop(t *testing.T) {
	var s span[int]
	for i := range 1000 {
		s.push(i)
	}
	view := s.view(100, 200)
	for to := uint64(0); to <= 1000; to += 7 {
		s.drop(to)
		if to < 1000 && s.at(to) != int(to) {
			t.Fatalf("item %d is %d", to, s.at(to))
		}
		s.push(int(s.end()))
		if waste := cap(s.items); to > 900 && waste > 900 {
			t.Errorf("%d items keep room for %d", len(s.items), waste)
		}
	}
	for i, v := range view {
		if v != 100+i {
			t.Fatalf("a view changed: %d at %d", v, i)
		}
	}
}
