package node

import (
	"io"
	"log/slog"
	"strings"
	"testing"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// quietTamper does nothing; it must not even be called.
type quietTamper struct{ Tamper }

// A node of a real accord must refuse to be made hostile; in an exercise it may.
func TestTamperInExercisesOnly(t *testing.T) {
	for _, exercise := range []bool{true, false} {
		f := treatytest.NewWith(4, func(a *treaty.Accord) {
			if a.Exercise = exercise; !exercise {
				a.Origin = "test.truceline/1"
			}
		})
		k := f.Net.Nations()[0]
		ks := f.Keys[k]
		cfg := Config{
			Dir: t.TempDir(), Net: f.Net, Nation: k, Keys: Keys{Treaty: ks.Treaty, Cosign: ks.Cosign, Node: ks.Node},
			Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		}
		if err := cfg.Validate(); err != nil {
			t.Fatalf("exercise %t: without Tamper: %v", exercise, err)
		}
		cfg.Tamper = quietTamper{}
		if err := cfg.Validate(); exercise != (err == nil) || err != nil && !strings.Contains(err.Error(), "Tamper") {
			t.Errorf("exercise %t: with Tamper: %v", exercise, err)
		}
	}
}
