package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"truceline/node/peer"
	"truceline/treaty"
)

// What a node that is behind asks for, and what it answers to one. Nothing a peer sends here is believed: the ledger
// replays entries and holds them against a certificate, and a certificate proves itself.

// maxFetch bounds the entries held in memory while catching up, maxFetchBytes their size; who is further behind goes
// from certificate to certificate. Every peer keeps one in 1,024 of the old ones, so a step is within reach while a
// certificate covers fewer than 256 entries on average.
const (
	maxFetch      = 1 << 18
	maxFetchBytes = 512 << 20
)

// fetchEntries gets the ledger entries from a size on from whichever peer has them, up to a verified certificate or, if
// that is more than maxFetch away, up to an earlier one.
func (n *Node) fetchEntries(ctx context.Context, from uint64, to *treaty.Certificate) (*treaty.Certificate, [][]byte, error) {
	last := errors.New("nobody is connected")
	n.fetchTurn++
	peers := n.asking("")
	for i := range peers {
		k := peers[(i+n.fetchTurn)%len(peers)]
		cert, err := n.stepTowards(ctx, k, from, to)
		if err == nil {
			var entries [][]byte
			if entries, err = n.fetchFrom(ctx, k, from, cert.Checkpoint.Size); err == nil {
				return cert, entries, nil
			}
		}
		last = fmt.Errorf("from %s: %w", k, err)
	}
	return nil, nil, last
}

// stepTowards is to, or a certificate on the way to it that is near enough.
func (n *Node) stepTowards(ctx context.Context, k treaty.Nation, from uint64, to *treaty.Certificate) (*treaty.Certificate, error) {
	if to.Checkpoint.Size-from <= maxFetch {
		return to, nil
	}
	b, err := n.mesh.Call(ctx, k, peer.MethodCertificate, binary.BigEndian.AppendUint64(nil, from+maxFetch))
	if err != nil {
		return nil, err
	}
	cert, err := treaty.DecodeCertificate(b)
	if err != nil {
		return nil, err
	}
	if size := cert.Checkpoint.Size; size <= from || size > from+maxFetch {
		return nil, fmt.Errorf("it has no certificate between %d and %d entries", from, from+maxFetch)
	}
	return cert, n.cfg.Net.VerifyCertificate(cert)
}

// fetchTime bounds one peer's turn: at least 100 kB/s for what a step may hold.
const fetchTime = 90 * time.Minute

func (n *Node) fetchFrom(ctx context.Context, k treaty.Nation, from, to uint64) (entries [][]byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	bytes := 0
	for at := from; at < to; {
		req := binary.BigEndian.AppendUint64(nil, at)
		req = binary.BigEndian.AppendUint64(req, to)
		b, err := n.mesh.Call(ctx, k, peer.MethodEntries, req)
		if err != nil {
			return nil, err
		}
		more, err := splitEntries(b, to-at)
		if err != nil {
			return nil, err
		}
		entries = append(entries, more...)
		at += uint64(len(more))
		if bytes += len(b); bytes > maxFetchBytes {
			return nil, fmt.Errorf("%w: %d entries take more than %d bytes", treaty.ErrTooLarge, to-from, maxFetchBytes)
		}
		if at < to && len(b) < fullReply {
			return nil, fmt.Errorf("it has only %d of %d entries, or hands them out in crumbs", at-from, to-from)
		}
	}
	return entries, nil
}

// fullReply is the least an honest answer holds unless it is the last: one more entry would not have fitted.
const fullReply = peer.MaxReply - treaty.MaxRecord - 2

// splitEntries takes an answer apart: at most limit entries, each behind its 16-bit length (C2SP tlog-tiles).
func splitEntries(b []byte, limit uint64) (entries [][]byte, err error) {
	for len(b) > 0 {
		if len(b) < 2 || uint64(len(entries)) == limit {
			return nil, fmt.Errorf("%w: more or fewer entries than asked for", treaty.ErrMalformed)
		}
		size := int(binary.BigEndian.Uint16(b))
		if size == 0 || size > len(b)-2 {
			return nil, fmt.Errorf("%w: an entry of %d bytes where %d are left", treaty.ErrMalformed, size, len(b)-2)
		}
		entries = append(entries, b[2:2+size])
		b = b[2+size:]
	}
	return entries, nil
}

// serveEntries answers with as many final entries of the range as fit, each behind its 16-bit length.
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

// serveCertificate answers with the last certificate of at most so many entries.
func (n *Node) serveCertificate(_ context.Context, _ treaty.Nation, req []byte) ([]byte, error) {
	if len(req) != 8 {
		return nil, fmt.Errorf("%w: a certificate is asked for by a size", treaty.ErrMalformed)
	}
	cert, err := n.ledger.CertificateUpTo(binary.BigEndian.Uint64(req))
	if err != nil {
		return nil, err
	}
	return treaty.Encode(cert), nil
}
