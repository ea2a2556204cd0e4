package ndjson

import (
	"math/bits"
	"strconv"
	"strings"
)

// decimal reads a JSON number as an integer count of 10^-places, from its digits: no float is involved. Digits beyond the
// last place are rounded half away from zero. ok is false when it does not fit.
func decimal(s string, places int) (v int64, ok bool) {
	digits, negative := strings.CutPrefix(s, "-")
	exp := 0
	if i := strings.IndexAny(digits, "eE"); i >= 0 {
		exp, _ = strconv.Atoi(strings.TrimPrefix(digits[i+1:], "+"))
		digits = digits[:i]
	}
	whole, frac, _ := strings.Cut(digits, ".")
	digits = whole + frac
	shift := exp + places - len(frac) // value = digits * 10^shift, in steps
	digits = strings.TrimLeft(digits, "0")
	if digits == "" {
		return 0, true
	}
	up := false
	if shift < 0 {
		cut := len(digits) + shift // digits that stay
		if cut < 0 {
			return 0, true
		}
		up = digits[cut] >= '5'
		digits = digits[:cut]
	} else if len(digits)+shift > 18 {
		return 0, false
	} else {
		digits += strings.Repeat("0", shift)
	}
	if len(digits) > 18 {
		return 0, false
	}
	if digits != "" {
		v, _ = strconv.ParseInt(digits, 10, 64) // at most 18 digits
	}
	if up {
		v++
	}
	if negative {
		v = -v
	}
	return v, true
}

// appendDecimal writes the shortest plain decimal of v * 10^-places; decimal reads it back exactly.
func appendDecimal(b []byte, v int64, places int) []byte {
	u := uint64(v)
	if v < 0 {
		b, u = append(b, '-'), -u
	}
	s := strconv.FormatUint(u, 10)
	if len(s) <= places {
		s = strings.Repeat("0", places-len(s)+1) + s
	}
	b = append(b, s[:len(s)-places]...)
	if frac := strings.TrimRight(s[len(s)-places:], "0"); frac != "" {
		b = append(append(b, '.'), frac...)
	}
	return b
}

// A microradian is 180/(1e6*pi) degrees. Both ways are integer multiplications with a ratio of 15 digits, so that every
// machine gets the same integer.
const (
	uradPerDeg  = 17_453_292_519_943  // 1e-9 urad per degree
	degPerUrad  = 572_957_795_130_823 // 1e-19 degree per urad
	degDecimals = 7                   // enough to tell microradians apart
)

// urad converts 1e-9 degrees.
func urad(nanoDeg int64) (int64, bool) { return mulDiv(nanoDeg, uradPerDeg, 1_000_000_000_000_000_000) }

// degE7 converts to 1e-7 degrees.
func degE7(urad int64) (int64, bool) { return mulDiv(urad, degPerUrad, 1_000_000_000_000) }

// mulDiv is a*m/d, rounded half away from zero. ok is false when it does not fit.
func mulDiv(a int64, m, d uint64) (int64, bool) {
	u := uint64(a)
	if a < 0 {
		u = -u
	}
	hi, lo := bits.Mul64(u, m)
	lo, carry := bits.Add64(lo, d/2, 0)
	hi += carry
	if hi >= d {
		return 0, false
	}
	q, _ := bits.Div64(hi, lo, d)
	if q > 1<<62 {
		return 0, false
	}
	if a < 0 {
		return -int64(q), true
	}
	return int64(q), true
}
