package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"truceline/consensus/raftnet"
	"truceline/node"
	"truceline/sensorio"
	"truceline/sensorio/firms"
	"truceline/treaty"
)

// NodeFile is node.yaml, what the operator decides about one node. Relative paths start at the node's folder.
type NodeFile struct {
	Nation treaty.Nation `yaml:"nation"`
	// Accord is the digest of the accord this node was set up for: another founding document is refused.
	Accord   string                     `yaml:"accord"`
	Founding string                     `yaml:"founding"`
	Keys     string                     `yaml:"keys"`
	Data     string                     `yaml:"data"`
	Listen   []string                   `yaml:"listen"`
	Peers    map[treaty.Nation][]string `yaml:"peers,omitempty"`
	Observe  string                     `yaml:"observe,omitempty"`
	Operator string                     `yaml:"operator,omitempty"`
	Review   bool                       `yaml:"review,omitempty"`
	Sources  []SourceFile               `yaml:"sources,omitempty"`
	Timing   TimingFile                 `yaml:"timing,omitempty"`
	Clock    *ClockFile                 `yaml:"clock,omitempty"`
	LogLevel slog.Level                 `yaml:"log_level,omitempty"`
}

// SourceFile is one input beside POST /v1/detections.
type SourceFile struct {
	ID string `yaml:"id"`
	// Kind is ndjson or firms.
	Kind string `yaml:"kind"`
	// Path is a file or named pipe; "-" is standard input (ndjson only).
	Path string `yaml:"path"`
	// Replay marks a recording: nothing from it may be REAL.
	Replay  bool              `yaml:"replay,omitempty"`
	Sensors []treaty.SensorID `yaml:"sensors,omitempty"`
	Trust   string            `yaml:"trust,omitempty"`
}

// TimingFile overrides the node's times; what is not set keeps its default.
type TimingFile struct {
	Heartbeat time.Duration `yaml:"heartbeat,omitempty"`
	Election  time.Duration `yaml:"election,omitempty"`
	Lease     time.Duration `yaml:"lease,omitempty"`
	Commit    time.Duration `yaml:"commit,omitempty"`
	Round     time.Duration `yaml:"round,omitempty"`
	Inclusion time.Duration `yaml:"inclusion,omitempty"`
	CatchUp   time.Duration `yaml:"catch_up,omitempty"`
	Stagger   time.Duration `yaml:"stagger,omitempty"`
}

// ClockFile is a sensor clock that runs faster than real time: at the real time At it shows Base. All nodes of an
// exercise must have the same three.
type ClockFile struct {
	At    time.Time `yaml:"at"`
	Base  time.Time `yaml:"base"`
	Speed float64   `yaml:"speed"`
}

// maxNodeFile bounds node.yaml: MaxNations peers with a few addresses each.
const maxNodeFile = 64 << 10

// ParseNodeFile reads node.yaml strictly. The error lists every problem.
func ParseNodeFile(b []byte) (*NodeFile, error) {
	if len(b) > maxNodeFile {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", treaty.ErrTooLarge, len(b), maxNodeFile)
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	f := new(NodeFile)
	if err := d.Decode(f); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the file is empty: write one with truceline node init")
		}
		text := strings.ReplaceAll(strings.TrimPrefix(err.Error(), "yaml: "), "unmarshal errors:\n", "")
		for _, t := range []string{"NodeFile", "SourceFile", "TimingFile", "ClockFile"} {
			text = strings.ReplaceAll(text, "not found in type cli."+t, "is unknown here: check its spelling")
		}
		return nil, errors.New(text)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one YAML document")
	}
	return f, f.Validate()
}

// Validate reports all problems.
func (f *NodeFile) Validate() error {
	var errs []error
	bad := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	bad(!f.Nation.Valid(), "nation: %q is not three capital letters", f.Nation)
	_, err := treaty.ParseHash(f.Accord)
	bad(err != nil, "accord: %q is not the accord's digest, 64 hexadecimal characters (truceline accord verify --json)", f.Accord)
	bad(f.Founding == "", "founding: name the founding document")
	bad(f.Keys == "", "keys: name the keys' folder")
	bad(f.Data == "", "data: name the data folder")
	bad(len(f.Listen) == 0, "listen: give at least one multiaddress, such as /ip4/0.0.0.0/tcp/4701")
	for _, k := range slices.Sorted(maps.Keys(f.Peers)) {
		bad(!k.Valid(), "peers: %q is not three capital letters", k)
		bad(len(f.Peers[k]) == 0, "peers: %s has no address", k)
	}
	stdin, seen := 0, map[string]bool{}
	for i, s := range f.Sources {
		at := fmt.Sprintf("sources: item %d (%q)", i+1, s.ID)
		bad(s.ID == "", "%s has no id", at)
		bad(seen[s.ID] || s.ID == node.PushSource, "%s: the id is taken", at)
		bad(s.Kind != "ndjson" && s.Kind != "firms", "%s: kind is %q, must be ndjson or firms", at, s.Kind)
		bad(s.Path == "" || s.Path == "-" && s.Kind != "ndjson", "%s: path: name a file (or - for NDJSON on standard input)", at)
		bad(s.Trust != "" && new(treaty.Trust).UnmarshalText([]byte(s.Trust)) != nil, "%s: trust is %q, must be sensor-signed, channel, network or manual", at, s.Trust)
		if seen[s.ID] = true; s.Path == "-" {
			stdin++
		}
	}
	bad(stdin > 1, "sources: only one can read standard input")
	t := f.Timing
	bad(min(t.Heartbeat, t.Election, t.Lease, t.Commit, t.Round, t.Inclusion, t.CatchUp, t.Stagger) < 0, "timing: a time is negative")
	if k := f.Clock; k != nil {
		bad(k.At.IsZero() || k.Base.IsZero(), "clock: give at (real time) and base (what the clock shows then), in full: 2026-11-23T08:00:00Z")
		bad(!(k.Speed > 0 && k.Speed <= sensorio.MaxSpeed), "clock: speed is %v, must be above 0, at most %d", k.Speed, sensorio.MaxSpeed)
	}
	return errors.Join(errs...)
}

