package testnet

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"truceline/internal/durable"
	"truceline/node"
	"truceline/testnet/feed"
	"truceline/treaty"
)

// Founding is what a testnet is founded with.
type Founding struct {
	// Dir is the testnet's folder; what lies there already is never overwritten.
	Dir     string
	Nations int
	// Scenario gives the made-up land that the accord is about: parties, line, zones, clauses.
	Scenario *feed.Scenario
	// Founded is when the accord begins: not after anything that is to be judged.
	Founded treaty.Time
	// NodeFile makes the configuration that `truceline node run` reads; nil: none is written.
	NodeFile func(Seat) ([]byte, error)
}

// Seat is one nation's place in a testnet: its folder and what it needs to run there.
type Seat struct {
	Nation treaty.Nation
	Name   string
	// Dir is the nation's folder: node.yaml, founding.cbor, keys/, data/.
	Dir   string
	Ports Ports
	Peers map[treaty.Nation][]string
	Keys  node.Keys
}

// Testnet is a founded network.
type Testnet struct {
	Dir   string
	Net   *treaty.Network
	Seats []Seat // in roster order
	// Policy is the file that observers verify with.
	Policy []byte
}

// Names of files in a testnet's folder and in its nations'.
const (
	AccordName   = "accord.yaml"
	FoundingName = "founding.cbor"
	PolicyName   = "policy.txt"
	NodeName     = "node.yaml"
	KeysName     = "keys"
	DataName     = "data"
	stateName    = "testnet.yaml"
)

// Validate reports all problems.
func (c Founding) Validate() error {
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New("testnet: no folder: set Dir"))
	}
	if c.Nations < treaty.MinNations || c.Nations > len(nations) {
		errs = append(errs, fmt.Errorf("testnet: %d nations: must be %d to %d", c.Nations, treaty.MinNations, len(nations)))
	}
	if c.Scenario == nil {
		errs = append(errs, errors.New("testnet: no scenario to take the land from: set Scenario"))
	}
	return errors.Join(errs...)
}

// Found does the ceremony of an accord in one folder: every nation makes its keys, all sign one accord, and each gets a
// folder that a node can start from. In earnest each nation does its part alone, with the commands of truceline accord.
func Found(c Founding) (*Testnet, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("testnet: make its folder: %w", err)
	}
	ports, err := freePorts(c.Nations)
	if err != nil {
		return nil, fmt.Errorf("testnet: %w", err)
	}
	t := &Testnet{Dir: c.Dir}
	members := roster(c.Nations)
	for i := range members {
		seat, err := newSeat(c.Dir, &members[i])
		if err != nil {
			return nil, err
		}
		seat.Ports = ports[i]
		t.Seats = append(t.Seats, seat)
	}
	slices.SortFunc(t.Seats, func(a, b Seat) int { return strings.Compare(string(a.Nation), string(b.Nation)) })
	accord, err := c.Scenario.Accord(members, c.Founded)
	if err != nil {
		return nil, fmt.Errorf("testnet: %w", err)
	}
	founding, err := t.sign(accord)
	if err != nil {
		return nil, err
	}
	t.Policy = t.Net.Policy()
	for _, f := range []struct {
		name string
		data []byte
	}{
		{AccordName, treaty.FormatAccordYAML(accord)}, {FoundingName, founding}, {PolicyName, t.Policy},
	} {
		if err := create(filepath.Join(c.Dir, f.name), f.data, 0o644); err != nil {
			return nil, err
		}
	}
	return t, t.seat(founding, c.NodeFile)
}

// newSeat makes one nation's keys and puts the public ones into its member.
func newSeat(dir string, m *treaty.Member) (Seat, error) {
	s := Seat{Nation: m.Nation, Name: m.Name, Dir: filepath.Join(dir, string(m.Nation))}
	if err := os.MkdirAll(filepath.Join(s.Dir, KeysName), 0o700); err != nil {
		return s, fmt.Errorf("testnet: make the folder of %s: %w", m.Nation, err)
	}
	for _, r := range []treaty.KeyRole{treaty.RoleTreaty, treaty.RoleCosign, treaty.RoleNode} {
		pub, priv, err := ed25519.GenerateKey(nil)
		if err != nil {
			return s, fmt.Errorf("testnet: make the %s key of %s: %w", r, m.Nation, err)
		}
		m.Keys = append(m.Keys, treaty.Key{Role: r, Kind: treaty.KindEd25519, Public: pub})
		file := treaty.KeyFile{Nation: m.Nation, Role: r, Private: priv}
		if err := create(filepath.Join(s.Dir, KeysName, r.String()+".key"), file.Encode(), 0o600); err != nil {
			return s, err
		}
		s.Keys = withKey(s.Keys, r, priv)
	}
	return s, nil
}

func withKey(k node.Keys, r treaty.KeyRole, priv ed25519.PrivateKey) node.Keys {
	switch r {
	case treaty.RoleTreaty:
		k.Treaty = priv
	case treaty.RoleCosign:
		k.Cosign = priv
	case treaty.RoleNode:
		k.Node = priv
	}
	return k
}

// sign lets every nation sign and checks the whole as a node will.
func (t *Testnet) sign(accord *treaty.Accord) ([]byte, error) {
	f, err := treaty.NewFounding(accord)
	if err != nil {
		return nil, fmt.Errorf("testnet: %w", err)
	}
	var sigs [][]byte
	for _, s := range t.Seats {
		sig, err := treaty.SignAccord(accord, s.Nation, s.Keys.Treaty)
		if err != nil {
			return nil, fmt.Errorf("testnet: sign the accord as %s: %w", s.Nation, err)
		}
		sigs = append(sigs, sig)
	}
	if err := f.Merge(sigs...); err != nil {
		return nil, fmt.Errorf("testnet: %w", err)
	}
	raw := f.Encode()
	t.Net, err = treaty.VerifyFounding(raw)
	return raw, err
}

// seat gives every nation its folder.
func (t *Testnet) seat(founding []byte, nodeFile func(Seat) ([]byte, error)) error {
	peers := map[treaty.Nation][]string{}
	for _, s := range t.Seats {
		peers[s.Nation] = s.Ports.Multiaddrs()
	}
	for i := range t.Seats {
		s := &t.Seats[i]
		s.Peers = peers
		if err := create(filepath.Join(s.Dir, FoundingName), founding, 0o644); err != nil {
			return err
		}
		if nodeFile == nil {
			continue
		}
		b, err := nodeFile(*s)
		if err != nil {
			return fmt.Errorf("testnet: %s of %s: %w", NodeName, s.Nation, err)
		}
		if err := create(filepath.Join(s.Dir, NodeName), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func create(path string, b []byte, perm os.FileMode) error {
	if err := durable.CreateNew(path, b, perm); err != nil {
		return fmt.Errorf("testnet: write %s: %w (is there a testnet in this folder? choose another)", path, err)
	}
	return nil
}
