package attribution

import "math"

// Elementary functions of our own. math.Exp, Log, Sin and Erfc have assembly or fused versions that differ in the last
// bit between processors; these use only +, -, *, / and Sqrt, which IEEE 754 fixes, with every product rounded before
// it is added. What is left after that would be harmless anyway: results are rounded to integers, and the accord's
// guard band turns anything near a threshold into INCONCLUSIVE.

// sq is a*a, rounded.
func sq(a float64) float64 { return float64(a * a) }

// mul is a*b, rounded, so that it cannot be fused with a sum.
func mul(a, b float64) float64 { return float64(a * b) }

// norm3 is the length of a vector.
func norm3(x, y, z float64) float64 { return math.Sqrt(sq(x) + sq(y) + sq(z)) }

const (
	ln2Hi = 6.93147180369123816490e-01
	ln2Lo = 1.90821492927058770002e-10
	sqrt2 = 1.41421356237309504880
)

// exp is e^x for |x| < 700, clamped outside.
func exp(x float64) float64 {
	if !(x > -700) {
		return 0
	}
	if x > 700 {
		x = 700
	}
	k := math.Floor(float64(x*(1/math.Ln2)) + 0.5)
	r := x - float64(k*ln2Hi) - float64(k*ln2Lo)
	// Taylor to r^13: |r| < 0.35, error below 1e-17.
	s := 1.0
	for i := 13; i >= 1; i-- {
		s = 1 + float64(s*r)/float64(i)
	}
	return math.Ldexp(s, int(k))
}

// log is the natural logarithm; 0 and below give -745.
func log(x float64) float64 {
	if !(x > 0) {
		return -745
	}
	f, k := math.Frexp(x)
	if f < sqrt2/2 {
		f, k = f+f, k-1
	}
	z := (f - 1) / (f + 1)
	z2 := sq(z)
	s := 0.0
	for i := 25; i >= 1; i -= 2 {
		s = 1/float64(i) + float64(s*z2)
	}
	return float64(2*z*s) + float64(float64(k)*ln2Hi) + float64(float64(k)*ln2Lo)
}

// sincos of an angle in radians, |a| at most a few turns.
func sincos(a float64) (s, c float64) {
	q := math.Floor(float64(a*(2/math.Pi)) + 0.5)
	r := a - float64(q*1.57079632673412561417e+00) - float64(q*6.07710050650619224932e-11)
	r2 := sq(r)
	s, c = 1.0, 1.0
	for i := 10; i >= 1; i-- {
		d := float64(i + i)
		s = 1 - float64(s*r2)/float64(d*(d+1))
		c = 1 - float64(c*r2)/float64(d*(d-1))
	}
	s = float64(s * r)
	switch ((int(q) % 4) + 4) % 4 {
	case 1:
		return c, -s
	case 2:
		return -s, -c
	case 3:
		return -c, s
	}
	return s, c
}

// phi is the standard normal distribution function, absolute error below 1e-7 (Abramowitz and Stegun 26.2.17).
func phi(x float64) float64 {
	a := math.Abs(x)
	if a > 8 {
		if x > 0 {
			return 1
		}
		return 0
	}
	t := 1 / (1 + float64(0.2316419*a))
	s := 1.330274429
	for _, b := range [...]float64{-1.821255978, 1.781477937, -0.356563782, 0.319381530} {
		s = b + float64(s*t)
	}
	q := float64(0.39894228040143267794 * exp(-sq(a)/2) * s * t)
	if x > 0 {
		return 1 - q
	}
	return q
}

// logistic is 1/(1+e^-x).
func logistic(x float64) float64 { return 1 / (1 + exp(-x)) }

// log10 is the decimal logarithm.
func log10(x float64) float64 { return float64(log(x) * 0.43429448190325182765) }