// timing is Raft's, with what is set.
func (t TimingFile) timing() raftnet.Timing {
	out := raftnet.DefaultTiming()
	for _, x := range []struct {
		to *time.Duration
		v  time.Duration
	}{{&out.Heartbeat, t.Heartbeat}, {&out.Election, t.Election}, {&out.Lease, t.Lease}, {&out.Commit, t.Commit}} {
		if x.v != 0 {
			*x.to = x.v
		}
	}
	return out
}

// source makes one input; a file is played as fast as it can be read.
func (s SourceFile) source(dir string) sensorio.SourceConfig {
	out := sensorio.SourceConfig{ID: s.ID, Replay: s.Replay, Sensors: s.Sensors}
	if s.Trust != "" {
		_ = out.Trust.UnmarshalText([]byte(s.Trust)) // Validate has read it
	}
	switch {
	case s.Kind == "firms":
		mode, trust := treaty.ModeReal, treaty.TrustManual
		if s.Replay {
			mode = treaty.ModeReplay
		}
		out.Source, out.Decoder = firms.File(beside(dir, s.Path)), firms.Decoder{Mode: mode, Trust: trust}
	case s.Path == "-":
		out.Source, out.Decoder = sensorio.NDJSONReader(os.Stdin, "standard input"), sensorio.NDJSON{}
	default:
		out.Source, out.Decoder = sensorio.NDJSONFile(beside(dir, s.Path)), sensorio.NDJSON{}
	}
	return out
}

// Encode writes node.yaml with a word on every field, as truceline node init does. Sources, timing and clock are
// written where they are set, and shown as comments where not.
func (f *NodeFile) Encode() []byte {
	var b bytes.Buffer
	put := func(comment string, v any) {
		for l := range strings.SplitSeq(comment, "\n") {
			fmt.Fprintf(&b, "# %s\n", l)
		}
		if v != nil {
			y, err := yaml.Marshal(v)
			if err != nil {
				panic(fmt.Sprintf("cli: write node.yaml: %v", err)) // plain data; a bug of ours
			}
			b.Write(y)
		}
		b.WriteString("\n")
	}
	one := func(k string, v any) map[string]any { return map[string]any{k: v} }
	put("One node of Truceline. Relative paths start at this file's folder. Unknown fields are refused.", nil)
	put("Whose node this is.", one("nation", f.Nation))
	put("The digest of the accord this node was set up for. Another founding document is refused: changing it by hand\nputs this nation's signature under another agreement.", one("accord", f.Accord))
	put("The accord with all nations' signatures (truceline accord merge).", one("founding", f.Founding))
	put("The folder of treaty.key, cosign.key and node.key, readable by this account alone.", one("keys", f.Keys))
	put("Everything the node must keep. Never start a node from an old copy of it while newer ones exist.", one("data", f.Data))
	put("Where the other nations reach this node: libp2p multiaddresses, TCP and QUIC.", one("listen", f.Listen))
	if len(f.Peers) > 0 {
		put("Where this node reaches the others. One direction is enough for each pair.", one("peers", f.Peers))
	} else {
		put("Where this node reaches the others. One direction is enough for each pair.\npeers:\n  DEU: [/dns4/node.deu.example/tcp/4701, /dns4/node.deu.example/udp/4701/quic-v1]", nil)
	}
	put("The public, read-only API for observers; empty: none.", one("observe", f.Observe))
	put("The operator's own listener: status, review, sensors' input. Whoever reaches it speaks for the nation: keep it on\nloopback or a guarded network; empty: none.", one("operator", f.Operator))
	put("true: nothing is attested before the duty officer approves it (truceline node review).", one("review", f.Review))
	if len(f.Sources) > 0 {
		put("Inputs beside POST /v1/detections on the operator's listener.", one("sources", f.Sources))
	} else {
		put("Inputs beside POST /v1/detections on the operator's listener. kind: ndjson or firms; path - is standard input.\nsources:\n  - {id: array-1, kind: ndjson, path: /run/array-1.pipe, sensors: [\"acoustic:1\"], trust: channel}\n  - {id: firms, kind: firms, path: firms.csv}", nil)
	}
	if f.Timing != (TimingFile{}) {
		put("Overrides of the node's times.", one("timing", f.Timing))
	} else {
		put("Overrides of the node's times; these are the defaults, which fit a wide-area network.\ntiming: {heartbeat: 3s, election: 3s, lease: 2s, commit: 50ms, round: 2s, inclusion: 20s, catch_up: 3s, stagger: 250ms}", nil)
	}
	if f.Clock != nil {
		put("The sensor clock: at the real time \"at\" it shows \"base\". Exercises only; the same on all nodes.", one("clock", f.Clock))
	} else {
		put("Under an exercise accord only: a sensor clock that runs faster than real time, the same on all nodes.\nclock: {at: 2026-11-23T08:00:00Z, base: 2026-11-22T22:00:00Z, speed: 10}", nil)
	}
	put("DEBUG, INFO, WARN or ERROR.", one("log_level", f.LogLevel.String()))
	return bytes.TrimRight(b.Bytes(), "\n")
}
