package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

// A benchmark must refuse what it cannot measure before it starts anything, naming all that is wrong at once.
func TestBenchRefuses(t *testing.T) {
	var out, errs bytes.Buffer
	code := Run(context.Background(), []string{"bench", "--nations", "3,x", "--in-flight", "0", "--duration", "1ns", "--bytes", "10"}, strings.NewReader(""), &out, &errs)
	if code != exitUsage {
		t.Errorf("exit code %d, want %d", code, exitUsage)
	}
	for _, want := range []string{"--nations", "--in-flight", "--duration", "--bytes"} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("the answer does not name %s:\n%s", want, errs.String())
		}
	}
	if out.Len() > 0 {
		t.Errorf("it has measured something: %s", out.String())
	}
}
