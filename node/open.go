package node

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"

	"truceline/attribution"
	"truceline/consensus/ledger"
	"truceline/consensus/raftlog"
	"truceline/consensus/raftnet"
	"truceline/consensus/tally"
	"truceline/node/evidence"
	"truceline/node/peer"
	"truceline/node/pool"
	"truceline/sensorio/seal"
	"truceline/treaty"
)

func (n *Node) openStore() error {
	opts := &pebble.Options{
		FS: n.cfg.FS, MemTableSize: uint64(n.cfg.MemTableBytes), L0CompactionThreshold: 4,
		MemTableStopWritesThreshold: 4, Logger: pebbleLog{n}, FormatMajorVersion: pebble.FormatNewest,
	}
	cache := pebble.NewCache(n.cfg.CacheBytes)
	defer cache.Unref()
	opts.Cache = cache
	opts.EnsureDefaults()
	db, err := pebble.Open(n.cfg.FS.PathJoin(n.cfg.Dir, "store"), opts)
	if err != nil {
		return fmt.Errorf("%w (is another process using this folder?)", err)
	}
	n.db = db
	n.onClose("store", db.Close)
	return nil
}

func (n *Node) openEvidence() (err error) {
	n.store, err = evidence.Open(evidence.Config{DB: n.db, Net: n.cfg.Net, Nation: n.cfg.Nation, Log: n.log, Case: n.caseOf})
	return err
}

// caseOf is the first incident of the case that an incident belongs to, as far as the tally remembers.
func (n *Node) caseOf(incident treaty.Hash) (first treaty.Hash) {
	first = incident
	n.ledger.With(func(live ledger.Machine, _ uint64) {
		if v, ok := live.(tallyMachine).Incident(incident); ok {
			first = v.First
		}
	})
	return first
}

func (n *Node) openLedger() (err error) {
	n.ledger, err = ledger.Open(ledger.Config{
		DB: n.db, Net: n.cfg.Net, Log: n.log,
		New: func() ledger.Machine { return tallyMachine{tally.New(n.cfg.Net)} },
		Load: func(b []byte) (ledger.Machine, error) {
			s, err := tally.Decode(n.cfg.Net, b)
			if err != nil {
				return nil, err
			}
			return tallyMachine{s}, nil
		},
	})
	return err
}

func (n *Node) openAuthor() error {
	signer, err := treaty.NewSigner(n.cfg.Net, n.cfg.Nation, n.cfg.Keys.Treaty)
	if err != nil {
		return err
	}
	n.pool = pool.New(n.cfg.Net.Nations())
	n.syncPool(n.pool.Applied)
	n.author = newAuthor(signer, n.store, n.pool, n.cfg.Clock.Now, func(raw []byte) { n.send("", peer.Records, raw) },
		func(id treaty.Hash) bool {
			i, _, ok := n.ledger.Find(id)
			return ok && i < n.ledger.CosignedSize()
		}, n.log)
	n.witness = newWitness(witnessConfig{
		Net: n.cfg.Net, Nation: n.cfg.Nation, Ledger: n.ledger, Pool: n.pool, Submit: n.author.Submit, Stagger: n.cfg.Stagger, Log: n.log,
	})
	return nil
}

// syncPool tells the pool how far every nation's records are in the ledger.
func (n *Node) syncPool(set func(treaty.Nation, uint64)) {
	n.ledger.With(func(live ledger.Machine, _ uint64) {
		for _, k := range n.cfg.Net.Nations() {
			set(k, live.(tallyMachine).LastSeq(k))
		}
	})
}

func (n *Node) openFinalizer() (err error) {
	n.final, err = newFinalizer(finalizerConfig{
		Net: n.cfg.Net, Nation: n.cfg.Nation, Signer: n.author.signer, Cosign: n.cfg.Keys.Cosign, DB: n.db,
		Ledger: n.ledger, Pool: n.pool,
		Send:        func(to treaty.Nation, msg []byte) { n.send(to, peer.Votes, msg) },
		Equivocated: n.witness.votes, Fetch: n.fetchEntries, Violation: n.violation, Grafted: n.grafted, Settled: n.settled, Cosigned: n.cosigned, Fatal: n.fail,
		Timeout: n.cfg.RoundTimeout, Inclusion: n.cfg.Inclusion, CatchUp: n.cfg.CatchUp, Log: n.log,
	})
	return err
}

