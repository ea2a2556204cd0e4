package hclogx_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"truceline/internal/hclogx"
)

// Would catch lost levels, lost attributes, and hclog.Fmt values printed as Go slices.
func TestBridge(t *testing.T) {
	var buf bytes.Buffer
	l := hclogx.New(slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: slog.LevelInfo})))
	l.Debug("unseen")
	l.With("node", "POL").Warn("late", "by", hclog.Fmt("%d ms", 7), "peer", []byte("FRA"))
	out := buf.String()
	for _, want := range []string{"level=WARN", "msg=late", "node=POL", `by="7 ms"`, `FRA`} {
		if !strings.Contains(out, want) {
			t.Errorf("%q lacks %q", out, want)
		}
	}
	if strings.Contains(out, "unseen") || l.IsDebug() || l.GetLevel() != hclog.Info {
		t.Errorf("debug got through: %q", out)
	}
}
