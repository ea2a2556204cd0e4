package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Machine is what the figures were measured on. Sync is the median of 200 synced writes of 4 KiB: every latency to FINAL
// is a few of them in a row.
type Machine struct {
	Cores   int           `json:"cores"`
	Go      string        `json:"go"`
	OS      string        `json:"os"`
	CPU     string        `json:"cpu,omitempty"`
	Load    string        `json:"load,omitempty"` // load averages before the run: above the cores, figures mean little
	Sync    time.Duration `json:"sync_p50_ns"`
	SyncP99 time.Duration `json:"sync_p99_ns"`
}

// Probe looks at the machine and at the disk that dir is on; "" is the one for temporary files.
func Probe(dir string) (Machine, error) {
	m := Machine{Cores: runtime.GOMAXPROCS(0), Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH, CPU: cpuName()}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Join(strings.Fields(string(b))[:3], " ")
	}
	at, err := os.MkdirTemp(dir, "probe-")
	if err != nil {
		return m, err
	}
	defer func() { _ = os.RemoveAll(at) }()
	f, err := os.Create(filepath.Join(at, "sync"))
	if err != nil {
		return m, err
	}
	defer func() { _ = f.Close() }()
	block := make([]byte, 4096)
	took := make([]time.Duration, 200)
	for i := range took {
		begin := time.Now()
		if _, err := f.Write(block); err != nil {
			return m, err
		}
		if err := f.Sync(); err != nil {
			return m, fmt.Errorf("sync %s: %w", f.Name(), err)
		}
		took[i] = time.Since(begin)
	}
	slices.Sort(took)
	m.Sync, m.SyncP99 = took[len(took)/2], took[len(took)*99/100]
	return m, nil
}

func cpuName() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for l := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
