package attribution

import (
	"fmt"
	"math"
	"math/rand/v2"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// world is a made-up stretch of line with stations dealt out to nations, for tests: sound with weather, turbulence,
// pick noise, missed detections and false picks, drawn as attribution.md section 5 says.
type world struct {
	r       *rand.Rand
	fr      frame
	nations int
	at      []vec
	temp    float64
	next    map[treaty.Nation]uint32
	ev      []Evidence
	start   treaty.Time
	sigma   float64
	noise   float64 // actual part of sigma; 1
	status  bool
}

func newWorld(seed uint64, nations, sensors int, length, depth float64) *world {
	w := &world{
		r: rand.New(rand.NewPCG(seed, 7)), fr: newFrame(treaty.Position{LatE7: 48e7, LonE7: 38e7, HAEmm: 200_000}),
		nations: nations, temp: 12, next: map[treaty.Nation]uint32{}, start: treatytest.Founded + 3600e9, sigma: 0.03, noise: 1, status: true,
	}
	for range sensors {
		w.at = append(w.at, vec{(w.r.Float64() - 0.5) * length, (w.r.Float64()*2 - 1) * depth, w.r.NormFloat64() * 20})
	}
	return w
}

func (w *world) nation(i int) treaty.Nation { return treatytest.Names[i%w.nations] }

func (w *world) add(n treaty.Nation, d *treaty.Detection) {
	w.ev = append(w.ev, Evidence{Ref: treaty.Ref{Seal: treaty.HashOf([]byte(n)), Index: w.next[n]}, Nation: n, Detection: d, Independent: true})
	w.next[n]++
}

func (w *world) base(i int, t float64) *treaty.Detection {
	return &treaty.Detection{
		Sensor: treaty.SensorID(fmt.Sprintf("s%d", i)), Modality: treaty.ModalityAcoustic, Mode: treaty.ModeSimulated,
		Time: treaty.TimeQuantity{Value: w.start + treaty.Time(t*1e9), SigmaNs: int64(w.sigma * 1e9)}, TimeSource: treaty.TimeGNSS,
		Pose: treaty.Pose{Position: w.fr.position(w.at[i]), SigmaMm: 3000}, Class: treaty.ClassUndetermined, Confidence: 800_000,
		Trust: treaty.TrustChannel,
	}
}

func (w *world) arrival(i int, t float64, class treaty.EventClass, level, period float64) {
	d := w.base(i, t)
	d.Class = class
	d.Arrival = &treaty.Arrival{Phase: treaty.PhaseMuzzleBlast, AmplitudeMB: int64(level * 100), PeriodUs: int64(period * 1e6)}
	w.add(w.nation(i), d)
}

// weather gives every sensor a status with temperature and range.
func (w *world) weather(rangeM int64) {
	for i := range w.at {
		d := w.base(i, 0)
		d.Status = &treaty.SensorStatus{System: "OK", RangeM: rangeM, HaveTemp: true, TempMC: int64(w.temp * 1000)}
		w.add(w.nation(i), d)
	}
}

// source is a kind of weapon: level at 1 m, period, range.
type source struct {
	class         treaty.EventClass
	level, period float64
	reach         float64
}

var howitzer = source{treaty.ClassArtillery, 185, 0.05, 15_000}

// shoot makes an event heard by sensors for which hear is true (nil: all in range, Pd 0.85).
func (w *world) shoot(x, y, t float64, k source, hear func(i int) bool) (heard int) {
	c := 331.3 * math.Sqrt(1+w.temp/273.15) * (1 + 0.005*w.r.NormFloat64())
	we, wn := 2*w.r.NormFloat64(), 2*w.r.NormFloat64()
	for i, a := range w.at {
		dx, dy := a[0]-x, a[1]-y
		r := math.Hypot(math.Hypot(dx, dy), a[2])
		if r > k.reach || hear == nil && w.r.Float64() > 0.85 || hear != nil && !hear(i) {
			continue
		}
		tt := r / (c + (we*dx+wn*dy)/r)
		at := t + tt*(1+0.003*w.r.NormFloat64()) + w.noise*w.sigma*w.r.NormFloat64()
		w.arrival(i, at, treaty.ClassUndetermined, k.level-20*math.Log10(r)+6*w.r.NormFloat64(), k.period*math.Exp(0.15*w.r.NormFloat64()))
		heard++
	}
	return heard
}

// clutter adds n false picks over a span of seconds.
func (w *world) clutter(n int, span float64) {
	for range n {
		w.arrival(w.r.IntN(len(w.at)), w.r.Float64()*span, treaty.ClassUndetermined, 70+8*w.r.NormFloat64(), 0.02)
	}
}
