package ndjson

import (
	"encoding/json"
	"fmt"
	"math"

	"truceline/treaty"
)

// Encode writes one line, without its newline. Decode reads the same detection back. It refuses what is no valid detection
// and what has no such form: a time outside the years 1971 to 2200, a temperature without HaveTemp, more than 2^32 lost.
func Encode(d *treaty.Detection) ([]byte, error) {
	if err := d.Check(); err != nil {
		return nil, err
	}
	w := writer{b: make([]byte, 0, 512)}
	w.open("")
	w.str("sensor", string(d.Sensor))
	w.maybeStr("native_id", d.NativeID)
	w.str("modality", d.Modality.String())
	w.str("mode", d.Mode.String())
	w.time("time", d.Time.Value)
	w.num("time_sigma_s", d.Time.SigmaNs, 9)
	w.str("time_source", d.TimeSource.String())
	w.position(d.Pose.Position)
	w.num("pose_sigma_m", d.Pose.SigmaMm, 3)
	w.str("class", d.Class.String())
	w.num("confidence", int64(d.Confidence), 6)
	w.str("trust", d.Trust.String())
	w.str("raw", d.Raw.String())
	w.measurement(d)
	w.shut()
	if len(w.b) > MaxLine {
		return nil, fmt.Errorf("%w: a line of %d bytes, at most %d", treaty.ErrTooLarge, len(w.b), MaxLine)
	}
	return w.b, w.err
}

// writer appends JSON. The first problem sticks.
type writer struct {
	b     []byte
	comma bool
	err   error
}

func (w *writer) name(name string) {
	if w.comma {
		w.b = append(w.b, ',')
	}
	w.comma = true
	if name != "" {
		w.b = append(append(append(w.b, '"'), name...), '"', ':')
	}
}

func (w *writer) open(name string) {
	w.name(name)
	w.b, w.comma = append(w.b, '{'), false
}

func (w *writer) shut() { w.b, w.comma = append(w.b, '}'), true }

func (w *writer) str(name, s string) {
	w.name(name)
	q, err := json.Marshal(s) // valid UTF-8 by Check's callers: the CBOR form refuses other text
	if err != nil && w.err == nil {
		w.err = err
	}
	w.b = append(w.b, q...)
}

func (w *writer) maybeStr(name, s string) {
	if s != "" {
		w.str(name, s)
	}
}

func (w *writer) num(name string, v int64, places int) {
	w.name(name)
	if v > 999_999_999_999_999_999 || v < -999_999_999_999_999_999 {
		w.fail("%s: %d has more than 18 digits", name, v)
	}
	w.b = appendDecimal(w.b, v, places)
}

func (w *writer) maybeNum(name string, v int64, places int) {
	if v != 0 {
		w.num(name, v, places)
	}
}

func (w *writer) time(name string, t treaty.Time) {
	if y := t.Std().Year(); y < 1971 || y > 2200 {
		w.fail("%s: %s is outside the years 1971 to 2200", name, t)
	}
	w.str(name, t.String())
}

func (w *writer) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("%w: %s", treaty.ErrMalformed, fmt.Sprintf(format, args...))
	}
}

func (w *writer) angle(name string, a *treaty.Angle) {
	if a == nil {
		return
	}
	for _, x := range []struct {
		suffix string
		v      int64
	}{{"_deg", a.Urad}, {"_sigma_deg", a.SigmaUrad}} {
		v, ok := degE7(x.v)
		if !ok {
			w.fail("%s%s: %d is too large", name, x.suffix, x.v)
		}
		w.num(name+x.suffix, v, degDecimals)
	}
}

func (w *writer) position(p treaty.Position) {
	w.num("lat", p.LatE7, 7)
	w.num("lon", p.LonE7, 7)
	w.maybeNum("hae_m", p.HAEmm, 3)
}

