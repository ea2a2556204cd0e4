package node

import (
	"context"
	"encoding/binary"
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
	n.mesh.Handle(peer.MethodRecords, n.serveRecords)
	return nil
}

// receive takes one message of the mesh; blocking it makes that peer wait.
func (n *Node) receive(from treaty.Nation, c peer.Class, msg []byte) {
	switch c {
	case peer.Votes:
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
			if _, err := n.pool.Add(rs[i], now); err != nil && !errors.Is(err, pool.ErrFull) {
				n.log.Debug("a record is not kept", slog.Any("error", err))
			}
		}
	}
}

func (n *Node) parse(a arrival, rs []*treaty.Record, from []treaty.Nation) ([]*treaty.Record, []treaty.Nation) {
	if _, have := n.pool.Get(treaty.HashOf(a.raw)); have {
		return rs, from
	}
	r, err := treaty.ParseRecord(a.raw)
	if err != nil {
		n.badRecord(a.from, err)
		return rs, from
	}
	return append(rs, r), append(from, a.from)
}

func (n *Node) badRecord(from treaty.Nation, err error) {
	n.log.Warn("a record is refused", slog.String("from", string(from)), slog.Any("error", err))
	n.mesh.Violation(from, "bad record")
}

// fetchBatch asks the author first, then everybody, for a batch.
func (n *Node) fetchBatch(ctx context.Context, author treaty.Nation, digest treaty.Hash) ([]byte, error) {
	err := errors.New("nobody is connected")
	for _, k := range n.asking(author) {
		var raw []byte
		if raw, err = n.mesh.Call(ctx, k, peer.MethodBatch, digest[:]); err == nil && treaty.HashOf(raw) == digest {
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

func (n *Node) serveBatch(_ context.Context, _ treaty.Nation, req []byte) ([]byte, error) {
	if len(req) != len(treaty.Hash{}) {
		return nil, fmt.Errorf("%w: a batch is asked for by its digest", treaty.ErrMalformed)
	}
	return n.store.Revealed(treaty.Hash(req)) // own batches only once they are revealed
}

// maxFetch bounds the entries held in memory while catching up; who is further behind goes on from there.
const maxFetch = 1 << 20

// fetchEntries gets the ledger entries [from, to) from whichever peer has them. They are checked by the ledger against a
// certificate, so it does not matter who answers, only that a wrong answer leads to the next peer.
func (n *Node) fetchEntries(ctx context.Context, from, to uint64) ([][]byte, error) {
	if to-from > maxFetch {
		return nil, fmt.Errorf("%d entries are missing, more than %d at once: restore a recent backup first", to-from, maxFetch)
	}
	var last error = errors.New("nobody is connected")
	n.fetchTurn++
	peers := n.asking("")
	for i := range peers {
		k := peers[(i+n.fetchTurn)%len(peers)]
		entries, err := n.fetchFrom(ctx, k, from, to)
		if err == nil {
			return entries, nil
		}
		last = fmt.Errorf("from %s: %w", k, err)
	}
	return nil, last
}

func (n *Node) fetchFrom(ctx context.Context, k treaty.Nation, from, to uint64) (entries [][]byte, err error) {
	for at := from; at < to; {
		req := binary.BigEndian.AppendUint64(nil, at)
		req = binary.BigEndian.AppendUint64(req, to)
		b, err := n.mesh.Call(ctx, k, peer.MethodEntries, req)
		if err != nil {
			return nil, err
		}
		got := uint64(0)
		for len(b) >= 2 && at+got < to {
			size := int(binary.BigEndian.Uint16(b))
			if size == 0 || size > len(b)-2 {
				return nil, fmt.Errorf("%w: entries of %s", treaty.ErrMalformed, k)
			}
			entries = append(entries, b[2:2+size])
			b = b[2+size:]
			got++
		}
		if got == 0 || len(b) > 0 {
			return nil, fmt.Errorf("%w: entries of %s", treaty.ErrMalformed, k)
		}
		at += got
	}
	return entries, nil
}

// serveEntries answers with as many final entries of the range as fit, each behind its 16-bit length (C2SP tlog-tiles).
func (n *Node) serveEntries(_ context.Context, _ treaty.Nation, req []byte) ([]byte, error) {
	if len(req) != 16 {
		return nil, fmt.Errorf("%w: a range is two numbers", treaty.ErrMalformed)
	}
	from, to := binary.BigEndian.Uint64(req), min(binary.BigEndian.Uint64(req[8:]), n.ledger.FinalSize())
	if from >= to {
		return nil, fmt.Errorf("this node has %d final entries", n.ledger.FinalSize())
	}
	var out []byte
	entries, failed := n.ledger.Entries(from, to)
	for _, e := range entries {
		if len(out)+len(e)+2 > peer.MaxReply {
			break
		}
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(e))), e...)
	}
	return out, failed()
}

// serveRecords passes on records of one author that wait here, from a number on.
func (n *Node) serveRecords(_ context.Context, _ treaty.Nation, req []byte) ([]byte, error) {
	if len(req) != 11 {
		return nil, fmt.Errorf("%w: a nation and a number", treaty.ErrMalformed)
	}
	author, seq := treaty.Nation(req[:3]), binary.BigEndian.Uint64(req[3:])
	var out []byte
	for _, r := range n.pool.Waiting(time.Now(), 0, 4096) {
		if r.Nation != author || r.Seq < seq {
			continue
		}
		if len(out)+len(r.Raw())+2 > peer.MaxReply {
			break
		}
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(r.Raw()))), r.Raw()...)
	}
	return out, nil
}
