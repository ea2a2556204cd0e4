package treaty

import "fmt"

// SensorID names a device within its nation, such as "acoustic:17" or "firms:N20/VIIRS". At most MaxName bytes.
type SensorID string

// TimeQuantity is a time with its 1-sigma uncertainty (QuakeML TimeQuantity). A sigma of 0 is illegal.
type TimeQuantity struct {
	Value   Time  `cbor:"1,keyasint" json:"value"`
	SigmaNs int64 `cbor:"2,keyasint" json:"sigma_ns"`
}

// Pose is where a sensor stood when it measured.
type Pose struct {
	Position Position `cbor:"1,keyasint" json:"position"`
	// SigmaMm is the 1-sigma uncertainty of each horizontal coordinate, mm.
	SigmaMm int64 `cbor:"2,keyasint" json:"sigma_mm"`
}

// Detection is one measurement by one sensor, in sensor space, never fused away. Exactly one of the measurement
// fields is set. Field names follow QuakeML, SAPIENT and FIRMS (reference/sensorio.md section 11).
type Detection struct {
	Sensor   SensorID `cbor:"1,keyasint" json:"sensor"`
	NativeID string   `cbor:"2,keyasint,omitempty" json:"native_id,omitempty"` // the source's own id of it, for dedupe
	Modality Modality `cbor:"3,keyasint" json:"modality"`
	Mode     Mode     `cbor:"4,keyasint" json:"mode"`
	// Time is the phenomenon time: of arrival at the sensor, of exposure, or of the report.
	Time       TimeQuantity `cbor:"5,keyasint" json:"time"`
	TimeSource TimeSource   `cbor:"6,keyasint" json:"time_source"`
	Pose       Pose         `cbor:"7,keyasint" json:"pose"`
	Class      EventClass   `cbor:"8,keyasint" json:"class"`
	// Confidence is the sensor's own probability that this is real (SAPIENT detection_confidence).
	Confidence PPM   `cbor:"9,keyasint" json:"confidence_ppm"`
	Trust      Trust `cbor:"10,keyasint" json:"trust"`
	// Raw is the SHA-256 of the raw bytes this was decoded from; the node keeps them.
	Raw Hash `cbor:"11,keyasint" json:"raw"`

	Arrival      *Arrival      `cbor:"20,keyasint,omitempty" json:"arrival,omitempty"`
	Bearing      *Bearing      `cbor:"21,keyasint,omitempty" json:"bearing,omitempty"`
	RangeBearing *RangeBearing `cbor:"22,keyasint,omitempty" json:"range_bearing,omitempty"`
	Location     *Location     `cbor:"23,keyasint,omitempty" json:"location,omitempty"`
	Trajectory   *Trajectory   `cbor:"24,keyasint,omitempty" json:"trajectory,omitempty"`
	Thermal      *ThermalPixel `cbor:"25,keyasint,omitempty" json:"thermal,omitempty"`
	Human        *HumanReport  `cbor:"26,keyasint,omitempty" json:"human,omitempty"`
	Status       *SensorStatus `cbor:"27,keyasint,omitempty" json:"status,omitempty"`
	Gap          *Gap          `cbor:"28,keyasint,omitempty" json:"gap,omitempty"`
}

// Arrival is a wave reaching a sensor at Detection.Time (QuakeML Pick).
type Arrival struct {
	Phase Phase `cbor:"1,keyasint" json:"phase"`
	// BackAzimuth, where an array measured it.
	BackAzimuth *Angle `cbor:"2,keyasint,omitempty" json:"back_azimuth,omitempty"`
	// SNRmB is the signal to noise ratio in millibel (1/100 dB), AmplitudeMB the level in millibel re 20 uPa.
	SNRmB       int64 `cbor:"3,keyasint,omitempty" json:"snr_mb,omitempty"`
	AmplitudeMB int64 `cbor:"4,keyasint,omitempty" json:"amplitude_mb,omitempty"`
	// PeriodUs is the dominant period, microseconds.
	PeriodUs int64 `cbor:"5,keyasint,omitempty" json:"period_us,omitempty"`
}

// Angle is microradians clockwise from true north, or above the horizon, with 1 sigma.
type Angle struct {
	Urad      int64 `cbor:"1,keyasint" json:"urad"`
	SigmaUrad int64 `cbor:"2,keyasint" json:"sigma_urad"`
}

