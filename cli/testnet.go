package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	ucli "github.com/urfave/cli/v2"

	"truceline/testnet"
	"truceline/testnet/scenarios"
	"truceline/treaty"
)

func testnetCommand() *ucli.Command {
	dir := text("dir", "testnet", "the testnet's folder")
	one := func(name, usage string, do func(context.Context, *testnet.Processes, testnet.Seat) error) *ucli.Command {
		return &ucli.Command{
			Name: name, Usage: usage, ArgsUsage: "NATION...", Flags: []ucli.Flag{dir},
			Action: func(c *ucli.Context) error { return eachSeat(c, do) },
		}
	}
	party := text("party", "A", "the party on whose side the shooter stands")
	line := &ucli.Float64Flag{Name: "line-distance", Value: 200, Usage: "metres from the contact line to the shooter"}
	return &ucli.Command{
		Name: "testnet", Usage: "run a network of real processes on this machine",
		Subcommands: []*ucli.Command{
			{
				Name: "up", Usage: "found a network and start a process for each nation", Action: testnetUp,
				Flags: []ucli.Flag{
					dir, &ucli.IntFlag{Name: "nations", Value: 5, Usage: "how many, 4 to 40"},
					text("scenario", scenarios.Default, "built-in scenario or YAML file: its land is what the accord is about"),
					&ucli.Float64Flag{Name: "speed", Value: 1, Usage: "sensor clock of all nodes: how many times as fast as real time"},
				},
			},
			{
				Name: "run", Usage: "play a made-up night or a recording of real sensors into the running nodes", Action: testnetRun,
				Flags: []ucli.Flag{
					dir, text("scenario", "", "built-in scenario or YAML file"), &ucli.Uint64Flag{Name: "seed", Usage: "another night of the same scenario"},
					text("recording", "", "folder of a live-fire test, or of a whole firing position"), line, party, jsonFlag(),
				},
			},
			{Name: "status", Usage: "how every node is", Flags: []ucli.Flag{dir, jsonFlag()}, Action: testnetStatus},
			one("stop", "ask nodes to end, and wait until they have", func(ctx context.Context, p *testnet.Processes, s testnet.Seat) error { return p.Stop(ctx, s) }),
			one("kill", "end nodes at once, as a power cut would", func(ctx context.Context, p *testnet.Processes, s testnet.Seat) error { return p.Kill(ctx, s) }),
			one("restart", "start nodes again", func(ctx context.Context, p *testnet.Processes, s testnet.Seat) error { return p.Restart(ctx, s) }),
			{Name: "down", Usage: "stop all nodes; their folders stay", Flags: []ucli.Flag{dir}, Action: testnetDown},
			{
				Name: "evaluate", Usage: "play recordings of a live-fire test through the whole network and compare with the survey", Action: testnetEvaluate,
				Flags: []ucli.Flag{
					text("data", "", "folder of firing positions FP*, or one of them"), &ucli.IntFlag{Name: "nations", Value: 5, Usage: "how many, 4 to 35"},
					&ucli.Float64Flag{Name: "speed", Value: 20, Usage: "sensor clock: how many times as fast as real time"},
					&ucli.IntFlag{Name: "every", Value: 1, Usage: "play only every so-many-th test"}, line, party,
					text("dir", "", "keep the networks' files in this folder"), &ucli.BoolFlag{Name: "shots", Usage: "a line for every shot and verdict"}, jsonFlag(),
				},
			},
		},
	}
}

// nodeFileOf is node.yaml of a seat, as truceline node run reads it.
func nodeFileOf(s testnet.Seat, accord treaty.Hash, pace testnet.Pace, clock *testnet.ClockBase) ([]byte, error) {
	f := &NodeFile{
		Nation: s.Nation, Accord: accord.String(), Founding: testnet.FoundingName, Keys: testnet.KeysName, Data: testnet.DataName,
		Listen: s.Ports.Multiaddrs(), Peers: map[treaty.Nation][]string{}, Observe: s.Ports.ObserveAddr(), Operator: s.Ports.OperatorAddr(),
		Timing: TimingFile{
			Heartbeat: pace.Timing.Heartbeat, Election: pace.Timing.Election, Lease: pace.Timing.Lease, Commit: pace.Timing.Commit,
			Round: pace.RoundTimeout,
		},
		LogLevel: slog.LevelInfo,
	}
	for k, at := range s.Peers {
		if k != s.Nation {
			f.Peers[k] = at
		}
	}
	if clock != nil {
		f.Clock = &ClockFile{At: clock.At, Base: clock.Base, Speed: clock.Speed}
	}
	return f.Encode(), f.Validate()
}

