package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// ours is one run of truceline bench in a process of its own, so that its CPU time is not mixed with the peers'.
func ours(ctx context.Context, binary string, n int, inFlight []int, length time.Duration, dir string) ([]Point, error) {
	var cs []string
	for _, c := range inFlight {
		cs = append(cs, strconv.Itoa(c))
	}
	cmd := exec.CommandContext(ctx, binary, "bench", "--json", "--nations", strconv.Itoa(n), "--in-flight", strings.Join(cs, ","),
		"--duration", length.String(), "--dir", dir)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", cmd, err, errs.String())
	}
	var answer struct {
		Points []Point `json:"points"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", cmd, err)
	}
	if len(answer.Points) != len(inFlight) {
		return nil, fmt.Errorf("%s measured %d of %d points", cmd, len(answer.Points), len(inFlight))
	}
	return answer.Points, nil
}

// build makes the truceline binary of the module two folders up.
func build(ctx context.Context, dir string) (string, error) {
	binary := dir + "/truceline"
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cli/truceline")
	cmd.Dir, cmd.Stderr = "../..", os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build truceline in ../.. (start this in testnet/peers, or give --truceline): %w", err)
	}
	return binary, nil
}
