// Package pool keeps the signed records that wait for their place in the order: one bounded queue for each nation, by
// the author's own numbers. Everybody keeps everybody's records, so a record is lost only when every nation that holds
// it loses it, and a leader that leaves one out is seen doing so.
//
// It verifies nothing: what is added has been verified. It is safe for concurrent use.
package pool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"truceline/treaty"
)

// Limits of one nation's queue. A nation that sends more than fits waits for itself and for nobody else.
const (
	// MaxPerNation is how many records beyond the last applied one are kept for one author: about 4 s of the fastest
	// nation measured.
	MaxPerNation = 8192
	// MaxBytesPerNation bounds their bytes.
	MaxBytesPerNation = 16 << 20
	// MaxEntry bounds one entry of the order: hashicorp/raft suggests at most 512 KiB.
	MaxEntry = 512 << 10
)

// ErrFull says that the author's queue is full: it must wait until some of its records are ordered.
var ErrFull = errors.New("this nation's queue is full; wait until some of its records are ordered")

// Pool is the queues. The zero value is not usable; call New.
type Pool struct {
	mu    sync.Mutex
	lanes map[treaty.Nation]*lane
	order []treaty.Nation
	byID  map[treaty.Hash]*treaty.Record
	next  int // whose lane the next entry begins with
	added chan struct{}
}

// lane is one author's queue; Pool.mu guards it.
type lane struct {
	applied  uint64 // last number in the ledger (tentative or final)
	proposed uint64 // last number handed to Raft by us as leader
	held     map[uint64]held
	bytes    int
}

type held struct {
	r  *treaty.Record
	at time.Time
}

// New makes empty queues for a roster.
func New(nations []treaty.Nation) *Pool {
	p := &Pool{lanes: map[treaty.Nation]*lane{}, order: nations, byID: map[treaty.Hash]*treaty.Record{}, added: make(chan struct{}, 1)}
	for _, n := range nations {
		p.lanes[n] = &lane{held: map[uint64]held{}}
	}
	return p
}

// Added is signalled, without blocking anybody, when there may be something to propose.
func (p *Pool) Added() <-chan struct{} { return p.added }

// Add keeps a verified record. It says whether the record is new here. Errors: ErrFull, treaty.ErrUnknownNation.
func (p *Pool) Add(r *treaty.Record, now time.Time) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lanes[r.Nation]
	if l == nil {
		return false, fmt.Errorf("%w: %s", treaty.ErrUnknownNation, r.Nation)
	}
	if r.Seq <= l.applied {
		return false, nil
	}
	if _, have := l.held[r.Seq]; have {
		return false, nil // the same, or a second one of this number: the first we saw stands
	}
	// The next one always fits: an author that fills its queue behind a hole cannot make this node, perhaps the leader,
	// leave out what everybody else holds.
	if r.Seq != l.applied+1 && (r.Seq > l.applied+MaxPerNation || l.bytes+len(r.Raw()) > MaxBytesPerNation) {
		return false, fmt.Errorf("%s, record %d: %w", r.Nation, r.Seq, ErrFull)
	}
	l.held[r.Seq] = held{r, now}
	l.bytes += len(r.Raw())
	p.byID[r.ID] = r
	p.signal()
	return true, nil
}

func (p *Pool) signal() {
	select {
	case p.added <- struct{}{}:
	default:
	}
}

// Get finds a held record by its id: what is in here need not be verified again.
func (p *Pool) Get(id treaty.Hash) (*treaty.Record, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, ok := p.byID[id]
	return r, ok
}

// Held is what is kept of one author's number, nil if nothing is.
func (p *Pool) Held(n treaty.Nation, seq uint64) *treaty.Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.lanes[n]; l != nil {
		return l.held[seq].r
	}
	return nil
}

// Applied tells the pool that a nation's records up to seq are in the ledger.
func (p *Pool) Applied(n treaty.Nation, seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lanes[n]
	if l == nil {
		return
	}
	for s := l.applied + 1; s <= seq; s++ {
		if h, ok := l.held[s]; ok {
			l.bytes -= len(h.r.Raw())
			delete(l.held, s)
			delete(p.byID, h.r.ID)
		}
		if len(l.held) == 0 {
			break
		}
	}
	l.applied = max(l.applied, seq)
	l.proposed = max(l.proposed, seq)
}

