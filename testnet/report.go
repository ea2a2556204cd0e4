package testnet

import (
	"math"
	"slices"
	"time"

	"truceline/testnet/feed"
	"truceline/treaty"
)

// Report is what a played night came to.
type Report struct {
	Scenario string        `json:"scenario"`
	Seed     uint64        `json:"seed"`
	Took     time.Duration `json:"took_ns"`
	Events   int           `json:"events"`

	// Table is what happened and what was decided.
	Table *feed.Table `json:"table"`
	// Final is from an event to its verdict being FINAL; Beyond the same from when its sound had reached the farthest
	// sensor that could hear it. Both in the sensor clock's time, which a sped-up run stretches the network's part of.
	Final  Spread `json:"event_to_final"`
	Beyond Spread `json:"beyond_the_sound"`

	Outcome
}

// Outcome is what must hold of any run, whatever was played.
type Outcome struct {
	Speed   float64         `json:"speed"`
	Nations int             `json:"nations"`
	Faulty  int             `json:"may_lie"`
	Quorum  int             `json:"quorum"`
	Down    []treaty.Nation `json:"down,omitempty"` // nodes that were down at the end

	Proofs Proven `json:"proofs"`
	// Violations are what Check found.
	Violations []string `json:"violations,omitempty"`
}

// Sound says that every verdict verified and that all nations hold one ledger.
func (o *Outcome) Sound() bool {
	return o.Proofs.Verified == o.Proofs.Verdicts && len(o.Violations) == 0
}

// Spread is a distribution of durations.
type Spread struct {
	N   int           `json:"n"`
	P50 time.Duration `json:"p50_ns"`
	P99 time.Duration `json:"p99_ns"`
}

func spreadOf(ds []time.Duration) Spread {
	if len(ds) == 0 {
		return Spread{}
	}
	slices.Sort(ds)
	at := func(p float64) time.Duration { return ds[min(len(ds)-1, max(0, int(math.Ceil(p*float64(len(ds))))-1))] }
	return Spread{N: len(ds), P50: at(0.50), P99: at(0.99)}
}

func (r *Report) measure() {
	var final, beyond []time.Duration
	for _, row := range r.Table.Rows {
		if row.Event != nil && row.Verdict != nil && row.Verdict.Final != 0 {
			final = append(final, row.Verdict.Final.Sub(row.Event.Time))
			beyond = append(beyond, row.Beyond)
		}
	}
	r.Final, r.Beyond = spreadOf(final), spreadOf(beyond)
}

// OK says that nobody was shown what is not so: no wrong verdict, none that does not verify, no two ledgers.
func (r *Report) OK() bool {
	return r.Table.OK() && r.Sound()
}
