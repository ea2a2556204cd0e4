package depose

import (
	"slices"
	"time"

	"truceline/treaty"
)

// Config is what a Machine needs.
type Config struct {
	// Nations is the roster, in the accord's order; F of them may lie, Q are a quorum.
	Nations []treaty.Nation
	Self    treaty.Nation
	F, Q    int
	// Complain is for how long a leader may leave out a record it was handed.
	Complain time.Duration
	// Progress is for how long finality may stand still under a leader while something is tentative.
	Progress time.Duration
	// Tenure is for how long a leader leads before it hands the order on.
	Tenure time.Duration
	// Sentence is for how long a deposed leader is shut out; doubled each time, up to maxDoubling times.
	Sentence time.Duration
}

const (
	// maxStep is the most time that one Step counts against a leader: a node that was itself asleep blames nobody for it.
	maxStep = time.Second
	// maxDoubling bounds the doubling of sentences and of patience.
	maxDoubling = 6
)

// Head is the record of one author that the order should bring next.
type Head struct {
	Author treaty.Nation
	Record treaty.Hash
	// Held is for how long this node has held it.
	Held time.Duration
	// Flooded says that its author has more waiting than its share: then nobody is to blame for the time in the queue.
	Flooded bool
}

// View is what this node sees when it looks.
type View struct {
	// Term and Leader are Raft's; Leader is "" when there is none.
	Term   uint64
	Leader treaty.Nation
	// Reachable says that this node is connected to the leader, hands it what waits, and to enough others for a quorum.
	Reachable bool
	// Heads are the next records of all authors that have any waiting.
	Heads []Head
	// Final is the ledger's final size; Tentative says that there is more than that.
	Final     uint64
	Tentative bool
}

// Effect is one thing to do.
type Effect struct {
	// Say: sign this and send it to everybody.
	Say *treaty.Complaint
	// Depose: shut this leader out, and start its successor if that is this nation.
	Depose *Deposition
	// Release: hear this nation again, before its time: more than f would be shut out.
	Release treaty.Nation
}

// Deposition is what q nations have agreed on by complaining, or a leader by resigning.
type Deposition struct {
	Term      uint64
	Leader    treaty.Nation
	Successor treaty.Nation
	For       time.Duration
	About     treaty.Grievance
	// Served says that the leader resigned, or that its tenure was over: it is shut out only until another leads.
	Served bool
}

// Machine is the state. Not safe for concurrent use.
type Machine struct {
	cfg   Config
	now   time.Duration
	seen  time.Duration // when Step looked last
	term  uint64
	lead  treaty.Nation
	since time.Duration // when this tenure was first seen

	lanes map[treaty.Nation]*lane
	stuck map[treaty.Nation]time.Duration // by leader, since finality last moved
	final uint64

	heard map[treaty.Nation]heard
	mine  *treaty.Complaint
	said  time.Duration
	acted bool // on this tenure
	met   bool // the leader of this tenure was reachable at some time

	shut     []shut                   // the longest first
	deposed  map[treaty.Nation]record // of the past
	failures int                      // depositions since a leader last led for twice the patience without a complaint
}

// lane is how long one author's next record has waited under each leader.
type lane struct {
	record treaty.Hash
	under  map[treaty.Nation]time.Duration
	here   time.Duration // in this tenure
}

type heard struct {
	treaty.Complaint
	at time.Duration
}

type shut struct {
	nation treaty.Nation
	until  time.Duration
}

type record struct {
	times int
	last  time.Duration
}

// New makes a machine that has seen nothing.
func New(cfg Config) *Machine {
	return &Machine{
		cfg: cfg, lanes: map[treaty.Nation]*lane{}, stuck: map[treaty.Nation]time.Duration{},
		heard: map[treaty.Nation]heard{}, deposed: map[treaty.Nation]record{},
	}
}

