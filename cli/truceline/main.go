// Command truceline is the whole program: see package truceline/cli.
package main

import (
	"os"

	"truceline/cli"
)

func main() { os.Exit(cli.Main()) }
