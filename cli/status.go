package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	ucli "github.com/urfave/cli/v2"

	"truceline/node"
	"truceline/node/observe"
	"truceline/node/peer"
	"truceline/treaty"
)

func nodeStatus(c *ucli.Context) error {
	if err := want(c, 0, 0, "no arguments"); err != nil {
		return err
	}
	cl, err := operatorClient(c)
	if err != nil {
		return err
	}
	var s node.Status
	if err := cl.read(c.Context, "/v1/status", &s); err != nil {
		return err
	}
	troubles := Troubles(&s)
	if c.Bool("json") {
		if err := printJSON(c, map[string]any{"status": s, "healthy": len(troubles) == 0, "troubles": troubles}); err != nil {
			return err
		}
	} else {
		for _, l := range StatusLines(&s, NewDisplay(c.App.Writer), time.Now()) {
			say(c, "%s\n", l)
		}
	}
	if len(troubles) > 0 {
		return errAnswerIsNo
	}
	return nil
}

// Trouble is something wrong and what its operator can do.
type Trouble struct {
	What string `json:"what"`
	Do   string `json:"do"`
}

// Troubles reads a status the way an operator should.
func Troubles(s *node.Status) []Trouble {
	out := []Trouble{}
	add := func(is bool, do, format string, args ...any) {
		if is {
			out = append(out, Trouble{printable(fmt.Sprintf(format, args...)), do})
		}
	}
	v := s.Network.Node
	add(v.Problem != "", "see the lines below; the node goes on by itself when the cause is gone", "%s", v.Problem)
	add(v.Margin == 0, "bring back the nations that are not connected", "no margin: one more nation lost, and nothing becomes FINAL")
	var away []string
	for _, p := range s.Peers {
		if !p.Connected {
			away = append(away, string(p.Nation))
		}
		add(!p.DroppedUntil.IsZero(), "tell that nation: its node breaks the protocol", "nothing is taken in from %s until %s: %s",
			p.Nation, p.DroppedUntil.UTC().Format(time.TimeOnly), p.LastViolation)
	}
	add(len(away) > 0, "check the addresses under peers in node.yaml, the network, and call those nations", "not connected: %s", strings.Join(away, ", "))
	add(len(v.Equivocators) > 0, "keep the evidence (it is in the log) and tell the other guarantors", "caught voting twice: %s", join(v.Equivocators))
	add(len(v.Contradicting) > 0, "tell the other guarantors", "attested to two things at once: %s", join(v.Contradicting))
	add(v.Margin >= 0 && v.TentativeSize > v.CosignedSize+1000, "look at disk and clock of this node; it is catching up, or finality stands still",
		"%d entries wait to become FINAL", v.TentativeSize-min(v.TentativeSize, v.CosignedSize))
	for _, src := range s.Sensors.Sources {
		add(!src.Connected && !src.Ended, "check the source in node.yaml and its sensor", "source %s is not connected: %s", src.ID, src.LastError)
	}
	add(s.Sensors.DeadLetters > 0, "see the reasons in the log; after mending, POST /v1/redrive", "%d sensor messages could not be read", s.Sensors.DeadLetters)
	return out
}

// StatusLines is a status for people.
func StatusLines(s *node.Status, d *Display, now time.Time) []string {
	n, v := s.Network, s.Network.Node
	var out []string
	line := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	line("%s of %s%s, accord %s, epoch %d, up %s", v.Nation, printable(n.Name), exerciseMark(n.Exercise), n.Accord.Short(), n.Epoch, v.Uptime.Round(time.Second))
	leader := printable(v.Leader)
	if leader == "" {
		leader = d.Paint(Bad, "none")
	}
	out = append(out, "")
	out = append(out, Table{Rows: [][]string{
		{"order", fmt.Sprintf("leader %s, term %d, entry %d", leader, s.Term, s.Index)},
		{"finality", fmt.Sprintf("FINAL %d, cosigned %d, tentative %d; height %d, round %d", v.FinalSize, v.CosignedSize, v.TentativeSize, v.Height, v.Round)},
		{"ledger time", ago(v.LedgerTime, now)},
		{"margin", margin(n, d)},
		{"waiting", fmt.Sprintf("%d records, %d for review", v.Waiting, s.Review)},
		{"sensors", fmt.Sprintf("%d detections accepted, %d duplicates, %d dead letters, %d not sealed yet", s.Sensors.Accepted, s.Sensors.Duplicates, s.Sensors.DeadLetters, s.Sensors.Pending)},
	}}.Lines(0)...)
	out = append(out, "")
	out = append(out, peerTable(s, d, now).Lines(0)...)
	troubles := Troubles(s)
	out = append(out, "")
	if len(troubles) == 0 {
		return append(out, d.Paint(Good, "Nothing is wrong."))
	}
	for _, t := range troubles {
		out = append(out, d.Paint(Bad, "! ")+t.What, "    "+t.Do)
	}
	return out
}

func margin(n observe.NetworkView, d *Display) string {
	m := n.Node.Margin
	s := fmt.Sprintf("%d connected of %d, quorum %d: ", m+n.Quorum, n.N, n.Quorum)
	switch {
	case m < 0:
		return s + d.Paint(Bad, "nothing can become FINAL")
	case m == 0:
		return s + d.Paint(Warn, "none may fail")
	}
	return s + fmt.Sprintf("%d more may fail", m)
}

// ago is a time as people ask for it.
func ago(t treaty.Time, now time.Time) string {
	if t == 0 {
		return "-"
	}
	return t.Std().Format(time.RFC3339) + " (" + since(now.Sub(t.Std())) + ")"
}

func since(d time.Duration) string {
	if d < 0 {
		return "in " + (-d).Round(time.Second).String()
	}
	return d.Round(time.Second).String() + " ago"
}

func peerTable(s *node.Status, d *Display, now time.Time) Table {
	byNation := map[treaty.Nation]peer.PeerStatus{}
	for _, p := range s.Peers {
		byNation[p.Nation] = p
	}
	t := Table{Head: []string{"nation", "connected", "by", "round trip", "since", "last record", "queued", "refused", "problem"}}
	for _, m := range s.Network.Members {
		p, ok := byNation[m.Nation]
		if !ok { // this node itself
			t.Rows = append(t.Rows, []string{string(m.Nation), "this node", "", "", "", fmt.Sprint(m.LastSeq), "", "", ""})
			continue
		}
		up, rtt, last := d.Paint(Good, "yes"), p.RTT.Round(100*time.Microsecond).String(), "never"
		if !p.Connected {
			up, rtt = d.Paint(Bad, "no"), "-"
		}
		if !p.Since.IsZero() {
			last = since(now.Sub(p.Since))
		}
		queued, lost := 0, uint64(0)
		for _, q := range p.Queues {
			queued, lost = queued+q.Queued, lost+q.Dropped
		}
		waiting := fmt.Sprint(queued)
		if lost > 0 {
			waiting += fmt.Sprintf(" (%d given up)", lost)
		}
		t.Rows = append(t.Rows, []string{
			string(m.Nation), up, printable(p.Transport), rtt, last, fmt.Sprint(m.LastSeq), waiting, refusals(m.Refused), printable(m.Problem),
		})
	}
	return t
}

// refusals lists refused messages by reason.
func refusals(by map[string]uint64) string {
	if len(by) == 0 {
		return "-"
	}
	var out []string
	for _, reason := range slices.Sorted(maps.Keys(by)) {
		out = append(out, fmt.Sprintf("%d %s", by[reason], printable(reason)))
	}
	return strings.Join(out, ", ")
}
