package cli

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	ucli "github.com/urfave/cli/v2"

	"truceline/internal/durable"
	"truceline/node"
	"truceline/sensorio"
	"truceline/treaty"
)

// nodeRun is a node's life: lock, load, refuse or run.
func nodeRun(c *ucli.Context) error {
	if err := errors.Join(need(c, "dir"), want(c, 0, 0, "no arguments")); err != nil {
		return refused(err)
	}
	dir := c.String("dir")
	f, err := readNodeFile(dir)
	if err != nil {
		return err
	}
	options := &slog.HandlerOptions{Level: f.LogLevel}
	var h slog.Handler = slog.NewTextHandler(c.App.ErrWriter, options)
	if c.Bool("log-json") {
		h = slog.NewJSONHandler(c.App.ErrWriter, options)
	}
	log := slog.New(h)

	unlock, err := lockAll(log, dir, beside(dir, f.Keys), beside(dir, f.Data))
	if err != nil {
		return refused(err)
	}
	defer unlock()
	cfg, err := nodeConfig(dir, f)
	if err != nil {
		return refused(err)
	}
	cfg.Log = log
	warnOpen(log, f, cfg.Net)
	n, err := node.New(cfg)
	if err != nil {
		return fmt.Errorf("the node cannot start: %w", err)
	}
	return live(c.Context, n, dir, cfg, log)
}

// live runs an opened node and tells the operator where it is.
func live(ctx context.Context, n *node.Node, dir string, cfg node.Config, log *slog.Logger) error {
	at := running{Nation: cfg.Nation, PID: os.Getpid(), Accord: cfg.Net.Digest, Exercise: cfg.Net.Accord.Exercise, Observe: n.ObserveAddr(), Operator: n.OperatorAddr()}
	b, err := json.MarshalIndent(at, "", "  ")
	file := filepath.Join(dir, runningFileName)
	if err == nil {
		err = durable.WriteFile(file, append(b, '\n'), 0o644)
	}
	if err != nil {
		// Run closes what New opened; with a context that is done it does nothing else.
		done, cancel := context.WithCancel(ctx)
		cancel()
		return errors.Join(err, n.Run(done))
	}
	log.Info("the node runs", slog.String("nation", string(at.Nation)), slog.String("accord", at.Accord.Short()),
		slog.Bool("exercise", at.Exercise), slog.String("observe", at.Observe), slog.String("operator", at.Operator))
	err = n.Run(ctx)
	if rm := os.Remove(file); rm != nil && !errors.Is(rm, fs.ErrNotExist) {
		log.Warn("running.json stays behind; it means nothing now", slog.Any("error", rm))
	}
	if err != nil {
		if errors.Is(err, syscall.ENOSPC) {
			return fmt.Errorf("%w: the disk is full; make room and start again, nothing that was acknowledged is lost", err)
		}
		return err
	}
	log.Info("the node has stopped")
	return nil
}

// running is running.json: where a running node is found.
type running struct {
	Nation   treaty.Nation `json:"nation"`
	PID      int           `json:"pid"`
	Accord   treaty.Hash   `json:"accord"`
	Exercise bool          `json:"exercise"`
	Observe  string        `json:"observe"`
	Operator string        `json:"operator"`
}

func readNodeFile(dir string) (*NodeFile, error) {
	file := filepath.Join(dir, nodeFileName)
	b, err := readFile(file, maxNodeFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, refused(fmt.Errorf("%w: make the node's folder with truceline node init", err))
	}
	if err != nil {
		return nil, err
	}
	f, err := ParseNodeFile(b)
	if err != nil {
		return nil, refused(fmt.Errorf("%s:\n%w", file, err))
	}
	return f, nil
}

// lockAll takes the node's folder, its keys and its data, so that no second process speaks for the nation on this machine,
// whichever of them it shares.
func lockAll(log *slog.Logger, node, keys, data string) (unlock func(), err error) {
	var locks []*durable.Lock
	unlock = func() {
		for _, l := range locks {
			_ = l.Unlock() // the process is ending; the kernel releases what is left
		}
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	dirs := []string{node, keys, data}
	for i, d := range dirs {
		if slices.ContainsFunc(dirs[:i], func(o string) bool { return sameDir(o, d) }) {
			continue // one folder for two purposes: locked already
		}
		l, err := durable.LockDir(d)
		switch {
		case d == keys && (errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission)):
			log.Warn("the keys' folder cannot be locked, because it is read-only: make sure yourself that no other node uses these keys", slog.String("keys", keys))
		case errors.Is(err, durable.ErrLocked):
			unlock()
			return nil, fmt.Errorf("a node is running already: %w", err)
		case err != nil:
			unlock()
			return nil, err
		default:
			locks = append(locks, l)
		}
	}
	return unlock, nil
}

