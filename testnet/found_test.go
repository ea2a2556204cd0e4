package testnet

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"truceline/internal/durable"
	"truceline/testnet/feed"
	"truceline/treaty"
)

// The ceremony must leave what a node starts from: keys only its nation can read, an accord that all have signed, ports
// that no two share. A second one in the same folder must not touch the first's keys.
func TestFound(t *testing.T) {
	dir := t.TempDir()
	s := feed.Default()
	cfg := Founding{Dir: dir, Nations: 40, Scenario: s, Founded: treaty.TimeOf(s.Start.Add(-time.Hour))}
	tn, err := Found(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ports := map[int]bool{}
	for _, seat := range tn.Seats {
		b, err := durable.ReadFile(filepath.Join(seat.Dir, FoundingName), treaty.MaxFounding)
		if err != nil {
			t.Fatal(err)
		}
		net, err := treaty.VerifyFounding(b)
		if err != nil || net.Digest != tn.Net.Digest || net.N != 40 {
			t.Fatalf("%s founds another network, or none: %v", seat.Nation, err)
		}
		for _, r := range []treaty.KeyRole{treaty.RoleTreaty, treaty.RoleCosign, treaty.RoleNode} {
			b, err := durable.ReadKey(filepath.Join(seat.Dir, KeysName, r.String()+".key"), treaty.MaxKeyFile)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := treaty.ParseKeyFile(b, seat.Nation, r); err != nil {
				t.Error(err)
			}
		}
		for _, p := range []int{seat.Ports.Peer, seat.Ports.Observe, seat.Ports.Operator} {
			if ports[p] {
				t.Errorf("port %d is given twice", p)
			}
			ports[p] = true
		}
	}
	key := filepath.Join(tn.Seats[0].Dir, KeysName, "treaty.key")
	before, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Found(cfg); !errors.Is(err, durable.ErrExists) {
		t.Errorf("founding again in the same folder: %v", err)
	}
	if after, err := os.ReadFile(key); err != nil || string(after) != string(before) {
		t.Errorf("a key was overwritten: %v", err)
	}
}