// Rewind tells the pool that the tentative ledger was thrown away: a nation's last applied number is lower again. What
// was dropped from the pool comes back with the order or from its author.
func (p *Pool) Rewind(n treaty.Nation, seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.lanes[n]; l != nil {
		l.applied, l.proposed = seq, seq
	}
}

// Repropose forgets what was handed to Raft and not applied: after a change of leader it may never arrive.
func (p *Pool) Repropose() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lanes {
		l.proposed = l.applied
	}
	p.signal()
}

// Pack takes the next entry for the order: records of all nations in their authors' order, each lane in turn so that
// one nation's flood delays only itself, at most MaxEntry bytes. Nil when there is nothing.
func (p *Pool) Pack() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	var entry []byte
	full := false
	for took := true; took && !full; {
		took = false
		for i := range p.order {
			l := p.lanes[p.order[(p.next+i)%len(p.order)]]
			h, ok := l.held[l.proposed+1]
			if !ok {
				continue
			}
			raw := h.r.Raw()
			if len(entry)+len(raw)+binary.MaxVarintLen32 > MaxEntry {
				full = true
				break
			}
			if entry == nil {
				entry = append(entry, entryVersion)
			}
			entry = append(binary.AppendUvarint(entry, uint64(len(raw))), raw...)
			l.proposed++
			took = true
		}
	}
	p.next = (p.next + 1) % len(p.order)
	return entry
}

// entryVersion is the first byte of an entry of the order.
const entryVersion = 1

// SplitEntry reads an entry of the order: record after record, each with its length, nothing else. The leader that
// packed it may lie, so everything is bounded; the bytes of the records are not looked at.
func SplitEntry(b []byte) ([][]byte, error) {
	if len(b) > MaxEntry || len(b) == 0 || b[0] != entryVersion {
		return nil, fmt.Errorf("%w: entry of %d bytes", treaty.ErrMalformed, len(b))
	}
	b = b[1:]
	var raws [][]byte
	for len(b) > 0 {
		n, k := binary.Uvarint(b)
		if k <= 0 || n == 0 || n > treaty.MaxRecord || n > uint64(len(b)-k) {
			return nil, fmt.Errorf("%w: entry: length of record %d", treaty.ErrMalformed, len(raws))
		}
		raws = append(raws, b[k:k+int(n)])
		b = b[k+int(n):]
	}
	return raws, nil
}

// Overdue is the first record that could have been ordered and was not for longer than limit, nil when there is none:
// the author's next number, held that long.
func (p *Pool) Overdue(now time.Time, limit time.Duration) *treaty.Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.order {
		l := p.lanes[n]
		if h, ok := l.held[l.applied+1]; ok && now.Sub(h.at) > limit {
			return h.r
		}
	}
	return nil
}

// Head is the record of one author that the order should bring next, held since a time; Flooded says that its author has
// more than Share waiting, so it may have to queue.
type Head struct {
	Record  *treaty.Record
	Since   time.Time
	Flooded bool
}

// Share is what one author may have waiting and still expect each record to be ordered in time: 40 nations' shares are
// 20 MiB, which the slowest network measured orders within seconds.
const Share = 512 << 10

// Heads are the next records of all authors that have any waiting.
func (p *Pool) Heads() (hs []Head) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.order {
		l := p.lanes[n]
		if h, ok := l.held[l.applied+1]; ok {
			hs = append(hs, Head{h.r, h.at, l.bytes > Share})
		}
	}
	return hs
}

// Waiting is up to limit records that have been held longer than age, each author's in order: what to pass on again,
// because somebody, perhaps the leader, does not have it. The authors take turns, so one with many leaves room for others.
func (p *Pool) Waiting(now time.Time, age time.Duration, limit int) (rs []*treaty.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	authors := slices.Clone(p.order)
	for depth := uint64(1); len(authors) > 0; depth++ {
		authors = slices.DeleteFunc(authors, func(n treaty.Nation) bool {
			l := p.lanes[n]
			h, ok := l.held[l.applied+depth]
			if !ok || now.Sub(h.at) < age || len(rs) >= limit {
				return true
			}
			rs = append(rs, h.r)
			return false
		})
	}
	return rs
}

// Len is how many records wait, and of how many nations.
func (p *Pool) Len() (records, nations int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lanes {
		records += len(l.held)
		if len(l.held) > 0 {
			nations++
		}
	}
	return records, nations
}
