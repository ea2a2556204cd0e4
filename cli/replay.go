package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	ucli "github.com/urfave/cli/v2"

	"truceline/sensorio"
	"truceline/sensorio/ndjson"
	"truceline/treaty"
)

// maxReplay bounds the detections of one replay, which are held in memory to be put in order: about 1 GiB.
const maxReplay = 1_000_000

// replay plays detections to one node.
type replay struct {
	client *client
	disp   *Display
	lines  []replayLine
	speed  float64
	tell   func(line int, reason string)

	accepted, refused int
}

type replayLine struct {
	at   treaty.Time
	from int // line of the file
	text []byte
}

func sensorReplay(c *ucli.Context) error {
	if err := want(c, 1, 1, "one file, folder or -"); err != nil {
		return err
	}
	speed := c.Float64("speed")
	if !(speed >= 0 && speed <= sensorio.MaxSpeed) {
		return usagef("--speed %v: want 0 to %d", speed, sensorio.MaxSpeed)
	}
	var mode treaty.Mode
	if m := c.String("mode"); m != "" {
		if err := mode.UnmarshalText([]byte(m)); err != nil || mode == treaty.ModeReal {
			return usagef("--mode %q: want REPLAY, SIMULATED, TEST or EXERCISE", m)
		}
	}
	start, err := timeFlag(c, "start")
	if err != nil {
		return err
	}
	from, err := timeFlag(c, "from")
	if err != nil {
		return err
	}
	if from != 0 && start == 0 {
		return usagef("--from goes with --start: it is the file's time that becomes --start")
	}
	cl, err := operatorClient(c)
	if err != nil {
		return err
	}
	f, err := openSensorFile(c, c.Args().First())
	if err != nil {
		return err
	}
	ds, err := f.load(c, mode)
	if err != nil {
		return err
	}
	r := &replay{
		client: cl, disp: NewDisplay(c.App.ErrWriter), speed: speed,
		tell: func(line int, reason string) { hint(c, "line %d: %s\n", line, printable(reason)) },
	}
	if r.lines, err = encodeAll(ds, from, start); err != nil {
		return refused(err)
	}
	err = r.run(c.Context)
	r.disp.Close()
	if err != nil {
		return fmt.Errorf("after %d of %d detections (play the same again, with the same --start; what was kept is recognised): %w",
			r.accepted+r.refused, len(r.lines), err)
	}
	if c.Bool("json") {
		if err := printJSON(c, map[string]int{"sent": len(r.lines), "accepted": r.accepted, "dead_letters": r.refused}); err != nil {
			return err
		}
	} else {
		say(c, "%d detections sent: %d accepted, %d dead letters\n", len(r.lines), r.accepted, r.refused)
	}
	if r.refused > 0 {
		return errAnswerIsNo
	}
	return nil
}

// timeFlag reads a time; 0: not given.
func timeFlag(c *ucli.Context, name string) (t treaty.Time, err error) {
	s := c.String(name)
	switch s {
	case "":
		return 0, nil
	case "now":
		return treaty.TimeOf(time.Now()), nil
	}
	if err := t.UnmarshalText([]byte(s)); err != nil {
		return 0, usagef("--%s %q: want now, or a time such as 2026-11-23T08:00:00Z", name, s)
	}
	return t, nil
}

// load reads a whole file for a replay. It refuses a file with problems, which lint explains, and REAL detections: what
// was once real is not real a second time.
func (f *sensorFile) load(c *ucli.Context, mode treaty.Mode) ([]item, error) {
	var ds []item
	err := f.each(c.App.Reader, func(it item) error {
		switch {
		case it.err != nil:
			return usagef("%s:%d: %s (all problems: truceline sensor lint)", f.path, it.line, plainReason(it.err))
		case len(ds) == maxReplay:
			return usagef("%s has more than %d detections: split it", f.path, maxReplay)
		}
		if mode != 0 {
			it.d.Mode = mode
		}
		if it.d.Mode == treaty.ModeReal {
			return usagef("%s:%d: a replay must not deliver REAL detections: give --mode REPLAY", f.path, it.line)
		}
		ds = append(ds, it)
		return nil
	})
	if err == nil && len(ds) == 0 {
		err = usagef("%s holds no detections", f.path)
	}
	slices.SortStableFunc(ds, func(a, b item) int { return cmp.Compare(a.d.Time.Value, b.d.Time.Value) })
	return ds, err
}