// Bearing is a direction without a distance.
type Bearing struct {
	Azimuth   Angle  `cbor:"1,keyasint" json:"azimuth"`
	Elevation *Angle `cbor:"2,keyasint,omitempty" json:"elevation,omitempty"`
}

// RangeBearing is a direction with a slant range.
type RangeBearing struct {
	Azimuth      Angle  `cbor:"1,keyasint" json:"azimuth"`
	Elevation    *Angle `cbor:"2,keyasint,omitempty" json:"elevation,omitempty"`
	RangeMm      int64  `cbor:"3,keyasint" json:"range_mm"`
	SigmaRangeMm int64  `cbor:"4,keyasint" json:"sigma_range_mm"`
}

// Location is a finished place.
type Location struct {
	Position   Position   `cbor:"1,keyasint" json:"position"`
	Covariance Covariance `cbor:"2,keyasint" json:"covariance"`
}

// Trajectory is a track of a projectile or vehicle with what the sensor extrapolated from it.
type Trajectory struct {
	Points []TrackPoint `cbor:"1,keyasint" json:"points"`
	Launch *Location    `cbor:"2,keyasint,omitempty" json:"launch_point,omitempty"`
	Impact *Location    `cbor:"3,keyasint,omitempty" json:"impact_point,omitempty"`
	Rounds uint32       `cbor:"4,keyasint,omitempty" json:"rounds,omitempty"`
}

// TrackPoint is one fix of a track; at most MaxTrack of them.
type TrackPoint struct {
	Time     Time     `cbor:"1,keyasint" json:"time"`
	Position Position `cbor:"2,keyasint" json:"position"`
	SigmaMm  int64    `cbor:"3,keyasint" json:"sigma_mm"`
}

// MaxTrack bounds the points of one trajectory, so that a detection stays under MaxDetection.
const MaxTrack = 64

// ThermalPixel is a hot spot from a satellite (NASA FIRMS names). Position is the pixel's centre.
type ThermalPixel struct {
	Position  Position `cbor:"1,keyasint" json:"position"`
	ScanM     int64    `cbor:"2,keyasint" json:"scan_m"`
	TrackM    int64    `cbor:"3,keyasint" json:"track_m"`
	BrightMK  int64    `cbor:"4,keyasint" json:"bright_mk"` // brightness temperature (ti4 or t21), millikelvin
	FRPkW     int64    `cbor:"5,keyasint" json:"frp_kw"`    // fire radiative power, kW
	Satellite string   `cbor:"6,keyasint" json:"satellite"`
	Day       bool     `cbor:"7,keyasint,omitempty" json:"day,omitempty"`
}

// HumanReport is what a patrol, camera crew or observation post says, in the terms of the OSCE SMM daily reports.
type HumanReport struct {
	Means       string `cbor:"1,keyasint" json:"means"`       // PATROL, CAMERA, UAV, STATIC
	Observation string `cbor:"2,keyasint" json:"observation"` // HEARD, SAW, RECORDED, FOUND
	CountMin    uint32 `cbor:"3,keyasint" json:"count_min"`
	CountMax    uint32 `cbor:"4,keyasint" json:"count_max"`
	// Azimuth towards the event; a 16-point compass word is its middle with sigma 22.5/sqrt(12) degrees.
	Azimuth *Angle `cbor:"5,keyasint,omitempty" json:"azimuth,omitempty"`
	// DistanceMinMm..DistanceMaxMm, both 0 where none was given.
	DistanceMinMm int64  `cbor:"6,keyasint,omitempty" json:"distance_min_mm,omitempty"`
	DistanceMaxMm int64  `cbor:"7,keyasint,omitempty" json:"distance_max_mm,omitempty"`
	Weapon        string `cbor:"8,keyasint,omitempty" json:"weapon,omitempty"`
	Text          string `cbor:"9,keyasint,omitempty" json:"text,omitempty"`
}

