package tally

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"truceline/treaty"
)

// MaxState bounds an encoded state. With the default policy, 40 nations that all seal every window and 10,000 events
// of 35 nations stay below it.
const MaxState = 1 << 30

// stateWire is the stored form of a State. Seals are packed, because they are many and every certificate stores them.
type stateWire struct {
	Version uint64       `cbor:"1,keyasint"`
	Accord  treaty.Hash  `cbor:"2,keyasint"`
	Epoch   uint32       `cbor:"3,keyasint"`
	Order   uint64       `cbor:"4,keyasint"`
	Nations []nationWire `cbor:"5,keyasint"` // in roster order
	Closed  uint64       `cbor:"6,keyasint"` // every window below it is closed for everybody
}

type nationWire struct {
	Seq            uint64        `cbor:"1,keyasint"`
	Time           treaty.Time   `cbor:"2,keyasint"`
	LastSeal       treaty.Hash   `cbor:"3,keyasint"`
	LastWindow     treaty.Window `cbor:"4,keyasint"`
	Seals          []byte        `cbor:"5,keyasint"` // rows of sealSize bytes, windows rising
	Breaches       []byte        `cbor:"6,keyasint"` // rows of breachSize bytes, rising
	Cases          []*kase       `cbor:"7,keyasint"`
	Contradictions uint64        `cbor:"8,keyasint"`
	Last           Contradiction `cbor:"9,keyasint"`
	// Misbehaviour is absent while there is none.
	Misbehaviour []Misbehaviour `cbor:"10,keyasint,omitempty"`
	Named        treaty.Hash    `cbor:"11,keyasint"`
}

const (
	// stateVersion 2 counts by other rules than 1 did (which seals are late, what is charged, what supersedes), so a state
	// of version 1 is refused: its flags would differ from those of a node that counted from the first entry on.
	stateVersion = 2
	// sealSize is id 32, digest 32, window 8, count 4, ledger time 8, late 1.
	sealSize = 85
	// breachSize is the seal's place in its nation's list 4, index 4, incident's order 8, nations 8: which nations'
	// BREACH on which incident cites a detection.
	breachSize = 24
)

// Encode is the state's one encoding: equal states have equal bytes, and nothing else does.
func (s *State) Encode() []byte {
	w := stateWire{Version: stateVersion, Accord: s.net.Digest, Epoch: s.net.Accord.Epoch, Order: s.order, Closed: uint64(s.closed)}
	for i := range s.nations {
		n := &s.nations[i]
		rows := make([]byte, 0, len(n.seals)*sealSize)
		var breaches []byte
		for j, e := range n.seals {
			for _, x := range e.used() {
				for _, u := range e.uses[x] {
					if u.breach == 0 || u.incident.forgotten {
						continue
					}
					breaches = binary.BigEndian.AppendUint32(breaches, uint32(j))
					breaches = binary.BigEndian.AppendUint32(breaches, x)
					breaches = binary.BigEndian.AppendUint64(breaches, u.incident.Order)
					breaches = binary.BigEndian.AppendUint64(breaches, uint64(u.breach))
				}
			}
			rows = append(rows, e.id[:]...)
			rows = append(rows, e.digest[:]...)
			rows = binary.BigEndian.AppendUint64(rows, uint64(e.window))
			rows = binary.BigEndian.AppendUint32(rows, e.count)
			rows = binary.BigEndian.AppendUint64(rows, uint64(e.at))
			late := byte(0)
			if e.late {
				late = 1
			}
			rows = append(rows, late)
		}
		w.Nations = append(w.Nations, nationWire{
			Seq: n.seq, Time: n.time, LastSeal: n.lastSeal, LastWindow: n.lastWindow, Seals: rows, Breaches: breaches,
			Cases: n.cases, Contradictions: n.contradictions, Last: n.last,
			Misbehaviour: n.misbehaviour, Named: n.named,
		})
	}
	return treaty.Encode(w)
}

// Equal says whether two states are the same. It is as costly as encoding both.
func (s *State) Equal(o *State) bool { return bytes.Equal(s.Encode(), o.Encode()) }

