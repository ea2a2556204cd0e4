// Package firms reads NASA FIRMS hot spots: CSV from the area API, the 24 h and 7 d files, the country archives, MODIS
// and VIIRS, and files that others have clipped from them.
//
// It promises: columns are found by their header's name, in any order; every spelling of times and confidences seen in
// the wild is read (0112, 112, 01:12, 01:12:00; l, low, 30); a row with a missing, unknown or impossible value is an error
// that names the column, and the rows around it are read all the same.
//
// What it cannot know it does not claim: a pixel is a place and a minute at which something was hot. One row is never a
// breach; clouds, overpass times, farming and industry stand between it and the truth. Rows of near-real-time files may
// be corrected later; the correction is a new detection.
package firms

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"truceline/sensorio"
	"truceline/treaty"
)

// MediaType marks FIRMS tables: a header line and rows.
const MediaType = "text/csv; profile=firms"

// Decoder reads FIRMS tables. Its fields are configuration: a table does not say what they say.
type Decoder struct {
	// Mode of the detections: REAL for a fresh download, REPLAY for a recording.
	Mode treaty.Mode
	// Trust is TrustManual for a file that somebody downloaded, TrustNetwork for a fetch by the node.
	Trust treaty.Trust
}

// Name is the decoder's name and version.
func (Decoder) Name() string { return "firms/1" }

// maxRows bounds one message.
const maxRows = 4096

// Decode reads a header and the rows below it.
func (c Decoder) Decode(r sensorio.Raw) (ds []treaty.Detection, err error) {
	cr := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(r.Bytes, []byte("\xef\xbb\xbf"))))
	cr.FieldsPerRecord, cr.ReuseRecord, cr.TrimLeadingSpace = -1, true, true
	head, err := cr.Read()
	if err != nil {
		return nil, fmt.Errorf("%w: FIRMS table without a header line: %v", treaty.ErrMalformed, err)
	}
	cols, err := columnsOf(head)
	if err != nil {
		return nil, err
	}
	raw := treaty.HashOf(r.Bytes)
	var errs []error
	for n := 2; ; n++ {
		row, err := cr.Read()
		if err != nil && row == nil && !errors.Is(err, csv.ErrQuote) && !errors.Is(err, csv.ErrBareQuote) {
			break
		}
		if n > maxRows+1 {
			errs = append(errs, fmt.Errorf("%w: more than %d rows: split the table", treaty.ErrTooLarge, maxRows))
			break
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%w: line %d: %v", treaty.ErrMalformed, n, err))
			continue
		}
		d, err := c.row(cols, row)
		if err != nil {
			errs = append(errs, fmt.Errorf("%w: line %d: %w", treaty.ErrMalformed, n, err))
			continue
		}
		d.Raw = raw
		ds = append(ds, d)
	}
	if len(ds) == 0 && len(errs) == 0 {
		return nil, fmt.Errorf("%w: FIRMS table without rows", treaty.ErrMalformed)
	}
	return ds, errors.Join(errs...)
}

// columns is where each column stands; -1 for one that is not there.
type columns struct {
	index map[string]int
	modis bool
	n     int
}

// known are all columns of all FIRMS products.
var known = []string{
	"latitude", "longitude", "bright_ti4", "bright_ti5", "brightness", "bright_t31", "scan", "track", "acq_date",
	"acq_time", "satellite", "instrument", "confidence", "version", "frp", "daynight", "type", "country_id",
}

func columnsOf(head []string) (c columns, err error) {
	c.index, c.n = map[string]int{}, len(head)
	var errs []error
	for i, name := range head {
		name = strings.ToLower(strings.TrimSpace(name))
		if _, twice := c.index[name]; twice {
			errs = append(errs, fmt.Errorf("column %q comes twice", name))
		}
		if !slices.Contains(known, name) {
			continue // clipped files carry columns of their own; they are kept in the raw log
		}
		c.index[name] = i
	}
	_, viirs := c.index["bright_ti4"]
	_, c.modis = c.index["brightness"]
	if viirs == c.modis {
		errs = append(errs, errors.New("need either bright_ti4 (VIIRS) or brightness (MODIS)"))
	}
	for _, name := range []string{"latitude", "longitude", "scan", "track", "acq_date", "acq_time", "satellite", "confidence", "frp"} {
		if _, ok := c.index[name]; !ok {
			errs = append(errs, fmt.Errorf("column %q is missing", name))
		}
	}
	if len(errs) > 0 {
		return c, fmt.Errorf("%w: FIRMS header: %w", treaty.ErrMalformed, errors.Join(errs...))
	}
	return c, nil
}

// get returns a column of a row, "" where the table does not have it.
func (c columns) get(row []string, name string) string {
	i, ok := c.index[name]
	if !ok {
		return ""
	}
	return strings.TrimSpace(row[i])
}

