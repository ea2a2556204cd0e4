package testnet

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"truceline/treaty"
)

// retryEvery is how often something that is not there yet is asked for again.
const retryEvery = 500 * time.Millisecond

// takePart waits until every node answers and finality moves: each submits a remark, and all of them must be FINAL at
// every node. told is called as the nodes get there.
func takePart(ctx context.Context, clients []*Client, text string, told func(done int)) error {
	base := uint64(0)
	for _, c := range clients {
		if v, err := c.Network(ctx); err == nil {
			base = max(base, v.Node.CosignedSize)
		}
	}
	for i, c := range clients {
		if err := remark(ctx, c, text); err != nil {
			return fmt.Errorf("%s does not answer: %w (its log says why)", c.Nation, err)
		}
		told(i)
	}
	for i, c := range clients {
		for {
			v, err := c.Network(ctx)
			if err == nil && v.Node.CosignedSize >= base+uint64(len(clients)) {
				break
			}
			if e := pause(ctx, 100*time.Millisecond); e != nil {
				if err == nil {
					err = fmt.Errorf("%d of %d records are final there: %s", v.Node.CosignedSize-min(base, v.Node.CosignedSize), len(clients), v.Node.Problem)
				}
				return fmt.Errorf("nothing becomes final at %s: %w", c.Nation, err)
			}
		}
		told(len(clients) + i)
	}
	return nil
}

// remark submits a remark through the operator's listener, and waits for a node that is still starting.
func remark(ctx context.Context, c *Client, text string) error {
	body, err := json.Marshal(treaty.Remark{Text: text})
	if err != nil {
		return err
	}
	var last error
	for ctx.Err() == nil {
		if _, last = c.ask(ctx, http.MethodPost, c.Operator, "/v1/remarks", "application/json", bytes.Clone(body)); last == nil {
			return nil
		}
		if pause(ctx, 100*time.Millisecond) != nil {
			break
		}
	}
	return last
}