func testnetUp(c *ucli.Context) error {
	if err := want(c, 0, 0, "no arguments"); err != nil {
		return err
	}
	land, err := scenarioBytes(c.String("scenario"))
	if err != nil {
		return err
	}
	p, err := testnet.Up(testnet.UpConfig{
		Dir: c.String("dir"), Nations: c.Int("nations"), Land: land, Speed: c.Float64("speed"), NodeFile: nodeFileOf,
	})
	if err != nil {
		return refused(err)
	}
	d := NewDisplay(c.App.ErrWriter)
	s := p.Session(newNightView(d).watch())
	defer s.Close()
	err = s.Join(c.Context)
	d.Close()
	if err != nil {
		return errors.Join(err, p.Down(context.WithoutCancel(c.Context)))
	}
	say(c, "%d nations run under accord %s in %s; the network decides.\n\n", p.Net.N, p.Net.Digest.Short(), p.Dir)
	rows := [][]string{}
	for i, x := range p.Seats {
		rows = append(rows, []string{fmt.Sprint(i + 1), string(x.Nation), x.Name, "http://" + x.Ports.ObserveAddr()})
	}
	columns(c.App.Writer, rows)
	say(c, "\nNext: truceline testnet run --dir %s --scenario %s\nEnd:  truceline testnet down --dir %s\n", p.Dir, scenarios.Default, p.Dir)
	return nil
}

func openTestnet(c *ucli.Context) (*testnet.Processes, error) {
	p, err := testnet.Open(c.String("dir"))
	return p, refused(err)
}

func testnetRun(c *ucli.Context) error {
	if err := want(c, 0, 0, "no arguments"); err != nil {
		return err
	}
	if (c.String("scenario") == "") == (c.String("recording") == "") {
		return usagef("give --scenario or --recording")
	}
	p, err := openTestnet(c)
	if err != nil {
		return err
	}
	d := NewDisplay(c.App.ErrWriter)
	s := p.Session(newNightView(d).watch())
	defer s.Close()
	if c.String("recording") != "" {
		r, err := s.Recording(c.Context, testnet.RecordingConfig{
			Dir: c.String("recording"), LineM: c.Float64("line-distance"), Party: treaty.Party(c.String("party")),
		})
		d.Close()
		if err != nil {
			return err
		}
		return showFire(c, d, []*testnet.FireReport{r}, true)
	}
	night, err := scenarioOf(c)
	if err != nil {
		return err
	}
	r, err := s.Scenario(c.Context, night)
	d.Close()
	if err != nil {
		return err
	}
	return showReport(c, d, r)
}

// showFire prints what became of recordings.
func showFire(c *ucli.Context, d *Display, rs []*testnet.FireReport, shots bool) error {
	if len(rs) > 1 {
		rs = append(rs, testnet.Total("all", rs))
	}
	ok := true
	for _, r := range rs {
		ok = ok && r.OK()
	}
	if c.Bool("json") {
		if err := printJSON(c, rs); err != nil {
			return err
		}
	} else {
		for _, r := range rs {
			if shots && len(r.Rows) > 0 {
				say(c, "\n%s\n%s", r.Name, r)
			}
		}
		say(c, "\nShooters %g m from the line, on the side of %s:\n\n%s", rs[0].LineM, rs[0].Party, testnet.FireTable(rs))
		for _, r := range rs {
			for _, x := range append(r.Proofs.Problems, r.Violations...) {
				say(c, "  %s\n", d.Paint(Bad, printable(r.Name+": "+x)))
			}
		}
	}
	if !ok {
		return &exitError{exitNo, errors.New("the network was wrong: see the table")}
	}
	return nil
}

