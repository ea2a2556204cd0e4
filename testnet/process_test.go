package testnet_test

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"gopkg.in/yaml.v3"

	"truceline/testnet"
	"truceline/testnet/feed"
	"truceline/testnet/scenarios"
	"truceline/treaty"
)

// nodeYAML writes node.yaml from the fields that truceline node run documents, as a person would: package cli has the
// other writer, and is above this one.
func nodeYAML(s testnet.Seat, accord treaty.Hash, pace testnet.Pace, clock *testnet.ClockBase) ([]byte, error) {
	peers := map[string][]string{}
	for k, at := range s.Peers {
		if k != s.Nation {
			peers[string(k)] = at
		}
	}
	doc := map[string]any{
		"nation": string(s.Nation), "accord": accord.String(), "founding": testnet.FoundingName, "keys": testnet.KeysName,
		"data": testnet.DataName, "listen": s.Ports.Multiaddrs(), "peers": peers,
		"observe": s.Ports.ObserveAddr(), "operator": s.Ports.OperatorAddr(), "log_level": slog.LevelInfo.String(),
		"timing": map[string]any{
			"heartbeat": pace.Timing.Heartbeat.String(), "election": pace.Timing.Election.String(),
			"lease": pace.Timing.Lease.String(), "commit": pace.Timing.Commit.String(), "round": pace.RoundTimeout.String(),
		},
	}
	if clock != nil {
		doc["clock"] = map[string]any{"at": clock.At, "base": clock.Base, "speed": clock.Speed}
	}
	return yaml.Marshal(doc)
}

// Killing any f of five processes with SIGKILL must change nothing but the list of the missing, and the killed must catch
// up: this catches a node that cannot start from what a killed one leaves, and a network that needs all of its nodes.
func TestProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	bin := filepath.Join(t.TempDir(), "truceline")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "truceline/cli/truceline").CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	land, err := scenarios.Get("breach")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "net")
	if _, err := testnet.Up(testnet.UpConfig{Dir: dir, Nations: 5, Land: land, Speed: 30, NodeFile: nodeYAML, Program: bin}); err != nil {
		t.Fatal(err)
	}
	p, err := testnet.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	p.Program = bin
	t.Cleanup(func() {
		if err := p.Down(context.Background()); err != nil {
			t.Error(err)
		}
		for _, s := range p.Seats {
			if p.Running(s) {
				t.Errorf("%s still runs", s.Nation)
			}
			if t.Failed() {
				showLog(t, s)
			}
		}
	})
	s := p.Session(testnet.Watch{Say: func(line string) { t.Log(line) }})
	defer s.Close()
	if err := s.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	victim := p.Seats[1]
	if err := p.Kill(t.Context(), victim); err != nil {
		t.Fatal(err)
	}
	r, err := s.Scenario(t.Context(), p.Land)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", r.Table)
	if !r.OK() || r.Table.Count[feed.ResultRight] != 1 {
		t.Errorf("with one nation of five dead: %s; %v %v", r.Table.Summary(), r.Proofs.Problems, r.Violations)
	}
	if len(r.Down) != 1 || r.Down[0] != victim.Nation {
		t.Errorf("down are %v, want %s", r.Down, victim.Nation)
	}
	if err := p.Restart(t.Context(), victim); err != nil {
		t.Fatal(err)
	}
	if err := s.Join(t.Context()); err != nil {
		t.Fatalf("after the restart: %v", err)
	}
	// Everybody again, the killed one included: the same entries, and its proofs verify too.
	if bad := testnet.Inspect(t.Context(), s.Net, s.Clients); len(bad) > 0 {
		t.Errorf("after the killed nation's return: %q", bad)
	}
}

func showLog(t *testing.T, s testnet.Seat) {
	b, err := os.ReadFile(filepath.Join(s.Dir, "node.log"))
	if err != nil {
		return
	}
	t.Logf("%s:\n%s", s.Nation, b[max(0, len(b)-2000):])
}
