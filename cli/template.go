package cli

import (
	"fmt"
	"time"
)

// template is an accord to be edited. Everything in it is made up.
func template(name, origin string, exercise bool, now time.Time) []byte {
	day := now.UTC().Format(time.DateOnly)
	return fmt.Appendf(nil, `# An accord, to be edited. Members are not here: truceline accord draft takes them from the nations' cards.
# Dates are UTC, or written in full: 2026-11-23T08:00:00Z. Lists may stand in any order, except the two parties.

name: %q
# The ledger's name for observers; never use it for another network. It begins with EXERCISE exactly when exercise is true.
origin: %q
epoch: 1 # of the roster; one more in every accord that changes it
exercise: %t # true: simulated and replayed detections count too, and everything says EXERCISE
founded: %s

parties: # going along the line, the first holds the left of it
  - {code: A, name: Northern side}
  - {code: B, name: Southern side}

lines:
  - from: %[4]s
    sigma: 20m # how exactly the line is drawn, 1 sigma
    file: line.geojson # a GeoJSON LineString beside this file; or write it here as geometry: {...}

zones: # kinds: withdrawal (no heavy weapons), exercise (announced training), buffer, disengagement
  - id: range-north
    name: Training area north
    kind: exercise
    party: A # whom it binds; leave out for both
    from: %[4]s
    geometry: {type: Polygon, coordinates: [[[37.2, 48.3], [37.3, 48.3], [37.3, 48.4], [37.2, 48.4], [37.2, 48.3]]]}

clauses: # "1.1" refines "1"
  - id: "1"
    text: No fire of any kind within 20 km of the contact line.
    act: fire
    classes: [EXPLOSION, LAUNCH, BURST, SHOT, ARTILLERY, MORTAR, ROCKET_ARTILLERY, SMALL_ARMS]
    within: 20km
    except_in: [range-north]
    severity: 1
    from: %[4]s
  - id: "1.1"
    text: No small-arms fire.
    act: fire
    classes: [SHOT, SMALL_ARMS]
    within: 20km
    except_in: [range-north]
    severity: 2
    from: %[4]s
  - id: "1.2"
    text: No heavy weapons.
    act: fire
    classes: [ARTILLERY, MORTAR, ROCKET_ARTILLERY]
    within: 20km
    except_in: [range-north]
    severity: 4
    from: %[4]s

policy:
  window: 2s # detections are sealed together in windows of this length
  grace: 2s # after a window's end, before anything of it is revealed
  heartbeat: 1m # every nation signs its time at least this often
  deadline: 2m # from an incident to INCONCLUSIVE, when no quorum agrees
  horizon: 2h # how long later evidence may amend a verdict
  min_likelihood: 95%%
  min_factor: 90%%
  guard: 0.5%% # nearer to a threshold than this: INCONCLUSIVE
  one_modality_nations: 3 # independent nations needed when all evidence is of one kind
`, name, origin, exercise, day)
}

const lineTemplate = `{
  "type": "LineString",
  "coordinates": [
    [37.0, 48.0],
    [37.8, 48.02],
    [39.0, 48.0]
  ]
}
`
