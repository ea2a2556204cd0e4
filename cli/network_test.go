package cli_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"truceline/sensorio/ndjson"
	"truceline/treaty"
)

// network NATION... makes a folder n/NATION for each, on free ports of this machine, with peers on both sides.
func network(ts *testscript.TestScript, _ bool, nations []string) {
	addrs := map[string]string{}
	for _, n := range nations {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		defer l.Close() // held until all ports are chosen, so that they differ
		addrs[n] = fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", l.Addr().(*net.TCPAddr).Port)
	}
	for _, n := range nations {
		args := []string{
			"node", "init", "--dir", "n/" + n, "--nation", n, "--founding", "founding.cbor", "--keys", "keys/" + n,
			"--listen", addrs[n], "--observe", "127.0.0.1:0", "--operator", "127.0.0.1:0",
		}
		if n == nations[0] {
			args = append(args, "--review")
		}
		for _, m := range nations {
			if m != n {
				args = append(args, "--peer", m+"="+addrs[m])
			}
		}
		ts.Check(ts.Exec("truceline", args...))
	}
	ts.Setenv("START", treaty.TimeOf(time.Now().Add(-10*time.Second)).String())
}

// shots DIR NATION... writes what each nation's sensors heard of one mortar, 2 km north of the made-up line, at
// 2020-01-01T01:00:00Z: straight rays through still air of 15 degrees.
func shots(ts *testscript.TestScript, _ bool, args []string) {
	dir, nations := ts.MkAbs(args[0]), args[1:]
	ts.Check(os.MkdirAll(dir, 0o755))
	began := treaty.TimeOf(time.Date(2020, 1, 1, 1, 0, 0, 0, time.UTC))
	const (
		lat0, lon0 = 48.038, 37.8
		perDegree  = 111_200.0
		sound      = 340.3
	)
	for k, n := range nations {
		var out []byte
		for i := range 6 {
			angle := 2*math.Pi*float64(i*len(nations)+k)/float64(6*len(nations)) + 0.1
			metres := 1500 + 400*float64(i)
			x, y := metres*math.Sin(angle), metres*math.Cos(angle)
			pose := treaty.Pose{SigmaMm: 1500, Position: treaty.Position{
				LatE7: int64((lat0 + y/perDegree) * 1e7), LonE7: int64((lon0 + x/(perDegree*math.Cos(lat0*math.Pi/180))) * 1e7),
			}}
			base := treaty.Detection{
				Sensor: treaty.SensorID(fmt.Sprintf("acoustic:%d", i)), Modality: treaty.ModalityAcoustic, Mode: treaty.ModeSimulated,
				TimeSource: treaty.TimeGNSS, Pose: pose, Class: treaty.ClassMortar, Confidence: 900_000, Trust: treaty.TrustChannel,
				Raw: treaty.HashOf(fmt.Append(nil, n, i)), Time: treaty.TimeQuantity{Value: began, SigmaNs: 2_000_000},
			}
			state, pick := base, base
			state.Class, state.NativeID = treaty.ClassUndetermined, "state"
			state.Status = &treaty.SensorStatus{System: "OK", RangeM: 8000, TempMC: 15_000, HaveTemp: true}
			pick.Time.Value = began.Add(time.Duration(metres / sound * 1e9))
			pick.NativeID = "pick"
			pick.Arrival = &treaty.Arrival{Phase: treaty.PhaseMuzzleBlast, SNRmB: 2500, AmplitudeMB: 9500, PeriodUs: 30_000}
			for _, d := range []treaty.Detection{state, pick} {
				line, err := ndjson.Encode(&d)
				ts.Check(err)
				out = append(append(out, line...), '\n')
			}
		}
		ts.Check(os.WriteFile(filepath.Join(dir, n+".ndjson"), out, 0o644))
	}
}

// eventually PATTERN-FREE-TEXT COMMAND... repeats a command until its output holds the text.
func eventually(ts *testscript.TestScript, _ bool, args []string) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(90 * time.Second); ; {
		err := ts.Exec(args[1], args[2:]...)
		out := ts.ReadFile("stdout")
		if strings.Contains(out, args[0]) {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			ts.Fatalf("waited 90 s for %q; last:\n%s%s%v", args[0], out, ts.ReadFile("stderr"), err)
		}
	}
}

// observe DIR sets NODE to the address of the public API of the node that runs in DIR.
func observer(ts *testscript.TestScript, _ bool, args []string) {
	var at struct{ Observe string }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(filepath.Join(args[0], "running.json"))), &at))
	ts.Setenv("NODE", at.Observe)
}

// pickHash makes a command: the first 64-digit value of a JSON field in a file goes into a variable.
func pickHash(field string) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		m := regexp.MustCompile(`"` + field + `": "([0-9a-f]{64})"`).FindStringSubmatch(ts.ReadFile(args[0]))
		if m == nil {
			ts.Fatalf("no %s in %s", field, args[0])
		}
		ts.Setenv(args[1], m[1])
	}
}