// Patience is how long a leader may leave a record out now. More than f leaders deposed in a row cannot all lie: then it
// is the network that is slow, and patience doubles.
func (m *Machine) Patience() time.Duration { return m.patient(m.cfg.Complain) }

func (m *Machine) patient(d time.Duration) time.Duration {
	return d << min(m.failures/(m.cfg.F+1), maxDoubling)
}

// repeat is the pace at which a standing complaint is said again; it counts for three of these and a half.
func (m *Machine) repeat() time.Duration { return m.cfg.Complain / 8 }

func (m *Machine) fresh(h heard) bool {
	return h.Term == m.term && h.Leader == m.lead && m.now-h.at <= 7*m.repeat()/2
}

// Complaining are the nations whose complaints about the present leader stand, this one too.
func (m *Machine) Complaining() (ks []treaty.Nation) {
	for _, k := range m.cfg.Nations {
		if h, ok := m.heard[k]; ok && m.fresh(h) || k == m.cfg.Self && m.mine != nil {
			ks = append(ks, k)
		}
	}
	return ks
}

// Led is for how long the present leader has led, as far as this node has seen.
func (m *Machine) Led() time.Duration {
	if m.lead == "" {
		return 0
	}
	return m.now - m.since
}

// Step looks again. Call it several times in Complain/8.
func (m *Machine) Step(now time.Duration, v View) []Effect {
	passed := min(max(now-m.seen, 0), maxStep)
	m.now = max(now, m.now)
	m.seen = m.now
	m.shut = slices.DeleteFunc(m.shut, func(s shut) bool { return s.until <= m.now })
	if v.Term != m.term || v.Leader != m.lead {
		m.change(v)
		passed = 0
	}
	if v.Reachable && m.lead != "" && m.lead != m.cfg.Self {
		m.met = true
	} else {
		passed = 0
	}
	m.count(passed, v)
	es := m.judge()
	if m.lead != "" && m.mine == nil && m.now-m.since > 2*m.Patience() {
		m.failures = 0
	}
	return es
}

// Hear takes a verified complaint of another nation.
func (m *Machine) Hear(now time.Duration, from treaty.Nation, c treaty.Complaint) []Effect {
	m.now = max(now, m.now)
	if from == m.cfg.Self || !slices.Contains(m.cfg.Nations, from) || c.Term < m.term {
		return nil
	}
	m.heard[from] = heard{c, m.now}
	return m.judge()
}

// change begins another tenure. A leader that goes before its time is up is charged a quarter of it, so that many short
// tenures are no way to leave a record out for ever.
func (m *Machine) change(v View) {
	for _, l := range m.lanes {
		if m.met && !m.acted {
			l.under[m.lead] += max(0, m.cfg.Complain/4-l.here)
		}
		l.here = 0
	}
	m.term, m.lead, m.since = v.Term, v.Leader, m.now
	m.mine, m.acted, m.met = nil, false, false
}

// count charges the time that passed to the leader.
func (m *Machine) count(passed time.Duration, v View) {
	there := map[treaty.Nation]bool{}
	for _, h := range v.Heads {
		there[h.Author] = true
		l := m.lanes[h.Author]
		if l == nil {
			l = &lane{under: map[treaty.Nation]time.Duration{}}
			m.lanes[h.Author] = l
		}
		if l.record != h.Record {
			// It was held, and handed on, while the one before it waited: ordering one record at a time is no way out.
			for k, d := range l.under {
				if l.under[k] = min(d, h.Held); h.Flooded {
					l.under[k] = 0
				}
			}
			l.record, l.here = h.Record, 0
			continue
		}
		if passed > 0 {
			l.under[m.lead] += passed
			l.here += passed
		}
	}
	for k := range m.lanes {
		if !there[k] {
			delete(m.lanes, k)
		}
	}
	if v.Final != m.final || !v.Tentative {
		m.final = v.Final
		clear(m.stuck)
	} else if passed > 0 {
		m.stuck[m.lead] += passed
	}
}

