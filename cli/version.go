package cli

import (
	"runtime/debug"

	ucli "github.com/urfave/cli/v2"
)

func versionCommand() *ucli.Command {
	return &ucli.Command{
		Name: "version", Usage: "say which program this is", Flags: []ucli.Flag{jsonFlag()},
		Action: func(c *ucli.Context) error {
			if err := want(c, 0, 0, "no arguments"); err != nil {
				return err
			}
			v := buildInfo()
			if c.Bool("json") {
				return printJSON(c, v)
			}
			say(c, "truceline %s, revision %s, %s\n", v.Version, v.Revision, v.Go)
			return nil
		},
	}
}

// build is what the program knows about its own making.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Modified bool   `json:"modified,omitempty"` // built from a tree with changes
	Go       string `json:"go"`
}

func buildInfo() build {
	v := build{Version: "(unversioned)", Revision: "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Go = info.GoVersion
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}
