package testnet

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"truceline/node"
	"truceline/node/observe"
	"truceline/sensorio"
	"truceline/sensorio/ndjson"
	"truceline/treaty"
)

// Client speaks to one node as anybody may: its observers' listener, and, for who runs it, its operator's. What a node
// answers is only a claim until it is verified.
type Client struct {
	Nation   treaty.Nation
	Observe  string // host:port
	Operator string
	http     *http.Client
}

// NewClient makes a client; it holds a few connections open.
func NewClient(k treaty.Nation, observeAddr, operatorAddr string) *Client {
	t := &http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second}
	return &Client{Nation: k, Observe: observeAddr, Operator: operatorAddr, http: &http.Client{Transport: t}}
}

// Close lets the connections go.
func (c *Client) Close() { c.http.CloseIdleConnections() }

const (
	maxAnswer  = 32 << 20
	askWithin  = 20 * time.Second
	maxRetries = 60
)

// errGone: the node says that it has not got what was asked for (yet).
var errGone = errors.New("not there")

// get asks and reads a bounded answer; it waits as long as the node says when it is asked too often.
func (c *Client) get(ctx context.Context, addr, path string) ([]byte, error) {
	return c.ask(ctx, http.MethodGet, addr, path, "", nil)
}

func (c *Client) ask(ctx context.Context, method, addr, path, kind string, body []byte) ([]byte, error) {
	var last error
	for range maxRetries {
		b, wait, err := c.once(ctx, method, addr, path, kind, body)
		if wait == 0 {
			return b, err
		}
		last = err
		if err := pause(ctx, wait); err != nil {
			return nil, err
		}
	}
	return nil, last
}

// once asks once; wait is not 0 when it is worth asking again later.
func (c *Client) once(ctx context.Context, method, addr, path, kind string, body []byte) (_ []byte, wait time.Duration, _ error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", c.Nation, err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	switch {
	case err != nil:
		return nil, 0, fmt.Errorf("%s: %s: %w", c.Nation, path, err)
	case res.StatusCode == http.StatusOK:
		return b, 0, nil
	case res.StatusCode == http.StatusNotFound:
		return nil, 0, fmt.Errorf("%s: %s: %w: %s", c.Nation, path, errGone, oneLine(b))
	case res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") != "":
		seconds, err := strconv.Atoi(res.Header.Get("Retry-After"))
		if err != nil || seconds < 1 || seconds > 30 {
			seconds = 1
		}
		return nil, time.Duration(seconds) * time.Second / 2, fmt.Errorf("%s: %s: %s: %s", c.Nation, path, res.Status, oneLine(b))
	}
	return nil, 0, fmt.Errorf("%s: %s: %s: %s", c.Nation, path, res.Status, oneLine(b))
}

func oneLine(b []byte) string { return strings.Join(strings.Fields(string(b[:min(len(b), 300)])), " ") }

// pause waits, or returns the context's error.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func getJSON[T any](ctx context.Context, c *Client, addr, path string) (v T, err error) {
	b, err := c.get(ctx, addr, path)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, fmt.Errorf("%s: %s: %w", c.Nation, path, err)
	}
	return v, nil
}

// Network is what the node says of the network and itself.
func (c *Client) Network(ctx context.Context) (observe.NetworkView, error) {
	return getJSON[observe.NetworkView](ctx, c, c.Observe, "/v1/network")
}

// Status is what the node tells its operator.
func (c *Client) Status(ctx context.Context) (node.Status, error) {
	return getJSON[node.Status](ctx, c, c.Operator, "/v1/status")
}

// Verdicts are all FINAL verdicts, oldest first.
func (c *Client) Verdicts(ctx context.Context) ([]observe.VerdictView, error) {
	var out []observe.VerdictView
	for path := "/v1/verdicts?limit=500"; path != ""; {
		page, err := getJSON[observe.VerdictList](ctx, c, c.Observe, path)
		if err != nil {
			return nil, err
		}
		out = append(out, page.Verdicts...)
		if path = page.Next; len(page.Verdicts) == 0 {
			break
		}
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out, nil
}

// Evidence is the two files that, with the policy, prove a verdict.
func (c *Client) Evidence(ctx context.Context, id treaty.Hash) (entry, proof []byte, err error) {
	if entry, err = c.get(ctx, c.Observe, "/v1/verdicts/"+id.String()+"/entry"); err != nil {
		return nil, nil, err
	}
	proof, err = c.get(ctx, c.Observe, "/v1/verdicts/"+id.String()+"/proof")
	return entry, proof, err
}

// Checkpoint is the newest cosigned checkpoint, as it is; errors.Is errGone while nothing is final.
func (c *Client) Checkpoint(ctx context.Context) ([]byte, error) {
	return c.get(ctx, c.Observe, "/checkpoint")
}

// bundle is how many entries a full tile has.
const bundle = 256

// Entries are the ledger's entries from up to, not including, to, out of tlog-tiles entry bundles. size is that of a
// checkpoint of the node; partial bundles are asked for in its terms.
func (c *Client) Entries(ctx context.Context, from, to, size uint64) ([][]byte, error) {
	var out [][]byte
	for k := from / bundle; k*bundle < to; k++ {
		width := min(bundle, size-k*bundle)
		tile := tlog.Tile{H: 8, L: -1, N: int64(k), W: int(width)}
		b, err := c.get(ctx, c.Observe, "/"+torchwood.TilePath(tile))
		if err != nil {
			return nil, err
		}
		for i := k * bundle; i < k*bundle+width; i++ {
			if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
				return nil, fmt.Errorf("%s: the entry bundle %d ends early", c.Nation, k)
			}
			n := int(binary.BigEndian.Uint16(b))
			if i >= from && i < to {
				out = append(out, b[2:2+n])
			}
			b = b[2+n:]
		}
	}
	return out, nil
}

// Post hands detections to the node's sensor intake and returns when they survive a power cut there.
func (c *Client) Post(ctx context.Context, ds []treaty.Detection) (sensorio.Answer, error) {
	var body bytes.Buffer
	for i := range ds {
		line, err := ndjson.Encode(&ds[i])
		if err != nil {
			return sensorio.Answer{}, err
		}
		body.Write(line)
		body.WriteByte('\n')
	}
	b, err := c.ask(ctx, http.MethodPost, c.Operator, "/v1/detections", sensorio.MediaNDJSON, body.Bytes())
	if err != nil {
		return sensorio.Answer{}, err
	}
	var a sensorio.Answer
	if err := json.Unmarshal(b, &a); err != nil {
		return a, fmt.Errorf("%s: answer to detections: %w", c.Nation, err)
	}
	return a, nil
}

// Stream calls each with every verdict that becomes FINAL, until ctx ends or the stream breaks. It begins after the
// ledger index last, or with what is new when last is negative.
func (c *Client) Stream(ctx context.Context, last int64, each func(observe.VerdictView)) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Observe+"/v1/stream", nil)
	if err != nil {
		return err
	}
	if last >= 0 {
		req.Header.Set("Last-Event-ID", strconv.FormatInt(last, 10))
	}
	res, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Nation, err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: stream of verdicts: %s", c.Nation, res.Status)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok {
			continue
		}
		var v observe.VerdictView
		if err := json.Unmarshal(data, &v); err != nil || v.Verdict == nil {
			return fmt.Errorf("%s: stream of verdicts: not a verdict: %w", c.Nation, errors.Join(err, treaty.ErrMalformed))
		}
		each(v)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: stream of verdicts: %w", c.Nation, err)
	}
	return fmt.Errorf("%s: stream of verdicts: %w", c.Nation, io.ErrUnexpectedEOF)
}
