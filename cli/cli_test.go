package cli_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"truceline/cli"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"truceline": func() { os.Exit(cli.Main()) }})
}

// TestScripts runs the real program, as a person would: testdata/script. It would catch a command that overwrites,
// accepts what it must refuse, answers with the wrong exit code, or leaves the ceremony without a way on.
func TestScripts(t *testing.T) {
	p := newProven(t, 4)
	server := httptest.NewServer(p.observer())
	t.Cleanup(server.Close)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("OBSERVER", server.URL)
			e.Setenv("ID", p.id.String())
			e.Setenv("NO_COLOR", "")
			return p.write(filepath.Join(e.WorkDir, "v"))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": code, "perm": perm, "ceremony": ceremony, "ready": ready, "without": without, "flip": flip, "term": term,
			"network": network, "shots": shots, "eventually": eventually,
			"observe": observer, "first": pickHash("id"), "incident": pickHash("incident"),
		},
	})
}

// code N COMMAND ARGS... runs a command that must end with exit code N.
func code(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("%s: exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// perm MODE FILE checks a file's permissions.
func perm(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%o", info.Mode().Perm()); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}

// ceremony NATION... holds the whole ceremony, each step by the program itself: keys/NATION, accord.yaml, founding.cbor.
func ceremony(ts *testscript.TestScript, _ bool, nations []string) {
	run := func(args ...string) { ts.Check(ts.Exec("truceline", args...)) }
	var cards, sigs []string
	for _, n := range nations {
		run("keys", "new", "--nation", n, "--dir", "keys/"+n)
		run("accord", "card", "--nation", n, "--name", "Land of "+n, "--keys", "keys/"+n)
		cards, sigs = append(cards, n+".card.yaml"), append(sigs, n+".accord-sig")
	}
	run("accord", "init")
	run(append([]string{"accord", "draft"}, cards...)...)
	run("accord", "show", "--json", "accord.yaml")
	_, after, _ := strings.Cut(ts.ReadFile("stdout"), `"fingerprint": "`)
	print, _, _ := strings.Cut(after, `"`)
	for _, n := range nations {
		run("accord", "sign", "accord.yaml", "--nation", n, "--keys", "keys/"+n, "--fingerprint", print)
	}
	run(append([]string{"accord", "merge"}, sigs...)...)
	run("accord", "verify", "founding.cbor")
}

// ready FILE waits until another process has written it.
func ready(ts *testscript.TestScript, neg bool, args []string) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(time.Minute); ; {
		_, err := os.Stat(ts.MkAbs(args[0]))
		if (err == nil) != neg {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			ts.Fatalf("%s: waited a minute", args[0])
		}
	}
}

// without WORD FILE takes the lines that hold WORD out of a file.
func without(ts *testscript.TestScript, _ bool, args []string) {
	var out strings.Builder
	n := 0
	for l := range strings.Lines(ts.ReadFile(args[1])) {
		if strings.Contains(l, args[0]) {
			n++
			continue
		}
		out.WriteString(l)
	}
	if n == 0 {
		ts.Fatalf("no line of %s holds %q", args[1], args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(out.String()), 0o600))
}

// flip FILE OFFSET changes one byte.
func flip(ts *testscript.TestScript, _ bool, args []string) {
	b := []byte(ts.ReadFile(args[0]))
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	b[at] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
}

// term DIR sends SIGTERM to the node that runs in a folder.
func term(ts *testscript.TestScript, _ bool, args []string) {
	var at struct{ PID int }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(filepath.Join(args[0], "running.json"))), &at))
	p, err := os.FindProcess(at.PID)
	ts.Check(err)
	ts.Check(p.Signal(syscall.SIGTERM))
}
