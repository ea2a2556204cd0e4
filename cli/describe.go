package cli

import (
	"fmt"
	"strings"
	"time"

	"truceline/treaty"
)

// Describe says in plain words what a detection says.
func Describe(d *treaty.Detection) string {
	parts := []string{
		fmt.Sprintf("%s: %s", d.Sensor, what(d)),
		fmt.Sprintf("at %s (+-%s, %s)", d.Time.Value, time.Duration(d.Time.SigmaNs), d.TimeSource),
		fmt.Sprintf("sensor at %s (+-%s)", d.Pose.Position, metres(d.Pose.SigmaMm)),
		fmt.Sprintf("%s, %s sure, trust %s, %s", d.Class, percent(d.Confidence), d.Trust, d.Mode),
	}
	return strings.Join(parts, "; ")
}

func what(d *treaty.Detection) string {
	switch {
	case d.Arrival != nil:
		s := "heard a " + strings.ReplaceAll(d.Arrival.Phase.String(), "_", " ")
		if d.Arrival.Phase == treaty.PhaseUnknown {
			s = "heard a sound"
		}
		if a := d.Arrival.BackAzimuth; a != nil {
			s += " from " + bearing(*a)
		}
		if d.Arrival.SNRmB != 0 {
			s += fmt.Sprintf(", %.1f dB over noise", float64(d.Arrival.SNRmB)/100)
		}
		return s
	case d.Bearing != nil:
		return "saw something towards " + bearing(d.Bearing.Azimuth)
	case d.RangeBearing != nil:
		return fmt.Sprintf("found something %s away towards %s", metres(d.RangeBearing.RangeMm), bearing(d.RangeBearing.Azimuth))
	case d.Location != nil:
		return "located something at " + d.Location.Position.String()
	case d.Trajectory != nil:
		s := fmt.Sprintf("tracked a projectile over %d points", len(d.Trajectory.Points))
		if l := d.Trajectory.Launch; l != nil {
			s += ", launched at " + l.Position.String()
		}
		if l := d.Trajectory.Impact; l != nil {
			s += ", impact at " + l.Position.String()
		}
		return s
	case d.Thermal != nil:
		return fmt.Sprintf("%s saw a hot pixel of %d by %d m at %s, %.1f K, %.1f MW", d.Thermal.Satellite, d.Thermal.ScanM, d.Thermal.TrackM,
			d.Thermal.Position, float64(d.Thermal.BrightMK)/1000, float64(d.Thermal.FRPkW)/1000)
	case d.Human != nil:
		s := fmt.Sprintf("%s %s %d to %d", strings.ToLower(d.Human.Means), strings.ToLower(d.Human.Observation), d.Human.CountMin, d.Human.CountMax)
		if d.Human.Azimuth != nil {
			s += " towards " + bearing(*d.Human.Azimuth)
		}
		if d.Human.DistanceMaxMm > 0 {
			s += fmt.Sprintf(", %s to %s away", metres(d.Human.DistanceMinMm), metres(d.Human.DistanceMaxMm))
		}
		if d.Human.Text != "" {
			s += fmt.Sprintf(": %q", d.Human.Text)
		}
		return s
	case d.Status != nil:
		s := "reports its state: " + d.Status.System
		if d.Status.HaveTemp {
			s += fmt.Sprintf(", air at %.1f C", float64(d.Status.TempMC)/1000)
		}
		if d.Status.WindFrom != nil {
			s += fmt.Sprintf(", wind of %.1f m/s from %s", float64(d.Status.WindMmS)/1000, bearing(*d.Status.WindFrom))
		}
		return s
	case d.Gap != nil:
		return fmt.Sprintf("lost input from %s to %s: %s", d.Gap.Begin, d.Gap.End, d.Gap.Cause)
	}
	return "says nothing"
}

// bearing is a direction in degrees with its 1 sigma.
func bearing(a treaty.Angle) string {
	const perDegree = 17453.292519943295 // microradians
	return fmt.Sprintf("%.1f deg (+-%.1f)", float64(a.Urad)/perDegree, float64(a.SigmaUrad)/perDegree)
}
