package treaty

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/oasisprotocol/curve25519-voi/curve"
)

// Accord is the signed agreement the network runs under. The SHA-256 of its one encoding is the network's identity and
// is bound into every signature. People write it as YAML with GeoJSON (accordfile.go); these are its signed bytes.
type Accord struct {
	Name string `cbor:"1,keyasint" json:"name"`
	// Origin is the C2SP checkpoint origin, such as "verdicts.example.org/line-1". It starts with "EXERCISE" exactly
	// when the accord is an exercise.
	Origin string `cbor:"2,keyasint" json:"origin"`
	Epoch  uint32 `cbor:"3,keyasint" json:"epoch"` // roster epoch, from 1
	// Exercise accords count detections that are not REAL; everything under them says EXERCISE.
	Exercise bool        `cbor:"4,keyasint,omitempty" json:"exercise,omitempty"`
	Founded  Time        `cbor:"5,keyasint" json:"founded"`
	Members  []Member    `cbor:"6,keyasint" json:"members"` // by nation, rising
	Parties  []PartyInfo `cbor:"7,keyasint" json:"parties"` // exactly two: [0] holds the left of each line, [1] the right
	Lines    []Line      `cbor:"8,keyasint" json:"lines"`
	Zones    []Zone      `cbor:"9,keyasint,omitempty" json:"zones,omitempty"` // by id, rising
	Clauses  []Clause    `cbor:"10,keyasint" json:"clauses"`                  // by id, rising
	Policy   Policy      `cbor:"11,keyasint" json:"policy"`
}

// KeyRole is what a key may sign. One key, one role.
type KeyRole uint8

// The roles.
const (
	RoleTreaty KeyRole = iota + 1 // records and finality votes
	RoleCosign                    // C2SP cosignatures of checkpoints
	RoleNode                      // the libp2p identity
)

var roleNames = names{"", "treaty", "cosign", "node"}

func (r KeyRole) String() string               { return roleNames.text(uint8(r)) }
func (r KeyRole) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
func (r *KeyRole) UnmarshalText(b []byte) error {
	v, err := roleNames.parse("key role", b)
	*r = KeyRole(v)
	return err
}

// KeyKind numbers signature algorithms, so that another kind can stand beside Ed25519 without new formats.
type KeyKind uint8

// The kinds. ML-DSA-44 keys are carried and not yet used.
const (
	KindEd25519 KeyKind = iota + 1
	KindMLDSA44
)

var kindNames = names{"", "ed25519", "ml-dsa-44"}