func (w *writer) location(name string, l *treaty.Location) {
	if l == nil {
		return
	}
	w.open(name)
	w.position(l.Position)
	w.num("cov_ee_m2", l.Covariance.EE, 6)
	w.maybeNum("cov_en_m2", l.Covariance.EN, 6)
	w.num("cov_nn_m2", l.Covariance.NN, 6)
	w.shut()
}

// measurement writes the one that is set. Signed fields that Check leaves unbounded on purpose (levels) may be any size.
func (w *writer) measurement(d *treaty.Detection) {
	switch kind := d.Kind(); kind {
	case "location":
		w.location(kind, d.Location)
		return
	default:
		w.open(kind)
		defer w.shut()
	}
	switch {
	case d.Arrival != nil:
		w.str("phase", d.Arrival.Phase.String())
		w.angle("back_azimuth", d.Arrival.BackAzimuth)
		w.maybeNum("snr_db", d.Arrival.SNRmB, 2)
		w.maybeNum("amplitude_db", d.Arrival.AmplitudeMB, 2)
		w.maybeNum("period_s", d.Arrival.PeriodUs, 6)
	case d.Bearing != nil:
		w.angle("azimuth", &d.Bearing.Azimuth)
		w.angle("elevation", d.Bearing.Elevation)
	case d.RangeBearing != nil:
		w.angle("azimuth", &d.RangeBearing.Azimuth)
		w.angle("elevation", d.RangeBearing.Elevation)
		w.num("range_m", d.RangeBearing.RangeMm, 3)
		w.num("range_sigma_m", d.RangeBearing.SigmaRangeMm, 3)
	case d.Trajectory != nil:
		w.trajectory(d.Trajectory)
	case d.Thermal != nil:
		t := d.Thermal
		w.position(t.Position)
		w.num("scan_m", t.ScanM, 0)
		w.num("track_m", t.TrackM, 0)
		w.num("bright_k", t.BrightMK, 3)
		w.num("frp_kw", t.FRPkW, 0)
		w.str("satellite", t.Satellite)
		if t.Day {
			w.name("day")
			w.b = append(w.b, "true"...)
		}
	case d.Human != nil:
		h := d.Human
		w.str("means", h.Means)
		w.str("observation", h.Observation)
		w.num("count_min", int64(h.CountMin), 0)
		w.num("count_max", int64(h.CountMax), 0)
		w.angle("azimuth", h.Azimuth)
		w.maybeNum("distance_min_m", h.DistanceMinMm, 3)
		w.maybeNum("distance_max_m", h.DistanceMaxMm, 3)
		w.maybeStr("weapon", h.Weapon)
		w.maybeStr("text", h.Text)
	case d.Status != nil:
		s := d.Status
		w.str("system", s.System)
		w.maybeNum("range_m", s.RangeM, 0)
		w.maybeNum("clock_error_s", s.ClockNs, 9)
		w.maybeNum("wind_m_s", s.WindMmS, 3)
		w.angle("wind_from", s.WindFrom)
		if s.HaveTemp {
			w.num("temp_c", s.TempMC, 3)
		} else if s.TempMC != 0 {
			w.fail("status: a temperature without have_temp")
		}
	case d.Gap != nil:
		w.time("begin", d.Gap.Begin)
		w.time("end", d.Gap.End)
		if d.Gap.Lost > math.MaxUint32 {
			w.fail("gap: more than 2^32-1 lost")
		} else {
			w.maybeNum("lost", int64(d.Gap.Lost), 0)
		}
		w.str("cause", d.Gap.Cause)
	}
}

func (w *writer) trajectory(t *treaty.Trajectory) {
	w.name("points")
	w.b, w.comma = append(w.b, '['), false
	for _, p := range t.Points {
		w.open("")
		w.time("time", p.Time)
		w.position(p.Position)
		w.num("sigma_m", p.SigmaMm, 3)
		w.shut()
	}
	w.b, w.comma = append(w.b, ']'), true
	w.location("launch_point", t.Launch)
	w.location("impact_point", t.Impact)
	w.maybeNum("rounds", int64(t.Rounds), 0)
}
