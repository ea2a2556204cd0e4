package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"truceline/node/peer"
	"truceline/node/pool"
	"truceline/treaty"
)

// What this node asks of its peers and answers to them.

func (n *Node) openPeers() error {
	var err error
	n.host, err = peer.NewHost(peer.HostConfig{
		Net: n.cfg.Net, Nation: n.cfg.Nation, Key: n.cfg.Keys.Node, Listen: n.cfg.Listen, Options: n.cfg.HostOptions, Log: n.log,
	})
	if err != nil {
		return err
	}
	n.onClose("host", n.host.Close)
	n.mesh, err = peer.New(peer.Config{
		Host: n.host, Net: n.cfg.Net, Nation: n.cfg.Nation, Peers: n.cfg.Peers, Handler: n.receive,
		Registerer: n.cfg.Registry, Log: n.log,
	})
	if err != nil {
		return err
	}
	n.mesh.Handle(peer.MethodBatch, n.serveBatch)
	n.mesh.Handle(peer.MethodEntries, n.serveEntries)
	n.mesh.Handle(peer.MethodCertificate, n.serveCertificate)
	return nil
}

// receive takes one message of the mesh; blocking it makes that peer wait.
func (n *Node) receive(from treaty.Nation, c peer.Class, msg []byte) {
	if n.cfg.Tamper != nil && !n.cfg.Tamper.In(from, c, msg) {
		return
	}
	switch c {
	case peer.Votes:
		if len(msg) > 0 && msg[0] == wireComplaint {
			n.deposer.receive(from, msg[1:])
			return
		}
		n.final.receive(n.running, from, msg)
	case peer.Evidence:
		n.pipeline.receive(n.running, from, msg)
	case peer.Records:
		n.receiveRecord(from, msg)
	}
}

// arrival is a record that waits to be verified.
type arrival struct {
	from treaty.Nation
	raw  []byte
}

// receiveRecord hands a record to the verifier; its peer waits while that is busy.
func (n *Node) receiveRecord(from treaty.Nation, raw []byte) {
	select {
	case n.arrivals <- arrival{from, raw}:
	case <-n.running.Done():
	}
}

// maxVerify bounds the records verified in one batch: beyond it a batch costs no less for each.
const maxVerify = 256

// verify checks records that peers send, many at once, and keeps them in the pool. Any nation may pass on any nation's
// record; its author's signature is what counts.
func (n *Node) verify(ctx context.Context) error {
	for {
		var rs []*treaty.Record
		var from []treaty.Nation
		select {
		case <-ctx.Done():
			return nil
		case a := <-n.arrivals:
			rs, from = n.parse(a, rs, from)
		}
		for more := true; more && len(rs) < maxVerify; {
			select {
			case a := <-n.arrivals:
				rs, from = n.parse(a, rs, from)
			default:
				more = false
			}
		}
		signed := make([]*treaty.Signed, len(rs))
		for i, r := range rs {
			signed[i] = r.Signed
		}
		now := time.Now()
		for i, err := range n.cfg.Net.VerifyAll(signed) {
			if err != nil {
				n.badRecord(from[i], err)
				continue
			}
			fresh, err := n.pool.Add(rs[i], now)
			if err != nil && !errors.Is(err, pool.ErrFull) {
				n.log.Debug("a record is not kept", slog.Any("error", err))
			}
			if !fresh {
				n.witness.arrived(rs[i])
			}
		}
	}
}

func (n *Node) parse(a arrival, rs []*treaty.Record, from []treaty.Nation) ([]*treaty.Record, []treaty.Nation) {
	if _, have := n.pool.Get(treaty.HashOf(a.raw)); have {
		return rs, from
	}
	r, err := n.cfg.Net.ParseRecord(a.raw)
	if err != nil {
		n.badRecord(a.from, err)
		return rs, from
	}
	return append(rs, r), append(from, a.from)
}

// violation counts a breach of the protocol against a peer.
func (n *Node) violation(from treaty.Nation, reason string) { n.mesh.Violation(from, reason) }

func (n *Node) badRecord(from treaty.Nation, err error) {
	n.log.Warn("a record is refused", slog.String("from", string(from)), slog.Any("error", err))
	n.violation(from, "bad record")
}

// batchPatience is how long one peer may take over a batch of at most 2 MiB: its author, who may have reasons not to show
// it, is asked first, and must leave time for the others.
const batchPatience = 1500 * time.Millisecond

// fetchBatch asks the author first, then everybody, for a batch.
func (n *Node) fetchBatch(ctx context.Context, author treaty.Nation, digest treaty.Hash) ([]byte, error) {
	err := errors.New("nobody is connected")
	for _, k := range n.asking(author) {
		ask, cancel := context.WithTimeout(ctx, batchPatience)
		var raw []byte
		raw, err = n.mesh.Call(ask, k, peer.MethodBatch, digest[:])
		cancel()
		if err == nil && treaty.HashOf(raw) == digest {
			return raw, nil
		}
	}
	return nil, fmt.Errorf("fetch batch %s of %s: %w", digest.Short(), author, err)
}

// asking is the connected nations, first before the others.
func (n *Node) asking(first treaty.Nation) []treaty.Nation {
	var ks []treaty.Nation
	for _, k := range n.mesh.Connected() {
		if k == first {
			ks = append([]treaty.Nation{k}, ks...)
		} else {
			ks = append(ks, k)
		}
	}
	return ks
}

func (n *Node) serveBatch(_ context.Context, from treaty.Nation, req []byte) ([]byte, error) {
	if len(req) != len(treaty.Hash{}) {
		return nil, fmt.Errorf("%w: a batch is asked for by its digest", treaty.ErrMalformed)
	}
	if n.cfg.Tamper != nil && !n.cfg.Tamper.Serve(from) {
		return nil, peer.ErrNotFound
	}
	return n.store.Revealed(treaty.Hash(req)) // own batches only once they are revealed
}
