package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	ucli "github.com/urfave/cli/v2"
)

// commands is the program's list of commands: adding one is one line.
func commands() []*ucli.Command {
	return []*ucli.Command{
		demoCommand(),
		testnetCommand(),
		keysCommand(),
		accordCommand(),
		nodeCommand(),
		verdictCommand(),
		misbehaviourCommand(),
		forkCommand(),
		sensorCommand(),
		benchCommand(),
		versionCommand(),
	}
}

// Exit codes; doc.go says what they mean to scripts.
const (
	exitNo          = 1
	exitUsage       = 2
	exitUnreachable = 3
	exitInterrupted = 130
)

// exitError is an error that chooses its exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usagef is for what the caller has to do otherwise, before anything was done.
func usagef(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// refused is for files and folders that cannot be used as they are.
func refused(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{exitUsage, err}
}

// unreachable is for nodes that do not answer.
func unreachable(err error) error { return &exitError{exitUnreachable, err} }

// errAnswerIsNo ends a command whose output has already said all there is to say.
var errAnswerIsNo = &exitError{exitNo, errors.New("")}

func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	if errors.Is(err, context.Canceled) {
		return exitInterrupted
	}
	return exitNo
}

// App is the program. Its readers and writers may be replaced before it runs.
func App() *ucli.App {
	app := &ucli.App{
		Name:  "truceline",
		Usage: "verification of a ceasefire by nations that need not trust each other",
		Description: "Each guarantor nation runs one node. Nodes share what their sensors heard, each judges for itself,\n" +
			"and a verdict exists only when a quorum agrees. Exit codes: 0 yes, 1 no, 2 wrong usage or unusable file,\n" +
			"3 node not reachable, 130 interrupted.",
		Commands:        commands(),
		HideVersion:     true,
		HideHelpCommand: true,
		ExitErrHandler:  func(*ucli.Context, error) {}, // Run chooses the exit code; the library must not end the process
		OnUsageError:    onUsageError,
		Action:          unknownOrHelp,
	}
	finish(app.Commands)
	return app
}

// finish gives every command the same manners.
func finish(cs []*ucli.Command) {
	for _, c := range cs {
		c.OnUsageError, c.HideHelpCommand = onUsageError, true
		if len(c.Subcommands) > 0 {
			c.Action = unknownOrHelp
			finish(c.Subcommands)
		}
	}
}

func onUsageError(c *ucli.Context, err error, _ bool) error {
	text := strings.Replace(err.Error(), "flag provided but not defined: -", "there is no flag --", 1)
	return usagef("%s (try: %s --help)", strings.Replace(text, "----", "--", 1), path(c))
}

// unknownOrHelp is the action of a command that only holds others.
func unknownOrHelp(c *ucli.Context) error {
	if c.Args().Present() {
		var names []string
		for _, s := range c.Command.Subcommands {
			names = append(names, s.Name)
		}
		return usagef("%q is no command of %s: use one of %s", c.Args().First(), path(c), strings.Join(names, ", "))
	}
	show := ucli.ShowAppHelp
	if c.Command.Name != c.App.Name {
		show = ucli.ShowSubcommandHelp
	}
	if err := show(c); err != nil {
		return err
	}
	return usagef("say which command of %s", path(c))
}

// path is the command's full name.
func path(c *ucli.Context) string {
	if c.Command == nil || c.Command.HelpName == "" {
		return c.App.Name
	}
	return c.Command.HelpName
}

// Main runs the program on the process's own arguments and streams. The first SIGINT or SIGTERM asks for a clean end,
// the second ends at once.
func Main() int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(exitInterrupted)
	}()
	return Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}

// Run runs one command and returns its exit code.
func Run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	app := App()
	app.Reader, app.Writer, app.ErrWriter = in, out, errs
	err := app.RunContext(ctx, append([]string{app.Name}, flagsFirst(app.Commands, args)...))
	if err != nil && err.Error() != "" {
		fmt.Fprintf(errs, "truceline: %s\n", printableLines(err.Error()))
	}
	return exitCode(err)
}

// flagsFirst moves a command's flags before its other arguments, because the library stops looking for flags at the
// first argument that is none. Everything after "--" stays where it is.
func flagsFirst(cs []*ucli.Command, args []string) []string {
	var flags []ucli.Flag
	n := 0
	for n < len(args) {
		i := slices.IndexFunc(cs, func(c *ucli.Command) bool { return c.HasName(args[n]) })
		if i < 0 {
			break
		}
		cs, flags = cs[i].Subcommands, cs[i].Flags
		n++
	}
	front, rest := slices.Clone(args[:n]), []string{}
	for i := n; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--":
			return append(append(append(front, "--"), rest...), args[i+1:]...)
		case len(a) < 2 || a[0] != '-':
			rest = append(rest, a)
			continue
		}
		front = append(front, a)
		if takesValue(flags, strings.TrimLeft(a, "-")) && i+1 < len(args) {
			i++
			front = append(front, args[i])
		}
	}
	return append(front, rest...)
}

// takesValue says whether a flag is followed by its value.
func takesValue(flags []ucli.Flag, name string) bool {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			_, is := f.(*ucli.BoolFlag)
			return !is
		}
	}
	return false
}

// jsonFlag is on every command that answers something.
func jsonFlag() ucli.Flag {
	return &ucli.BoolFlag{Name: "json", Usage: "answer in JSON"}
}

// text makes a flag whose value is one word.
func text(name, value, usage string) ucli.Flag {
	return &ucli.StringFlag{Name: name, Value: value, Usage: usage}
}

// need returns the values of flags that must be given, and one error that names all that are missing.
func need(c *ucli.Context, names ...string) error {
	var missing []string
	for _, n := range names {
		if c.String(n) == "" {
			missing = append(missing, "--"+n)
		}
	}
	if len(missing) > 0 {
		return usagef("%s: give %s (try: %s --help)", path(c), strings.Join(missing, " and "), path(c))
	}
	return nil
}

// want checks the number of arguments that are no flags; most < 0: any number.
func want(c *ucli.Context, least, most int, what string) error {
	n := c.Args().Len()
	if n < least || most >= 0 && n > most {
		return usagef("%s: want %s, got %d arguments (try: %s --help)", path(c), what, n, path(c))
	}
	return nil
}
