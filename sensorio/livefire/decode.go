package livefire

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"truceline/sensorio"
	"truceline/treaty"
)

// MediaType marks the messages of this package: JSON of one pulse or one weather report as recorded, with where and when
// it is laid. They carry all they need, so that they decode the same years later.
const MediaType = "application/json; profile=livefire"

// envelope is one message.
type envelope struct {
	Placement Placement `json:"placement"`
	ShiftNs   int64     `json:"shift_ns"` // from the recording's time to the replay's
	// Pulse is a pulse as the folder has it; or
	Pulse json.RawMessage `json:"pulse,omitempty"`
	// Weather is the weather as the folder has it, for one sensor at one time of the recording.
	Weather json.RawMessage `json:"weather,omitempty"`
	Serial  string          `json:"serial,omitempty"`
	At      time.Time       `json:"at,omitzero"`
	Where   *Point          `json:"where,omitempty"`
}

// Decoder reads the messages of this package.
type Decoder struct{}

// Name is the decoder's name and version.
func (Decoder) Name() string { return "livefire/1" }

const maxMessage = 16 << 10

// Decode reads one pulse or weather report.
func (Decoder) Decode(r sensorio.Raw) ([]treaty.Detection, error) {
	if len(r.Bytes) > maxMessage {
		return nil, fmt.Errorf("%w: a pulse of %d bytes, at most %d", treaty.ErrTooLarge, len(r.Bytes), maxMessage)
	}
	var e envelope
	if err := json.Unmarshal(r.Bytes, &e); err != nil {
		return nil, fmt.Errorf("%w: %w", treaty.ErrMalformed, err)
	}
	if err := e.Placement.Anchor.Check(); err != nil {
		return nil, fmt.Errorf("anchor: %w", err)
	}
	d, err := treaty.Detection{}, error(nil)
	switch {
	case e.Pulse != nil && e.Weather == nil:
		d, err = e.pulse()
	case e.Weather != nil && e.Pulse == nil && e.Where != nil:
		d, err = e.weather()
	default:
		err = fmt.Errorf("%w: neither one pulse nor one weather report with its place", treaty.ErrMalformed)
	}
	if err != nil {
		return nil, err
	}
	d.Raw = treaty.HashOf(r.Bytes)
	if err := d.Check(); err != nil {
		return nil, err
	}
	return []treaty.Detection{d}, nil
}

const (
	timeSigma  = time.Millisecond
	windSigma  = 523_599 // 30 degrees, microradians
	maxLocal   = 100_000 // metres: a test site
	leastSigma = 10      // mm: what a position in 1e-7 degree can say
)

// at checks and converts a time.
func (e *envelope) at(t time.Time) (treaty.Time, error) {
	if y := t.Year(); y < 1971 || y > 2200 {
		return 0, fmt.Errorf("%w: time %s is outside the years 1971 to 2200", treaty.ErrMalformed, t)
	}
	if limit := int64(1) << 61; e.ShiftNs > limit || e.ShiftNs < -limit {
		return 0, fmt.Errorf("%w: shift of %d ns", treaty.ErrMalformed, e.ShiftNs)
	}
	return treaty.TimeOf(t) + treaty.Time(e.ShiftNs), nil
}

func (e *envelope) base(serial string, at time.Time, where Point) (d treaty.Detection, err error) {
	for _, v := range []float64{where.X - e.Placement.Origin.X, where.Y - e.Placement.Origin.Y, where.Z - e.Placement.Origin.Z} {
		if !(math.Abs(v) <= maxLocal) {
			return d, fmt.Errorf("%w: the sensor stands more than %d m from the origin", treaty.ErrMalformed, maxLocal)
		}
	}
	t, err := e.at(at)
	if err != nil {
		return d, err
	}
	if serial == "" {
		return d, fmt.Errorf("%w: serial_number is missing", treaty.ErrMalformed)
	}
	return treaty.Detection{
		Sensor: SensorID(serial), Modality: treaty.ModalityAcoustic, Mode: treaty.ModeReplay,
		Time:       treaty.TimeQuantity{Value: t, SigmaNs: int64(timeSigma)},
		TimeSource: treaty.TimeGNSS,
		Pose:       treaty.Pose{Position: e.Placement.Position(where), SigmaMm: leastSigma},
		Class:      treaty.ClassUndetermined, Confidence: treaty.Certain, Trust: treaty.TrustManual,
	}, nil
}

func (e *envelope) pulse() (treaty.Detection, error) {
	var p Pulse
	if err := json.Unmarshal(e.Pulse, &p); err != nil {
		return treaty.Detection{}, fmt.Errorf("%w: pulse: %w", treaty.ErrMalformed, err)
	}
	d, err := e.base(p.Serial, p.Time, p.Location)
	if err != nil {
		return d, err
	}
	if !(p.SNR >= -100 && p.SNR <= 200) || !(p.Level >= -100 && p.Level <= 300) || !(p.Error >= 0 && p.Error <= 10_000) {
		return d, fmt.Errorf("%w: pulse %s: a level or the location's error is out of range", treaty.ErrMalformed, p.UUID)
	}
	if p.UUID == "" {
		return d, errors.Join(treaty.ErrMalformed, errors.New("pulse_uuid is missing"))
	}
	d.NativeID = p.UUID
	d.Pose.SigmaMm = max(leastSigma, int64(math.Round(p.Error*1000)))
	d.Class = treaty.ClassShot
	snr := int64(math.Round(p.SNR * 100))
	d.Confidence = treaty.PPM(min(max(50_000+(snr-300)*500, 50_000), 900_000))
	d.Arrival = &treaty.Arrival{Phase: treaty.PhaseUnknown, SNRmB: snr, AmplitudeMB: int64(math.Round(p.Level * 100))}
	return d, nil
}

func (e *envelope) weather() (treaty.Detection, error) {
	var w Weather
	if err := json.Unmarshal(e.Weather, &w); err != nil {
		return treaty.Detection{}, fmt.Errorf("%w: weather: %w", treaty.ErrMalformed, err)
	}
	d, err := e.base(e.Serial, e.At, *e.Where)
	if err != nil {
		return d, err
	}
	if !(math.Abs(w.TempC) <= 90) || !(w.Speed >= 0 && w.Speed <= 100) || !(w.From >= 0 && w.From <= 360) {
		return d, fmt.Errorf("%w: weather: temperature, speed or direction is out of range", treaty.ErrMalformed)
	}
	d.Status = &treaty.SensorStatus{
		System: "OK", TempMC: int64(math.Round(w.TempC * 1000)), HaveTemp: true, WindMmS: int64(math.Round(w.Speed * 1000)),
	}
	if w.Speed > 0 { // a calm has no direction
		from := math.Mod(w.From+e.Placement.RotateDeg, 360)
		d.Status.WindFrom = &treaty.Angle{Urad: int64(math.Round(from * math.Pi / 180 * 1e6)), SigmaUrad: windSigma}
	}
	return d, nil
}
