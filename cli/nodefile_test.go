package cli_test

import (
	"bytes"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"truceline/cli"
	"truceline/treaty"
)

// full uses every field of node.yaml.
func full() *cli.NodeFile {
	return &cli.NodeFile{
		Nation: "POL", Accord: strings.Repeat("0a", 32), Founding: "founding.cbor", Keys: "keys", Data: "data # 1",
		Listen:  []string{"/ip4/0.0.0.0/tcp/4701", "/ip6/::/udp/4701/quic-v1"},
		Peers:   map[treaty.Nation][]string{"DEU": {"/dns4/deu.example/tcp/4701"}, "FRA": {"/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.1/udp/1/quic-v1"}},
		Observe: ":8701", Operator: "[::1]:8702", Review: true,
		Sources: []cli.SourceFile{
			{ID: "array: 1", Kind: "ndjson", Path: "-", Replay: true, Sensors: []treaty.SensorID{"acoustic:1"}, Trust: "channel"},
			{ID: "sky", Kind: "firms", Path: "a b.csv"},
		},
		Timing: cli.TimingFile{
			Heartbeat: time.Second, Election: 2 * time.Second, Lease: 900 * time.Millisecond, Commit: 1, Round: 3, Inclusion: 4, CatchUp: 5, Stagger: 6,
		},
		Clock:    &cli.ClockFile{At: time.Date(2026, 11, 23, 8, 0, 0, 5, time.UTC), Base: time.Date(2031, 3, 14, 21, 0, 0, 0, time.UTC), Speed: 12.5},
		LogLevel: slog.LevelWarn,
	}
}

// Would catch a setting that node init writes and node run reads as something else, or that has no words in the file.
func TestNodeFileRoundTrip(t *testing.T) {
	f := full()
	back, err := cli.ParseNodeFile(f.Encode())
	if err != nil {
		t.Fatalf("%v\n%s", err, f.Encode())
	}
	if !reflect.DeepEqual(f, back) {
		t.Errorf("came back different:\n%+v\n%+v\n%s", f, back, f.Encode())
	}
	if n := strings.Count(string(f.Encode()), "\n# "); n < reflect.TypeFor[cli.NodeFile]().NumField() {
		t.Errorf("%d lines of explanation for %d fields", n, reflect.TypeFor[cli.NodeFile]().NumField())
	}
}

// The commented examples in a fresh file must themselves be right, or the first edit of an operator fails.
func TestNodeFileExamples(t *testing.T) {
	f := full()
	f.Peers, f.Sources, f.Timing, f.Clock = nil, nil, cli.TimingFile{}, nil
	var out strings.Builder
	for l := range strings.Lines(string(f.Encode())) {
		for _, start := range []string{"# peers:", "#   DEU:", "# sources:", "#   - {", "# timing:", "# clock:"} {
			if strings.HasPrefix(l, start) {
				l = l[2:]
			}
		}
		out.WriteString(l)
	}
	g, err := cli.ParseNodeFile([]byte(out.String()))
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if len(g.Peers) != 1 || len(g.Sources) != 2 || g.Timing.Stagger != 250*time.Millisecond || g.Clock == nil || g.Clock.Speed != 10 {
		t.Errorf("examples read as %+v", g)
	}
}

// Would catch a mistake in node.yaml that is passed over, or a list of problems that stops at the first.
func TestNodeFileRefusals(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"nation: POL", "nation: Poland", "three capital letters"},
		{"accord: 0a0a", "accord: zz0a", "64 hexadecimal"},
		{"nation: POL", "nation: POL\nnation: POL", "already defined"},
		{"speed: 12.5", "speed: .nan", "clock: speed"},
		{"speed: 12.5", "speed: 1e9", "clock: speed"},
		{"kind: firms", "kind: radar", "must be ndjson or firms"},
		{"id: sky", "id: http", "the id is taken"},
		{"path: a b.csv", "path: '-'", "name a file"},
		{"trust: channel", "trust: total", "trust is"},
		{"heartbeat: 1s", "heartbeat: -1s", "negative"},
		{"log_level: WARN", "log_level: LOUD", "LOUD"},
		{"review: true", "reviewed: true", "unknown here"},
		{"log_level: WARN", "log_level: WARN\n---\nnation: DEU", "more than one"},
	} {
		text := strings.Replace(string(full().Encode()), c.old, c.new, 1)
		if _, err := cli.ParseNodeFile([]byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.new, err)
		}
	}
	_, err := cli.ParseNodeFile([]byte("nation: pol\nlisten: []\n"))
	if err == nil || strings.Count(err.Error(), "\n") < 4 {
		t.Errorf("not all problems at once: %v", err)
	}
	if _, err := cli.ParseNodeFile(bytes.Repeat([]byte("#"), 1<<20)); err == nil {
		t.Error("a file of a megabyte was read")
	}
}

// What is accepted must be written as it was read.
func FuzzParseNodeFile(f *testing.F) {
	f.Add(full().Encode())
	f.Add([]byte("nation: POL\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := cli.ParseNodeFile(b)
		if err != nil {
			return
		}
		h, err := cli.ParseNodeFile(g.Encode())
		if err != nil || h.Nation != g.Nation || h.Accord != g.Accord || !reflect.DeepEqual(h.Peers, g.Peers) && len(g.Peers) > 0 || h.Timing != g.Timing {
			t.Fatalf("%v\n%+v\n%+v", err, g, h)
		}
	})
}

// Nothing may crash the verification, and under the true policy only the true entry is verified, at its true place.
func FuzzVerify(f *testing.F) {
	p := newProven(f, 4)
	f.Add(p.entry, p.proof(0), p.policy)
	f.Add(p.entry, p.proof(3), p.policy)
	f.Add([]byte{}, []byte("c2sp.org/tlog-proof@v1\nindex 0\n\n"), []byte("log x+y+z\nquorum none\n"))
	f.Fuzz(func(t *testing.T, entry, proof, policy []byte) {
		for _, own := range []bool{false, true} {
			v, err := cli.Verify(entry, proof, policy, own)
			if err == nil && bytes.Equal(policy, p.policy) && (!bytes.Equal(entry, p.entry) || v.Index != p.index || v.Checkpoint != p.size || v.Signers < 3) {
				t.Fatalf("verified: %+v", v)
			}
		}
	})
}
