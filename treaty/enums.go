package treaty

import (
	"fmt"
	"strings"
)

// names holds the words of one enumeration, by number; number 0 is always "unset" and illegal in signed bytes.
type names []string

func (n names) text(v uint8) string {
	if int(v) < len(n) {
		return n[v]
	}
	return fmt.Sprintf("%d?", v)
}

func (n names) parse(what string, b []byte) (uint8, error) {
	for i, s := range n {
		if i > 0 && s == string(b) {
			return uint8(i), nil
		}
	}
	return 0, fmt.Errorf("%w: %s %q: use one of %s", ErrMalformed, what, b, strings.Join(n[1:], ", "))
}

func (n names) valid(v uint8) bool { return v > 0 && int(v) < len(n) && n[v] != "" }

// Modality is how a sensor senses. The numbers are SAPIENT's NodeType (BSI Flex 335 v2), 32 and up are ours.
type Modality uint8

// The modalities; SAPIENT numbers below 32.
const (
	ModalityRadar       Modality = 2
	ModalityLidar       Modality = 3
	ModalityCamera      Modality = 4
	ModalitySeismic     Modality = 5
	ModalityAcoustic    Modality = 6
	ModalityPassiveRF   Modality = 8
	ModalityHuman       Modality = 9
	ModalitySatellite   Modality = 32
	ModalityInfrasound  Modality = 33
	ModalityWeaponRadar Modality = 34
)

var modalityNames = func() names {
	n := make(names, 35)
	n[ModalityRadar], n[ModalityLidar], n[ModalityCamera] = "radar", "lidar", "camera"
	n[ModalitySeismic], n[ModalityAcoustic], n[ModalityPassiveRF] = "seismic", "acoustic", "passive_rf"
	n[ModalityHuman], n[ModalitySatellite] = "human", "satellite"
	n[ModalityInfrasound], n[ModalityWeaponRadar] = "infrasound", "weapon_radar"
	return n
}()

func (m Modality) String() string               { return modalityNames.text(uint8(m)) }
func (m Modality) Valid() bool                  { return modalityNames.valid(uint8(m)) }
func (m Modality) MarshalText() ([]byte, error) { return []byte(m.String()), nil }
func (m *Modality) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		return fmt.Errorf("%w: modality is empty", ErrMalformed)
	}
	v, err := modalityNames.parse("modality", b)
	*m = Modality(v)
	return err
}

// Mode says whether a detection is of the world. Only ModeReal may reach a verdict, except under an exercise accord.
type Mode uint8

// The modes. The zero Mode is illegal, so that nothing is ever silently real.
const (
	ModeReal Mode = iota + 1
	ModeExercise
	ModeSimulated
	ModeTest
	ModeReplay
)

var modeNames = names{"", "REAL", "EXERCISE", "SIMULATED", "TEST", "REPLAY"}

func (m Mode) String() string               { return modeNames.text(uint8(m)) }
func (m Mode) Valid() bool                  { return modeNames.valid(uint8(m)) }
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }
func (m *Mode) UnmarshalText(b []byte) error {
	v, err := modeNames.parse("mode", b)
	*m = Mode(v)
	return err
}

// Trust says how the node knows that a detection came from its sensor.
type Trust uint8

// The levels of trust, best first.
const (
	TrustSensorSigned Trust = iota + 1
	TrustChannel            // an authenticated channel, bound to the sensor
	TrustNetwork            // an address
	TrustManual             // typed in or read from a file by an operator
)

var trustNames = names{"", "sensor-signed", "channel", "network", "manual"}

func (t Trust) String() string               { return trustNames.text(uint8(t)) }
func (t Trust) Valid() bool                  { return trustNames.valid(uint8(t)) }
func (t Trust) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
func (t *Trust) UnmarshalText(b []byte) error {
	v, err := trustNames.parse("trust", b)
	*t = Trust(v)
	return err
}

// EventClass is what a sensor or a nation says happened.
type EventClass uint8

// The classes. The first block is what sensors report (sensorio.md section 11), the second what an assessment may
// conclude beyond it.
const (
	ClassUndetermined EventClass = iota + 1
	ClassExplosion
	ClassLaunch
	ClassImpact
	ClassProjectile
	ClassBurst
	ClassShot
	ClassMuzzleFlash
	ClassIllumination
	ClassVehicle
	ClassUAV
	ClassThermal
	ClassPerson
	ClassOther

	ClassArtillery
	ClassMortar
	ClassRocketArtillery
	ClassSmallArms
	ClassQuarryBlast
	ClassThunder
)

var classNames = names{
	"", "UNDETERMINED", "EXPLOSION", "LAUNCH", "IMPACT", "PROJECTILE_IN_FLIGHT", "BURST", "SHOT",
	"MUZZLE_FLASH", "ILLUMINATION", "VEHICLE", "UAV", "THERMAL_ANOMALY", "PERSON", "OTHER",
	"ARTILLERY", "MORTAR", "ROCKET_ARTILLERY", "SMALL_ARMS", "QUARRY_BLAST", "THUNDER",
}

func (c EventClass) String() string               { return classNames.text(uint8(c)) }
func (c EventClass) Valid() bool                  { return classNames.valid(uint8(c)) }
func (c EventClass) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
func (c *EventClass) UnmarshalText(b []byte) error {
	v, err := classNames.parse("class", b)
	*c = EventClass(v)
	return err
}

// Phase is which wave of an event an arrival is (QuakeML phaseHint).
type Phase uint8

// The phases.
const (
	PhaseUnknown Phase = iota + 1
	PhaseMuzzleBlast
	PhaseShockWave
	PhaseImpactBlast
	PhaseP
	PhaseS
	PhaseInfrasound
)