func (n *Node) openOrder() error {
	var err error
	n.logs, err = raftlog.Open(raftlog.Config{
		DB: n.db, Floor: n.floor, OnTruncate: func(min uint64) {
			if min <= n.ledger.LastIndex() {
				n.wantRebuild("a new leader's log overwrote entries that this node had applied")
			}
		},
		OnFatal: n.fail,
	})
	if err != nil {
		return err
	}
	members := make([]raftnet.Member, 0, n.cfg.Net.N)
	servers := raft.Configuration{}
	for _, g := range n.cfg.Net.Members() {
		id, err := peer.PeerID(g.Node)
		if err != nil {
			return err
		}
		members = append(members, raftnet.Member{ID: string(g.Nation), Peer: id})
		servers.Servers = append(servers.Servers, raft.Server{
			Suffrage: raft.Voter, ID: raft.ServerID(g.Nation), Address: raft.ServerAddress(g.Nation),
		})
	}
	snapshots, err := raftlog.NewSnapshots(raftlog.SnapshotsConfig{
		Certified: certified{n}, Configuration: func() raft.Configuration { return servers }, Log: n.logs,
		OnDiverged: func(uint64) { n.wantRebuild("a certificate contradicts this node's log of the order") },
	})
	if err != nil {
		return err
	}
	if c := n.ledger.Certified(); c != nil {
		if _, err := n.logs.Align(c.Checkpoint.Index, c.Checkpoint.Term); err != nil {
			return err
		}
	}
	n.group, err = raftnet.Open(raftnet.Config{
		Self: string(n.cfg.Nation), Members: members, Host: n.host, Logs: n.logs, Stable: n.logs, Snapshots: snapshots,
		Applier: &order{net: n.cfg.Net, pool: n.pool, ledger: n.ledger, events: n.events, final: n.final, placed: n.placed, seen: n.witness.ordered, log: n.log, running: n.running},
		Log:     n.log, Timing: n.cfg.Timing, OnFatal: n.fail,
		Net: n.cfg.Net, Signer: n.author.signer, Certified: n.floor, Accept: certified{n}.Accept, Conflict: n.conflicting,
	})
	if err != nil {
		return err
	}
	n.onClose("order", func() error { return n.group.Close() })
	return nil
}

func (n *Node) openDeposer() error {
	// None of f liars is back before the last has had its time, five elections by timers each (docs/TRUST.md).
	sentence := max(n.cfg.Sentence, time.Duration(n.cfg.Net.F)*(2*n.cfg.Complain+20*n.cfg.Timing.Heartbeat))
	n.deposer = newDeposer(deposerConfig{
		Net: n.cfg.Net, Nation: n.cfg.Nation, Signer: n.author.signer, Order: n.group, Pool: n.pool,
		Send: func(msg []byte) { n.send("", peer.Votes, msg) }, Violation: n.violation, Connected: n.mesh.Connected,
		Ledger: n.ledger, Lags: n.final.lags.Load,
		Complain: n.cfg.Complain, Progress: n.cfg.Progress, Tenure: n.cfg.Tenure, Sentence: sentence,
		Metrics: n.metrics, Log: n.log,
	})
	return nil
}

// floor is the order's certified index: nothing at or below it is ever truncated.
func (n *Node) floor() uint64 {
	if c := n.ledger.Certified(); c != nil {
		return c.Checkpoint.Index
	}
	return 0
}

