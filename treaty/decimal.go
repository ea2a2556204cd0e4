package treaty

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// parseDecimal reads a plain decimal number as an integer count of 10^-places, from its digits: no float is involved,
// so that every nation that reads one file gets one accord. With round, digits beyond the last place round half away
// from zero (maps carry fifteen); without, they must be zeros.
func parseDecimal(s string, places int, round bool) (int64, error) {
	digits, negative := strings.CutPrefix(s, "-")
	whole, frac, dot := strings.Cut(digits, ".")
	if whole == "" || dot && frac == "" || !onlyDigits(whole) || !onlyDigits(frac) {
		return 0, fmt.Errorf("%q is not a plain decimal number such as 48.0123", s)
	}
	rest := ""
	if len(frac) > places {
		frac, rest = frac[:places], frac[places:]
	}
	if !round && strings.Trim(rest, "0") != "" {
		return 0, fmt.Errorf("%q has more than %d decimal places", s, places)
	}
	v, err := strconv.ParseInt(whole+frac+strings.Repeat("0", places-len(frac)), 10, 64)
	if err != nil || v == math.MaxInt64 {
		return 0, fmt.Errorf("%q is too large", s)
	}
	if rest != "" && rest[0] >= '5' {
		v++
	}
	if negative {
		v = -v
	}
	return v, nil
}

// formatDecimal is the shortest plain decimal of v * 10^-places; parseDecimal reads it back exactly.
func formatDecimal(v int64, places int) string {
	sign, u := "", uint64(v)
	if v < 0 {
		sign, u = "-", -u
	}
	s := strconv.FormatUint(u, 10)
	if len(s) <= places {
		s = strings.Repeat("0", places-len(s)+1) + s
	}
	whole, frac := s[:len(s)-places], strings.TrimRight(s[len(s)-places:], "0")
	if frac == "" {
		return sign + whole
	}
	return sign + whole + "." + frac
}

func onlyDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }
