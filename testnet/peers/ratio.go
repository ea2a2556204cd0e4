package main

import (
	"fmt"
	"math"
)

// Ratio is one comparison and what we aim at.
type Ratio struct {
	What    string  `json:"what"`
	Value   float64 `json:"value"`
	Aim     float64 `json:"aim"`
	AtLeast bool    `json:"at_least"` // the aim is a least value, else a greatest one
	Met     bool    `json:"met"`
}

// String is one line of the report.
func (r Ratio) String() string {
	sign, word := "<=", "met"
	if r.AtLeast {
		sign = ">="
	}
	if !r.Met {
		word = "MISSED"
	}
	return fmt.Sprintf("%-66s %7.3f   aim %s %-5g %s", r.What, r.Value, sign, r.Aim, word)
}

// ratios compares medians of this run; a comparison whose sides were not both measured is left out.
func ratios(o options, got map[key][]Point) (out []Ratio) {
	add := func(what string, v, aim float64, atLeast bool) {
		out = append(out, Ratio{what, v, aim, atLeast, atLeast == (v >= aim) || v == aim})
	}
	both := func(n, c int, peer string) (us, them Point, ok bool) {
		a, b := got[key{sysOurs, n, c}], got[key{peer, n, c}]
		if len(a) == 0 || len(b) == 0 {
			return us, them, false
		}
		return median(a), median(b), true
	}
	for _, n := range o.nations {
		if a, b, ok := both(n, 256, sysComet); ok {
			add(fmt.Sprintf("FINAL records a second, n=%d, 256 in flight, ours / CometBFT", n), a.PerSecond/b.PerSecond, 3, true)
		}
		if a, b, ok := both(n, 1, sysComet); ok {
			add(fmt.Sprintf("FINAL p50, n=%d, one in flight, ours / CometBFT", n), float64(a.P50)/float64(b.P50), 0.1, false)
		}
		if a, b, ok := both(n, 1, sysRaft); ok {
			add(fmt.Sprintf("p50, n=%d, one in flight, our FINAL / Raft's commit", n), float64(a.P50)/float64(b.P50), 4, false)
		}
	}
	least, most := math.Inf(1), 0.0
	c := o.inFlight[len(o.inFlight)-1]
	for _, n := range o.flat {
		if ps := got[key{sysOurs, n, c}]; len(ps) > 0 {
			v := float64(median(ps).CPUNode)
			least, most = min(least, v), max(most, v)
		}
	}
	if len(o.flat) > 1 && most > 0 {
		// Flat within 30 %: no size further than that from the middle between the cheapest and the dearest.
		add(fmt.Sprintf("CPU per record and node, n=%d..%d, spread around the middle", o.flat[0], o.flat[len(o.flat)-1]), (most-least)/(most+least), 0.3, false)
	}
	return out
}
