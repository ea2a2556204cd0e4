package observe

import (
	"time"

	"truceline/treaty"
)

// Views are what the JSON API answers: derived from the ledger's entries, never signed themselves.

// VerdictView is one FINAL verdict and where to get what proves it.
type VerdictView struct {
	ID     treaty.Hash `json:"id"`
	Index  uint64      `json:"index"`
	Status string      `json:"status"` // FINAL or SUPERSEDED
	// SupersededBy is the id of the verdict that amends this one.
	SupersededBy treaty.Hash `json:"superseded_by,omitzero"`
	// Standing is the id of the earlier verdict on the same event that this INCONCLUSIVE left standing.
	Standing   treaty.Hash     `json:"standing,omitzero"`
	Exercise   bool            `json:"exercise"`
	Likelihood string          `json:"likelihood"` // ICD 203 word
	Verdict    *treaty.Verdict `json:"verdict"`
	// Misbehaviour names those of its attesting nations that are recorded for it, now, not when the verdict was reached.
	Misbehaviour []Notice `json:"misbehaviour,omitempty"`
	Links        Links    `json:"links"`
}

// Links are paths on this server.
type Links struct {
	Entry    string `json:"entry"`
	Proof    string `json:"proof"`
	Policy   string `json:"policy"`
	Incident string `json:"incident,omitempty"`
}

// VerdictList is a page of verdicts, newest first.
type VerdictList struct {
	Exercise bool          `json:"exercise"`
	Size     uint64        `json:"size"`
	Verdicts []VerdictView `json:"verdicts"`
	// Next is the path of the next, older page; empty when there is none.
	Next string `json:"next,omitempty"`
}

// RecordView is one FINAL record.
type RecordView struct {
	ID          treaty.Hash         `json:"id"`
	Index       uint64              `json:"index"`
	Nation      treaty.Nation       `json:"nation"`
	Time        treaty.Time         `json:"time"`
	Incident    *treaty.Incident    `json:"incident,omitempty"`
	Attestation *treaty.Attestation `json:"attestation,omitempty"`
	Remark      *treaty.Remark      `json:"remark,omitempty"`
}

// IncidentView is an incident with everything FINAL about it: Records[0] is the proposal.
type IncidentView struct {
	ID       treaty.Hash   `json:"id"`
	Exercise bool          `json:"exercise"`
	Records  []RecordView  `json:"records"`
	Verdicts []VerdictView `json:"verdicts"`
	// Next is the path of the next page of records; every page begins with the incident itself and has all verdicts.
	Next string `json:"next,omitempty"`
}

// CheckpointView is the last cosigned checkpoint.
type CheckpointView struct {
	Origin   string          `json:"origin"`
	Exercise bool            `json:"exercise"`
	Size     uint64          `json:"size"`
	Root     treaty.Hash     `json:"root"`
	Signers  []treaty.Nation `json:"signers"`
	Missing  []treaty.Nation `json:"missing"`
	Note     string          `json:"note"`
}

// NetworkView is who is in the network and how it is.
type NetworkView struct {
	Name     string             `json:"name"`
	Origin   string             `json:"origin"`
	Exercise bool               `json:"exercise"`
	Accord   treaty.Hash        `json:"accord"`
	Epoch    uint32             `json:"epoch"`
	N        int                `json:"n"`
	F        int                `json:"f"`
	Quorum   int                `json:"quorum"`
	Parties  []treaty.PartyInfo `json:"parties"`
	Lines    []treaty.Line      `json:"lines"`
	Zones    []treaty.Zone      `json:"zones"`
	Clauses  []treaty.Clause    `json:"clauses"`
	Members  []MemberView       `json:"members"`
	Node     NodeView           `json:"node"`
}

// MemberView is one guarantor as this node sees it.
type MemberView struct {
	Nation    treaty.Nation `json:"nation"`
	Name      string        `json:"name"`
	Connected bool          `json:"connected"`
	// LastSeq is the number of its last record in the ledger, LastTime its signed time.
	LastSeq uint64 `json:"last_seq"`
	// Refused counts messages of it that broke the protocol, by reason.
	Refused map[string]uint64 `json:"refused,omitempty"`
	Problem string            `json:"problem,omitempty"`
}

// NodeView is this node.
type NodeView struct {
	Nation        treaty.Nation `json:"nation"`
	Leader        string        `json:"leader"`
	Height        uint64        `json:"height"`
	Round         uint64        `json:"round"`
	FinalSize     uint64        `json:"final_size"`
	CosignedSize  uint64        `json:"cosigned_size"`
	TentativeSize uint64        `json:"tentative_size"`
	LedgerTime    treaty.Time   `json:"ledger_time,omitzero"`
	Waiting       int           `json:"records_waiting"`
	Uptime        time.Duration `json:"uptime_ns"`
	// Margin is how many more nations may fail before nothing becomes final: connected, this node included, less q.
	Margin        int             `json:"margin"`
	Equivocators  []treaty.Nation `json:"equivocators,omitempty"`
	Contradicting []treaty.Nation `json:"contradicting,omitempty"`
	Problem       string          `json:"problem,omitempty"`
}
