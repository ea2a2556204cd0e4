package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/cometbft/cometbft/abci/example/kvstore"
	cfg "github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/crypto"
	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/privval"
	"github.com/cometbft/cometbft/proxy"
	"github.com/cometbft/cometbft/types"
	cmttime "github.com/cometbft/cometbft/types/time"
)

// comet is CometBFT v1.0.1 with its own kvstore, every validator in this process, on the disk, talking over loopback TCP.
type comet struct {
	all     []*node.Node
	cancel  context.CancelFunc
	mu      sync.Mutex
	waiting map[types.TxKey]chan struct{}
}

// startComet starts n validators. Tuned (performance.md): no wait after a commit, gossip every 5 ms instead of 100, frames
// flushed after 1 ms, 500 MB/s instead of 5, no recheck of the mempool, no indexer.
func startComet(ctx context.Context, n int, dir string) (_ system, err error) {
	ctx, cancel := context.WithCancel(ctx)
	c := &comet{cancel: cancel, waiting: map[types.TxKey]chan struct{}{}}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	configs := make([]*cfg.Config, n)
	signers, keys := make([]*privval.FilePV, n), make([]*p2p.NodeKey, n)
	genesis := &types.GenesisDoc{ChainID: "bench", GenesisTime: cmttime.Now(), ConsensusParams: types.DefaultConsensusParams(), InitialHeight: 1}
	var addresses []string
	for i := range n {
		k := cometConfig(filepath.Join(dir, fmt.Sprint(i)))
		for _, d := range []string{"config", "data"} {
			if err := os.MkdirAll(filepath.Join(k.RootDir, d), 0o755); err != nil {
				return nil, err
			}
		}
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		k.P2P.ListenAddress = fmt.Sprintf("tcp://127.0.0.1:%d", port)
		if signers[i], err = privval.GenFilePV(k.PrivValidatorKeyFile(), k.PrivValidatorStateFile(),
			func() (crypto.PrivKey, error) { return ed25519.GenPrivKey(), nil }); err != nil {
			return nil, err
		}
		signers[i].Save()
		if keys[i], err = p2p.LoadOrGenNodeKey(k.NodeKeyFile()); err != nil {
			return nil, err
		}
		pub, err := signers[i].GetPubKey()
		if err != nil {
			return nil, err
		}
		genesis.Validators = append(genesis.Validators, types.GenesisValidator{Address: pub.Address(), PubKey: pub, Power: 10})
		addresses = append(addresses, fmt.Sprintf("%s@127.0.0.1:%d", keys[i].ID(), port))
		configs[i] = k
	}
	for i, k := range configs {
		if err := genesis.SaveAs(k.GenesisFile()); err != nil {
			return nil, err
		}
		var others []string
		for j, a := range addresses {
			if j != i {
				others = append(others, a)
			}
		}
		k.P2P.PersistentPeers = strings.Join(others, ",")
		x, err := node.NewNode(ctx, k, signers[i], keys[i], proxy.NewLocalClientCreator(kvstore.NewPersistentApplication(k.DBDir())),
			node.DefaultGenesisDocProviderFunc(k), cfg.DefaultDBProvider, node.DefaultMetricsProvider(k.Instrumentation), log.NewNopLogger())
		if err != nil {
			return nil, fmt.Errorf("make validator %d: %w", i, err)
		}
		if i == 0 {
			sub, err := x.EventBus().Subscribe(ctx, "bench", types.EventQueryNewBlock, 10_000)
			if err != nil {
				return nil, err
			}
			go c.follow(sub)
		}
		if err := x.Start(); err != nil {
			return nil, fmt.Errorf("start validator %d: %w", i, err)
		}
		c.all = append(c.all, x)
	}
	wait, stop := context.WithTimeout(ctx, 2*time.Minute)
	defer stop()
	for i := range n { // until everybody's transactions get through
		if err := c.submit(wait, i, 1<<40); err != nil {
			return nil, fmt.Errorf("the validators do not make blocks: %w", err)
		}
	}
	return c, nil
}

func cometConfig(dir string) *cfg.Config {
	k := cfg.DefaultConfig()
	k.SetRoot(dir)
	k.Consensus.TimeoutCommit = 0
	k.Consensus.PeerGossipSleepDuration = 5 * time.Millisecond
	k.Consensus.CreateEmptyBlocks = false
	k.P2P.FlushThrottleTimeout = time.Millisecond
	k.P2P.SendRate, k.P2P.RecvRate = 500_000_000, 500_000_000
	k.P2P.AddrBookStrict, k.P2P.AllowDuplicateIP, k.P2P.PexReactor = false, true, false
	k.P2P.MaxNumInboundPeers, k.P2P.MaxNumOutboundPeers = 64, 64
	k.Mempool.Recheck = false
	k.TxIndex.Indexer = "null"
	k.RPC.ListenAddress, k.GRPC.ListenAddress, k.RPC.PprofListenAddress = "", "", ""
	k.Instrumentation.Prometheus = false
	return k
}

// follow releases whoever waits for a transaction of a new block of validator 0.
func (c *comet) follow(sub types.Subscription) {
	for {
		select {
		case <-sub.Canceled():
			return
		case m := <-sub.Out():
			block, ok := m.Data().(types.EventDataNewBlock)
			if !ok {
				continue
			}
			c.mu.Lock()
			for _, tx := range block.Block.Txs {
				if w := c.waiting[tx.Key()]; w != nil {
					close(w)
					delete(c.waiting, tx.Key())
				}
			}
			c.mu.Unlock()
		}
	}
}

// submit puts a transaction into one validator's mempool, round robin, and waits for the block with it.
func (c *comet) submit(ctx context.Context, worker int, k uint64) error {
	head := fmt.Sprintf("%d-%d-%x=", worker, k, time.Now().UnixNano())
	tx := types.Tx(head + hex.EncodeToString(make([]byte, entryBytes/2))[:entryBytes-len(head)])
	w := make(chan struct{})
	c.mu.Lock()
	c.waiting[tx.Key()] = w
	c.mu.Unlock()
	at := c.all[(worker+int(k))%len(c.all)]
	for {
		_, err := at.Mempool().CheckTx(tx, "")
		if err == nil {
			break
		}
		if !strings.Contains(err.Error(), "full") {
			return fmt.Errorf("submit a transaction: %w", err)
		}
		pause(ctx, time.Millisecond)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	select {
	case <-w:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *comet) nodes() int { return len(c.all) }

func (c *comet) close() {
	c.cancel()
	// CometBFT closes its databases while its reactors' goroutines may still read them, and then panics: end the reactors
	// first and let them go.
	for _, x := range c.all {
		_ = x.Switch().Stop()
	}
	time.Sleep(time.Second)
	for _, x := range c.all {
		if err := x.Stop(); err == nil {
			x.Wait()
		}
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}
