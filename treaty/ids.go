package treaty

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// Hash is a SHA-256 digest. Its zero value means "none".
type Hash [32]byte

// HashOf is SHA-256 of b.
func HashOf(b []byte) Hash { return sha256.Sum256(b) }

// IsZero says whether h names nothing.
func (h Hash) IsZero() bool { return h == Hash{} }

// String is lower-case hexadecimal, 64 characters.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Short is the first 12 hexadecimal characters: for people, never for comparison.
func (h Hash) Short() string { return hex.EncodeToString(h[:6]) }

// MarshalText writes the JSON view of a digest.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads 64 hexadecimal characters.
func (h *Hash) UnmarshalText(b []byte) error {
	if len(b) != 2*len(h) {
		return fmt.Errorf("%w: a digest is %d hexadecimal characters, this has %d", ErrMalformed, 2*len(h), len(b))
	}
	if _, err := hex.Decode(h[:], b); err != nil {
		return fmt.Errorf("%w: digest: %v", ErrMalformed, err)
	}
	return nil
}

// ParseHash reads 64 hexadecimal characters.
func ParseHash(s string) (h Hash, err error) {
	err = h.UnmarshalText([]byte(s))
	return h, err
}

// Nation is a guarantor: an ISO 3166-1 alpha-3 code such as "POL". One node, one vote.
type Nation string

// Valid says whether n is three capital letters.
func (n Nation) Valid() bool {
	if len(n) != 3 {
		return false
	}
	for i := range len(n) {
		if n[i] < 'A' || n[i] > 'Z' {
			return false
		}
	}
	return true
}

// Party is a side of the conflict that can be found responsible: a short code of the accord, such as "A".
// The empty Party means nobody.
type Party string

// Time is a point in UTC, nanoseconds since 1970-01-01. Signed bytes carry no other kind of time.
type Time int64

// TimeOf converts a clock reading.
func TimeOf(t time.Time) Time { return Time(t.UnixNano()) }

// Std converts to the standard library's time, in UTC.
func (t Time) Std() time.Time { return time.Unix(0, int64(t)).UTC() }

// Add moves t by d.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

// Sub is the time from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// String is RFC 3339 with nanoseconds.
func (t Time) String() string { return t.Std().Format(time.RFC3339Nano) }

// MarshalText writes the JSON view of a time.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads RFC 3339.
func (t *Time) UnmarshalText(b []byte) error {
	s, err := time.Parse(time.RFC3339Nano, string(b))
	if err != nil {
		return fmt.Errorf("%w: time: %v", ErrMalformed, err)
	}
	if y := s.Year(); y < 1971 || y > 2200 {
		return fmt.Errorf("%w: time %s is outside the years 1971 to 2200", ErrMalformed, b)
	}
	*t = TimeOf(s)
	return nil
}

// PPM is a probability in millionths: 0 to 1,000,000.
type PPM uint32

// Certain is the PPM of probability one.
const Certain PPM = 1_000_000

// Float is the probability as a number from 0 to 1, for display and for computing outside of signed bytes.
func (p PPM) Float() float64 { return float64(p) / float64(Certain) }

// PPMOf rounds a probability to millionths, clamping it to [0, 1]. NaN is 0.
func PPMOf(p float64) PPM {
	if !(p > 0) {
		return 0
	}
	if p >= 1 {
		return Certain
	}
	return PPM(float64(p*float64(Certain)) + 0.5) // the conversion keeps every CPU from fusing the two
}
