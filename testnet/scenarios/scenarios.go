// Package scenarios holds the built-in scenarios of a testnet as the files a person would write.
//
// It promises that every file here parses (package feed tests it). It gives out bytes and knows nothing of their
// meaning: package feed reads them.
package scenarios

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed *.yaml
var files embed.FS

// Default is the name of the scenario a demo plays.
const Default = "night"

// Names are the built-in scenarios, rising.
func Names() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err) // an embedded directory is always readable
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	slices.Sort(names)
	return names
}

// Get is the YAML of a built-in scenario.
func Get(name string) ([]byte, error) {
	b, err := files.ReadFile(name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("no built-in scenario %q: use one of %s, or the path of a file", name,
			strings.Join(Names(), ", "))
	}
	return b, nil
}
