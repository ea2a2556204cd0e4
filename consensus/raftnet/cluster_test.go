package raftnet_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"

	"truceline/consensus/raftlog"
	"truceline/consensus/raftnet"
	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// cluster is real raft on real libp2p (QUIC over simnet) and real Pebble on a crashable disk. It lives in a synctest
// bubble: time is virtual.
type cluster struct {
	t     *testing.T
	net   *simnet.Simnet
	nodes []*node
	cut   []atomic.Bool
	certs *certs
	fix   *treatytest.Fixture
	liar  string // the one who may be convicted
}

// certs stands for the finality protocol: the certified points every node could fetch from any peer.
type certs struct {
	mu sync.Mutex
	by map[string][]raftnet.Entry // certificate bytes → the entries up to it
}

type node struct {
	c     *cluster
	i     int
	id    string
	key   crypto.PrivKey
	fs    *vfs.MemFS
	full  *errorfs.Toggle // the disk is full
	db    *pebble.DB
	host  host.Host
	store *raftlog.Store
	group *raftnet.Group

	mu        sync.Mutex
	entries   []raftnet.Entry // what the Applier holds
	restores  int
	truncated []uint64
	conflicts [][2][]byte // evidence against a leader
	diverged  []uint64
	cert      certPoint
	fatal     error // by the store
	raftFatal error
}

// certPoint is kept in the node's database as a real node keeps its certificates.
type certPoint struct {
	index, term uint64
	data        []byte
}

var certKey = []byte("c")

func names(n int) (ids []string) {
	for _, k := range treatytest.Names[:n] {
		ids = append(ids, string(k))
	}
	return ids
}

func newCluster(t *testing.T, n int) *cluster {
	c := &cluster{t: t, cut: make([]atomic.Bool, n), certs: &certs{by: map[string][]raftnet.Entry{}}, fix: treatytest.New(n)}
	far := func(a net.Addr) bool {
		u := a.(*net.UDPAddr)
		for i := range c.cut {
			if u.IP.Equal(simnet.IntToPublicIPv4(i)) {
				return c.cut[i].Load()
			}
		}
		return false
	}
	c.net = &simnet.Simnet{Logger: slog.New(slog.DiscardHandler), LatencyFunc: func(p *simnet.Packet) time.Duration {
		if far(p.From) || far(p.To) {
			return 1000 * time.Hour
		}
		return 10 * time.Millisecond
	}}
	for i, id := range names(n) {
		seed := make([]byte, 32)
		seed[0] = byte(i + 1)
		key, _, err := crypto.GenerateEd25519Key(newReader(seed))
		must(t, err)
		c.nodes = append(c.nodes, &node{c: c, i: i, id: id, key: key, fs: vfs.NewCrashableMem(), full: fullDisk()})
	}
	for _, nd := range c.nodes {
		nd.openHost()
	}
	c.net.Start()
	for _, nd := range c.nodes {
		nd.start()
	}
	return c
}

func newReader(seed []byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte(seed)) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) close() {
	for _, n := range c.nodes {
		n.mu.Lock()
		for _, pair := range n.conflicts { // nobody but the liar is ever convicted, in whatever test
			if who, err := c.fix.Net.CheckHeads(pair[0], pair[1]); err != nil || string(who) != c.liar {
				c.t.Errorf("%s holds evidence against %q: %v", n.id, who, err)
			}
		}
		n.mu.Unlock()
		n.stop()
		_ = n.host.Close()
	}
	c.net.Close()
}

func (c *cluster) members() (ms []raftnet.Member) {
	for _, n := range c.nodes {
		id, err := peer.IDFromPrivateKey(n.key)
		must(c.t, err)
		ms = append(ms, raftnet.Member{ID: n.id, Peer: id})
	}
	return ms
}

func (n *node) addr() string {
	return fmt.Sprintf("/ip4/%s/udp/8000/quic-v1", simnet.IntToPublicIPv4(n.i))
}

func (n *node) openHost() {
	link := simnet.LinkSettings{BitsPerSecond: 1000 * simlibp2p.OneMbps}
	h, err := libp2p.New(libp2p.Identity(n.key), libp2p.ListenAddrStrings(n.addr()),
		simlibp2p.QUICSimnet(n.c.net, simnet.NodeBiDiLinkSettings{Downlink: link, Uplink: link}),
		libp2p.DisableIdentifyAddressDiscovery(), libp2p.ResourceManager(&network.NullResourceManager{}),
		libp2p.DisableRelay(), libp2p.DisableMetrics())
	must(n.c.t, err)
	n.host = h
}

