package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	ucli "github.com/urfave/cli/v2"

	"truceline/internal/durable"
)

// client asks one node over HTTP. It trusts nothing that comes back: every answer is bounded in size and time.
type client struct {
	base *url.URL
	http *http.Client
}

// maxAnswer bounds a JSON answer: a page of 500 verdicts of about 2 KiB, or a network with a 3,000-vertex line.
const maxAnswer = 8 << 20

// newClient takes "127.0.0.1:8701" or a URL.
func newClient(at string) (*client, error) {
	if !strings.Contains(at, "://") {
		at = "http://" + at
	}
	u, err := url.Parse(strings.TrimRight(at, "/"))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usagef("%q is no address of a node: want HOST:PORT or http(s)://HOST:PORT", at)
	}
	return &client{u, &http.Client{
		Timeout: 30 * time.Second,
		// A node never redirects; whoever does wants us to ask somebody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("the node redirects elsewhere") },
	}}, nil
}

// status is an answer that is no 200.
type status struct {
	code int
	text string
	wait string // Retry-After
}

func (s *status) Error() string { return fmt.Sprintf("the node answers %d: %s", s.code, s.text) }

// do sends one request and reads at most limit bytes of the answer.
func (c *client) do(ctx context.Context, method, path, kind string, body []byte, limit int) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base.String()+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, unreachable(fmt.Errorf("%w: is the node running, and is this its address?", err))
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	if err != nil {
		return nil, unreachable(fmt.Errorf("read the answer of %s: %w", c.base.Host, err))
	}
	if len(b) > limit {
		return nil, unreachable(fmt.Errorf("the answer of %s to %s is over %d bytes: it is no Truceline node, or a lying one", c.base.Host, path, limit))
	}
	if resp.StatusCode == http.StatusOK {
		return b, nil
	}
	var e struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(b, &e) != nil || e.Error == "" {
		e.Error = strings.TrimSpace(string(b[:min(len(b), 200)]))
	}
	return b, unreachable(&status{resp.StatusCode, e.Error, resp.Header.Get("Retry-After")})
}

// get reads bytes.
func (c *client) get(ctx context.Context, path string, limit int) ([]byte, error) {
	return c.do(ctx, http.MethodGet, path, "", nil, limit)
}

// read reads a JSON answer into v.
func (c *client) read(ctx context.Context, path string, v any) error {
	b, err := c.get(ctx, path, maxAnswer)
	if err != nil {
		return err
	}
	return c.decode(b, path, v)
}

// send posts a JSON value and reads the JSON answer into v.
func (c *client) send(ctx context.Context, path string, body, v any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	b, err := c.do(ctx, http.MethodPost, path, "application/json", raw, maxAnswer)
	if err != nil {
		return err
	}
	return c.decode(b, path, v)
}

func (c *client) decode(b []byte, path string, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return unreachable(fmt.Errorf("%s%s does not answer as a Truceline node of this version does: %w", c.base.Host, path, err))
	}
	return nil
}

// operatorClient finds a node by --operator or by the running.json in --dir.
func operatorClient(c *ucli.Context) (*client, error) {
	at, dir := c.String("operator"), c.String("dir")
	switch {
	case at != "":
		return newClient(at)
	case dir == "":
		return nil, usagef("%s: give --operator ADDRESS, or --dir FOLDER of a node on this machine", path(c))
	}
	b, err := durable.ReadFile(filepath.Join(dir, runningFileName), 4<<10)
	if err != nil {
		return nil, unreachable(fmt.Errorf("no node runs in %s (there is no %s): start it with truceline node run --dir %s", dir, runningFileName, dir))
	}
	var r running
	if err := json.Unmarshal(b, &r); err != nil || r.Operator == "" {
		return nil, unreachable(fmt.Errorf("the node in %s has no operator listener: set operator in node.yaml", dir))
	}
	return newClient(r.Operator)
}
