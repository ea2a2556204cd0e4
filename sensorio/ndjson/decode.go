package ndjson

import (
	"fmt"

	"truceline/treaty"
)

// Decode reads one line. The error names every field that is wrong.
func Decode(line []byte) (treaty.Detection, error) {
	n, err := parse(line)
	if err != nil {
		return treaty.Detection{}, err
	}
	var errs []error
	o := object{fields: n.fields, errs: &errs}
	d := treaty.Detection{
		Sensor:     treaty.SensorID(o.str("sensor", required)),
		NativeID:   o.str("native_id", optional),
		Time:       treaty.TimeQuantity{Value: o.time("time"), SigmaNs: o.num("time_sigma_s", 9, required)},
		Pose:       treaty.Pose{Position: o.position(), SigmaMm: o.num("pose_sigma_m", 3, required)},
		Confidence: treaty.PPM(0),
	}
	o.word("modality", required, &d.Modality)
	o.word("mode", required, &d.Mode)
	o.word("time_source", required, &d.TimeSource)
	o.word("class", required, &d.Class)
	o.word("trust", required, &d.Trust)
	if c := o.num("confidence", 6, required); c < 0 || c > int64(treaty.Certain) {
		o.bad("confidence", "must be from 0 to 1")
	} else {
		d.Confidence = treaty.PPM(c)
	}
	d.Raw = treaty.HashOf(line)
	o.word("raw", optional, &d.Raw)
	measurements(o, &d)
	o.rest()
	if err := o.err(); err != nil {
		return treaty.Detection{}, err
	}
	if err := d.Check(); err != nil {
		return treaty.Detection{}, err
	}
	return d, nil
}

// measurements reads whatever measurement is there; Detection.Check says when it is not exactly one.
func measurements(o object, d *treaty.Detection) {
	if m, ok := o.sub("arrival", optional); ok {
		d.Arrival = &treaty.Arrival{
			BackAzimuth: m.maybeAngle("back_azimuth"), SNRmB: m.num("snr_db", 2, optional),
			AmplitudeMB: m.num("amplitude_db", 2, optional), PeriodUs: m.num("period_s", 6, optional),
		}
		m.word("phase", required, &d.Arrival.Phase)
		m.rest()
	}
	if m, ok := o.sub("bearing", optional); ok {
		d.Bearing = &treaty.Bearing{Azimuth: m.angle("azimuth"), Elevation: m.maybeAngle("elevation")}
		m.rest()
	}
	if m, ok := o.sub("range_bearing", optional); ok {
		d.RangeBearing = &treaty.RangeBearing{
			Azimuth: m.angle("azimuth"), Elevation: m.maybeAngle("elevation"),
			RangeMm: m.num("range_m", 3, required), SigmaRangeMm: m.num("range_sigma_m", 3, required),
		}
		m.rest()
	}
	d.Location = location(o, "location")
	if m, ok := o.sub("trajectory", optional); ok {
		d.Trajectory = trajectory(m)
		m.rest()
	}
	if m, ok := o.sub("thermal", optional); ok {
		d.Thermal = &treaty.ThermalPixel{
			Position: m.position(), ScanM: m.num("scan_m", 0, required), TrackM: m.num("track_m", 0, required),
			BrightMK: m.num("bright_k", 3, required), FRPkW: m.num("frp_kw", 0, required),
			Satellite: m.str("satellite", required), Day: m.flag("day"),
		}
		m.rest()
	}
	if m, ok := o.sub("human", optional); ok {
		d.Human = &treaty.HumanReport{
			Means: m.str("means", required), Observation: m.str("observation", required),
			CountMin: m.count("count_min", required), CountMax: m.count("count_max", required),
			Azimuth:       m.maybeAngle("azimuth"),
			DistanceMinMm: m.num("distance_min_m", 3, optional), DistanceMaxMm: m.num("distance_max_m", 3, optional),
			Weapon: m.str("weapon", optional), Text: m.str("text", optional),
		}
		m.rest()
	}
	if m, ok := o.sub("status", optional); ok {
		d.Status = &treaty.SensorStatus{
			System: m.str("system", required), RangeM: m.num("range_m", 0, optional), ClockNs: m.num("clock_error_s", 9, optional),
			WindMmS: m.num("wind_m_s", 3, optional), WindFrom: m.maybeAngle("wind_from"),
			TempMC: m.num("temp_c", 3, optional), HaveTemp: m.has("temp_c"),
		}
		m.rest()
	}
	if m, ok := o.sub("gap", optional); ok {
		d.Gap = &treaty.Gap{Begin: m.time("begin"), End: m.time("end"), Lost: uint64(m.count("lost", optional)), Cause: m.str("cause", required)}
		m.rest()
	}
}

func location(o object, name string) *treaty.Location {
	m, ok := o.sub(name, optional)
	if !ok {
		return nil
	}
	l := &treaty.Location{
		Position:   m.position(),
		Covariance: treaty.Covariance{EE: m.num("cov_ee_m2", 6, required), EN: m.num("cov_en_m2", 6, optional), NN: m.num("cov_nn_m2", 6, required)},
	}
	m.rest()
	return l
}

func trajectory(o object) *treaty.Trajectory {
	t := &treaty.Trajectory{Launch: location(o, "launch_point"), Impact: location(o, "impact_point"), Rounds: o.count("rounds", optional)}
	list, _ := o.get("points", isArray, required)
	for i, n := range list.items {
		if n.kind != isObject {
			o.bad("points", "item %d is %s, must be an object", i, n.kind)
			break
		}
		m := object{path: fmt.Sprintf("%spoints[%d].", o.path, i), fields: n.fields, errs: o.errs}
		t.Points = append(t.Points, treaty.TrackPoint{Time: m.time("time"), Position: m.position(), SigmaMm: m.num("sigma_m", 3, required)})
		m.rest()
	}
	return t
}
