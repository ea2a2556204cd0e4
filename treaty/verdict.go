package treaty

import "fmt"

// Dissent is a nation whose finding differs from the verdict's.
type Dissent struct {
	Nation  Nation  `cbor:"1,keyasint" json:"nation"`
	Finding Finding `cbor:"2,keyasint" json:"finding"`
	Party   Party   `cbor:"3,keyasint,omitempty" json:"party,omitempty"`
}

// Verdict is the deterministic result of counting attestations under the accord. It is derived by every node's tally,
// not signed by anyone: the nations' cosignatures over the ledger that holds it are what makes it final.
type Verdict struct {
	Incident Hash `cbor:"1,keyasint" json:"incident"` // record id of the incident judged
	// Amends is the id of the verdict that this one supersedes, zero for a first one.
	Amends  Hash     `cbor:"2,keyasint,omitzero" json:"amends,omitzero"`
	Outcome Finding  `cbor:"3,keyasint" json:"outcome"`
	Party   Party    `cbor:"4,keyasint,omitempty" json:"party,omitempty"`  // set exactly for Breach
	Clause  ClauseID `cbor:"5,keyasint,omitempty" json:"clause,omitempty"` // deepest clause with q votes; set exactly for Breach
	// Class is the class most attesters name. Time, Position and Likelihood are lower medians over the nations that
	// agree with the outcome; with no quorum, over all that attested.
	Class      EventClass `cbor:"6,keyasint" json:"class"`
	Time       Time       `cbor:"7,keyasint" json:"time"`
	Position   Position   `cbor:"8,keyasint" json:"position"`
	Likelihood PPM        `cbor:"9,keyasint" json:"likelihood_ppm"`
	Confidence Confidence `cbor:"10,keyasint" json:"confidence"`
	Attesters  []Nation   `cbor:"11,keyasint" json:"attesters"` // agree with the outcome, rising
	Dissents   []Dissent  `cbor:"12,keyasint" json:"dissents"`  // by nation, rising
	Missing    []Nation   `cbor:"13,keyasint" json:"missing"`   // have not attested, rising
	// Independent are the nations whose evidence carries the finding and was sealed before it could be copied, rising.
	Independent []Nation   `cbor:"14,keyasint" json:"independent"`
	Modalities  []Modality `cbor:"15,keyasint" json:"modalities"`
	Resilience  uint32     `cbor:"16,keyasint" json:"resilience"`
	Reasons     []Reason   `cbor:"17,keyasint" json:"reasons"`
	// LedgerTime is the ledger's time at which the count was decided.
	LedgerTime Time `cbor:"18,keyasint" json:"ledger_time"`
	Exercise   bool `cbor:"19,keyasint,omitempty" json:"exercise,omitempty"`
	// Summary is one plain sentence in English.
	Summary string `cbor:"20,keyasint" json:"summary"`
}

// TypeVerdict marks a verdict's ledger entry.
const TypeVerdict ContentType = "application/vnd.truceline.verdict-v1+cbor"

// derived is the ledger entry of what the tally derives: not signed, so not COSE.
type derived struct {
	_      struct{} `cbor:",toarray"`
	Type   ContentType
	Accord Hash
	Epoch  uint32
	Body   rawMessage
}

// VerdictEntry is a verdict's ledger entry; its SHA-256 is the verdict's id.
func (n *Network) VerdictEntry(v *Verdict) []byte {
	return Encode(derived{Type: TypeVerdict, Accord: n.Digest, Epoch: n.Accord.Epoch, Body: Encode(v)})
}

// ParseVerdict reads a verdict's ledger entry of this network.
func (n *Network) ParseVerdict(entry []byte) (*Verdict, error) {
	var d derived
	if err := Decode(entry, MaxRecord, &d); err != nil {
		return nil, err
	}
	if d.Type != TypeVerdict {
		return nil, fmt.Errorf("%w: %q is no verdict", ErrMalformed, d.Type)
	}
	if d.Accord != n.Digest || d.Epoch != n.Accord.Epoch {
		return nil, fmt.Errorf("%w: verdict under accord %s epoch %d", ErrWrongAccord, d.Accord.Short(), d.Epoch)
	}
	return parseVerdictBody(d.Body)
}

func parseVerdictBody(b []byte) (*Verdict, error) {
	v := new(Verdict)
	if err := Decode(b, MaxPayload, v); err != nil {
		return nil, err
	}
	if !v.Outcome.Valid() {
		return nil, fmt.Errorf("%w: verdict without outcome", ErrMalformed)
	}
	return v, nil
}

// PeekVerdict reads a verdict's ledger entry without knowing the network: what an observer does who holds the entry,
// its proof and a policy and no accord. The proof under the policy is what binds it.
func PeekVerdict(entry []byte) (v *Verdict, accord Hash, epoch uint32, err error) {
	var d derived
	if err := Decode(entry, MaxRecord, &d); err != nil {
		return nil, Hash{}, 0, err
	}
	if d.Type != TypeVerdict {
		return nil, Hash{}, 0, fmt.Errorf("%w: the entry is %q, not a verdict", ErrMalformed, d.Type)
	}
	v, err = parseVerdictBody(d.Body)
	return v, d.Accord, d.Epoch, err
}

// IsVerdict says whether a ledger entry is a verdict (and not a signed record), by its first bytes.
func IsVerdict(entry []byte) bool { return len(entry) > 0 && entry[0] != tag18 }
