package sensorio

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"truceline/sensorio/ndjson"
	"truceline/treaty"
)

// MediaNDJSON is the canonical lines' media type.
const MediaNDJSON = "application/x-ndjson"

// Lines is a source that reads text line by line, one message a line: NDJSON, or a table whose first line is its header.
// Empty lines are passed over. A line longer than ndjson.MaxLine is cut off there, and the decoder will say so; the rest
// of it is skipped.
type Lines struct {
	cfg    LinesConfig
	r      io.ReadCloser
	lines  chan []byte
	err    error // why lines is closed
	header []byte
	stop   chan struct{}
}

// LinesConfig is what a Lines needs.
type LinesConfig struct {
	// Open opens the text; it is called by Connect.
	Open      func(context.Context) (io.ReadCloser, error)
	MediaType string
	// Header: the first line is a table's header; every message is that line, a newline, and one row.
	Header bool
	// Peer says where it comes from.
	Peer string
}

// NewLines makes a source of lines.
func NewLines(cfg LinesConfig) *Lines { return &Lines{cfg: cfg} }

// NDJSONFile reads canonical lines from a file, once, to its end.
func NDJSONFile(path string) *Lines {
	return NewLines(LinesConfig{
		Open: func(context.Context) (io.ReadCloser, error) { return os.Open(path) }, MediaType: MediaNDJSON, Peer: path,
	})
}

// NDJSONReader reads canonical lines from standard input or a pipe, once, to its end.
func NDJSONReader(r io.ReadCloser, peer string) *Lines {
	return NewLines(LinesConfig{
		Open: func(context.Context) (io.ReadCloser, error) { return r, nil }, MediaType: MediaNDJSON, Peer: peer,
	})
}

// Connect opens the text. A text that has been read to its end is not read again.
func (l *Lines) Connect(ctx context.Context) error {
	if l.r != nil {
		return ErrEnd
	}
	r, err := l.cfg.Open(ctx)
	if err != nil {
		return fmt.Errorf("open %s: %w", l.cfg.Peer, err)
	}
	l.r, l.lines, l.stop = r, make(chan []byte), make(chan struct{})
	// A read from a terminal or pipe cannot be interrupted: it gets its own goroutine, which ends with the text, or with
	// the first line after Close.
	go l.scan(r)
	return nil
}

func (l *Lines) scan(r io.Reader) {
	defer close(l.lines)
	br := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := readLine(br, ndjson.MaxLine)
		if line = bytes.TrimRight(line, "\r\n"); len(bytes.TrimSpace(line)) > 0 {
			select {
			case l.lines <- line:
			case <-l.stop:
				return
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				l.err = fmt.Errorf("read %s: %w", l.cfg.Peer, err)
			}
			return
		}
	}
}

// readLine reads up to and including a newline, and keeps at most limit+1 bytes of it.
func readLine(br *bufio.Reader, limit int) (line []byte, err error) {
	for {
		part, err := br.ReadSlice('\n')
		line = append(line, part[:min(len(part), limit+1-len(line))]...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// Read returns the next line.
func (l *Lines) Read(ctx context.Context) (Raw, Ack, error) {
	for {
		var line []byte
		select {
		case line = <-l.lines:
		case <-ctx.Done():
			return Raw{}, nil, ctx.Err()
		}
		switch {
		case line == nil && l.err != nil:
			return Raw{}, nil, l.err
		case line == nil:
			return Raw{}, nil, ErrEnd
		case l.cfg.Header && l.header == nil:
			l.header = line
			continue
		}
		if l.cfg.Header {
			line = bytes.Join([][]byte{l.header, line}, []byte{'\n'})
		}
		return Raw{Peer: l.cfg.Peer, MediaType: l.cfg.MediaType, Bytes: line}, nil, nil
	}
}

// Close closes the text.
func (l *Lines) Close() error {
	if l.r == nil {
		return nil
	}
	select {
	case <-l.stop:
		return nil
	default:
	}
	close(l.stop)
	return l.r.Close()
}

// NDJSON decodes canonical lines: a message is one line.
type NDJSON struct{}

// Name is the decoder's name and version.
func (NDJSON) Name() string { return "ndjson/1" }

// Decode reads one line.
func (NDJSON) Decode(r Raw) ([]treaty.Detection, error) {
	d, err := ndjson.Decode(r.Bytes)
	if err != nil {
		return nil, err
	}
	return []treaty.Detection{d}, nil
}
