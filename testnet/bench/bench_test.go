package bench

import (
	"context"
	"log/slog"
	"testing"
	"time"
)

// The benchmark must measure something on real nodes: a figure without records is no figure.
func TestRunMeasures(t *testing.T) {
	if testing.Short() {
		t.Skip("starts four nodes on the disk")
	}
	n := 0
	err := Run(context.Background(), Config{
		Nations: []int{4}, InFlight: []int{1, 64}, Duration: time.Second, RecordBytes: 256, Dir: t.TempDir(),
		Log: slog.New(slog.DiscardHandler),
	}, func(p Point) {
		n++
		t.Log(p)
		if p.PerSecond <= 0 || p.P50 <= 0 || p.P99 < p.P50 {
			t.Errorf("no figures: %+v", p)
		}
	})
	if err != nil || n != 2 {
		t.Fatal(n, err)
	}
}

// BenchmarkOneInFlight is for profiles (-cpuprofile, -trace) of the path of one record at four nodes.
func BenchmarkOneInFlight(b *testing.B) {
	for b.Loop() {
		err := Run(context.Background(), Config{
			Nations: []int{4}, InFlight: []int{1}, Duration: 4 * time.Second, RecordBytes: 256, Dir: b.TempDir(),
			Log: slog.New(slog.DiscardHandler),
		}, func(p Point) { b.Log(p) })
		if err != nil {
			b.Fatal(err)
		}
	}
}