func (k KeyKind) String() string               { return kindNames.text(uint8(k)) }
func (k KeyKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
func (k *KeyKind) UnmarshalText(b []byte) error {
	v, err := kindNames.parse("key kind", b)
	*k = KeyKind(v)
	return err
}

// publicSize is the length of a public key by kind (RFC 8032; FIPS 204 table 2).
var publicSize = map[KeyKind]int{KindEd25519: 32, KindMLDSA44: 1312}

// Key is one public key of a nation.
type Key struct {
	Role   KeyRole `cbor:"1,keyasint" json:"role"`
	Kind   KeyKind `cbor:"2,keyasint" json:"kind"`
	Public []byte  `cbor:"3,keyasint" json:"public"`
}

// Member is one guarantor nation: exactly one Ed25519 key in each role, and at most one more of another kind.
type Member struct {
	Nation Nation `cbor:"1,keyasint" json:"nation"`
	Name   string `cbor:"2,keyasint" json:"name"`
	Keys   []Key  `cbor:"3,keyasint" json:"keys"` // by role, then kind, rising
}

// PartyInfo is one side of the conflict.
type PartyInfo struct {
	Code Party  `cbor:"1,keyasint" json:"code"`
	Name string `cbor:"2,keyasint" json:"name"`
}

// Line is the contact line during a span of time. Going along the vertices, Parties[0] is on the left.
type Line struct {
	From     Time       `cbor:"1,keyasint" json:"from"`
	Until    Time       `cbor:"2,keyasint,omitempty" json:"until,omitempty"` // 0: still in force
	SigmaMm  int64      `cbor:"3,keyasint" json:"sigma_mm"`                  // 1-sigma uncertainty of the drawn line
	Vertices []Position `cbor:"4,keyasint" json:"vertices"`
}

// ZoneKind says what a zone is for.
type ZoneKind uint8

// The kinds of zone.
const (
	ZoneWithdrawal    ZoneKind = iota + 1 // heavy weapons must be out
	ZoneExercise                          // announced training: fire within it is an exception
	ZoneBuffer                            // under neither party's control
	ZoneDisengagement                     // nobody may be or fire here
)

var zoneNames = names{"", "withdrawal", "exercise", "buffer", "disengagement"}

func (z ZoneKind) String() string               { return zoneNames.text(uint8(z)) }
func (z ZoneKind) Valid() bool                  { return zoneNames.valid(uint8(z)) }
func (z ZoneKind) MarshalText() ([]byte, error) { return []byte(z.String()), nil }
func (z *ZoneKind) UnmarshalText(b []byte) error {
	v, err := zoneNames.parse("zone kind", b)
	*z = ZoneKind(v)
	return err
}

// Zone is an area with a rule: the ring is closed (the last vertex equals the first).
type Zone struct {
	ID    string     `cbor:"1,keyasint" json:"id"`
	Name  string     `cbor:"2,keyasint" json:"name"`
	Kind  ZoneKind   `cbor:"3,keyasint" json:"kind"`
	Party Party      `cbor:"4,keyasint,omitempty" json:"party,omitempty"` // whom it binds; empty: both
	From  Time       `cbor:"5,keyasint" json:"from"`
	Until Time       `cbor:"6,keyasint,omitempty" json:"until,omitempty"`
	Ring  []Position `cbor:"7,keyasint" json:"ring"`
}

// Act is what a clause forbids.
type Act uint8

// The acts.
const (
	ActFire     Act = iota + 1 // fire of one of Classes
	ActPresence                // a weapon of one of Classes within one of Zones
)

var actNames = names{"", "fire", "presence"}

func (a Act) String() string               { return actNames.text(uint8(a)) }
func (a Act) Valid() bool                  { return actNames.valid(uint8(a)) }
func (a Act) MarshalText() ([]byte, error) { return []byte(a.String()), nil }
func (a *Act) UnmarshalText(b []byte) error {
	v, err := actNames.parse("act", b)
	*a = Act(v)
	return err
}

// Clause is a node of the clause tree: "2.1" refines "2" and cannot hold where "2" does not. A clause holds for an
// event when the class is one of Classes, the place is in one of Zones or, without zones, within WithinMm of the
// line, and the time lies in [From, Until).
type Clause struct {
	ID       ClauseID     `cbor:"1,keyasint" json:"id"`
	Text     string       `cbor:"2,keyasint" json:"text"`
	Act      Act          `cbor:"3,keyasint" json:"act"`
	Classes  []EventClass `cbor:"4,keyasint" json:"classes"`                       // rising; what counts as breaking it
	Zones    []string     `cbor:"5,keyasint,omitempty" json:"zones,omitempty"`     // rising zone ids
	WithinMm int64        `cbor:"6,keyasint,omitempty" json:"within_mm,omitempty"` // 0: anywhere
	// ExceptIn lists exercise zones in which the act is allowed.
	ExceptIn []string `cbor:"7,keyasint,omitempty" json:"except_in,omitempty"`
	Severity uint32   `cbor:"8,keyasint" json:"severity"` // 0 to 5
	From     Time     `cbor:"9,keyasint" json:"from"`
	Until    Time     `cbor:"10,keyasint,omitempty" json:"until,omitempty"`
}

// Parent is the clause above, "" at the top.
func (c ClauseID) Parent() ClauseID {
	i := strings.LastIndexByte(string(c), '.')
	if i < 0 {
		return ""
	}
	return c[:i]
}

// Policy is the accord's numbers. Durations are nanoseconds of ledger time.
type Policy struct {
	WindowNs    int64 `cbor:"1,keyasint" json:"window_ns"`    // one batch per nation and window
	GraceNs     int64 `cbor:"2,keyasint" json:"grace_ns"`     // after the window's end, before anything is revealed
	HeartbeatNs int64 `cbor:"3,keyasint" json:"heartbeat_ns"` // an empty seal at least this often
	DeadlineNs  int64 `cbor:"4,keyasint" json:"deadline_ns"`  // from an incident's order to INCONCLUSIVE
	HorizonNs   int64 `cbor:"5,keyasint" json:"horizon_ns"`   // how long seals can be cited and incidents amended
	// MinLikelihood is needed for a finding, MinFactor of each of its factors, Guard is the band around both in which
	// a finding is INCONCLUSIVE.
	MinLikelihood PPM `cbor:"6,keyasint" json:"min_likelihood_ppm"`
	MinFactor     PPM `cbor:"7,keyasint" json:"min_factor_ppm"`
	Guard         PPM `cbor:"8,keyasint" json:"guard_ppm"`
	// Resilience is the least e, whatever the number of contributors (design section 2); 0 means the formula alone.
	Resilience uint32 `cbor:"9,keyasint,omitempty" json:"resilience,omitempty"`
	// OneModalityNations is how many independent nations one modality alone needs; two modalities need e+1.
	OneModalityNations uint32 `cbor:"10,keyasint" json:"one_modality_nations"`
}

// DefaultPolicy is what the design names: 2 s windows, 2 s grace, a heartbeat a minute, thresholds 95 % and 90 %.
func DefaultPolicy() Policy {
	return Policy{
		WindowNs: int64(2 * time.Second), GraceNs: int64(2 * time.Second), HeartbeatNs: int64(time.Minute),
		DeadlineNs: int64(2 * time.Minute), HorizonNs: int64(2 * time.Hour),
		MinLikelihood: 950_000, MinFactor: 900_000, Guard: 5_000, OneModalityNations: 3,
	}
}

// Window is the length of a window.
func (p Policy) Window() time.Duration { return time.Duration(p.WindowNs) }

// Grace is how long after a window's end nothing of it is revealed.
func (p Policy) Grace() time.Duration { return time.Duration(p.GraceNs) }

// Heartbeat is the longest time between two seals of a nation.
func (p Policy) Heartbeat() time.Duration { return time.Duration(p.HeartbeatNs) }

// SealWait is how long after a window's end a nation that listens, and whose seal of it is not ordered, is waited for
// before the window is revealed without it: 30 s. It is longer than a leader can leave a record out unpunished (20 s, the
// inclusion deadline), and leaves most of the deadline to attest.
func (p Policy) SealWait() time.Duration { return max(p.Grace(), p.Deadline()/4) }

// SealAhead is how far beyond ledger time the window of a seal may end: ledger time may be a heartbeat old when nothing
// happens, and an honest clock a minute ahead. A nation whose clock was wrong is heard again after as long at most.
func (p Policy) SealAhead() time.Duration { return p.Heartbeat() + time.Minute }

// Deadline is how long after its order an incident waits for attestations.
func (p Policy) Deadline() time.Duration { return time.Duration(p.DeadlineNs) }

// Horizon is how long seals can be cited and incidents amended.
func (p Policy) Horizon() time.Duration { return time.Duration(p.HorizonNs) }

// Digest is the network's identity.
func (a *Accord) Digest() Hash { return HashOf(Encode(a)) }

// DecodeAccord reads canonical bytes and checks them.
func DecodeAccord(b []byte) (*Accord, error) {
	a := new(Accord)
	if err := Decode(b, MaxAccord, a); err != nil {
		return nil, fmt.Errorf("accord: %w", err)
	}
	return a, a.Check()
}

// exerciseMark begins the origin of every exercise.
const exerciseMark = "EXERCISE"

// Check reports everything that is wrong with an accord, not only the first thing.
func (a *Accord) Check() error {
	var p problems
	p.text("name", a.Name, 1, MaxName)
	p.text("origin", a.Origin, 1, MaxName)
	p.bad(strings.ContainsRune(a.Origin, '+') || strings.ContainsFunc(a.Origin, unicode.IsSpace),
		"origin %q: no spaces or '+' (C2SP signed-note key names)", a.Origin)
	p.bad(strings.HasPrefix(a.Origin, exerciseMark) != a.Exercise,
		"origin %q must begin with %s exactly when exercise is set", a.Origin, exerciseMark)
	p.bad(a.Epoch == 0, "epoch must be 1 or more")
	p.bad(a.Founded <= 0, "founded is missing")
	p.bad(len(a.Members) < MinNations || len(a.Members) > MaxNations,
		"%d members, must be %d to %d", len(a.Members), MinNations, MaxNations)
	seen := map[string]string{}
	for i, m := range a.Members {
		p.bad(!m.Nation.Valid(), "member %q is not an ISO 3166-1 alpha-3 code", m.Nation)
		p.bad(i > 0 && a.Members[i-1].Nation >= m.Nation, "members are not in rising order at %s", m.Nation)
		p.text("member name", m.Name, 1, MaxName)
		p.keys(m, seen)
	}
	p.bad(len(a.Parties) != 2, "%d parties, must be 2", len(a.Parties))
	for i, q := range a.Parties {
		p.text("party code", string(q.Code), 1, 8)
		p.text("party name", q.Name, 1, MaxName)
		p.bad(i > 0 && a.Parties[0].Code == q.Code, "both parties have the code %q", q.Code)
	}
	p.bad(len(a.Lines) == 0 || len(a.Lines) > MaxZones, "%d lines, must be 1 to %d", len(a.Lines), MaxZones)
	for i, l := range a.Lines {
		p.bad(len(l.Vertices) < 2 || len(l.Vertices) > MaxVertices, "line %d has %d vertices", i, len(l.Vertices))
		p.bad(l.SigmaMm < 1 || l.SigmaMm > maxSigmaMm, "line %d: sigma_mm %d", i, l.SigmaMm)
		p.span(fmt.Sprintf("line %d", i), l.From, l.Until)
		p.places(fmt.Sprintf("line %d", i), l.Vertices)
	}
	zones := map[string]ZoneKind{}
	p.bad(len(a.Zones) > MaxZones, "%d zones, at most %d", len(a.Zones), MaxZones)
	for i, z := range a.Zones {
		p.text("zone id", z.ID, 1, MaxName)
		p.text("zone name", z.Name, 1, MaxName)
		p.bad(i > 0 && a.Zones[i-1].ID >= z.ID, "zones are not in rising order at %q", z.ID)
		p.bad(!z.Kind.Valid(), "zone %q has no kind", z.ID)
		p.bad(z.Party != "" && !a.hasParty(z.Party), "zone %q binds unknown party %q", z.ID, z.Party)
		p.bad(len(z.Ring) < 4 || len(z.Ring) > MaxVertices || z.Ring[0] != z.Ring[len(z.Ring)-1],
			"zone %q: a ring has 4 or more positions and ends where it begins", z.ID)
		p.span("zone "+z.ID, z.From, z.Until)
		p.places("zone "+z.ID, z.Ring)
		zones[z.ID] = z.Kind
	}
	p.clauses(a.Clauses, zones)
	p.policy(a.Policy)
	return p.err("accord")
}

func (a *Accord) hasParty(c Party) bool {
	return slices.ContainsFunc(a.Parties, func(p PartyInfo) bool { return p.Code == c })
}

// problems collects what is wrong, so that a person mends a file once.
type problems []string

func (p *problems) bad(is bool, format string, args ...any) {
	if is && len(*p) < 32 {
		*p = append(*p, fmt.Sprintf(format, args...))
	}
}

func (p *problems) text(name, s string, low, high int) {
	p.bad(len(s) < low || len(s) > high, "%s has %d bytes, must be %d to %d", name, len(s), low, high)
	// A name is one line: names are written into line-oriented files, such as the observers' policy.
	p.bad(high <= MaxName && strings.ContainsAny(s, "\n\u0085\u2028\u2029"), "%s %q has more than one line", name, s)
	if err := checkText(name, s, high); err != nil {
		p.bad(len(s) <= high, "%v", err)
	}
}

func (p *problems) span(name string, from, until Time) {
	p.bad(from <= 0 || until != 0 && until <= from, "%s: from must be set and come before until", name)
}

func (p *problems) places(name string, ps []Position) {
	for i, q := range ps {
		if err := q.Check(); err != nil {
			p.bad(true, "%s, vertex %d: %v", name, i, err)
			return
		}
	}
}

func (p *problems) keys(m Member, seen map[string]string) {
	have := map[KeyRole]bool{}
	for i, k := range m.Keys {
		size, known := publicSize[k.Kind]
		p.bad(!known || !roleNames.valid(uint8(k.Role)), "%s: key %d has an unknown role or kind", m.Nation, i)
		p.bad(known && len(k.Public) != size, "%s: %s key has %d bytes, %s has %d", m.Nation, k.Role, len(k.Public), k.Kind, size)
		p.bad(i > 0 && (m.Keys[i-1].Role > k.Role || m.Keys[i-1].Role == k.Role && m.Keys[i-1].Kind >= k.Kind),
			"%s: keys are not in rising order of role and kind", m.Nation)
		p.bad(k.Kind == KindEd25519 && !soundKey(k.Public), "%s: the %s key is no Ed25519 public key that one holder alone can sign for", m.Nation, k.Role)
		who := fmt.Sprintf("%s's %s key", m.Nation, k.Role)
		if other, twice := seen[string(k.Public)]; twice {
			p.bad(true, "%s is also %s: every role of every nation has its own key", who, other)
		}
		seen[string(k.Public)] = who
		if k.Kind == KindEd25519 {
			have[k.Role] = true
		}
	}
	for _, r := range []KeyRole{RoleTreaty, RoleCosign, RoleNode} {
		p.bad(!have[r], "%s has no Ed25519 %s key", m.Nation, r)
	}
}

// soundKey says whether an Ed25519 public key is a point of the curve, and not one of the few of small order, under
// which anybody can make signatures that hold (zip215_test.go shows one).
func soundKey(public []byte) bool {
	var y curve.CompressedEdwardsY
	var a curve.EdwardsPoint
	if _, err := y.SetBytes(public); err != nil {
		return false
	}
	if _, err := a.SetCompressedY(&y); err != nil {
		return false
	}
	return !a.IsSmallOrder()
}

func (p *problems) clauses(cs []Clause, zones map[string]ZoneKind) {
	p.bad(len(cs) == 0 || len(cs) > MaxClauses, "%d clauses, must be 1 to %d", len(cs), MaxClauses)
	have := map[ClauseID]bool{}
	for i, c := range cs {
		p.text("clause id", string(c.ID), 1, MaxName)
		p.text("clause text", c.Text, 1, MaxText)
		p.bad(i > 0 && cs[i-1].ID >= c.ID, "clauses are not in rising order at %q", c.ID)
		p.bad(c.ID.Parent() != "" && !have[c.ID.Parent()], "clause %q has no parent %q", c.ID, c.ID.Parent())
		p.bad(!c.Act.Valid(), "clause %q has no act", c.ID)
		p.bad(len(c.Classes) == 0 || !risingBy(c.Classes), "clause %q: classes must be set, in rising order", c.ID)
		p.bad(slices.ContainsFunc(c.Classes, func(k EventClass) bool { return !k.Valid() }), "clause %q: unknown class", c.ID)
		p.bad(c.WithinMm < 0 || c.WithinMm > maxSigmaMm, "clause %q: within_mm %d", c.ID, c.WithinMm)
		p.bad(c.Severity > 5, "clause %q: severity %d, must be 0 to 5", c.ID, c.Severity)
		p.span("clause "+string(c.ID), c.From, c.Until)
		p.bad(!risingBy(c.Zones) || !risingBy(c.ExceptIn), "clause %q: zones are not in rising order", c.ID)
		for _, z := range c.Zones {
			p.bad(zones[z] == 0, "clause %q names unknown zone %q", c.ID, z)
		}
		for _, z := range c.ExceptIn {
			p.bad(zones[z] != ZoneExercise, "clause %q excepts %q, which is not an exercise zone", c.ID, z)
		}
		have[c.ID] = true
	}
}

func (p *problems) policy(y Policy) {
	hour := int64(time.Hour)
	for _, b := range []bound{
		{"window_ns", y.WindowNs, int64(100 * time.Millisecond), int64(time.Minute)},
		{"grace_ns", y.GraceNs, int64(100 * time.Millisecond), int64(time.Minute)},
		{"heartbeat_ns", y.HeartbeatNs, y.WindowNs, hour},
		{"deadline_ns", y.DeadlineNs, y.WindowNs, 24 * hour},
		{"horizon_ns", y.HorizonNs, y.DeadlineNs, 30 * 24 * hour},
		{"min_likelihood_ppm", int64(y.MinLikelihood), 500_001, int64(Certain)},
		{"min_factor_ppm", int64(y.MinFactor), 500_001, int64(Certain)},
		{"guard_ppm", int64(y.Guard), 0, 100_000},
		{"resilience", int64(y.Resilience), 0, MaxNations},
		{"one_modality_nations", int64(y.OneModalityNations), 2, MaxNations},
	} {
		p.bad(b.v < b.low || b.v > b.high, "policy: %s is %d, must be %d to %d", b.name, b.v, b.low, b.high)
	}
}

func (p problems) err(what string) error {
	if len(p) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s: %s", ErrMalformed, what, strings.Join(p, "; "))
}

// key finds a nation's Ed25519 key for a role; Check has made sure there is one.
func (m *Member) key(r KeyRole) ed25519.PublicKey {
	for _, k := range m.Keys {
		if k.Role == r && k.Kind == KindEd25519 {
			return bytes.Clone(k.Public)
		}
	}
	return nil
}