func sameDir(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// nodeConfig turns node.yaml, the founding document and the keys into the node's configuration, or says why not.
func nodeConfig(dir string, f *NodeFile) (node.Config, error) {
	var cfg node.Config
	b, err := durable.ReadFile(beside(dir, f.Founding), treaty.MaxFounding)
	if err != nil {
		return cfg, err
	}
	network, err := treaty.VerifyFounding(b)
	if err != nil {
		return cfg, fmt.Errorf("%s: %w", beside(dir, f.Founding), err)
	}
	if got := network.Digest.String(); got != f.Accord {
		return cfg, fmt.Errorf("%w: %s founds accord %s, but this node was set up for %s: put the right founding document back, or make a new node folder for the new accord",
			treaty.ErrWrongAccord, beside(dir, f.Founding), got[:12], f.Accord[:12])
	}
	keys, err := LoadKeys(beside(dir, f.Keys), f.Nation)
	if err != nil {
		return cfg, err
	}
	if err := checkKeys(network, f.Nation, keys); err != nil {
		return cfg, err
	}
	cfg = node.Config{
		Dir: beside(dir, f.Data), Net: network, Nation: f.Nation, Keys: keys, Listen: f.Listen, Peers: f.Peers,
		Observe: f.Observe, Operator: f.Operator, Review: f.Review, Timing: f.Timing.timing(),
		RoundTimeout: f.Timing.Round, Inclusion: f.Timing.Inclusion, CatchUp: f.Timing.CatchUp, Stagger: f.Timing.Stagger,
	}
	for _, s := range f.Sources {
		cfg.Sources = append(cfg.Sources, s.source(dir))
	}
	if f.Clock == nil {
		return cfg, nil
	}
	if !network.Accord.Exercise {
		return cfg, errors.New("clock: a made-up clock is for exercises, and this accord is none: remove it from node.yaml")
	}
	cfg.Clock, err = sensorio.NewClock(f.Clock.At, treaty.TimeOf(f.Clock.Base), f.Clock.Speed)
	return cfg, err
}

// checkKeys holds the three keys against the roster.
func checkKeys(net *treaty.Network, nation treaty.Nation, keys node.Keys) error {
	m, ok := net.Member(nation)
	if !ok {
		return fmt.Errorf("%w: %s; the members of accord %s are %s", treaty.ErrUnknownNation, nation, net.Digest.Short(), join(net.Nations()))
	}
	var errs []error
	wrong := func(r treaty.KeyRole) {
		errs = append(errs, fmt.Errorf("%w: the %s key is not the one that accord %s lists for %s: use the key whose card went into this accord",
			treaty.ErrWrongAccord, r, net.Digest.Short(), nation))
	}
	if _, err := treaty.NewSigner(net, nation, keys.Treaty); err != nil {
		wrong(treaty.RoleTreaty)
	}
	if !m.Cosign.Equal(keys.Cosign.Public().(ed25519.PublicKey)) {
		wrong(treaty.RoleCosign)
	}
	if !m.Node.Equal(keys.Node.Public()) {
		wrong(treaty.RoleNode)
	}
	return errors.Join(errs...)
}

// warnOpen says what is allowed and still probably a mistake.
func warnOpen(log *slog.Logger, f *NodeFile, network *treaty.Network) {
	if host, _, err := net.SplitHostPort(f.Operator); err == nil {
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			log.Warn("the operator's listener is not on loopback: whoever reaches it speaks for the nation", slog.String("operator", f.Operator))
		}
	}
	for _, k := range network.Missing([]treaty.Nation{f.Nation}) {
		if len(f.Peers[k]) == 0 {
			log.Warn("no address of a nation is known: it has to reach this node", slog.String("peer", string(k)))
		}
	}
	for k := range f.Peers {
		if _, ok := network.Member(k); !ok {
			log.Warn("node.yaml names a peer that is not in the accord; it is ignored", slog.String("peer", string(k)))
		}
	}
}
