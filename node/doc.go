// Package node is one nation's running machine. It opens the rooms below in order, connects them (pipeline.go is the
// way of the data on one page), and closes them in reverse. It holds no rules: what counts is decided in treaty,
// consensus/tally, consensus/finality and attribution.
package node