var timing = raftnet.Timing{
	Heartbeat: time.Second, Election: time.Second, Lease: 500 * time.Millisecond, Commit: 200 * time.Millisecond,
}

// start opens the database and the group on whatever the disk holds.
func (n *node) start() {
	t := n.c.t
	for _, o := range n.c.nodes {
		if o != n {
			id, err := peer.IDFromPrivateKey(o.key)
			must(t, err)
			info, err := peer.AddrInfoFromString(o.addr() + "/p2p/" + id.String())
			must(t, err)
			n.host.Peerstore().AddAddrs(id, info.Addrs, peerstore.PermanentAddrTTL)
		}
	}
	var err error
	n.db, err = pebble.Open("db", &pebble.Options{FS: errorfs.Wrap(n.fs, n.full), Logger: quiet{}})
	must(t, err)
	n.mu.Lock()
	n.entries, n.cert = nil, certPoint{}
	n.mu.Unlock()
	if b, closer, err := n.db.Get(certKey); err == nil {
		n.cert = certPoint{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), slices.Clone(b)}
		must(t, closer.Close())
	}
	n.store, err = raftlog.Open(raftlog.Config{
		DB: n.db, Floor: func() uint64 { i, _, _, _ := n.Latest(); return i },
		OnTruncate: func(min uint64) { n.mu.Lock(); defer n.mu.Unlock(); n.truncated = append(n.truncated, min) },
		OnFatal:    func(err error) { n.mu.Lock(); defer n.mu.Unlock(); n.fatal = err },
	})
	must(t, err)
	_, err = n.store.Align(n.cert.index, n.cert.term)
	must(t, err)
	snaps, err := raftlog.NewSnapshots(raftlog.SnapshotsConfig{
		Certified: n, Configuration: func() raft.Configuration { return raftnet.Roster(n.c.members()) }, Log: n.store,
		OnDiverged: func(i uint64) { n.mu.Lock(); defer n.mu.Unlock(); n.diverged = append(n.diverged, i) },
	})
	must(t, err)
	n.group, err = raftnet.Open(raftnet.Config{
		Self: n.id, Members: n.c.members(), Host: n.host, Logs: n.store, Stable: n.store, Snapshots: snaps, Applier: n,
		Log: slog.New(slog.DiscardHandler), Timing: timing, Net: n.c.fix.Net, Signer: n.c.fix.Signers[treaty.Nation(n.id)],
		Certified: func() uint64 { i, _, _, _ := n.Latest(); return i }, Accept: n.check,
		Conflict: func(a, b []byte) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.conflicts = append(n.conflicts, [2][]byte{a, b})
		},
		OnFatal: func(err error) { n.mu.Lock(); defer n.mu.Unlock(); n.raftFatal = err },
	})
	must(t, err)
}

func fullDisk() *errorfs.Toggle {
	return &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFileClose {
			return syscall.ENOSPC
		}
		return nil
	})}
}

type quiet struct{}

func (quiet) Infof(string, ...any)      {}
func (quiet) Errorf(string, ...any)     {}
func (quiet) Fatalf(f string, a ...any) { panic(fmt.Errorf(f, a...)) }

// stop ends the group and the database; the host stays.
func (n *node) stop() {
	if n.group != nil {
		must(n.c.t, n.group.Close())
		must(n.c.t, n.group.Close()) // twice is harmless
		n.group = nil
		n.closeDB()
	}
}

// closeDB closes the database; one whose disk was full may say so.
func (n *node) closeDB() {
	defer func() { _ = recover() }() // Pebble's Fatalf, made a panic by quiet
	if err := n.db.Close(); err != nil && n.fatal == nil {
		n.c.t.Error(err)
	}
}

// crash is a power cut: what was not synced may or may not be on the disk that comes back.
func (n *node) crash(rng *rand.Rand) {
	clone := n.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})
	n.stop()
	n.fs = clone
}

// Latest, Accept, Apply and Restore stand for the node's ledger.

func (n *node) Latest() (uint64, uint64, []byte, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cert.index, n.cert.term, n.cert.data, n.cert.index > 0
}

func (n *node) keep(p certPoint) error {
	if err := n.db.Set(certKey, p.data, pebble.Sync); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cert = p
	return nil
}

func (n *node) Accept(index, term uint64, data []byte) error {
	if err := n.check(index, term, data); err != nil {
		return err
	}
	return n.keep(certPoint{index, term, slices.Clone(data)})
}

