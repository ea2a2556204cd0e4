package arch

import (
	"slices"
	"strings"
	"testing"
)

// floors are the house (design section 4), from the ground up. A room may import rooms of lower floors.
var floors = [][]string{
	{"internal"},
	{"treaty"},
	{"sensorio", "attribution", "consensus"},
	{"node"},
	{"cli", "testnet"},
}

// alone are the parents that put such rooms together: they import their rooms and not the other way round.
var alone = []string{"consensus", "node"}

func floorOf(room string) int {
	for i, f := range floors {
		if in(room, f...) {
			return i
		}
	}
	return -1
}

// flatOf is the room that a package belongs to among those of its floor that do not import each other: sensorio and
// attribution whole, consensus and node by their parts. "" for none (the parents, and floors where all may meet). What
// one room needs of another is a small interface in the one that needs it.
func flatOf(room string) string {
	parts := strings.SplitN(room, "/", 3)
	switch {
	case parts[0] == "sensorio" || parts[0] == "attribution":
		return parts[0]
	case slices.Contains(alone, parts[0]) && len(parts) > 1:
		return parts[0] + "/" + parts[1]
	}
	return ""
}

// judgeFloors says why an import breaks the floors, "" when it does not.
func judgeFloors(room string, test bool, target string) string {
	from, to := floorOf(room), floorOf(target)
	switch {
	case to < 0:
		return "no such floor: put the room under one of those in design section 4"
	case to > from && room != ".":
		return "imports go down only: a room that knows its users cannot be tested, or trusted, without them"
	case test:
		return "" // a test may look sideways, to run the real neighbour
	case slices.Contains(alone, target) && room != target && in(room, target):
		return "a room does not import the parent that puts it together: " + target + " is its user"
	case from == to && flatOf(room) != flatOf(target) && flatOf(room) != "":
		return "rooms on one floor do not import each other: declare the small interface you need in " + room
	}
	return ""
}

// Would catch the first import that makes two rooms one: layers that import each other can no longer be checked apart.
func TestFloors(t *testing.T) {
	for _, s := range sources(t) {
		if s.room == "." {
			continue
		}
		if floorOf(s.room) < 0 {
			t.Errorf("%s: folder %s is on no floor (design section 4)", s.path, s.room)
			continue
		}
		for _, i := range s.imports {
			if !i.ours {
				continue
			}
			if why := judgeFloors(s.room, s.test, i.path); why != "" {
				t.Errorf("%s:%d imports %s: %s", s.path, i.line, i.path, why)
			}
		}
	}
}

// only says where a library may be imported. Tests may import any.
var only = []struct {
	library string
	rooms   []string
	why     string
}{
	{
		"github.com/hashicorp/raft",
		[]string{"consensus/raft*", "=node", "testnet/sim"},
		"Raft gives order and no protection against a lying member; node opens it, the rest of us must not come to rely on it",
	},
	{
		"github.com/libp2p",
		[]string{"consensus/raftnet", "node/peer", "=node", "testnet/sim"},
		"who is at the other end of a stream is decided in one place",
	},
	{
		"github.com/cockroachdb/pebble",
		[]string{"consensus/raftlog", "consensus/ledger", "node", "sensorio/rawlog", "testnet/sim"},
		"what is durable, and when, is decided by those who own a store",
	},
	{"github.com/urfave/cli", []string{"cli"}, "flags are parsed at the top; below, settings are Config structs"},
	{
		"testing",
		[]string{"treaty/treatytest", "testnet/sim"},
		"testing in a program registers its flags and lets test code run in production",
	},
	{"truceline/treaty/treatytest", []string{"testnet/sim"}, "its private keys are known to everybody"},
	{"unsafe", nil, "no bytes from outside may meet it"},
	{"math/rand", nil, "use math/rand/v2 with a seed from Config, or crypto/rand"},
}

// Would catch a library that spreads: each is known to one or two rooms, so that it can be judged and replaced there.
func TestLibraries(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, i := range s.imports {
			name := i.path
			if i.ours {
				name = module + "/" + i.path
			}
			for _, o := range only {
				if in(name, o.library) && name != "math/rand/v2" && !in(s.room, o.rooms...) {
					t.Errorf("%s:%d imports %s, which only %v may: %s", s.path, i.line, name, o.rooms, o.why)
				}
			}
		}
	}
}

// A rule that nothing can break is no rule: these imports must be refused, and those allowed.
func TestFloorRules(t *testing.T) {
	for _, c := range []struct {
		room, target string
		test, ok     bool
	}{
		{"treaty", "consensus/tally", false, false},
		{"treaty", "internal/durable", false, true},
		{"internal/durable", "treaty", false, false},
		{"consensus/tally", "consensus/ledger", false, false},
		{"consensus/tally", "consensus/ledger", true, true},
		{"consensus/tally", "node", true, false},
		{"consensus/raftnet", "consensus", false, false},
		{"consensus/ledger", "consensus/ledger/view", false, true},
		{"attribution/locate", "attribution", false, true},
		{"attribution", "sensorio/seal", false, false},
		{"sensorio/firms", "sensorio", false, true},
		{"node", "node/peer", false, true},
		{"node/peer", "node", false, false},
		{"node/peer", "node/evidence", false, false},
		{"node/observe", "consensus/ledger", false, true},
		{"cli/truceline", "cli", false, true},
		{"cli", "testnet", false, true},
		{"node", "testnet", false, false},
		{"node", "utils", false, false},
	} {
		if why := judgeFloors(c.room, c.test, c.target); (why == "") != c.ok {
			t.Errorf("%s imports %s (test %v): allowed %v, want %v; %s", c.room, c.target, c.test, why == "", c.ok, why)
		}
	}
}
