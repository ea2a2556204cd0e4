package seal

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"truceline/treaty"
)

func config() Config {
	return Config{Accord: treaty.HashOf([]byte("accord")), Nation: "AUT", Policy: treaty.DefaultPolicy()}
}

func detection(id string) treaty.Detection {
	return treaty.Detection{
		Sensor: "acoustic:1", NativeID: id, Modality: treaty.ModalityAcoustic, Mode: treaty.ModeTest,
		Time: treaty.TimeQuantity{Value: 1e18, SigmaNs: 1000}, TimeSource: treaty.TimeGNSS,
		Pose:  treaty.Pose{Position: treaty.Position{LatE7: 48e7, LonE7: 37e7}, SigmaMm: 1000},
		Class: treaty.ClassShot, Confidence: 500_000, Trust: treaty.TrustManual, Arrival: &treaty.Arrival{Phase: treaty.PhaseUnknown},
	}
}

// Would catch a window sealed early, twice or out of order, a detection lost, doubled or moved back, a heartbeat that does
// not come, and a window that is not closed for everybody.
func TestHistories(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var s *Sealer
		var prev treaty.Hash
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var sec float64
			var k uint64
			at := func() treaty.Time { return treaty.Time(sec * 1e9) }
			if d.HasArg("t") {
				var arg string
				d.ScanArgs(t, "t", &arg)
				if _, err := fmt.Sscan(arg, &sec); err != nil {
					t.Fatal(err)
				}
			}
			if d.HasArg("k") {
				d.ScanArgs(t, "k", &k)
			}
			switch d.Cmd {
			case "new":
				c := config()
				c.Last = treaty.Window(k)
				var err error
				if s, err = New(c); err != nil {
					t.Fatal(err)
				}
				prev = treaty.Hash{}
				return ""
			case "add":
				for _, id := range strings.Fields(d.Input) {
					s.Add(at(), detection(id))
				}
				return fmt.Sprintf("pending %d\n", s.Pending())
			case "close-for":
				s.CloseFor(treaty.Window(k))
				return ""
			case "unrevealed":
				s.Unrevealed(d.CmdArgs[0].Key == "yes")
				return ""
			case "step":
				var b strings.Builder
				for s.Due(at()) {
					c, ok := s.Close(at(), prev, treaty.HashOf([]byte("salt")))
					if !ok {
						t.Fatal("due and not closed")
					}
					fmt.Fprintf(&b, "window %d:", c.Seal.Window)
					for _, x := range c.Batch.Detections {
						fmt.Fprintf(&b, " %s", x.NativeID)
					}
					b.WriteByte('\n')
					if err := c.Seal.Check(); err != nil {
						t.Fatal(err)
					}
					if c.Seal.Count > 0 {
						if err := c.Batch.Check(); err != nil {
							t.Fatal(err)
						}
						if c.Batch.Digest() != c.Seal.Digest {
							t.Fatal("digest")
						}
					}
					if c.Seal.Prev != prev {
						t.Fatal("prev")
					}
					prev = treaty.HashOf(treaty.Encode(c.Seal))
				}
				fmt.Fprintf(&b, "next %.1f\n", float64(s.Next(at()))/1e9)
				return b.String()
			}
			t.Fatalf("unknown command %s", d.Cmd)
			return ""
		})
	})
}

// Would catch a batch over its limits, and anything lost or reordered when a window overflows.
func TestOverflow(t *testing.T) {
	s, err := New(config())
	if err != nil {
		t.Fatal(err)
	}
	const n = 2*treaty.MaxDetections + 10
	for i := range n {
		s.Add(treaty.Time(time.Second), detection(fmt.Sprint(i)))
	}
	long := detection("long")
	long.Arrival, long.Human = nil, &treaty.HumanReport{Means: "PATROL", Observation: "HEARD", Text: strings.Repeat("x", treaty.MaxText)}
	for range 1500 {
		s.Add(treaty.Time(time.Second), long)
	}
	now := treaty.Time(time.Minute)
	seen := 0
	var last treaty.Window
	for seals := 0; s.Pending() > 0; seals++ {
		c, ok := s.Close(now, treaty.Hash{}, treaty.HashOf([]byte("salt")))
		if !ok || seals > 20 {
			t.Fatalf("after %d seals %d are pending", seals, s.Pending())
		}
		if seals > 0 && c.Seal.Window <= last {
			t.Fatalf("window %d after %d", c.Seal.Window, last)
		}
		last = c.Seal.Window
		if _, err := treaty.DecodeBatch(treaty.Encode(c.Batch)); err != nil {
			t.Fatal(err)
		}
		for _, d := range c.Batch.Detections {
			if seen < n && d.NativeID != fmt.Sprint(seen) {
				t.Fatalf("detection %s at place %d", d.NativeID, seen)
			}
			seen++
		}
	}
	if seen != n+1500 {
		t.Fatalf("%d of %d left", seen, n+1500)
	}
}

// Would catch a liar who makes the list of requested windows grow, or pushes the near ones out of it.
func TestCloseForIsBounded(t *testing.T) {
	s, err := New(config())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10_000 {
		s.CloseFor(treaty.Window(1_000_000 - i))
	}
	if len(s.asked) > maxAsked {
		t.Fatalf("%d kept", len(s.asked))
	}
	s.CloseFor(3)
	if s.asked[0] != 3 {
		t.Fatal("the near window was pushed out")
	}
}