func (n *Node) openPipeline() error {
	judge, err := attribution.New(attribution.Config{Net: n.cfg.Net})
	if err != nil {
		return err
	}
	lastSeal, lastWindow, err := n.lastSeal()
	if err != nil {
		return err
	}
	sealer, err := seal.New(seal.Config{
		Accord: n.cfg.Net.Digest, Nation: n.cfg.Nation, Policy: n.cfg.Net.Accord.Policy, Last: lastWindow,
	})
	if err != nil {
		return err
	}
	n.pipeline = newPipeline(pipelineConfig{
		Net: n.cfg.Net, Nation: n.cfg.Nation, Clock: n.cfg.Clock.Now, Until: n.cfg.Clock.Until, Judge: judge,
		Store: n.store, Ledger: n.ledger, Events: n.events, Submit: n.submit,
		Reveal: func(raw []byte) { n.send("", peer.Evidence, raw) }, Fetch: n.fetchBatch,
		LastSeal: lastSeal, Review: n.cfg.Review, Stagger: n.cfg.Stagger, Metrics: n.metrics, Log: n.log,
	}, sealer)
	return nil
}

// lastSeal finds this nation's latest seal: in the ledger, or still in its outbox.
func (n *Node) lastSeal() (id treaty.Hash, w treaty.Window, err error) {
	n.ledger.With(func(live ledger.Machine, _ uint64) {
		id, w, _ = live.(tallyMachine).LastSeal(n.cfg.Nation)
	})
	for r, err := range n.store.Outbox() {
		if err != nil {
			return id, w, err
		}
		if r.Seal != nil && r.Seal.Window > w {
			id, w = r.ID, r.Seal.Window
		}
	}
	// A window is sealed once, also when the tally refused its seal: two seals of one window are misbehaviour.
	return id, max(w, n.store.Sealed()), nil
}

// certified is what Raft sees as this node's snapshot: the last certificate.
type certified struct{ n *Node }

// Latest is the certified point.
func (c certified) Latest() (index, term uint64, data []byte, ok bool) {
	cert := c.n.ledger.Certified()
	if cert == nil {
		return 0, 0, nil, false
	}
	return cert.Checkpoint.Index, cert.Checkpoint.Term, treaty.Encode(cert), true
}

// Accept checks a snapshot that a leader sends: it must be a certificate of exactly that place in the order.
func (c certified) Accept(index, term uint64, data []byte) error {
	cert, err := treaty.DecodeCertificate(data)
	if err != nil {
		return err
	}
	if cert.Checkpoint.Index != index || cert.Checkpoint.Term != term || cert.Step != treaty.StepCommit {
		return fmt.Errorf("%w: the snapshot is for index %d, its certificate for %d", treaty.ErrMalformed, index, cert.Checkpoint.Index)
	}
	return c.n.cfg.Net.VerifyCertificate(cert)
}

// conflicting is told of a leader that signed two orders.
func (n *Node) conflicting(a, b []byte) {
	leader, err := n.cfg.Net.CheckHeads(a, b)
	if err != nil {
		return
	}
	n.log.Error("a leader has signed two orders: keep this evidence", slog.String("leader", string(leader)),
		slog.String("head", hex.EncodeToString(a)), slog.String("other", hex.EncodeToString(b)))
	n.witness.note(leader, treaty.TwoHeads, a, b)
}

// storeError is a disk that failed in a way Pebble cannot go on from: full, or gone. What is on it is intact; nothing
// more can be written.
type storeError struct{ text string }

func (e *storeError) Error() string {
	return "the store cannot be written: " + e.text + "; free space or mend the disk, then start the node again: nothing acknowledged is lost"
}

// pebbleLog passes Pebble's messages on.
type pebbleLog struct{ n *Node }

func (l pebbleLog) Infof(string, ...any) {}
func (l pebbleLog) Errorf(format string, args ...any) {
	l.n.log.Error("store", slog.String("message", fmt.Sprintf(format, args...)))
}

// Fatalf must not return: Pebble would report the failed commit as done. The panic is caught where the write was made
// (Node.guard, raftlog); in a goroutine of Pebble's own it ends the process, after this line.
func (l pebbleLog) Fatalf(format string, args ...any) {
	err := &storeError{fmt.Sprintf(format, args...)}
	l.n.log.Error("this node stops", slog.Any("error", err))
	l.n.fail(err)
	panic(err)
}
