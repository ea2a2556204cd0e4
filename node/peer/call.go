package peer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"truceline/treaty"
)

// Method is a kind of request.
type Method uint8

// The methods. The number is the frame type on the wire: add at the end only.
const (
	MethodPing        Method = iota + 1 // nothing; measures the round trip
	MethodBatch                         // a revealed batch by its digest
	MethodEntries                       // a range of ledger entries
	MethodCertificate                   // the last certificate of at most so many entries
)

// methodRule bounds one method on both ends.
type methodRule struct {
	name           string
	request, reply int
	deadline       time.Duration
}

var methods = map[Method]methodRule{
	MethodPing:        {name: "ping", deadline: 5 * time.Second},
	MethodBatch:       {name: "batch", request: 64, reply: treaty.MaxBatch, deadline: 30 * time.Second},
	MethodEntries:     {name: "entries", request: 64, reply: MaxReply, deadline: 30 * time.Second},
	MethodCertificate: {name: "certificate", request: 64, reply: treaty.MaxCertificate, deadline: 15 * time.Second},
}

// MaxReply bounds the answers that carry a range: whoever serves them stops adding in time, and the caller asks for
// the rest again.
const MaxReply = 2 << 20

// maxCalls bounds the calls under way to one peer; the peer answers twice as many at once, because the end of a call is
// seen earlier by the one who made it.
const maxCalls = 8

// maxRefusal bounds the text of a refused call.
const maxRefusal = 1 << 10

const callName = "call"

// String is the method's name in metrics and logs.
func (k Method) String() string {
	if r, ok := methods[k]; ok {
		return r.name
	}
	return "unknown"
}

// Serve answers one request. ctx ends with the method's deadline, the stream, or the mesh. ErrNotFound reaches the
// caller as such, any other error as a RefusedError with its text.
type Serve func(ctx context.Context, from treaty.Nation, req []byte) ([]byte, error)

// What a call can end in, beside the context's errors.
var (
	// ErrNotFound: the peer does not have it. Ask another.
	ErrNotFound = errors.New("the peer does not have it")
	// ErrBusy: the peer answers too many calls already. Ask another, or later.
	ErrBusy = errors.New("the peer is busy")
	// ErrNotConnected: there is no connection now; the mesh goes on dialling.
	ErrNotConnected = errors.New("not connected")
)

// RefusedError is the peer's own words.
type RefusedError struct{ Text string }

func (e *RefusedError) Error() string { return "the peer refused: " + e.Text }

// The frame types of an answer.
const (
	answerOK uint8 = iota
	answerNotFound
	answerBusy
	answerRefused
)

// Call asks one nation and waits for the answer, at most the method's deadline.
func (m *Mesh) Call(ctx context.Context, to treaty.Nation, k Method, req []byte) ([]byte, error) {
	began := time.Now()
	reply, err := m.call(ctx, to, k, req)
	m.metrics.callSeconds.WithLabelValues(k.String()).Observe(time.Since(began).Seconds())
	result := "ok"
	if err != nil {
		result = "error"
		err = fmt.Errorf("call %s of %s: %w", k, to, err)
	}
	m.metrics.calls.WithLabelValues(k.String(), result).Inc()
	return reply, err
}

func (m *Mesh) call(ctx context.Context, to treaty.Nation, k Method, req []byte) ([]byte, error) {
	rule, ok := methods[k]
	l := m.links[to]
	switch {
	case !ok:
		return nil, fmt.Errorf("no method %d", k)
	case l == nil:
		return nil, treaty.ErrUnknownNation
	case len(req) > rule.request:
		return nil, fmt.Errorf("%w: request of %d bytes, at most %d", treaty.ErrTooLarge, len(req), rule.request)
	case !m.enter():
		return nil, fmt.Errorf("%w: the mesh is not running", ErrNotConnected)
	}
	defer m.wg.Done()
	ctx, cancel := context.WithTimeout(ctx, rule.deadline)
	defer cancel()
	defer context.AfterFunc(m.ctx, cancel)()
	select {
	case l.calls <- struct{}{}:
		defer func() { <-l.calls }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if up, _ := l.state(); !up {
		l.mu.Lock()
		defer l.mu.Unlock()
		return nil, fmt.Errorf("%w; last error: %s", ErrNotConnected, l.status.LastError)
	}
	s, err := m.cfg.Host.NewStream(network.WithNoDial(ctx, "one dialler"), l.id, m.protocol(callName))
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Reset() }()                         // after a whole answer it changes nothing
	defer context.AfterFunc(ctx, func() { _ = s.Reset() })() // a read without data ends with the context
	if d, ok := ctx.Deadline(); ok {
		_ = s.SetDeadline(d) // the AfterFunc above stands behind it
	}
	reply, err := exchange(s, k, rule, req)
	if errors.Is(err, errFrame) {
		m.Violation(to, "answer to "+rule.name+": "+err.Error())
	}
	switch {
	case err != nil && ctx.Err() != nil:
		err = ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded): // the stream's clock and the context's are set to one instant
		err = context.DeadlineExceeded
	}
	return reply, err
}

