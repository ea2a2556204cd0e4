package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	ucli "github.com/urfave/cli/v2"

	"truceline/treaty"
)

func sensorCommand() *ucli.Command {
	return &ucli.Command{
		Name: "sensor", Usage: "sensor input files", Subcommands: []*ucli.Command{
			{
				Name: "lint", Usage: "say what is wrong with a file, line by line", ArgsUsage: "FILE|FOLDER|-", Action: sensorLint,
				Flags: append(formatFlags(), jsonFlag()),
			},
			{
				Name: "inspect", Usage: "say what a file's detections mean, in plain words", ArgsUsage: "FILE|FOLDER|-", Action: sensorInspect,
				Flags: append(formatFlags(), &ucli.IntFlag{Name: "limit", Usage: "at most so many detections; 0: all (`N`)"}, jsonFlag()),
			},
			{
				Name: "replay", Usage: "play a file to a node's operator listener, at its own pace", ArgsUsage: "FILE|FOLDER|-", Action: sensorReplay,
				Description: "Detections go out in the order of their times, as far apart as those are. A replay never delivers REAL\n" +
					"detections: --mode says what they become. --start moves them to another time, as a node with a real clock\n" +
					"needs it; with --speed above 1 the node's clock must run as fast, or it refuses what lies in its future.",
				Flags: append(
					formatFlags(),
					text("dir", "", "the node's `FOLDER`, to find its operator address"), text("operator", "", "the node's operator `ADDRESS`"),
					&ucli.Float64Flag{Name: "speed", Value: 1, Usage: "so many times as fast; 0: as fast as the node takes it (`X`)"},
					text("start", "", "move the first detection to this `TIME`, or to now"),
					text("from", "", "move this `TIME` of the file there instead: the same for all nations' files of one event"),
					text("mode", "", "mark all detections REPLAY, SIMULATED, TEST or EXERCISE (`MODE`)"), jsonFlag(),
				),
			},
		},
	}
}

// lintView is lint's answer.
type lintView struct {
	File     string         `json:"file"`
	Format   string         `json:"format"`
	Good     int            `json:"good"`
	Bad      int            `json:"bad"`
	Kinds    map[string]int `json:"kinds"`
	Modes    map[string]int `json:"modes"`
	Problems []lintProblem  `json:"problems"`
}

type lintProblem struct {
	Line   int    `json:"line,omitempty"`
	Reason string `json:"reason"`
}

// maxProblems bounds the problems that one answer lists; all are counted.
const maxProblems = 1000

func sensorLint(c *ucli.Context) error {
	if err := want(c, 1, 1, "one file, folder or -"); err != nil {
		return err
	}
	f, err := openSensorFile(c, c.Args().First())
	if err != nil {
		return err
	}
	v := lintView{File: f.path, Format: f.kind, Kinds: map[string]int{}, Modes: map[string]int{}, Problems: []lintProblem{}}
	disp := NewDisplay(c.App.ErrWriter)
	n := 0
	err = f.each(c.App.Reader, func(it item) error {
		if n++; disp.Live() && n%4096 == 0 {
			disp.Progress(Bar{Label: f.path, Done: it.read, Total: f.total, Unit: "bytes"})
		}
		if it.err == nil {
			v.Good++
			v.Kinds[it.d.Kind()]++
			v.Modes[it.d.Mode.String()]++
			return nil
		}
		if v.Bad++; len(v.Problems) < maxProblems {
			v.Problems = append(v.Problems, lintProblem{it.line, plainReason(it.err)})
		}
		return nil
	})
	if err != nil {
		return err
	}
	if v.Good+v.Bad == 0 {
		v.Problems = append(v.Problems, lintProblem{Reason: "there is nothing in it"})
	}
	if c.Bool("json") {
		if err := printJSON(c, v); err != nil {
			return err
		}
	} else {
		for _, p := range v.Problems {
			say(c, "%s:%d: %s\n", printable(v.File), p.Line, printable(p.Reason))
		}
		if v.Bad > len(v.Problems) {
			say(c, "... and %d more\n", v.Bad-len(v.Problems))
		}
		say(c, "%s (%s): %d detections%s, %d problems\n", printable(v.File), v.Format, v.Good, counts(v.Kinds), v.Bad)
	}
	if len(v.Problems) > 0 {
		return errAnswerIsNo
	}
	return nil
}

// plainReason is a decoder's error on one line, without the sentinel that only programs need.
func plainReason(err error) string {
	return strings.ReplaceAll(strings.TrimPrefix(err.Error(), treaty.ErrMalformed.Error()+": "), "\n", "; ")
}

func counts(by map[string]int) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(by)) {
		out = append(out, fmt.Sprintf("%d %s", by[k], k))
	}
	if len(out) == 0 {
		return ""
	}
	return " (" + strings.Join(out, ", ") + ")"
}

func sensorInspect(c *ucli.Context) error {
	if err := want(c, 1, 1, "one file, folder or -"); err != nil {
		return err
	}
	f, err := openSensorFile(c, c.Args().First())
	if err != nil {
		return err
	}
	limit, shown, bad := c.Int("limit"), 0, 0
	list := []*treaty.Detection{}
	err = f.each(c.App.Reader, func(it item) error {
		if limit > 0 && shown >= limit {
			return errEnough
		}
		switch {
		case it.err != nil:
			bad++
			hint(c, "%s:%d: %s\n", printable(f.path), it.line, printable(plainReason(it.err)))
		case c.Bool("json"):
			shown++
			list = append(list, it.d)
		default:
			shown++
			say(c, "%s\n", printable(Describe(it.d)))
		}
		return nil
	})
	if err != nil && err != errEnough {
		return err
	}
	if c.Bool("json") {
		if err := printJSON(c, list); err != nil {
			return err
		}
	}
	if bad > 0 {
		return errAnswerIsNo
	}
	return nil
}

// errEnough ends reading a file early.
var errEnough = fmt.Errorf("enough")
