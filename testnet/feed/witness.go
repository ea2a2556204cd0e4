package feed

import (
	"math"
	"math/rand/v2"
	"time"

	"truceline/treaty"
)

var weaponWords = map[Kind][]string{
	KindArtillery: {"artillery", "artillery", "undetermined"},
	KindMortar:    {"mortar", "mortar", "artillery", "undetermined"},
	KindRocket:    {"multiple launch rocket system", "undetermined"},
	KindSmallArms: {"small arms", "heavy machine gun"},
	KindQuarry:    {"explosion, undetermined"},
	KindThunder:   {"undetermined"},
	KindImpact:    {"explosion, undetermined"},
}

// listen is what people at a post write down: about when, about where, and nearer than it was.
func (p *player) listen(rng *rand.Rand, x *sensor, kind Kind, waves []heard) {
	if len(waves) == 0 || waves[0].snr < 20 {
		return
	}
	h := waves[0]
	at := (h.at + seconds(3*rng.NormFloat64())).Round(time.Second)
	if at < 0 {
		return
	}
	d := p.base(x, at, 5)
	d.TimeSource = treaty.TimeManual
	d.Class = treaty.ClassUndetermined
	d.Confidence = 600_000
	const word = 2 * math.Pi / 16
	guess := h.dist * math.Exp(-0.1+0.35*rng.NormFloat64())
	words := weaponWords[kind]
	d.Human = &treaty.HumanReport{
		Means: "STATIC", Observation: "HEARD", CountMin: 1, CountMax: 1,
		Azimuth:       bearing(math.Round((h.from+rng.NormFloat64()*5*deg)/word)*word, word/math.Sqrt(12)),
		DistanceMinMm: round(guess*0.7/100) * 100_000, DistanceMaxMm: round(guess*1.4/100+1) * 100_000,
		Weapon: words[rng.IntN(len(words))],
	}
	p.out = append(p.out, report{x, at, at + seconds(40+60*rng.Float64()), d})
}

// thermal is a satellite's hot pixel, taken in by the first nation. It tells that something burns, not when it fired.
func (p *player) thermal(rng *rand.Rand, at time.Duration, place vec) {
	place.x += 80 * rng.NormFloat64()
	place.y += 80 * rng.NormFloat64()
	pos := p.s.Terms.at(place)
	x := &sensor{id: "firms:MADE-UP/VIIRS", pos: pos, pose: treaty.Pose{Position: pos, SigmaMm: 375_000}}
	d := p.base(x, at, 0.5)
	d.Modality, d.Trust, d.Class, d.Confidence = treaty.ModalitySatellite, treaty.TrustNetwork, treaty.ClassThermal, 700_000
	d.Thermal = &treaty.ThermalPixel{
		Position: pos, ScanM: 375, TrackM: 375, BrightMK: 330_000 + round(8000*rng.Float64()), FRPkW: 2000 + round(6000*rng.Float64()),
		Satellite: "MADE-UP",
	}
	p.out = append(p.out, report{x, at, at + 90*time.Second, d})
}