// exchange writes the request and reads the answer.
func exchange(s network.Stream, k Method, rule methodRule, req []byte) ([]byte, error) {
	if _, err := s.Write(appendFrame(nil, uint8(k), req)); err != nil {
		return nil, err
	}
	if err := s.CloseWrite(); err != nil {
		return nil, err
	}
	r := bufio.NewReader(s)
	kind, size, err := readHeader(r, func(kind uint8) int {
		switch kind {
		case answerOK:
			return rule.reply
		case answerNotFound, answerBusy:
			return 0
		case answerRefused:
			return maxRefusal
		}
		return -1
	})
	if err != nil {
		return nil, err
	}
	body, err := readBody(r, size)
	if err != nil {
		return nil, err
	}
	switch kind {
	case answerNotFound:
		return nil, ErrNotFound
	case answerBusy:
		return nil, ErrBusy
	case answerRefused:
		return nil, &RefusedError{Text: fmt.Sprintf("%q", body)} // quoted: a peer's bytes do not reach a terminal raw
	}
	return body, nil
}

// answer serves one call of a peer.
func (m *Mesh) answer(s network.Stream) {
	l := m.links[m.roster.nation[s.Conn().RemotePeer()]]
	if l == nil || l.barred() || !m.enter() {
		_ = s.Reset()
		return
	}
	defer m.wg.Done()
	ctx, cancel := context.WithCancel(m.ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = s.Reset() })()

	_ = s.SetDeadline(time.Now().Add(methods[MethodPing].deadline)) // a request is one small frame
	select {
	case l.served <- struct{}{}:
		defer func() { <-l.served }()
	default:
		_, _ = s.Write(appendFrame(nil, answerBusy, nil)) // it hears of it or it does not
		_ = s.Close()
		return
	}
	r := bufio.NewReaderSize(s, 1<<10)
	kind, size, err := readHeader(r, func(kind uint8) int {
		if rule, ok := methods[Method(kind)]; ok {
			return rule.request
		}
		return -1
	})
	if err == nil {
		var req []byte
		if req, err = readBody(r, size); err == nil {
			err = m.respond(ctx, l, s, Method(kind), req)
		}
	}
	if errors.Is(err, errFrame) {
		m.Violation(l.nation, "call: "+err.Error())
	}
	if err != nil {
		_ = s.Reset()
		return
	}
	_ = s.Close()
}

// respond runs the handler and writes its answer.
func (m *Mesh) respond(ctx context.Context, l *link, s network.Stream, k Method, req []byte) error {
	rule := methods[k]
	until := time.Now().Add(rule.deadline)
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	_ = s.SetDeadline(until)
	kind, body := answerOK, []byte(nil)
	err := errors.New("not served by this node")
	if serve := m.serve[k]; serve != nil {
		body, err = serve(ctx, l.nation, req)
	}
	if err == nil && len(body) > rule.reply {
		m.cfg.Log.Error("our answer is over its limit; this is a bug", "method", k.String(), "bytes", len(body), "limit", rule.reply)
		err = errors.New("answer over its limit")
	}
	switch {
	case errors.Is(err, ErrNotFound):
		kind, body = answerNotFound, nil
	case err != nil:
		text := err.Error()
		kind, body = answerRefused, []byte(text[:min(len(text), maxRefusal)])
	}
	_, err = s.Write(appendFrame(nil, kind, body))
	return err
}
