package node

import (
	"slices"
	"time"

	"truceline/consensus/ledger"
	"truceline/node/observe"
	"truceline/node/peer"
	"truceline/sensorio"
	"truceline/treaty"
)

// Status is everything an operator wants to see at once.
type Status struct {
	Network observe.NetworkView          `json:"network"`
	Peers   []peer.PeerStatus            `json:"peers"`
	Sensors sensorio.Stats               `json:"sensors"`
	Refused map[string]map[string]uint64 `json:"refused"` // frames of the order, by peer and reason
	Review  int                          `json:"review_waiting"`
	Term    uint64                       `json:"order_term"`
	Index   uint64                       `json:"order_index"`
	First   uint64                       `json:"order_first"`    // oldest entry of the order that is kept
	Open    int                          `json:"open_incidents"` // that are being decided
	Lead    LeadStatus                   `json:"order_lead"`
}

// Status is this node's.
func (n *Node) Status() Status {
	s := Status{
		Network: n.Network(), Peers: n.mesh.Status(), Sensors: n.intake.Stats(), Refused: n.group.Refused(),
		Term: n.group.Term(), Index: n.group.LastIndex(), Lead: n.deposer.state(),
	}
	s.First, _ = n.logs.FirstIndex() // it cannot fail
	n.ledger.With(func(live ledger.Machine, _ uint64) {
		for _, v := range live.(tallyMachine).Incidents() {
			if v.Open() {
				s.Open++
			}
		}
	})
	for _, err := range n.store.Reviews() {
		if err != nil {
			break
		}
		s.Review++
	}
	return s
}

// Network is the public view of the network and of this node.
func (n *Node) Network() observe.NetworkView {
	a := n.cfg.Net.Accord
	leader, _ := n.group.Leader()
	waiting, _ := n.pool.Len()
	v := observe.NetworkView{
		Name: a.Name, Origin: a.Origin, Exercise: a.Exercise, Accord: n.cfg.Net.Digest, Epoch: a.Epoch,
		N: n.cfg.Net.N, F: n.cfg.Net.F, Quorum: n.cfg.Net.Q, Parties: a.Parties, Lines: a.Lines, Zones: a.Zones, Clauses: a.Clauses,
		Node: observe.NodeView{
			Nation: n.cfg.Nation, Leader: leader, Height: n.final.height.Load(), Round: n.final.round.Load(),
			FinalSize: n.ledger.FinalSize(), CosignedSize: n.ledger.CosignedSize(), TentativeSize: n.ledger.Frontier().Size,
			LedgerTime: n.ledger.FinalLedgerTime(), Waiting: waiting, Uptime: time.Since(n.started).Round(time.Millisecond),
		},
	}
	connected := append(n.mesh.Connected(), n.cfg.Nation)
	v.Node.Margin = len(connected) - n.cfg.Net.Q
	byNation := map[treaty.Nation]peer.PeerStatus{}
	for _, p := range n.mesh.Status() {
		byNation[p.Nation] = p
	}
	refused := n.group.Refused()
	n.ledger.With(func(live ledger.Machine, _ uint64) {
		t := live.(tallyMachine)
		for _, g := range n.cfg.Net.Members() {
			m := observe.MemberView{
				Nation: g.Nation, Name: g.Name, Connected: slices.Contains(connected, g.Nation), LastSeq: t.LastSeq(g.Nation),
				Refused: map[string]uint64{},
			}
			for reason, k := range refused[string(g.Nation)] {
				m.Refused["order: "+reason] = k
			}
			if p := byNation[g.Nation]; p.Violations > 0 {
				m.Refused["mesh: "+p.LastViolation] = p.Violations
			}
			if p := byNation[g.Nation]; !m.Connected {
				m.Problem = "not connected"
				if p.LastError != "" {
					m.Problem += ": " + p.LastError
				}
			}
			if k, _ := t.Contradictions(g.Nation); k > 0 {
				v.Node.Contradicting = append(v.Node.Contradicting, g.Nation)
			}
			v.Members = append(v.Members, m)
		}
	})
	if es := n.final.equivocators.Load(); es != nil {
		for _, e := range *es {
			if !slices.Contains(v.Node.Equivocators, e.Nation) {
				v.Node.Equivocators = append(v.Node.Equivocators, e.Nation)
			}
		}
		slices.Sort(v.Node.Equivocators)
	}
	switch err := n.ledger.Stalled(); {
	case err != nil:
		v.Node.Problem = "the ledger is stalled: " + err.Error()
	case v.Node.Margin < 0:
		v.Node.Problem = "too few nations are connected for anything to become final"
	case leader == "":
		v.Node.Problem = "the order has no leader"
	}
	return v
}
