package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	ucli "github.com/urfave/cli/v2"

	"truceline/sensorio"
	"truceline/sensorio/firms"
	"truceline/sensorio/livefire"
	"truceline/sensorio/ndjson"
	"truceline/treaty"
)

// sensorFile is an input file of one of the forms that nodes read.
type sensorFile struct {
	path  string
	kind  string        // ndjson, firms or livefire
	plan  livefire.Plan // where and when a recording is laid, for livefire
	mode  treaty.Mode   // of FIRMS rows
	total int64         // bytes, for progress; 0: not known
}

// formatFlags choose how a file is read.
func formatFlags() []ucli.Flag {
	return []ucli.Flag{
		text("format", "auto", "ndjson, firms, livefire, or auto: by the `FORM` of the name"),
		text("at", "48.001,38.0", "where a live-fire recording is laid: `LAT,LON` of the surveyed shooter"),
	}
}

// openSensorFile looks at a name; "-" is NDJSON on standard input.
func openSensorFile(c *ucli.Context, name string) (*sensorFile, error) {
	f := &sensorFile{path: name, kind: c.String("format"), mode: treaty.ModeReplay}
	var dir bool
	if name != "-" {
		info, err := os.Stat(name)
		if err != nil {
			return nil, refused(err)
		}
		if dir = info.IsDir(); !dir {
			f.total = info.Size()
		}
	}
	if f.kind == "auto" {
		switch {
		case dir:
			f.kind = "livefire"
		case strings.EqualFold(filepath.Ext(name), ".csv"):
			f.kind = "firms"
		default:
			f.kind = "ndjson"
		}
	}
	switch f.kind {
	case "ndjson", "firms":
		if dir {
			return nil, usagef("%s is a folder: %s wants a file", name, f.kind)
		}
		return f, nil
	case "livefire":
		var lat, lon float64
		if n, err := fmt.Sscanf(c.String("at"), "%g,%g", &lat, &lon); n != 2 || err != nil || lat < -90 || lat > 90 || lon < -180 || lon > 180 {
			return nil, usagef("--at %q: want latitude,longitude in degrees, such as 48.001,38.0", c.String("at"))
		}
		f.plan = livefire.Plan{Nations: 1, Placement: livefire.Placement{Anchor: treaty.Position{LatE7: int64(lat * 1e7), LonE7: int64(lon * 1e7)}}}
		return f, nil
	}
	return nil, usagef("--format %q: want ndjson, firms, livefire or auto", f.kind)
}

// item is one detection of a file, or what is wrong at that place.
type item struct {
	line int   // from 1; 0 for forms without lines
	read int64 // bytes read so far
	d    *treaty.Detection
	err  error
}

// each calls do for every detection and every problem, in the file's order. It returns what keeps the file from being read.
func (f *sensorFile) each(in io.Reader, do func(item) error) error {
	if f.kind == "livefire" {
		return f.recording(do)
	}
	if f.path != "-" {
		file, err := os.Open(f.path)
		if err != nil {
			return refused(err)
		}
		defer file.Close()
		in = file
	}
	var header []byte
	br := bufio.NewReaderSize(in, 64<<10)
	read := int64(0)
	for n := 1; ; n++ {
		line, size, err := boundedLine(br, ndjson.MaxLine)
		read += size
		if err != nil && !errors.Is(err, io.EOF) {
			return refused(fmt.Errorf("read %s: %w", f.path, err))
		}
		text := bytes.TrimRight(line, "\r\n")
		switch {
		case len(bytes.TrimSpace(text)) == 0:
		case f.kind == "firms" && header == nil:
			header = bytes.Clone(text)
		default:
			for _, it := range f.line(header, text) {
				it.line, it.read = n, read
				if err := do(it); err != nil {
					return err
				}
			}
		}
		if err != nil {
			return nil
		}
	}
}

// line decodes one line: one detection, one problem.
func (f *sensorFile) line(header, text []byte) []item {
	if f.kind == "ndjson" {
		d, err := ndjson.Decode(text)
		if err != nil {
			return []item{{err: err}}
		}
		return []item{{d: &d}}
	}
	raw := sensorio.Raw{MediaType: firms.MediaType, Bytes: bytes.Join([][]byte{header, text}, []byte{'\n'})}
	ds, err := firms.Decoder{Mode: f.mode, Trust: treaty.TrustManual}.Decode(raw)
	var out []item
	for i := range ds {
		out = append(out, item{d: &ds[i]})
	}
	if err != nil {
		out = append(out, item{err: err})
	}
	return out
}

func (f *sensorFile) recording(do func(item) error) error {
	rec, err := livefire.Load(f.path)
	if err != nil {
		return refused(err)
	}
	if len(rec.Tests) == 0 {
		return refused(fmt.Errorf("%s holds no test of a live-fire recording", f.path))
	}
	plan := f.plan
	plan.Placement.Origin = rec.Tests[0].Survey.Shooter
	plan.Start = firstPulse(rec)
	all, err := rec.Detections(plan)
	if err != nil {
		return refused(err)
	}
	for _, ds := range all {
		for i := range ds {
			if err := do(item{d: &ds[i]}); err != nil {
				return err
			}
		}
	}
	return nil
}

// firstPulse is when a recording was made.
func firstPulse(rec *livefire.Recording) treaty.Time {
	for _, t := range rec.Tests {
		if len(t.Pulses) > 0 {
			return treaty.TimeOf(t.Pulses[0].Time)
		}
	}
	return 0
}

// boundedLine reads up to and including a newline and keeps at most limit+1 bytes of it; size is what it took.
func boundedLine(br *bufio.Reader, limit int) (line []byte, size int64, err error) {
	for {
		part, err := br.ReadSlice('\n')
		size += int64(len(part))
		line = append(line, part[:min(len(part), limit+1-len(line))]...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, size, err
		}
	}
}