// encodeAll writes the detections as canonical lines, moved so that from, or else the first of them, becomes start.
func encodeAll(ds []item, from, start treaty.Time) ([]replayLine, error) {
	if from == 0 {
		from = ds[0].d.Time.Value
	}
	var by time.Duration
	if start != 0 {
		by = start.Sub(from)
	}
	out := make([]replayLine, len(ds))
	for i, it := range ds {
		move(it.d, by)
		text, err := ndjson.Encode(it.d)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", it.line, err)
		}
		out[i] = replayLine{it.d.Time.Value, it.line, append(text, '\n')}
	}
	return out, nil
}

// move shifts every time in a detection.
func move(d *treaty.Detection, by time.Duration) {
	d.Time.Value = d.Time.Value.Add(by)
	if d.Trajectory != nil {
		for i := range d.Trajectory.Points {
			d.Trajectory.Points[i].Time = d.Trajectory.Points[i].Time.Add(by)
		}
	}
	if d.Gap != nil {
		d.Gap.Begin, d.Gap.End = d.Gap.Begin.Add(by), d.Gap.End.Add(by)
	}
}

// One POST gathers what is due within gather, up to these bounds, well below what the node takes.
const (
	gather      = 100 * time.Millisecond
	maxPost     = 1 << 20
	maxPostLine = 500
)

func (r *replay) run(ctx context.Context) error {
	began, first, last := time.Now(), r.lines[0].at, r.lines[len(r.lines)-1].at
	due := func(at treaty.Time) time.Time {
		if r.speed == 0 {
			return began
		}
		return began.Add(time.Duration(float64(at.Sub(first)) / r.speed))
	}
	for i := 0; i < len(r.lines); {
		r.progress(i, due(last))
		if err := sleep(ctx, time.Until(due(r.lines[i].at))); err != nil {
			return err
		}
		n, size, until := i, 0, time.Now().Add(gather)
		for n < len(r.lines) && n-i < maxPostLine && size+len(r.lines[n].text) <= maxPost && (n == i || !due(r.lines[n].at).After(until)) {
			size += len(r.lines[n].text)
			n++
		}
		if err := r.post(ctx, r.lines[i:n]); err != nil {
			return err
		}
		i = n
	}
	r.progress(len(r.lines), time.Now())
	return nil
}

func (r *replay) progress(done int, end time.Time) {
	b := Bar{Label: "replay", Done: int64(done), Total: int64(len(r.lines)), Unit: "detections"}
	if left := time.Until(end).Round(time.Second); left > 0 {
		b.Note = left.String() + " left"
	}
	r.disp.Progress(b)
}

// maxBusy is how long in a row a node may say that it is busy.
const maxBusy = 2 * time.Minute

// post sends lines until the node has kept them. Sending again is harmless: what was kept is recognised.
func (r *replay) post(ctx context.Context, lines []replayLine) error {
	var body bytes.Buffer
	for _, l := range lines {
		body.Write(l.text)
	}
	for giveUp := time.Now().Add(maxBusy); ; {
		b, err := r.client.do(ctx, http.MethodPost, "/v1/detections", sensorio.MediaNDJSON, body.Bytes(), maxAnswer)
		if s, ok := errors.AsType[*status](err); ok && s.code == http.StatusServiceUnavailable && time.Now().Before(giveUp) {
			seconds, _ := strconv.Atoi(s.wait)
			if err := sleep(ctx, time.Duration(min(max(seconds, 1), 10))*time.Second); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		var a sensorio.Answer
		if err := json.Unmarshal(b, &a); err != nil {
			return unreachable(fmt.Errorf("the node does not answer as a Truceline node of this version does: %w", err))
		}
		r.accepted, r.refused = r.accepted+a.Accepted, r.refused+a.DeadLetters
		for _, p := range a.Problems {
			if p.Line >= 1 && p.Line <= len(lines) {
				r.tell(lines[p.Line-1].from, p.Reason)
			}
		}
		return nil
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
