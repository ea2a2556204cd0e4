package rawlog

import (
	"fmt"
	"io"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Would catch a tail, torn at any byte, that is reported as damage for ever, read as evidence, or costs a whole message
// before it. (CrashClone loses whole blocks; this tears within them.)
func TestTornTail(t *testing.T) {
	mem := vfs.NewMem()
	l := open(t, mem, nil)
	var ends []Position
	for i := range 4 {
		if err := l.Append(message(i)); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, l.End())
	}
	name := l.raw.name(0)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := mem.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) {
		mem := vfs.NewMem()
		if err := mem.MkdirAll("raw", 0o700); err != nil {
			t.Fatal(err)
		}
		w, err := mem.Create(name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(append([]byte(nil), whole[:cut]...)); err != nil {
			t.Fatal(err)
		}
		w.Close()
		want := 0
		for want < len(ends) && int(ends[want]) <= cut {
			want++
		}
		for range 2 {
			l := open(t, mem, nil)
			got := readAll(t, l, 0) // fails on damage
			if len(got) != want {
				t.Fatalf("cut at %d: %d messages, want %d", cut, len(got), want)
			}
			for i, e := range got {
				if string(e.Raw.Bytes) != fmt.Sprintf("message %d", i) {
					t.Fatalf("cut at %d: message %d is %q", cut, i, e.Raw.Bytes)
				}
			}
			if err := l.Append(message(want)); err != nil {
				t.Fatal(err)
			}
			want++
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
