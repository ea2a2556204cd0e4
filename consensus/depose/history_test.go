package depose

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"truceline/treaty"
)

// The histories in testdata play what leaders and liars do, line by line; testdata/README has the language.
func TestHistories(t *testing.T) {
	datadriven.Walk(t, filepath.Join("testdata", "histories"), func(t *testing.T, path string) {
		var w *world
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var out strings.Builder
			log := func(format string, args ...any) {
				fmt.Fprintf(&out, "  %s  %s\n", w.at, fmt.Sprintf(format, args...))
			}
			for _, line := range strings.Split(d.Input, "\n") {
				f := strings.Fields(line)
				if len(f) == 0 || f[0] == "#" {
					continue
				}
				fmt.Fprintf(&out, "> %s\n", line)
				if f[0] == "nations" {
					n, err := strconv.Atoi(f[1])
					if err != nil {
						t.Fatal(err)
					}
					var liars []int
					for _, k := range f[min(3, len(f)):] {
						liars = append(liars, slices.Index(newWorld(n).nations, treaty.Nation(k)))
					}
					w = newWorld(n, liars...)
					w.log = log
					continue
				}
				w.log = log
				if err := w.play(f); err != nil {
					t.Fatalf("%s: %q: %v", d.Pos, line, err)
				}
			}
			return out.String()
		})
	})
}

func nationsOf(f []string) (ks []treaty.Nation) {
	for _, k := range f {
		ks = append(ks, treaty.Nation(k))
	}
	return ks
}

// play carries one line out.
func (w *world) play(f []string) error {
	switch f[0] {
	case "lead": // lead BEL, or nobody
		if f[1] == "nobody" {
			w.leader = ""
			return nil
		}
		w.lead(treaty.Nation(f[1]))
	case "hold": // hold r1 of DNK, by all or by those named
		by := nationsOf(f[4:])
		if len(by) == 0 {
			by = w.nations
		}
		w.hold(f[1], treaty.Nation(f[3]), by...)
	case "order": // order r1
		w.order(f[1])
	case "finality": // finality stands, or moves
		w.open = f[1] == "stands"
		w.final++
	case "cut": // cut AUT ...: these do not reach the leader
		clear(w.cut)
		for _, k := range nationsOf(f[1:]) {
			w.cut[k] = true
		}
	case "accuse": // accuse AUT CZE: these liars complain at every tick; nobody: no more
		clear(w.accuse)
		for _, k := range nationsOf(f[1:]) {
			w.accuse[k] = &treaty.Complaint{
				Term: w.term, Leader: w.leader, About: treaty.GrievanceRecord, Record: treaty.HashOf([]byte("made up")),
			}
		}
	case "resign": // the leader, a liar, resigns before these only
		w.route = func(_, to treaty.Nation) bool { return slices.Contains(f[1:], string(to)) }
		w.say(w.leader, treaty.Complaint{Term: w.term, Leader: w.leader, About: treaty.GrievanceTenure})
		w.deliver()
		w.route = func(_, _ treaty.Nation) bool { return true }
	case "pass":
		d, err := time.ParseDuration(f[1])
		if err != nil {
			return err
		}
		w.pass(d)
	default:
		return fmt.Errorf("unknown")
	}
	return nil
}
