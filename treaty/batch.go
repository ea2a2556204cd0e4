package treaty

import (
	"fmt"
	"time"
)

// Window numbers the slices of ingest time: window k is [k*W, (k+1)*W) since 1970, W from the accord's policy.
type Window uint64

// WindowOf is the window that t lies in.
func WindowOf(t Time, w time.Duration) Window {
	if t < 0 {
		return 0
	}
	return Window(t / Time(w))
}

// End is the first instant after the window.
func (k Window) End(w time.Duration) Time { return Time(k+1) * Time(w) }

// Batch is what one nation's node took in during one window. Its SHA-256 is committed to by a Seal before anyone else
// may see it; the salt keeps a digest of few detections from being guessed.
type Batch struct {
	Accord     Hash        `cbor:"1,keyasint" json:"accord"`
	Nation     Nation      `cbor:"2,keyasint" json:"nation"`
	Window     Window      `cbor:"3,keyasint" json:"window"`
	Salt       Hash        `cbor:"4,keyasint" json:"salt"`
	Detections []Detection `cbor:"5,keyasint" json:"detections"`
}

// Digest is the SHA-256 of the batch's one encoding.
func (b *Batch) Digest() Hash { return HashOf(Encode(b)) }

// DecodeBatch reads and checks a revealed batch. Whether it belongs to a seal is the caller's question: compare
// HashOf(bytes) with the seal's digest.
func DecodeBatch(raw []byte) (*Batch, error) {
	b := new(Batch)
	if err := Decode(raw, MaxBatch, b); err != nil {
		return nil, err
	}
	return b, b.Check()
}

// Check bounds a batch and every detection in it.
func (b *Batch) Check() error {
	switch {
	case !b.Nation.Valid():
		return fmt.Errorf("%w: batch of nation %q", ErrMalformed, b.Nation)
	case b.Salt.IsZero():
		return fmt.Errorf("%w: batch without salt", ErrMalformed)
	case len(b.Detections) == 0:
		return fmt.Errorf("%w: batch without detections (an empty window has a seal and no batch)", ErrMalformed)
	case len(b.Detections) > MaxDetections:
		return fmt.Errorf("%w: batch of %d detections, at most %d", ErrTooLarge, len(b.Detections), MaxDetections)
	}
	for i := range b.Detections {
		if err := b.Detections[i].Check(); err != nil {
			return fmt.Errorf("batch of %s, window %d, detection %d: %w", b.Nation, b.Window, i, err)
		}
	}
	return nil
}

// Seal commits its author to the batch of one window, or to having heard nothing (Count 0, Digest zero).
type Seal struct {
	Window Window `cbor:"1,keyasint" json:"window"`
	Digest Hash   `cbor:"2,keyasint" json:"digest"`
	Count  uint32 `cbor:"3,keyasint" json:"count"`
	// Prev is the record id of this nation's previous seal, zero for its first.
	Prev Hash `cbor:"4,keyasint" json:"prev"`
}

// Check bounds a seal.
func (s *Seal) Check() error {
	if s.Count > MaxDetections {
		return fmt.Errorf("%w: seal of %d detections, at most %d", ErrTooLarge, s.Count, MaxDetections)
	}
	if (s.Count == 0) != s.Digest.IsZero() {
		return fmt.Errorf("%w: a seal has a digest exactly when it has detections", ErrMalformed)
	}
	return nil
}

// Ref names one detection in the ledger: the seal it was committed by, and its index in that batch.
type Ref struct {
	Seal  Hash
	Index uint32
}

// Cites names detections, grouped by seal: seals in rising order of their bytes, indexes rising. Made by NewCites.
type Cites []SealCite

// SealCite is the cited detections of one sealed batch.
type SealCite struct {
	Seal    Hash     `cbor:"1,keyasint" json:"seal"`
	Indexes []uint32 `cbor:"2,keyasint" json:"indexes"`
}

// Check bounds cites and their order.
func (c Cites) Check() error {
	if len(c) == 0 {
		return fmt.Errorf("%w: nothing is cited", ErrMalformed)
	}
	if len(c) > MaxCitedSeals {
		return fmt.Errorf("%w: %d seals cited, at most %d", ErrTooLarge, len(c), MaxCitedSeals)
	}
	n := 0
	for i, s := range c {
		if i > 0 && compareHash(c[i-1].Seal, s.Seal) >= 0 {
			return fmt.Errorf("%w: cited seals are not in rising order", ErrMalformed)
		}
		if len(s.Indexes) == 0 {
			return fmt.Errorf("%w: a cited seal without indexes", ErrMalformed)
		}
		for j, x := range s.Indexes {
			if j > 0 && s.Indexes[j-1] >= x || x >= MaxDetections {
				return fmt.Errorf("%w: cited indexes are not in rising order below %d", ErrMalformed, MaxDetections)
			}
		}
		n += len(s.Indexes)
	}
	if n > MaxCites {
		return fmt.Errorf("%w: %d detections cited, at most %d", ErrTooLarge, n, MaxCites)
	}
	return nil
}
