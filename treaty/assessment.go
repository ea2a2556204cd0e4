package treaty

import (
	"fmt"
	"slices"
)

// Incident proposes that some detections, from any nations, are one event to be judged.
type Incident struct {
	// Time and Position are the proposer's estimate of the origin, for people; nobody is bound by them.
	Time     Time       `cbor:"1,keyasint" json:"time"`
	Position Position   `cbor:"2,keyasint" json:"position"`
	Class    EventClass `cbor:"3,keyasint" json:"class"`
	Cites    Cites      `cbor:"4,keyasint" json:"cites"`
	// Amends is the incident that this one reopens with evidence that came late; zero for a new event.
	Amends Hash `cbor:"5,keyasint,omitzero" json:"amends,omitzero"`
}

// Check bounds an incident.
func (i *Incident) Check() error {
	if err := i.Position.Check(); err != nil {
		return err
	}
	if i.Time <= 0 || !i.Class.Valid() {
		return fmt.Errorf("%w: incident without time or class", ErrMalformed)
	}
	return i.Cites.Check()
}

// ClauseID is a node of the accord's clause tree, dotted: "2.1" lies below "2". Empty means none.
type ClauseID string

// PartyOdds is the probability that the event's place was under each party's control, or under neither's. Sums to
// Certain.
type PartyOdds struct {
	A       PPM `cbor:"1,keyasint" json:"a_ppm"`
	B       PPM `cbor:"2,keyasint" json:"b_ppm"`
	Neither PPM `cbor:"3,keyasint" json:"neither_ppm"`
}

// Assessment is what one nation's own computation says. Likelihood and confidence are kept apart (ICD 203).
type Assessment struct {
	Finding Finding `cbor:"1,keyasint" json:"finding"`
	// Party is who is responsible; set exactly when Finding is Breach.
	Party Party `cbor:"2,keyasint,omitempty" json:"party,omitempty"`
	// Clause is the deepest clause broken; set exactly when Finding is Breach.
	Clause     ClauseID   `cbor:"3,keyasint,omitempty" json:"clause,omitempty"`
	Class      EventClass `cbor:"4,keyasint" json:"class"`
	Time       Time       `cbor:"5,keyasint" json:"time"`
	Position   Position   `cbor:"6,keyasint" json:"position"`
	Covariance Covariance `cbor:"7,keyasint" json:"covariance"`
	// Likelihood is the probability that the accord was broken by Party (for NoBreach: that it was not broken).
	Likelihood PPM        `cbor:"8,keyasint" json:"likelihood_ppm"`
	Confidence Confidence `cbor:"9,keyasint" json:"confidence"`
	Control    PartyOdds  `cbor:"10,keyasint" json:"control"`
	// Contributors are the nations whose detections the finding rests on, sorted.
	Contributors []Nation   `cbor:"11,keyasint" json:"contributors"`
	Modalities   []Modality `cbor:"12,keyasint" json:"modalities"` // rising
	// Resilience is the e for which the finding was tested to stay the same without any e contributors.
	Resilience uint32   `cbor:"13,keyasint" json:"resilience"`
	Reasons    []Reason `cbor:"14,keyasint" json:"reasons"` // rising
	// Cites are the detections that the finding rests on.
	Cites Cites `cbor:"15,keyasint" json:"cites"`
	// Method names the code and parameters that computed it, for later audit.
	Method string `cbor:"16,keyasint" json:"method"`
}

// Check bounds an assessment and holds it to its own rules.
func (a *Assessment) Check() error {
	switch {
	case !a.Finding.Valid() || !a.Class.Valid() || !a.Confidence.Valid():
		return fmt.Errorf("%w: assessment without finding, class or confidence", ErrMalformed)
	case (a.Finding == Breach) != (a.Party != ""), (a.Finding == Breach) != (a.Clause != ""):
		return fmt.Errorf("%w: a breach names a party and a clause, nothing else does", ErrMalformed)
	case a.Time <= 0:
		return fmt.Errorf("%w: assessment without time", ErrMalformed)
	case a.Likelihood > Certain:
		return fmt.Errorf("%w: likelihood %d ppm", ErrMalformed, a.Likelihood)
	case uint64(a.Control.A)+uint64(a.Control.B)+uint64(a.Control.Neither) != uint64(Certain):
		return fmt.Errorf("%w: control probabilities do not sum to one", ErrMalformed)
	case len(a.Contributors) > MaxNations || len(a.Modalities) > MaxReasons || len(a.Reasons) > MaxReasons:
		return fmt.Errorf("%w: assessment lists", ErrTooLarge)
	case !risingBy(a.Contributors) || !risingBy(a.Modalities) || !risingBy(a.Reasons):
		return fmt.Errorf("%w: assessment lists are not in rising order", ErrMalformed)
	case slices.ContainsFunc(a.Contributors, func(n Nation) bool { return !n.Valid() }),
		slices.ContainsFunc(a.Modalities, func(m Modality) bool { return !m.Valid() }),
		slices.ContainsFunc(a.Reasons, func(r Reason) bool { return !r.Valid() }):
		return fmt.Errorf("%w: assessment lists an unknown value", ErrMalformed)
	}
	for _, t := range []struct{ name, s string }{
		{"party", string(a.Party)}, {"clause", string(a.Clause)}, {"method", a.Method},
	} {
		if err := checkText(t.name, t.s, MaxName); err != nil {
			return err
		}
	}
	if err := a.Position.Check(); err != nil {
		return err
	}
	if err := a.Covariance.Check(); err != nil {
		return err
	}
	return a.Cites.Check()
}

func risingBy[T ~string | ~uint8](s []T) bool {
	for i := 1; i < len(s); i++ {
		if s[i-1] >= s[i] {
			return false
		}
	}
	return true
}

// Attestation is an assessment of one incident, signed by the nation: automatically, or by its duty officer.
type Attestation struct {
	Incident   Hash       `cbor:"1,keyasint" json:"incident"`
	Assessment Assessment `cbor:"2,keyasint" json:"assessment"`
	// Reviewed says that a duty officer approved or changed it.
	Reviewed bool `cbor:"3,keyasint,omitempty" json:"reviewed,omitempty"`
}

// Check bounds an attestation.
func (a *Attestation) Check() error {
	if a.Incident.IsZero() {
		return fmt.Errorf("%w: attestation without incident", ErrMalformed)
	}
	return a.Assessment.Check()
}

// Remark is a nation's signed statement about something in the ledger, or about nothing in particular (zero About).
type Remark struct {
	About Hash   `cbor:"1,keyasint,omitzero" json:"about,omitzero"`
	Text  string `cbor:"2,keyasint" json:"text"`
}

// Check bounds a remark.
func (r *Remark) Check() error {
	if r.Text == "" {
		return fmt.Errorf("%w: empty remark", ErrMalformed)
	}
	return checkText("remark", r.Text, MaxText)
}
