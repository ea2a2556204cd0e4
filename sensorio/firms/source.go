package firms

import (
	"context"
	"io"
	"os"

	"truceline/sensorio"
)

// File reads a FIRMS table from a file, row by row: every message is the header and one row, so that one bad row is one
// dead letter.
func File(path string) *sensorio.Lines {
	return sensorio.NewLines(sensorio.LinesConfig{
		Open:      func(context.Context) (io.ReadCloser, error) { return os.Open(path) },
		MediaType: MediaType, Header: true, Peer: path,
	})
}