var phaseNames = names{"", "unknown", "muzzle_blast", "shock_wave", "impact_blast", "P", "S", "I"}

func (p Phase) String() string               { return phaseNames.text(uint8(p)) }
func (p Phase) Valid() bool                  { return phaseNames.valid(uint8(p)) }
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
func (p *Phase) UnmarshalText(b []byte) error {
	v, err := phaseNames.parse("phase", b)
	*p = Phase(v)
	return err
}

// TimeSource is where a sensor's time comes from.
type TimeSource uint8

// The sources of time, best first.
const (
	TimeGNSS TimeSource = iota + 1
	TimePTP
	TimeNTP
	TimeHoldover
	TimeManual
	TimeUnknown
)

var timeSourceNames = names{"", "GNSS", "PTP", "NTP", "HOLDOVER", "MANUAL", "UNKNOWN"}

func (t TimeSource) String() string               { return timeSourceNames.text(uint8(t)) }
func (t TimeSource) Valid() bool                  { return timeSourceNames.valid(uint8(t)) }
func (t TimeSource) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
func (t *TimeSource) UnmarshalText(b []byte) error {
	v, err := timeSourceNames.parse("time source", b)
	*t = TimeSource(v)
	return err
}

// Finding is the answer to "was the agreement broken?": an assessment's, and a verdict's outcome.
type Finding uint8

// The findings.
const (
	Breach Finding = iota + 1
	NoBreach
	Inconclusive
)

var findingNames = names{"", "BREACH", "NO_BREACH", "INCONCLUSIVE"}

func (f Finding) String() string               { return findingNames.text(uint8(f)) }
func (f Finding) Valid() bool                  { return findingNames.valid(uint8(f)) }
func (f Finding) MarshalText() ([]byte, error) { return []byte(f.String()), nil }
func (f *Finding) UnmarshalText(b []byte) error {
	v, err := findingNames.parse("finding", b)
	*f = Finding(v)
	return err
}

// Confidence is how good the grounds are, kept apart from likelihood (ICD 203, section D.6.e.(2)).
type Confidence uint8

// The levels of confidence.
const (
	ConfidenceLow Confidence = iota + 1
	ConfidenceModerate
	ConfidenceHigh
)

var confidenceNames = names{"", "low", "moderate", "high"}

func (c Confidence) String() string               { return confidenceNames.text(uint8(c)) }
func (c Confidence) Valid() bool                  { return confidenceNames.valid(uint8(c)) }
func (c Confidence) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
func (c *Confidence) UnmarshalText(b []byte) error {
	v, err := confidenceNames.parse("confidence", b)
	*c = Confidence(v)
	return err
}

// Likelihood is the ICD 203 word for a probability.
func Likelihood(p PPM) string {
	switch {
	case p < 10_000:
		return "remote"
	case p <= 50_000:
		return "almost no chance"
	case p <= 200_000:
		return "very unlikely"
	case p <= 450_000:
		return "unlikely"
	case p <= 550_000:
		return "roughly even chance"
	case p <= 800_000:
		return "likely"
	case p <= 950_000:
		return "very likely"
	default:
		return "almost certain"
	}
}

// Reason says why an assessment or verdict is what it is, for machines and people.
type Reason uint8

// The reasons. Numbers are in signed bytes: add at the end only.
const (
	ReasonCloseToLine     Reason = iota + 1 // the line is within the place's uncertainty
	ReasonSingleNation                      // only one nation's sensors heard it
	ReasonNotResilient                      // the finding changes when e nations' evidence is taken away
	ReasonClassAmbiguous                    // it may not be fire at all
	ReasonLowCoverage                       // too few sensors could have heard it
	ReasonException                         // an exception of the accord applies
	ReasonMirrorSolution                    // a second place fits nearly as well
	ReasonNearThreshold                     // within the guard band of a threshold
	ReasonNotFire                           // natural or civil source
	ReasonOutsideZones                      // no clause covers that place and time
	ReasonNotConfirmed                      // this nation's own computation finds no such event
	ReasonDeadline                          // the deadline passed before a quorum agreed
	ReasonNoQuorum                          // every nation has spoken and no finding has a quorum
	ReasonNotIndependent                    // too few nations' evidence was sealed before it could be copied
	ReasonOneModality                       // too few modalities and too few nations
	ReasonExcluded                          // only detections that are not REAL
	ReasonOperator                          // the duty officer changed or declined the automatic finding
	ReasonPoorFit                           // the measurements do not agree with one place and time
	ReasonQuietCoverage                     // sensors that should have heard it did not
	ReasonBelowLikelihood                   // a factor lies below the accord's threshold
)

var reasonNames = names{
	"", "CLOSE_TO_LINE", "SINGLE_NATION", "NOT_F_RESILIENT", "CLASS_AMBIGUOUS", "LOW_COVERAGE",
	"EXCEPTION_CLAIMED", "MIRROR_SOLUTION", "NEAR_THRESHOLD", "NOT_FIRE", "OUTSIDE_ZONES", "NOT_CONFIRMED",
	"DEADLINE", "NO_QUORUM", "NOT_INDEPENDENT", "ONE_MODALITY", "NOT_REAL", "OPERATOR", "POOR_FIT",
	"QUIET_COVERAGE", "BELOW_LIKELIHOOD",
}

func (r Reason) String() string               { return reasonNames.text(uint8(r)) }
func (r Reason) Valid() bool                  { return reasonNames.valid(uint8(r)) }
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
func (r *Reason) UnmarshalText(b []byte) error {
	v, err := reasonNames.parse("reason", b)
	*r = Reason(v)
	return err
}