func testnetEvaluate(c *ucli.Context) error {
	if err := errors.Join(need(c, "data"), want(c, 0, 0, "no arguments")); err != nil {
		return refused(err)
	}
	d := NewDisplay(c.App.ErrWriter)
	rs, err := testnet.Evaluate(c.Context, testnet.EvaluateConfig{
		Data: c.String("data"), Nations: c.Int("nations"), Speed: c.Float64("speed"), LineM: c.Float64("line-distance"),
		Party: treaty.Party(c.String("party")), Only: c.Int("every"), Dir: c.String("dir"), Watch: newNightView(d).watch(),
	})
	d.Close()
	if err != nil {
		return err
	}
	return showFire(c, d, rs, c.Bool("shots"))
}

// seatStatus is one node's line of status.
type seatStatus struct {
	Number   int           `json:"number"`
	Nation   treaty.Nation `json:"nation"`
	Name     string        `json:"name"`
	Running  bool          `json:"running"`
	Observe  string        `json:"observe"`
	Operator string        `json:"operator"`
	Leader   string        `json:"leader,omitempty"`
	Final    uint64        `json:"final_size"`
	Margin   int           `json:"margin"`
	Problem  string        `json:"problem,omitempty"`
}

func testnetStatus(c *ucli.Context) error {
	p, err := openTestnet(c)
	if err != nil {
		return err
	}
	s := p.Session(testnet.Watch{})
	defer s.Close()
	ctx, cancel := context.WithTimeout(c.Context, 10*time.Second)
	defer cancel()
	var all []seatStatus
	troubled := false
	for i, x := range p.Seats {
		st := seatStatus{
			Number: i + 1, Nation: x.Nation, Name: x.Name, Running: p.Running(x),
			Observe: "http://" + x.Ports.ObserveAddr(), Operator: "http://" + x.Ports.OperatorAddr(),
		}
		if !st.Running {
			st.Problem = "not running"
		} else if v, err := s.Clients[i].Network(ctx); err != nil {
			st.Problem = err.Error()
		} else {
			st.Leader, st.Final, st.Margin, st.Problem = v.Node.Leader, v.Node.CosignedSize, v.Node.Margin, v.Node.Problem
		}
		troubled = troubled || st.Problem != ""
		all = append(all, st)
	}
	if c.Bool("json") {
		err = printJSON(c, all)
	} else {
		rows := [][]string{{"", "NATION", "NAME", "FINAL", "ORDER LED BY", "MAY STILL FAIL", "OBSERVERS", "PROBLEM"}}
		for _, st := range all {
			rows = append(rows, []string{
				fmt.Sprint(st.Number), string(st.Nation), st.Name, fmt.Sprint(st.Final), printable(st.Leader), fmt.Sprint(st.Margin), st.Observe, printable(st.Problem),
			})
		}
		columns(c.App.Writer, rows)
	}
	if err == nil && troubled {
		return errAnswerIsNo
	}
	return err
}

func eachSeat(c *ucli.Context, do func(context.Context, *testnet.Processes, testnet.Seat) error) error {
	if err := want(c, 1, -1, "nations: codes, or numbers from 1"); err != nil {
		return err
	}
	p, err := openTestnet(c)
	if err != nil {
		return err
	}
	var seats []testnet.Seat
	for _, name := range c.Args().Slice() {
		s, err := p.Seat(name)
		if err != nil {
			return refused(err)
		}
		seats = append(seats, s)
	}
	for _, s := range seats {
		if err := do(c.Context, p, s); err != nil {
			return err
		}
		say(c, "%s: %s\n", s.Nation, c.Command.Name)
	}
	return nil
}

func testnetDown(c *ucli.Context) error {
	p, err := openTestnet(c)
	if err != nil {
		return err
	}
	if err := p.Down(c.Context); err != nil {
		return err
	}
	say(c, "all %d nodes have ended; their folders stay in %s\n", len(p.Seats), p.Dir)
	return nil
}

// scenarioBytes is a built-in scenario's YAML, or a file's.
func scenarioBytes(name string) ([]byte, error) {
	b, err := scenarios.Get(name)
	if err == nil {
		return b, nil
	}
	if _, missing := os.Stat(name); missing != nil {
		return nil, refused(err)
	}
	return readFile(name, maxScenario)
}