// grievance is this node's own, nil if it has none.
func (m *Machine) grievance() *treaty.Complaint {
	c := &treaty.Complaint{Term: m.term, Leader: m.lead}
	waited := time.Duration(0)
	for _, k := range m.cfg.Nations {
		if l := m.lanes[k]; l != nil && l.under[m.lead] >= m.Patience() && l.under[m.lead] > waited {
			waited, c.About, c.Record = l.under[m.lead], treaty.GrievanceRecord, l.record
		}
	}
	led, cap := m.now-m.since, m.cfg.Tenure
	if m.lead != m.cfg.Self {
		cap += m.cfg.Complain // the leader is asked to go by itself
	}
	switch {
	case c.About != 0:
	case m.stuck[m.lead] >= m.patient(m.cfg.Progress):
		waited, c.About = m.stuck[m.lead], treaty.GrievanceProgress
	case led >= cap:
		waited, c.About = led, treaty.GrievanceTenure
	default:
		return nil
	}
	c.Waited = uint64(waited / time.Millisecond)
	return c
}

// judge complains, joins and acts.
func (m *Machine) judge() (es []Effect) {
	if m.lead == "" || m.term == 0 {
		return nil
	}
	own := m.grievance()
	others, over, resigned := 0, 0, false
	var joined *treaty.Complaint
	for _, k := range m.cfg.Nations {
		h, ok := m.heard[k]
		if !ok || !m.fresh(h) {
			continue
		}
		if k == m.lead {
			resigned = true
		} else {
			others++
		}
		if h.About == treaty.GrievanceTenure {
			over++
		}
		if joined == nil || k == m.lead {
			joined = &treaty.Complaint{Term: m.term, Leader: m.lead, About: h.About, Record: h.Record}
		}
	}
	if own == nil && m.lead != m.cfg.Self && (resigned || others > m.cfg.F) {
		own = joined
	}
	if own == nil {
		if !m.acted {
			m.mine = nil
		}
		return nil
	}
	if m.mine == nil || m.now-m.said >= m.repeat() {
		m.said = m.now
		es = append(es, Effect{Say: own})
	}
	m.mine = own
	if m.lead == m.cfg.Self || m.acted || !resigned && others+1 < m.cfg.Q {
		return es
	}
	// One honest nation among f+1 says that the leader's time is up: that is no fault.
	return append(es, m.act(own.About, resigned || over > m.cfg.F)...)
}

// act shuts the leader out.
func (m *Machine) act(about treaty.Grievance, served bool) (es []Effect) {
	m.acted = true
	d := &Deposition{Term: m.term, Leader: m.lead, For: m.cfg.Complain, About: about, Served: served}
	if !served {
		r := m.deposed[m.lead]
		if m.now-r.last > 2*m.cfg.Sentence<<maxDoubling {
			r.times = 0
		}
		d.For = m.cfg.Sentence << min(r.times, maxDoubling)
		m.deposed[m.lead] = record{r.times + 1, m.now}
		m.failures++
		for _, l := range m.lanes {
			delete(l.under, m.lead)
		}
		delete(m.stuck, m.lead)
	}
	m.shut = slices.DeleteFunc(m.shut, func(s shut) bool { return s.nation == m.lead })
	m.shut = append(m.shut, shut{m.lead, m.now + d.For})
	for len(m.shut) > m.cfg.F {
		es = append(es, Effect{Release: m.shut[0].nation})
		m.shut = m.shut[1:]
	}
	at := slices.Index(m.cfg.Nations, m.lead)
	for i := 1; i <= len(m.cfg.Nations) && d.Successor == ""; i++ {
		k := m.cfg.Nations[(at+i)%len(m.cfg.Nations)]
		if !slices.ContainsFunc(m.shut, func(s shut) bool { return s.nation == k }) {
			d.Successor = k
		}
	}
	return append(es, Effect{Depose: d})
}