// SensorStatus is signed like a detection, so that silence can be told from "nothing happened" (SAPIENT StatusReport).
type SensorStatus struct {
	System string `cbor:"1,keyasint" json:"system"` // OK, WARNING, ERROR, GOODBYE
	// RangeM is how far the sensor hears a howitzer now, metres; 0 means unknown.
	RangeM   int64 `cbor:"2,keyasint,omitempty" json:"range_m,omitempty"`
	ClockNs  int64 `cbor:"3,keyasint,omitempty" json:"clock_ns,omitempty"` // estimated clock error, ns
	WindMmS  int64 `cbor:"4,keyasint,omitempty" json:"wind_mm_s,omitempty"`
	TempMC   int64 `cbor:"5,keyasint,omitempty" json:"temp_mc,omitempty"` // air temperature, 1/1000 degree Celsius
	HaveTemp bool  `cbor:"6,keyasint,omitempty" json:"have_temp,omitempty"`
	// WindFrom is where the wind blows from, where measured.
	WindFrom *Angle `cbor:"7,keyasint,omitempty" json:"wind_from,omitempty"`
}

// Gap says that input of this sensor was lost between Begin and End.
type Gap struct {
	Begin Time   `cbor:"1,keyasint" json:"begin"`
	End   Time   `cbor:"2,keyasint" json:"end"`
	Lost  uint64 `cbor:"3,keyasint,omitempty" json:"lost,omitempty"`
	Cause string `cbor:"4,keyasint" json:"cause"`
}

// Kind names the measurement that is set, "" when none or several are.
func (d *Detection) Kind() string {
	kind, n := "", 0
	for _, m := range []struct {
		set  bool
		name string
	}{
		{d.Arrival != nil, "arrival"},
		{d.Bearing != nil, "bearing"},
		{d.RangeBearing != nil, "range_bearing"},
		{d.Location != nil, "location"},
		{d.Trajectory != nil, "trajectory"},
		{d.Thermal != nil, "thermal"},
		{d.Human != nil, "human"},
		{d.Status != nil, "status"},
		{d.Gap != nil, "gap"},
	} {
		if m.set {
			kind = m.name
			n++
		}
	}
	if n != 1 {
		return ""
	}
	return kind
}

// ID is the content hash of a detection.
func (d *Detection) ID() Hash { return HashOf(Encode(d)) }

// bound is one number with its legal range.
type bound struct {
	name         string
	v, low, high int64
}

func checkBounds(bs ...bound) error {
	for _, b := range bs {
		if b.v < b.low || b.v > b.high {
			return fmt.Errorf("%w: %s is %d, must be %d to %d", ErrMalformed, b.name, b.v, b.low, b.high)
		}
	}
	return nil
}

func checkText(name, s string, limit int) error {
	if len(s) > limit {
		return fmt.Errorf("%w: %s has %d bytes, at most %d", ErrTooLarge, name, len(s), limit)
	}
	for _, r := range s {
		if r < ' ' && r != '\n' || r == 0x7f {
			return fmt.Errorf("%w: %s has a control character", ErrMalformed, name)
		}
	}
	return nil
}

const (
	maxSigmaNs   = 86_400_000_000_000 // a day: a report from memory
	fullTurnUrad = 6_283_186
)

func (a Angle) check(name string) error {
	return checkBounds(bound{name + ".urad", a.Urad, -fullTurnUrad, fullTurnUrad},
		bound{name + ".sigma_urad", a.SigmaUrad, 1, fullTurnUrad})
}

// Check says whether d is a detection that may enter a batch. It checks shape and bounds, not truth.
func (d *Detection) Check() error {
	if d.Sensor == "" {
		return fmt.Errorf("%w: sensor is empty", ErrMalformed)
	}
	for _, t := range []struct{ name, s string }{{"sensor", string(d.Sensor)}, {"native_id", d.NativeID}} {
		if err := checkText(t.name, t.s, MaxName); err != nil {
			return err
		}
	}
	for _, e := range []struct {
		name  string
		valid bool
	}{
		{"modality", d.Modality.Valid()},
		{"mode", d.Mode.Valid()},
		{"time_source", d.TimeSource.Valid()},
		{"class", d.Class.Valid()},
		{"trust", d.Trust.Valid()},
	} {
		if !e.valid {
			return fmt.Errorf("%w: %s is missing or unknown", ErrMalformed, e.name)
		}
	}
	if err := checkBounds(bound{"time", int64(d.Time.Value), 1, 1 << 62},
		bound{"time.sigma_ns", d.Time.SigmaNs, 1, maxSigmaNs},
		bound{"pose.sigma_mm", d.Pose.SigmaMm, 1, maxSigmaMm},
		bound{"confidence_ppm", int64(d.Confidence), 0, int64(Certain)}); err != nil {
		return err
	}
	if err := d.Pose.Position.Check(); err != nil {
		return fmt.Errorf("pose: %w", err)
	}
	if err := d.checkMeasurement(); err != nil {
		return err
	}
	if n := len(Encode(d)); n > MaxDetection {
		return fmt.Errorf("%w: detection of %d bytes, at most %d", ErrTooLarge, n, MaxDetection)
	}
	return nil
}

