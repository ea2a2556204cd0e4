package treaty

import "fmt"

// Position is a WGS-84 point in integers: 1e-7 degree (about 11 mm) and millimetres above the ellipsoid.
type Position struct {
	LatE7 int64 `cbor:"1,keyasint" json:"lat_e7"`
	LonE7 int64 `cbor:"2,keyasint" json:"lon_e7"`
	// HAEmm is the height above the WGS-84 ellipsoid, millimetres.
	HAEmm int64 `cbor:"3,keyasint,omitempty" json:"hae_mm,omitempty"`
}

// Degrees are for display and for computing outside of signed bytes.
func (p Position) Degrees() (lat, lon float64) { return float64(p.LatE7) / 1e7, float64(p.LonE7) / 1e7 }

// String is latitude, longitude in degrees.
func (p Position) String() string {
	lat, lon := p.Degrees()
	return fmt.Sprintf("%.6f,%.6f", lat, lon)
}

// Check bounds the numbers: a place on Earth, between 1 km below and 100 km above the ellipsoid.
func (p Position) Check() error {
	switch {
	case p.LatE7 < -90e7 || p.LatE7 > 90e7:
		return fmt.Errorf("%w: latitude %d e-7 degree is outside -90..90 degrees", ErrMalformed, p.LatE7)
	case p.LonE7 < -180e7 || p.LonE7 > 180e7:
		return fmt.Errorf("%w: longitude %d e-7 degree is outside -180..180 degrees", ErrMalformed, p.LonE7)
	case p.HAEmm < -1e6 || p.HAEmm > 100e6:
		return fmt.Errorf("%w: height %d mm is outside -1..100 km", ErrMalformed, p.HAEmm)
	}
	return nil
}

// Covariance is the 2-D position uncertainty in a local east-north plane, mm^2, 1 sigma. Symmetric, positive definite.
type Covariance struct {
	EE int64 `cbor:"1,keyasint" json:"ee_mm2"`
	EN int64 `cbor:"2,keyasint" json:"en_mm2"`
	NN int64 `cbor:"3,keyasint" json:"nn_mm2"`
}

// maxSigmaMm bounds a standard deviation of a position: 1,000 km. Its square fits in an int64.
const maxSigmaMm = 1_000_000_000

// Check refuses what is no covariance. Products stay below 2^126; the comparison is done in floats, with room.
func (c Covariance) Check() error {
	if c.EE <= 0 || c.NN <= 0 || c.EE > maxSigmaMm*maxSigmaMm || c.NN > maxSigmaMm*maxSigmaMm {
		return fmt.Errorf("%w: covariance diagonal %d, %d mm^2", ErrMalformed, c.EE, c.NN)
	}
	if en := float64(c.EN); en*en > float64(c.EE)*float64(c.NN) {
		return fmt.Errorf("%w: covariance is not positive", ErrMalformed)
	}
	return nil
}
