package node

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"truceline/consensus/depose"
	"truceline/consensus/ledger"
	"truceline/consensus/raftnet"
	"truceline/node/pool"
	"truceline/treaty"
)

// The deposer watches the leader of the order. One goroutine (run) owns the machine:
//
//	mesh readers ──inbox (one slot each)──┐
//	time ──ticker────────────────────────┴──► run ──► mesh (complaints), raftnet (shut out, stand)
type deposer struct {
	cfg     deposerConfig
	machine *depose.Machine // owned by run
	start   time.Time
	wake    chan struct{}

	mu    sync.Mutex
	inbox map[treaty.Nation][]byte // the latest complaint of each, not read yet
	heard map[treaty.Nation]time.Time
	shown LeadStatus
}

type deposerConfig struct {
	Net    *treaty.Network
	Nation treaty.Nation
	Signer *treaty.Signer
	Order  *raftnet.Group
	Pool   *pool.Pool
	Ledger *ledger.Ledger
	// Lags says that this node lacks what others have certified: then it blames nobody.
	Lags      func() bool
	Connected func() []treaty.Nation
	// Send sends to all.
	Send      func(msg []byte)
	Violation func(from treaty.Nation, reason string)

	Complain, Progress, Tenure, Sentence time.Duration

	Metrics *metrics
	Log     *slog.Logger
}

// LeadStatus is how the leader of the order stands with this node.
type LeadStatus struct {
	// Tenure is for how long it has led, in seconds; Complaining are those whose complaints about it stand.
	Tenure      float64         `json:"tenure_seconds"`
	Complaining []treaty.Nation `json:"complaining,omitempty"`
	// Deposed is the leader that was shut out, or resigned, last, About why and At when.
	Deposed treaty.Nation `json:"deposed,omitempty"`
	About   string        `json:"deposed_about,omitempty"`
	At      time.Time     `json:"deposed_at,omitzero"`
}

const (
	// handOver is how old a record must be before a leader may be blamed for it: Node.repeat has sent it again by then.
	handOver = time.Second
	// complaintPause is the least time between two complaints of one nation that are looked at; honest ones are rarer.
	complaintPause = 50 * time.Millisecond
	// maxUnapplied is how many entries this node may have to apply yet and still blame the leader.
	maxUnapplied = 256
)

func newDeposer(cfg deposerConfig) *deposer {
	return &deposer{
		cfg: cfg, start: time.Now(), wake: make(chan struct{}, 1),
		inbox: map[treaty.Nation][]byte{}, heard: map[treaty.Nation]time.Time{},
		machine: depose.New(depose.Config{
			Nations: cfg.Net.Nations(), Self: cfg.Nation, F: cfg.Net.F, Q: cfg.Net.Q, Complain: cfg.Complain, Progress: cfg.Progress,
			Tenure: cfg.Tenure, Sentence: cfg.Sentence,
		}),
	}
}

// receive takes a complaint from a peer. It never blocks: the latest of each nation is kept.
func (d *deposer) receive(from treaty.Nation, raw []byte) {
	now := time.Now()
	d.mu.Lock()
	early := now.Sub(d.heard[from]) < complaintPause
	if !early && d.cfg.Net.Index(from) >= 0 {
		d.heard[from], d.inbox[from] = now, raw
	}
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *deposer) state() LeadStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.shown
}

func (d *deposer) run(ctx context.Context) error {
	tick := time.NewTicker(max(d.cfg.Complain/40, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := d.carry(d.machine.Step(d.now(), d.look())); err != nil {
				return err
			}
			d.show()
		case <-d.wake:
			d.mu.Lock()
			came := d.inbox
			d.inbox = map[treaty.Nation][]byte{}
			d.mu.Unlock()
			for _, k := range d.cfg.Net.Nations() {
				if raw, ok := came[k]; ok {
					if err := d.carry(d.hear(k, raw)); err != nil {
						return err
					}
				}
			}
		}
	}
}