func (d *Detection) checkMeasurement() error {
	switch d.Kind() {
	case "arrival":
		if !d.Arrival.Phase.Valid() {
			return fmt.Errorf("%w: arrival.phase is missing or unknown", ErrMalformed)
		}
		if a := d.Arrival.BackAzimuth; a != nil {
			return a.check("arrival.back_azimuth")
		}
		return nil
	case "bearing":
		return d.Bearing.Azimuth.check("bearing.azimuth")
	case "range_bearing":
		if err := checkBounds(bound{"range_mm", d.RangeBearing.RangeMm, 1, maxSigmaMm},
			bound{"sigma_range_mm", d.RangeBearing.SigmaRangeMm, 1, maxSigmaMm}); err != nil {
			return err
		}
		return d.RangeBearing.Azimuth.check("range_bearing.azimuth")
	case "location":
		return d.Location.check()
	case "trajectory":
		return d.Trajectory.check()
	case "thermal":
		t := d.Thermal
		if err := checkText("thermal.satellite", t.Satellite, MaxName); err != nil {
			return err
		}
		if err := checkBounds(bound{"scan_m", t.ScanM, 1, 20_000}, bound{"track_m", t.TrackM, 1, 20_000},
			bound{"bright_mk", t.BrightMK, 0, 5_000_000}, bound{"frp_kw", t.FRPkW, 0, 1e9}); err != nil {
			return err
		}
		return t.Position.Check()
	case "human":
		return d.Human.check()
	case "status":
		s := d.Status
		if err := checkText("status.system", s.System, 16); err != nil {
			return err
		}
		return checkBounds(bound{"range_m", s.RangeM, 0, 1_000_000}, bound{"clock_ns", s.ClockNs, 0, maxSigmaNs},
			bound{"wind_mm_s", s.WindMmS, 0, 100_000}, bound{"temp_mc", s.TempMC, -90_000, 70_000})
	case "gap":
		if d.Gap.End < d.Gap.Begin {
			return fmt.Errorf("%w: gap ends before it begins", ErrMalformed)
		}
		return checkText("gap.cause", d.Gap.Cause, MaxName)
	}
	return fmt.Errorf("%w: a detection carries exactly one of arrival, bearing, range_bearing, location, trajectory, "+
		"thermal, human, status, gap", ErrMalformed)
}

func (l *Location) check() error {
	if err := l.Position.Check(); err != nil {
		return err
	}
	return l.Covariance.Check()
}

func (t *Trajectory) check() error {
	if len(t.Points) > MaxTrack {
		return fmt.Errorf("%w: trajectory of %d points, at most %d", ErrTooLarge, len(t.Points), MaxTrack)
	}
	for i, p := range t.Points {
		if err := p.Position.Check(); err != nil {
			return fmt.Errorf("trajectory point %d: %w", i, err)
		}
		if err := checkBounds(bound{"sigma_mm", p.SigmaMm, 1, maxSigmaMm}); err != nil {
			return fmt.Errorf("trajectory point %d: %w", i, err)
		}
		if i > 0 && p.Time <= t.Points[i-1].Time {
			return fmt.Errorf("%w: trajectory point %d is not later than the one before", ErrMalformed, i)
		}
	}
	for _, l := range []*Location{t.Launch, t.Impact} {
		if l == nil {
			continue
		}
		if err := l.check(); err != nil {
			return err
		}
	}
	return nil
}

func (h *HumanReport) check() error {
	for _, t := range []struct {
		name, s string
		limit   int
	}{
		{"human.means", h.Means, 16},
		{"human.observation", h.Observation, 16},
		{"human.weapon", h.Weapon, MaxName},
		{"human.text", h.Text, MaxText},
	} {
		if err := checkText(t.name, t.s, t.limit); err != nil {
			return err
		}
	}
	if h.CountMax < h.CountMin || h.DistanceMaxMm < h.DistanceMinMm || h.DistanceMinMm < 0 {
		return fmt.Errorf("%w: a maximum of the report is below its minimum", ErrMalformed)
	}
	if h.Azimuth != nil {
		return h.Azimuth.check("human.azimuth")
	}
	return nil
}
