package testnet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"truceline/internal/durable"
	"truceline/sensorio"
	"truceline/testnet/feed"
	"truceline/treaty"
)

// Processes is a testnet whose nodes are processes of their own: `truceline node run`, each in its own process group, so
// that they outlive the command that started them.
type Processes struct {
	Testnet
	// Clock is the sensor clock of all nodes.
	Clock *sensorio.Clock
	// Land is the scenario on whose land the accord stands.
	Land *feed.Scenario
	// Program is the binary to start; "" is this one.
	Program string
}

// UpConfig is what to start.
type UpConfig struct {
	Dir     string
	Nations int
	// Land is the YAML of the scenario whose land the accord is about.
	Land []byte
	// Speed is the sensor clock's; 1 is real time.
	Speed float64
	// NodeFile makes node.yaml for `truceline node run`; clock is nil for real time.
	NodeFile func(s Seat, accord treaty.Hash, pace Pace, clock *ClockBase) ([]byte, error)
	// Program is the binary to start; "" is this one.
	Program string
}

// Up founds a testnet and starts its nodes. It returns as soon as they are started: Session.Join waits until they decide.
func Up(c UpConfig) (*Processes, error) {
	land, err := feed.Parse(c.Land)
	if err != nil {
		return nil, err
	}
	if c.NodeFile == nil || !(c.Speed > 0 && c.Speed <= sensorio.MaxSpeed) {
		return nil, fmt.Errorf("testnet: speed %g: must be more than 0, at most %d", c.Speed, sensorio.MaxSpeed)
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	var clock *ClockBase
	if c.Speed != 1 {
		clock = &ClockBase{At: now, Base: now, Speed: c.Speed}
	}
	onLand := *land
	onLand.Start = now
	pace := PaceFor(c.Nations)
	p := &Processes{Land: land, Program: c.Program}
	// The accord's digest goes into node.yaml, so the files are made when it is known.
	t, err := Found(Founding{Dir: c.Dir, Nations: c.Nations, Scenario: &onLand, Founded: treaty.TimeOf(now.Add(-time.Minute))})
	if err != nil {
		return nil, err
	}
	p.Testnet = *t
	for _, s := range p.Seats {
		b, err := c.NodeFile(s, t.Net.Digest, pace, clock)
		if err != nil {
			return nil, fmt.Errorf("testnet: %s of %s: %w", NodeName, s.Nation, err)
		}
		if err := create(filepath.Join(s.Dir, NodeName), b, 0o600); err != nil {
			return nil, err
		}
	}
	if p.Clock, err = clock.clock(); err != nil {
		return nil, err
	}
	if err := p.save(clock, c.Land); err != nil {
		return nil, err
	}
	for _, s := range p.Seats {
		if err := p.start(s); err != nil {
			return p, errors.Join(err, p.Down(context.Background()))
		}
	}
	return p, nil
}

// start starts a node's process and returns when it has taken its folder, or has ended.
func (p *Processes) start(s Seat) error {
	program := p.Program
	if program == "" {
		var err error
		if program, err = os.Executable(); err != nil {
			return fmt.Errorf("testnet: find this program: %w", err)
		}
	}
	log, err := os.OpenFile(filepath.Join(s.Dir, logName), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("testnet: log of %s: %w", s.Nation, err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(program, "node", "run", "--dir", s.Dir) //nolint:gosec // our own program
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("testnet: start the node of %s: %w", s.Nation, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // also keeps it from staying a zombie while this program lives
	if err := durable.WriteFile(filepath.Join(s.Dir, pidName), []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o644); err != nil {
		return err
	}
	for range 200 {
		select {
		case err := <-ended:
			return fmt.Errorf("testnet: the node of %s ended at once (%w): see %s", s.Nation, errors.Join(err, lastLine(log.Name())), log.Name())
		case <-time.After(25 * time.Millisecond):
			if p.Running(s) {
				return nil
			}
		}
	}
	return fmt.Errorf("testnet: the node of %s does not take its folder: see %s", s.Nation, log.Name())
}

// lastLine is what a log ended with.
func lastLine(path string) error {
	b, err := durable.ReadFile(path, 64<<20)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return errors.New(lines[len(lines)-1])
}

// Running says whether a node's process holds its folder. The kernel keeps that lock, so a stale pid file means nothing.
func (p *Processes) Running(s Seat) bool {
	l, err := durable.LockDir(s.Dir)
	if err == nil {
		_ = l.Unlock()
	}
	return errors.Is(err, durable.ErrLocked)
}

// Seat finds a nation by its code or its number, from 1.
func (p *Processes) Seat(name string) (Seat, error) {
	for i, s := range p.Seats {
		if strings.EqualFold(name, string(s.Nation)) || name == strconv.Itoa(i+1) {
			return s, nil
		}
	}
	return Seat{}, fmt.Errorf("no nation %q here: give a code or a number from 1 to %d (see truceline testnet status)", name, len(p.Seats))
}

// signal reaches the process that holds a node's folder.
func (p *Processes) signal(s Seat, sig syscall.Signal) error {
	b, err := durable.ReadFile(filepath.Join(s.Dir, pidName), maxPIDDigits)
	if err != nil {
		return fmt.Errorf("testnet: which process runs the node of %s: %w", s.Nation, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid < 2 {
		return fmt.Errorf("testnet: %s of %s holds no process id", pidName, s.Nation)
	}
	if !p.Running(s) {
		return nil
	}
	if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("testnet: signal process %d of %s: %w", pid, s.Nation, err)
	}
	return nil
}

// How long a node may take to end.
const (
	stopWithin = 20 * time.Second
	killWithin = 10 * time.Second
)

// Stop asks a node to end (SIGTERM) and waits until it has.
func (p *Processes) Stop(ctx context.Context, s Seat) error {
	return p.end(ctx, s, syscall.SIGTERM, stopWithin)
}

// Kill ends a node at once (SIGKILL), as a power cut of its machine would, with the disk left whole.
func (p *Processes) Kill(ctx context.Context, s Seat) error {
	return p.end(ctx, s, syscall.SIGKILL, killWithin)
}

func (p *Processes) end(ctx context.Context, s Seat, sig syscall.Signal, within time.Duration) error {
	if err := p.signal(s, sig); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for p.Running(s) {
		if err := pause(ctx, 25*time.Millisecond); err != nil {
			return fmt.Errorf("testnet: the node of %s has not ended within %s: kill it with truceline testnet kill %s", s.Nation, within, s.Nation)
		}
	}
	return nil
}

// Restart starts a node again; one that runs is stopped first.
func (p *Processes) Restart(ctx context.Context, s Seat) error {
	if err := p.Stop(ctx, s); err != nil {
		return err
	}
	return p.start(s)
}

// Down stops every node, and kills those that do not stop.
func (p *Processes) Down(ctx context.Context) error {
	var errs []error
	for _, s := range p.Seats {
		if p.Running(s) {
			errs = append(errs, p.signal(s, syscall.SIGTERM))
		}
	}
	for _, s := range p.Seats {
		if p.end(ctx, s, syscall.SIGTERM, stopWithin) != nil {
			errs = append(errs, p.Kill(ctx, s))
		}
	}
	return errors.Join(errs...)
}

// Session is a session with the nodes that run. Its clients must be closed.
func (p *Processes) Session(w Watch) *Session {
	n := &Session{Net: &p.Testnet, Clock: p.Clock, Watch: w}
	seats := map[treaty.Nation]Seat{}
	for _, s := range p.Seats {
		seats[s.Nation] = s
		n.Clients = append(n.Clients, NewClient(s.Nation, s.Ports.ObserveAddr(), s.Ports.OperatorAddr()))
	}
	n.Down = func(k treaty.Nation) bool { return !p.Running(seats[k]) }
	return n
}

// Close lets the clients' connections go.
func (n *Session) Close() {
	for _, c := range n.Clients {
		c.Close()
	}
}