func (d *deposer) now() time.Duration { return time.Since(d.start) }

// hear verifies a complaint: each nation brings its own.
func (d *deposer) hear(from treaty.Nation, raw []byte) []depose.Effect {
	s, c, err := treaty.ParseComplaint(raw)
	if err == nil {
		err = d.cfg.Net.Verify(s)
	}
	if err != nil || s.Header.Claims.Issuer != from {
		d.cfg.Log.Debug("a complaint is refused", slog.String("from", string(from)), slog.Any("error", err))
		d.cfg.Violation(from, "bad complaint")
		return nil
	}
	return append(d.machine.Step(d.now(), d.look()), d.machine.Hear(d.now(), from, c)...)
}

// look is what this node sees now.
func (d *deposer) look() (v depose.View) {
	leader, _ := d.cfg.Order.Leader()
	v.Term, v.Leader = d.cfg.Order.Term(), treaty.Nation(leader)
	up := d.cfg.Connected()
	for _, k := range up {
		v.Reachable = v.Reachable || k == v.Leader
	}
	if len(up)+1 < d.cfg.Net.Q || d.cfg.Lags() || d.cfg.Order.LastIndex() > d.cfg.Order.AppliedIndex()+maxUnapplied {
		v.Reachable = false
	}
	now := time.Now()
	for _, h := range d.cfg.Pool.Heads() {
		if held := now.Sub(h.Since); held >= handOver {
			v.Heads = append(v.Heads, depose.Head{Author: h.Record.Nation, Record: h.Record.ID, Held: held, Flooded: h.Flooded})
		}
	}
	v.Final = d.cfg.Ledger.FinalSize()
	v.Tentative = d.cfg.Ledger.Frontier().Size > v.Final
	return v
}

// carry carries effects out.
func (d *deposer) carry(es []depose.Effect) error {
	for _, e := range es {
		switch {
		case e.Say != nil:
			raw, err := d.cfg.Signer.SignComplaint(*e.Say)
			if err != nil {
				return err
			}
			d.cfg.Metrics.complaints.WithLabelValues(e.Say.About.String()).Inc()
			d.cfg.Log.Warn("this nation wants another leader of the order", slog.String("leader", string(e.Say.Leader)),
				slog.Uint64("term", e.Say.Term), slog.String("about", e.Say.About.String()), slog.String("record", e.Say.Record.Short()),
				slog.Uint64("waited_ms", e.Say.Waited))
			d.cfg.Send(append([]byte{wireComplaint}, raw...))
		case e.Depose != nil:
			d.depose(e.Depose)
		case e.Release != "":
			d.cfg.Order.Quarantine(string(e.Release), time.Time{})
		}
	}
	return nil
}

// depose shuts a leader out; its successor stands at once.
func (d *deposer) depose(x *depose.Deposition) {
	d.cfg.Order.Quarantine(string(x.Leader), time.Now().Add(x.For))
	d.cfg.Metrics.deposed.WithLabelValues(string(x.Leader), x.About.String()).Inc()
	d.cfg.Log.Warn("a leader of the order is deposed", slog.String("leader", string(x.Leader)), slog.Uint64("term", x.Term),
		slog.String("about", x.About.String()), slog.Bool("served", x.Served), slog.Duration("for", x.For),
		slog.String("successor", string(x.Successor)))
	d.mu.Lock()
	d.shown.Deposed, d.shown.About, d.shown.At = x.Leader, x.About.String(), time.Now()
	d.mu.Unlock()
	if x.Successor != d.cfg.Nation {
		return
	}
	if err := d.cfg.Order.StartElection(); err != nil {
		d.cfg.Log.Info("this node cannot stand for election at once; the timers will do it", slog.Any("error", err))
	}
}

func (d *deposer) show() {
	led := d.machine.Led().Seconds()
	d.cfg.Metrics.tenure.Set(led)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shown.Tenure, d.shown.Complaining = led, d.machine.Complaining()
}
