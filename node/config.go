package node

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/libp2p/go-libp2p"
	"github.com/prometheus/client_golang/prometheus"

	"truceline/consensus/raftnet"
	"truceline/sensorio"
	"truceline/treaty"
)

// Keys are one nation's private keys: one key, one role.
type Keys struct {
	// Treaty signs records and finality votes, Cosign checkpoints; both may sit in hardware.
	Treaty, Cosign crypto.Signer
	// Node is the libp2p identity.
	Node ed25519.PrivateKey
}

// Config is what a node needs. Fields without a word on defaults are required.
type Config struct {
	// Dir is the node's data folder: store/ (Pebble) and raw/ (the sensors' bytes). One process at a time.
	Dir string
	// FS is the disk; nil is the machine's. Tests put one here that can be crashed.
	FS     vfs.FS
	Net    *treaty.Network
	Nation treaty.Nation
	Keys   Keys
	// Listen are libp2p multiaddresses to listen on; Peers where the other nations listen.
	Listen []string
	Peers  map[treaty.Nation][]string
	// HostOptions are added to the libp2p host; tests simulate the wire with them.
	HostOptions []libp2p.Option
	// Observe is the address of the public read-only API ("127.0.0.1:8080"), Operator that of the operator's own
	// listener for sensors and review; empty: none. Keep Operator on loopback or a guarded network.
	Observe, Operator string
	// Clock is the sensor clock; nil is real time. A demo runs it faster.
	Clock *sensorio.Clock
	// Timing is Raft's; zero is raftnet.DefaultTiming.
	Timing raftnet.Timing
	// RoundTimeout is how long finality's round 0 may take; 0 is 2 s.
	RoundTimeout time.Duration
	// Inclusion is how long a record may be left out before checkpoints without it are objected to; 0 is 20 s.
	Inclusion time.Duration
	// Complain is how long a leader of the order may leave a record out before this node complains of it; 0 is half of
	// Inclusion. Progress is how long finality may stand still under a leader; 0 is three times Complain.
	Complain, Progress time.Duration
	// Tenure is how long a leader leads before it hands the order on; 0 is 10 min. Sentence is how long a deposed leader is
	// shut out the first time, at least f times (2 Complain + 20 heartbeat timeouts); 0 is 1 min.
	Tenure, Sentence time.Duration
	// CatchUp is how long to wait for Raft before certified entries are fetched from a peer; 0 is 3 s.
	CatchUp time.Duration
	// Stagger lies between the ranks of proposers of one incident; 0 is 250 ms.
	Stagger time.Duration
	// KeepEntries is how much of the order's log below the certified point is kept for peers that are a little behind; who
	// is further behind gets a snapshot: the certificate, and the ledger from any peer. 0 is 10,000.
	KeepEntries uint64
	// Review queues assessments for the duty officer instead of attesting automatically.
	Review bool
	// Sources are the sensors' inputs beside POST /v1/detections on the operator's listener.
	Sources []sensorio.SourceConfig
	// CacheBytes is Pebble's block cache, MemTableBytes its write buffer; 0: 8 MiB and 16 MiB.
	CacheBytes, MemTableBytes int64
	// Tamper makes the node hostile, under an exercise accord only; nil everywhere else.
	Tamper Tamper
	// Registry takes the node's metrics; nil makes one.
	Registry *prometheus.Registry
	Log      *slog.Logger
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&c.RoundTimeout, 2*time.Second)
	set(&c.Inclusion, 20*time.Second)
	set(&c.Complain, c.Inclusion/2)
	set(&c.Progress, 3*c.Complain)
	set(&c.Tenure, 10*time.Minute)
	set(&c.Sentence, time.Minute)
	set(&c.CatchUp, 3*time.Second)
	set(&c.Stagger, 250*time.Millisecond)
	if c.KeepEntries == 0 {
		c.KeepEntries = 10_000
	}
	if c.FS == nil {
		c.FS = vfs.Default
	}
	if c.Clock == nil {
		c.Clock = sensorio.RealClock()
	}
	if c.Timing == (raftnet.Timing{}) {
		c.Timing = raftnet.DefaultTiming()
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = 8 << 20
	}
	if c.MemTableBytes == 0 {
		c.MemTableBytes = 16 << 20
	}
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
	return c
}

// Validate reports all problems.
func (c Config) Validate() error {
	var errs []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	need(c.Dir != "", "no data folder: set Dir")
	need(c.Net != nil, "no accord: load the founding document first")
	need(c.Log != nil, "no logger")
	need(c.Keys.Treaty != nil && c.Keys.Cosign != nil && len(c.Keys.Node) == ed25519.PrivateKeySize,
		"a key is missing: treaty, cosign and node are all needed")
	if c.Net != nil {
		m, ok := c.Net.Member(c.Nation)
		need(ok, "%q is not in the accord's roster", c.Nation)
		if ok && c.Keys.Cosign != nil {
			pub, isEd := c.Keys.Cosign.Public().(ed25519.PublicKey)
			need(isEd && m.Cosign.Equal(pub), "the cosign key is not the one the accord lists for %s", c.Nation)
		}
	}
	need(c.Tamper == nil || c.Net != nil && c.Net.Accord.Exercise, "a node may be made hostile in an exercise only: remove Tamper")
	need(len(c.Listen) > 0, "no libp2p address to listen on")
	return errors.Join(errs...)
}
