package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Idle is what one idle node takes, as the operating system counts it.
type Idle struct {
	Nodes int           `json:"nodes"` // processes watched
	Over  time.Duration `json:"over_ns"`
	// RSS is resident memory of one node, Anon the part of it that is not the program file: median and most.
	RSS     uint64 `json:"rss_bytes"`
	RSSMost uint64 `json:"rss_most_bytes"`
	Anon    uint64 `json:"anon_bytes"`
	// Core is the share of one core, median and most (the Raft leader's).
	Core     float64 `json:"core"`
	CoreMost float64 `json:"core_most"`
}

// String is one line.
func (i Idle) String() string {
	return fmt.Sprintf("idle node of %d  resident %.0f MB (most %.0f, of that no program file %.0f)   %.1f %% of a core (most %.1f %%), over %s, a process each",
		i.Nodes, mb(i.RSS), mb(i.RSSMost), mb(i.Anon), 100*i.Core, 100*i.CoreMost, i.Over.Round(time.Second))
}

func mb(n uint64) float64 { return float64(n) / 1e6 }

// WatchIdle watches processes that have nothing to do; told is called every second. It reads /proc, so it needs Linux.
func WatchIdle(ctx context.Context, pids []int, over time.Duration, told func(time.Duration)) (Idle, error) {
	if len(pids) == 0 {
		return Idle{}, errors.New("no process to watch")
	}
	before := make([]time.Duration, len(pids))
	for i, pid := range pids {
		var err error
		if before[i], err = cpuOf(pid); err != nil {
			return Idle{}, err
		}
	}
	begin := time.Now()
	for time.Since(begin) < over {
		told(time.Since(begin))
		sleep(ctx, min(time.Second, over-time.Since(begin)))
		if ctx.Err() != nil {
			return Idle{}, ctx.Err()
		}
	}
	wall := time.Since(begin)
	told(over)
	var rss, anon []uint64
	var core []float64
	for i, pid := range pids {
		used, err := cpuOf(pid)
		if err != nil {
			return Idle{}, err
		}
		r, a, err := memoryOf(pid)
		if err != nil {
			return Idle{}, err
		}
		rss, anon, core = append(rss, r), append(anon, a), append(core, (used-before[i]).Seconds()/wall.Seconds())
	}
	slices.Sort(rss)
	slices.Sort(anon)
	slices.Sort(core)
	m := len(pids) / 2
	return Idle{
		Nodes: len(pids), Over: wall, RSS: rss[m], RSSMost: rss[len(rss)-1], Anon: anon[m], Core: core[m], CoreMost: core[len(core)-1],
	}, nil
}

// tick is the unit of /proc/PID/stat on every Linux there is (USER_HZ).
const tick = 10 * time.Millisecond

// cpuOf is a process's user and system time.
func cpuOf(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("the time that a node has used: %w", err)
	}
	// The name in parentheses may hold anything; what follows it are numbers.
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(f) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(f))
	}
	user, err1 := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

// memoryOf is a process's resident memory, and the part of it that is not of files.
func memoryOf(pid int) (rss, anon uint64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, fmt.Errorf("the memory that a node takes: %w", err)
	}
	for l := range strings.Lines(string(b)) {
		f := strings.Fields(l)
		if len(f) < 2 {
			continue
		}
		to := map[string]*uint64{"VmRSS:": &rss, "RssAnon:": &anon}[f[0]]
		if to == nil {
			continue
		}
		if *to, err = strconv.ParseUint(f[1], 10, 64); err != nil {
			return 0, 0, fmt.Errorf("/proc/%d/status: %w", pid, err)
		}
		*to *= 1024
	}
	return rss, anon, nil
}