// Decode reads what Encode wrote under the same network, and nothing else. It checks that the parts fit each other, so
// that no bytes make a State that could panic; whether it is the right state is for the certificate to say.
func Decode(net *treaty.Network, b []byte) (*State, error) {
	var w stateWire
	if err := treaty.Decode(b, MaxState, &w); err != nil {
		return nil, fmt.Errorf("tally state: %w", err)
	}
	if w.Version != stateVersion {
		return nil, fmt.Errorf("%w: tally state of version %d, this program reads %d", treaty.ErrMalformed, w.Version, stateVersion)
	}
	if w.Accord != net.Digest || w.Epoch != net.Accord.Epoch {
		return nil, fmt.Errorf("%w: tally state of accord %s epoch %d", treaty.ErrWrongAccord, w.Accord.Short(), w.Epoch)
	}
	if len(w.Nations) != net.N {
		return nil, fmt.Errorf("%w: tally state of %d nations, the accord has %d", treaty.ErrMalformed, len(w.Nations), net.N)
	}
	s := &State{net: net, nations: make([]nation, net.N), order: w.Order, closed: treaty.Window(w.Closed), seals: map[treaty.Hash]*seal{}}
	if s.closed > treaty.WindowOf(maxTime, net.Accord.Policy.Window()) {
		return nil, fmt.Errorf("%w: tally state: closed up to window %d", treaty.ErrMalformed, s.closed)
	}
	for i, m := range w.Nations {
		if m.LastWindow > treaty.WindowOf(maxTime, net.Accord.Policy.Window()) || m.Named.IsZero() && !m.LastSeal.IsZero() {
			return nil, fmt.Errorf("%w: tally state: last seals of nation %d", treaty.ErrMalformed, i)
		}
		if m.Time < 0 || m.Time > maxTime {
			return nil, fmt.Errorf("%w: tally state: time of nation %d", treaty.ErrMalformed, i)
		}
		s.nations[i] = nation{
			seq: m.Seq, time: m.Time, lastSeal: m.LastSeal, lastWindow: m.LastWindow, cases: m.Cases,
			contradictions: m.Contradictions, last: m.Last,
			misbehaviour: m.Misbehaviour, named: m.Named,
		}
		if err := s.checkMisbehaviour(m.Misbehaviour); err != nil {
			return nil, err
		}
		if err := s.readSeals(i, m.Seals); err != nil {
			return nil, err
		}
	}
	if err := s.checkCases(); err != nil {
		return nil, err
	}
	s.index()
	byOrder := map[uint64]*incident{}
	for _, c := range s.incidents {
		byOrder[c.Order] = c
	}
	for i, m := range w.Nations {
		if err := s.readBreaches(i, m.Breaches, byOrder); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// readBreaches unpacks which nations' BREACH cites which detections of one nation's seals.
func (s *State) readBreaches(i int, rows []byte, byOrder map[uint64]*incident) error {
	bad := fmt.Errorf("%w: tally state: uses of the seals of %s", treaty.ErrMalformed, s.net.Members()[i].Nation)
	if len(rows)%breachSize != 0 {
		return bad
	}
	for k := 0; k < len(rows); k += breachSize {
		row := rows[k : k+breachSize]
		if k > 0 && bytes.Compare(rows[k-breachSize:k-8], row[:16]) >= 0 { // big-endian: bytes sort as numbers do
			return bad
		}
		at, index := binary.BigEndian.Uint32(row), binary.BigEndian.Uint32(row[4:])
		c, by := byOrder[binary.BigEndian.Uint64(row[8:])], set(binary.BigEndian.Uint64(row[16:]))
		if int64(at) >= int64(len(s.nations[i].seals)) || c == nil || by == 0 {
			return bad
		}
		e := s.nations[i].seals[at]
		var accusers set
		for _, a := range c.Attestations {
			if a.Finding == treaty.Breach {
				accusers.add(s.net.Index(a.Nation))
			}
		}
		if index >= e.count || by&^accusers != 0 {
			return bad
		}
		e.use(index, c).breach = by
	}
	return nil
}

// readSeals unpacks a nation's seals.
func (s *State) readSeals(i int, rows []byte) error {
	n, p := &s.nations[i], &s.net.Accord.Policy
	bad := func(what string) error {
		return fmt.Errorf("%w: tally state: seals of %s: %s", treaty.ErrMalformed, s.net.Members()[i].Nation, what)
	}
	if len(rows)%sealSize != 0 || len(rows)/sealSize > s.maxSeals() {
		return bad("length")
	}
	for ; len(rows) > 0; rows = rows[sealSize:] {
		e := &seal{nation: i, late: rows[84] == 1}
		copy(e.id[:], rows)
		copy(e.digest[:], rows[32:])
		e.window = treaty.Window(binary.BigEndian.Uint64(rows[64:]))
		e.count = binary.BigEndian.Uint32(rows[72:])
		e.at = treaty.Time(binary.BigEndian.Uint64(rows[76:]))
		k := len(n.seals)
		switch {
		case e.id.IsZero() || e.digest.IsZero() || e.count == 0 || e.count > treaty.MaxDetections || rows[84] > 1:
			return bad("a row")
		case e.window >= treaty.Window(int64(maxTime)/p.WindowNs) || e.window > n.lastWindow || n.lastSeal.IsZero(),
			k > 0 && n.seals[k-1].window >= e.window:
			return bad("windows")
		case e.at < 0 || e.at > maxTime || s.seals[e.id] != nil:
			return bad("a time or a repeated id")
		}
		n.seals = append(n.seals, e)
		s.seals[e.id] = e
	}
	return nil
}
