package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	ucli "github.com/urfave/cli/v2"

	"truceline/treaty"
)

func nodeCommand() *ucli.Command {
	operator := []ucli.Flag{
		text("dir", "", "the node's `FOLDER`, to find its operator address"), text("operator", "", "the node's operator `ADDRESS`"), jsonFlag(),
	}
	why := text("why", "", "the reason, kept with the decision (`TEXT`)")
	return &ucli.Command{
		Name: "node", Usage: "one nation's node", Subcommands: []*ucli.Command{
			{
				Name: "init", Usage: "make a node's folder with a documented node.yaml", Action: nodeInit,
				Flags: []ucli.Flag{
					text("dir", "", "the node's `FOLDER`, made if missing"), text("nation", "", "whose node (`CODE`)"),
					text("founding", "", "the founding document `FILE`; a copy goes into the folder"), text("keys", "", "the keys' `FOLDER`"),
					&ucli.StringSliceFlag{Name: "listen", Usage: "libp2p multi`ADDRESS`; may be repeated (default: TCP and QUIC on port 4701)"},
					&ucli.StringSliceFlag{Name: "peer", Usage: "another nation's address, as `CODE=MULTIADDRESS`; may be repeated"},
					text("observe", "127.0.0.1:8701", "`ADDRESS` of the public API"), text("operator", "127.0.0.1:8702", "`ADDRESS` of the operator's listener"),
					&ucli.BoolFlag{Name: "review", Usage: "attest nothing before the duty officer approves"}, jsonFlag(),
				},
			},
			{
				Name: "run", Usage: "run the node until it is told to stop", Action: nodeRun,
				Description: "SIGINT or SIGTERM stops it cleanly, a second one at once. While it runs, DIR/running.json says where it listens.",
				Flags:       []ucli.Flag{text("dir", "", "the node's `FOLDER`"), &ucli.BoolFlag{Name: "log-json", Usage: "log in JSON"}},
			},
			{
				Name: "status", Usage: "show what the node sees, what is wrong and what to do", Action: nodeStatus, Flags: operator,
			},
			{
				Name: "review", Usage: "the duty officer's queue of assessments", Subcommands: []*ucli.Command{
					{Name: "list", Usage: "show what waits", Action: reviewList, Flags: operator},
					{Name: "approve", Usage: "attest as computed", ArgsUsage: "INCIDENT", Action: reviewDecide("approve"), Flags: append([]ucli.Flag{why}, operator...)},
					{
						Name: "change", Usage: "attest INCONCLUSIVE or NO_BREACH instead", ArgsUsage: "INCIDENT", Action: reviewDecide("change"),
						Flags: append([]ucli.Flag{text("finding", "", "INCONCLUSIVE or NO_BREACH (`FINDING`)"), why}, operator...),
					},
					{Name: "decline", Usage: "attest nothing", ArgsUsage: "INCIDENT", Action: reviewDecide("decline"), Flags: append([]ucli.Flag{why}, operator...)},
				},
			},
		},
	}
}

// Names in a node's folder.
const (
	nodeFileName     = "node.yaml"
	foundingFileName = "founding.cbor"
	runningFileName  = "running.json"
)

func nodeInit(c *ucli.Context) error {
	if err := errors.Join(need(c, "dir", "nation", "founding", "keys"), want(c, 0, 0, "no arguments")); err != nil {
		return refused(err)
	}
	nation, err := nationFlag(c)
	if err != nil {
		return err
	}
	b, err := readFile(c.String("founding"), treaty.MaxFounding)
	if err != nil {
		return err
	}
	net, err := treaty.VerifyFounding(b)
	if err != nil {
		return refused(fmt.Errorf("%s: %w", c.String("founding"), err))
	}
	keys, err := LoadKeys(c.String("keys"), nation)
	if err == nil {
		err = checkKeys(net, nation, keys)
	}
	if err != nil {
		return refused(err)
	}
	peers, err := peerFlags(c.StringSlice("peer"), net, nation)
	if err != nil {
		return err
	}
	dir := c.String("dir")
	f := &NodeFile{
		Nation: nation, Accord: net.Digest.String(), Founding: foundingFileName, Data: "data", Listen: c.StringSlice("listen"),
		Peers: peers, Observe: c.String("observe"), Operator: c.String("operator"), Review: c.Bool("review"), LogLevel: slog.LevelInfo,
	}
	if len(f.Listen) == 0 {
		f.Listen = []string{"/ip4/0.0.0.0/tcp/4701", "/ip4/0.0.0.0/udp/4701/quic-v1"}
	}
	if f.Keys, err = relative(dir, c.String("keys")); err != nil {
		return refused(err)
	}
	if err := f.Validate(); err != nil {
		return refused(err)
	}
	if err := makeDir(dir, 0o700); err != nil {
		return err
	}
	if err := writeNew(filepath.Join(dir, foundingFileName), b, 0o644); err != nil {
		return err
	}
	if err := writeNew(filepath.Join(dir, nodeFileName), append(f.Encode(), '\n'), 0o600); err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(c, map[string]any{"file": filepath.Join(dir, nodeFileName), "nation": nation, "accord": net.Digest})
	}
	say(c, "%s\n", filepath.Join(dir, nodeFileName))
	hint(c, "Node of %s under accord %s%s. Read the file through, then: truceline node run --dir %s\n", nation, net.Digest.Short(), exerciseMark(net.Accord.Exercise), dir)
	return nil
}

// relative names a path from a folder, where that is shorter than its full name.
func relative(dir, path string) (string, error) {
	absDir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if rel, err := filepath.Rel(absDir, abs); err == nil && filepath.IsLocal(rel) {
		return rel, nil
	}
	return abs, nil
}

func peerFlags(flags []string, net *treaty.Network, self treaty.Nation) (map[treaty.Nation][]string, error) {
	out := map[treaty.Nation][]string{}
	for _, p := range flags {
		k, addr, ok := strings.Cut(p, "=")
		if _, member := net.Member(treaty.Nation(k)); !ok || !member || treaty.Nation(k) == self || addr == "" {
			return nil, usagef("--peer %q: want CODE=MULTIADDRESS of another member of the accord: %s", p, join(net.Missing([]treaty.Nation{self})))
		}
		out[treaty.Nation(k)] = append(out[treaty.Nation(k)], addr)
	}
	return out, nil
}