func (n *node) check(index, term uint64, data []byte) error {
	n.c.certs.mu.Lock()
	_, ok := n.c.certs.by[string(data)]
	n.c.certs.mu.Unlock()
	if !ok || binary.BigEndian.Uint64(data) != index || binary.BigEndian.Uint64(data[8:]) != term {
		return errors.New("not a certificate of this network")
	}
	return nil
}

func (n *node) Restore(data []byte) error {
	n.c.certs.mu.Lock()
	es, ok := n.c.certs.by[string(data)]
	n.c.certs.mu.Unlock()
	if !ok {
		return errors.New("unknown certificate")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.entries, n.restores = slices.Clone(es), n.restores+1
	return nil
}

func (n *node) Apply(index, term uint64, data []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if k := len(n.entries); k > 0 && n.entries[k-1].Index >= index {
		n.c.t.Errorf("%s: entry %d applied behind %d", n.id, index, n.entries[k-1].Index)
	}
	n.entries = append(n.entries, raftnet.Entry{Index: index, Term: term, Data: slices.Clone(data)})
}

func (n *node) have() []raftnet.Entry {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.entries)
}

// certify makes a certificate of everything the node has applied and gives it to the nodes named.
func (c *cluster) certify(from *node, to ...*node) uint64 {
	es := from.have()
	last := es[len(es)-1]
	data := append(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, last.Index), last.Term), "certificate"...)
	c.certs.mu.Lock()
	c.certs.by[string(data)] = es
	c.certs.mu.Unlock()
	for _, n := range to {
		must(c.t, n.keep(certPoint{last.Index, last.Term, data}))
	}
	return last.Index
}

// leader waits for one node that leads and is followed by all the others that are not cut off.
func (c *cluster) leader() *node {
	c.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for time.Now().Before(deadline) {
		for _, l := range c.nodes {
			if c.cut[l.i].Load() || l.group == nil {
				continue
			}
			if _, self := l.group.Leader(); !self {
				continue
			}
			all := true
			for _, n := range c.nodes {
				if n.group != nil && !c.cut[n.i].Load() {
					id, _ := n.group.Leader()
					all = all && id == l.id
				}
			}
			if all {
				return l
			}
		}
		time.Sleep(50 * time.Millisecond) // virtual
	}
	for _, n := range c.nodes {
		if n.group != nil {
			id, self := n.group.Leader()
			c.t.Logf("%s follows %q (self %v) in term %d, last %d, refused %v", n.id, id, self, n.group.Term(),
				n.group.LastIndex(), n.group.Refused())
		}
	}
	c.t.Fatal("no leader within two minutes")
	return nil
}

func (c *cluster) propose(l *node, from, to int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for i := from; i < to; i++ {
		p, err := l.group.Propose(fmt.Appendf(nil, "entry %d", i))
		must(c.t, err)
		must(c.t, p.Wait(ctx))
	}
}

// agree waits until the nodes have applied the same entries, at least want of them.
func (c *cluster) agree(want int, nodes ...*node) {
	c.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for time.Now().Before(deadline) {
		first := nodes[0].have()
		same := len(first) >= want
		for _, n := range nodes[1:] {
			same = same && slices.EqualFunc(first, n.have(), func(a, b raftnet.Entry) bool {
				return a.Index == b.Index && a.Term == b.Term && string(a.Data) == string(b.Data)
			})
		}
		if same {
			return
		}
		time.Sleep(50 * time.Millisecond) // virtual
	}
	for _, n := range nodes {
		es := n.have()
		c.t.Logf("%s: %d entries, applied %d, last %d, term %d, refused %v", n.id, len(es), n.group.AppliedIndex(),
			n.group.LastIndex(), n.group.Term(), n.group.Refused())
	}
	c.t.Fatalf("the nodes do not agree on %d entries", want)
}

// elect makes an election certificate with q nations' keys: what a liar has when enough others help it.
func (c *cluster) elect(n *node, term uint64) *treaty.Election {
	c.t.Helper()
	e := &treaty.Election{Term: term, Candidate: treaty.Nation(n.id), Start: treaty.HashOf([]byte("a run"))}
	for _, k := range c.fix.Net.Nations()[:c.fix.Net.Q] {
		sig, err := c.fix.Signers[k].SignElection(e.Vote())
		must(c.t, err)
		e.Sigs = append(e.Sigs, sig)
	}
	return e
}
