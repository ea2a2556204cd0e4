package feed

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"truceline/treaty"
)

// Accord is the exercise accord of a scenario for a roster: the made-up line, a withdrawal zone on each side, the
// exercise zones and a small clause tree. It must be founded before the night begins.
func (s *Scenario) Accord(members []treaty.Member, founded treaty.Time) (*treaty.Accord, error) {
	t := &s.Terms
	if founded > treaty.TimeOf(s.Start) {
		return nil, fmt.Errorf("accord of scenario %s: founded %s, after the night begins (%s): found it earlier or start later",
			s.Name, founded, s.Start)
	}
	a := &treaty.Accord{
		Name: t.Name, Origin: t.Origin, Epoch: 1, Exercise: true, Founded: founded,
		Members: slices.SortedFunc(slices.Values(members), func(a, b treaty.Member) int { return cmp.Compare(a.Nation, b.Nation) }),
		Lines:   []treaty.Line{{From: founded, SigmaMm: int64(t.LineSigmaM * 1000), Vertices: t.line()}},
		Policy:  treaty.DefaultPolicy(),
	}
	var withdrawal, exercise []string
	for _, q := range t.Parties {
		a.Parties = append(a.Parties, treaty.PartyInfo{Code: treaty.Party(q.Code), Name: q.Name})
		id := "withdrawal-" + strings.ToLower(q.Code)
		withdrawal = append(withdrawal, id)
		length := lineLength(t.LineKm)
		a.Zones = append(a.Zones, treaty.Zone{
			ID: id, Name: q.Name + ": no heavy weapons", Kind: treaty.ZoneWithdrawal, Party: treaty.Party(q.Code), From: founded,
			Ring: t.ring(q.Code, [2]float64{0, length}, [2]float64{0, t.WithdrawalKm}),
		})
	}
	for _, z := range t.ExerciseZones {
		exercise = append(exercise, z.ID)
		a.Zones = append(a.Zones, treaty.Zone{
			ID: z.ID, Name: z.Name, Kind: treaty.ZoneExercise, Party: treaty.Party(z.Side), From: founded,
			Ring: t.ring(z.Side, z.AlongKm, z.DepthKm),
		})
	}
	slices.Sort(withdrawal)
	slices.Sort(exercise)
	slices.SortFunc(a.Zones, func(a, b treaty.Zone) int { return cmp.Compare(a.ID, b.ID) })

	near := int64(math.Round(t.CeasefireKm * 1e6))
	guns := []treaty.EventClass{treaty.ClassArtillery, treaty.ClassRocketArtillery}
	fire := func(id treaty.ClauseID, severity uint32, text string, classes ...treaty.EventClass) treaty.Clause {
		return treaty.Clause{
			ID: id, Text: text, Act: treaty.ActFire, Classes: classes, WithinMm: near, ExceptIn: exercise,
			Severity: severity, From: founded,
		}
	}
	a.Clauses = []treaty.Clause{
		fire("1", 1, fmt.Sprintf("No fire of any kind within %g km of the contact line, announced exercises excepted.", t.CeasefireKm),
			treaty.ClassExplosion, treaty.ClassLaunch, treaty.ClassBurst, treaty.ClassShot,
			treaty.ClassArtillery, treaty.ClassMortar, treaty.ClassRocketArtillery, treaty.ClassSmallArms),
		fire("1.1", 2, "No small-arms fire.", treaty.ClassBurst, treaty.ClassShot, treaty.ClassSmallArms),
		fire("1.2", 3, "No mortar fire.", treaty.ClassMortar),
		fire("1.3", 4, "No artillery or rocket fire.", guns...),
		{
			ID: "2", Text: fmt.Sprintf("No gun or rocket launcher within %g km of the contact line.", t.WithdrawalKm),
			Act: treaty.ActPresence, Classes: guns, Zones: withdrawal, Severity: 3, From: founded,
		},
	}
	if err := a.Check(); err != nil {
		return nil, fmt.Errorf("accord of scenario %s: %w", s.Name, err)
	}
	return a, nil
}

// ring is a band along the line as a closed ring. Its corners follow the line's vertices, so that a band from depth 0
// touches the line and does not cross it.
func (t *Terms) ring(side string, along, depth [2]float64) []treaty.Position {
	stops := []float64{along[0]}
	sum := 0.0
	for i := 1; i < len(t.LineKm); i++ {
		if sum > along[0] && sum < along[1] {
			stops = append(stops, sum)
		}
		sum += math.Hypot(t.LineKm[i][0]-t.LineKm[i-1][0], t.LineKm[i][1]-t.LineKm[i-1][1])
	}
	stops = append(stops, along[1])
	var ring []treaty.Position
	for _, x := range stops {
		ring = append(ring, t.at(t.put(x, t.onSide(side, depth[0]*1000))))
	}
	for _, x := range slices.Backward(stops) {
		ring = append(ring, t.at(t.put(x, t.onSide(side, depth[1]*1000))))
	}
	return append(ring, ring[0])
}
