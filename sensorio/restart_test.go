package sensorio

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2/vfs"

	"truceline/treaty"
)

// Would catch a restart that hands over again what was sealed out of order, or a duplicate that a restart makes new.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		f, s := &feed{}, &sealing{}
		for i := range 10 {
			f.lines = append(f.lines, line(t, detection(i)))
		}
		l := openLog(t, mem)
		in := intake(t, l, s.hand, nil, SourceConfig{ID: "a", Source: f, Decoder: NDJSON{}})
		if err := run(t, in, func() {
			if err := in.Sealed([]treaty.Detection{s.open[0], s.open[4], s.open[9]}); err != nil {
				t.Fatal(err)
			}
		}); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		// The sensor has missed our answer and sends its last one again, and one that is sealed.
		again, s2 := &feed{lines: [][]byte{f.lines[8], f.lines[0]}}, &sealing{}
		in = intake(t, openLog(t, mem), s2.hand, nil, SourceConfig{ID: "a", Source: again, Decoder: NDJSON{}})
		if err := run(t, in, func() {}); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range s2.open {
			got = append(got, d.NativeID)
		}
		if want := []string{"1", "2", "3", "5", "6", "7", "8"}; !slices.Equal(got, want) {
			t.Errorf("handed over %v, want %v", got, want)
		}
	})
}

// Would catch a checkpoint that grows with every detection that never came through the raw log.
func TestSealedWithoutRaw(t *testing.T) {
	l := openLog(t, vfs.NewMem())
	in := intake(t, l, (&sealing{}).hand, nil, PushSource("http"))
	for i := range 50 {
		if err := in.Sealed([]treaty.Detection{detection(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if c := l.Checkpoint(); len(c.Done) > 0 {
		t.Errorf("%d detections in the checkpoint", len(c.Done))
	}
}