func (c Decoder) row(cols columns, row []string) (d treaty.Detection, err error) {
	if len(row) != cols.n {
		return d, fmt.Errorf("%d columns, the header has %d", len(row), cols.n)
	}
	var errs []error
	num := func(name string, places int) int64 {
		v, err := decimal(cols.get(row, name), places)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		return v
	}
	bright := "bright_ti4"
	if cols.modis {
		bright = "brightness"
	}
	pos := treaty.Position{LatE7: num("latitude", 7), LonE7: num("longitude", 7)}
	t := &treaty.ThermalPixel{
		Position: pos, ScanM: num("scan", 3), TrackM: num("track", 3), BrightMK: num(bright, 3), FRPkW: num("frp", 3),
		Satellite: satellite(cols.get(row, "satellite")),
	}
	if t.Satellite == "" {
		errs = append(errs, errors.New("satellite: is empty"))
	}
	switch dn := strings.ToUpper(cols.get(row, "daynight")); dn {
	case "D":
		t.Day = true
	case "N", "":
	default:
		errs = append(errs, fmt.Errorf("daynight: %q is neither D nor N", dn))
	}
	at, sigma, err := when(cols.get(row, "acq_date"), cols.get(row, "acq_time"))
	if err != nil {
		errs = append(errs, err)
	}
	conf, err := confidence(cols.get(row, "confidence"), cols.modis)
	if err != nil {
		errs = append(errs, err)
	}
	class := treaty.ClassThermal
	switch k := cols.get(row, "type"); k {
	case "", "0":
	case "1", "2", "3": // volcano, another static source on land, offshore: hot, and always there
		class = treaty.ClassOther
	default:
		errs = append(errs, fmt.Errorf("type: %q is not 0 to 3", k))
	}
	if len(errs) > 0 {
		return d, errors.Join(errs...)
	}
	instrument := cols.get(row, "instrument")
	if instrument == "" {
		instrument = map[bool]string{false: "VIIRS", true: "MODIS"}[cols.modis]
	}
	d = treaty.Detection{
		Sensor: treaty.SensorID("firms:" + t.Satellite + "/" + instrument), Modality: treaty.ModalitySatellite, Mode: c.Mode,
		Time: treaty.TimeQuantity{Value: at, SigmaNs: int64(sigma)}, TimeSource: treaty.TimeGNSS,
		// The place of a satellite's measurement is its pixel: half the footprint's longer side, as a uniform's sigma.
		Pose:  treaty.Pose{Position: pos, SigmaMm: max(1, max(t.ScanM, t.TrackM)*1000*289/1000)},
		Class: class, Confidence: conf, Trust: c.Trust, Thermal: t,
	}
	return d, d.Check()
}

// satellite gives each satellite one name.
func satellite(s string) string {
	switch strings.ToUpper(s) {
	case "N", "NPP", "SUOMI NPP":
		return "NPP"
	case "N20", "1", "J1", "NOAA-20":
		return "N20"
	case "N21", "2", "J2", "NOAA-21":
		return "N21"
	case "T", "TERRA":
		return "Terra"
	case "A", "AQUA":
		return "Aqua"
	}
	return s
}

// when reads date and time. Times are full minutes, cut off: the middle of the minute is meant, uniformly. A time with
// seconds that are not zero is one to the second.
func when(date, clock string) (t treaty.Time, sigma time.Duration, err error) {
	day, err := time.Parse("2006-01-02", date)
	if err != nil {
		return 0, 0, fmt.Errorf("acq_date: %q is not YYYY-MM-DD", date)
	}
	h, m, s := "", "", "0"
	if parts := strings.Split(clock, ":"); len(parts) > 1 && len(parts) <= 3 {
		h, m = parts[0], parts[1]
		if len(parts) == 3 {
			s = parts[2]
		}
	} else if len(parts) == 1 && len(clock) >= 1 && len(clock) <= 4 {
		clock = strings.Repeat("0", 4-len(clock)) + clock
		h, m = clock[:2], clock[2:]
	}
	hh, err1 := whole(h, 23)
	mm, err2 := whole(m, 59)
	ss, err3 := whole(s, 59)
	if err := errors.Join(err1, err2, err3); err != nil {
		return 0, 0, fmt.Errorf("acq_time: %q is not HHMM, HH:MM or HH:MM:SS", clock)
	}
	at := day.Add(time.Duration(hh)*time.Hour + time.Duration(mm)*time.Minute + time.Duration(ss)*time.Second)
	if ss != 0 {
		return treaty.TimeOf(at.Add(500 * time.Millisecond)), 289 * time.Millisecond, nil
	}
	return treaty.TimeOf(at.Add(30 * time.Second)), 17_321 * time.Millisecond, nil // 60 s / sqrt(12)
}

func whole(s string, most int) (v int, err error) {
	if s == "" || len(s) > 2 {
		return 0, errors.New("not a number of one or two digits")
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, errors.New("not a number")
		}
		v = v*10 + int(c-'0')
	}
	if v > most {
		return 0, errors.New("too large")
	}
	return v, nil
}

// confidence reads both scales: VIIRS's words, MODIS's percentage.
func confidence(s string, modis bool) (treaty.PPM, error) {
	switch strings.ToLower(s) {
	case "l", "low":
		return 300_000, nil
	case "n", "nominal":
		return 700_000, nil
	case "h", "high":
		return 950_000, nil
	}
	if v, err := decimal(s, 0); modis && err == nil && v >= 0 && v <= 100 {
		return treaty.PPM(v * 10_000), nil
	}
	return 0, fmt.Errorf("confidence: %q is neither l, n, h nor, for MODIS, 0 to 100", s)
}

// decimal reads a plain decimal in steps of 10^-places, rounded half away from zero, without floats.
func decimal(s string, places int) (int64, error) {
	digits, negative := strings.CutPrefix(s, "-")
	a, b, _ := strings.Cut(digits, ".")
	if a+b == "" || len(a) > 9 || strings.Trim(a+b, "0123456789") != "" {
		return 0, fmt.Errorf("%q is not a plain number", s)
	}
	up := len(b) > places && b[places] >= '5'
	b = (b + strings.Repeat("0", places))[:places]
	var v int64
	for _, c := range []byte(a + b) {
		v = v*10 + int64(c-'0')
	}
	if up {
		v++
	}
	if negative {
		v = -v
	}
	return v, nil
}
