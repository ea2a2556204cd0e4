package attribution

import (
	"math"
	"math/rand/v2"
	"testing"

	"truceline/treaty"
)

// TestElementary catches a wrong coefficient in our own exp, log, sincos and phi, against the standard library.
func TestElementary(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		x := (r.Float64()*2 - 1) * 600
		if e := math.Abs(exp(x)/math.Exp(x) - 1); e > 1e-13 {
			t.Fatalf("exp(%g) off by %g", x, e)
		}
		y := math.Exp((r.Float64()*2 - 1) * 50)
		if e := math.Abs(log(y) - math.Log(y)); e > 1e-14*(1+math.Abs(math.Log(y))) {
			t.Fatalf("log(%g) off by %g", y, e)
		}
		a := (r.Float64()*2 - 1) * 20
		s, c := sincos(a)
		if math.Abs(s-math.Sin(a)) > 2e-15 || math.Abs(c-math.Cos(a)) > 2e-15 {
			t.Fatalf("sincos(%g) = %g, %g", a, s, c)
		}
		z := (r.Float64()*2 - 1) * 7
		if e := math.Abs(phi(z) - 0.5*math.Erfc(-z/math.Sqrt2)); e > 1.5e-7 {
			t.Fatalf("phi(%g) off by %g", z, e)
		}
	}
}

// TestFrame catches a frame that loses places: there and back within 12 mm (one 1e-7 degree) at 200 km.
func TestFrame(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 3))
	for range 1000 {
		p := treaty.Position{LatE7: r.Int64N(160e7) - 80e7, LonE7: r.Int64N(360e7) - 180e7, HAEmm: r.Int64N(3e6)}
		f := newFrame(p)
		v := vec{(r.Float64() - 0.5) * 400_000, (r.Float64() - 0.5) * 400_000, (r.Float64() - 0.5) * 2000}
		d := f.local(f.position(v)).sub(v)
		if norm3(d[0], d[1], d[2]) > 0.012 {
			t.Fatalf("%v at %v comes back %v off", v, p, d)
		}
	}
}
