// Package feed makes up nights: what really happened along a made-up contact line, and what every nation's sensors
// reported of it.
//
// It promises that a night is the same for the same scenario, seed and nations; that the sensors' reports follow from
// physics other than the solver's (bent rays through wind and temperature that change with height, turbulence,
// drifting clocks, echoes, gusts, passing lorries), so that a network that finds the truth has not merely been handed
// its own model back; and that the truth says what a fair judge would have to answer, and what nobody could have heard.
//
// It does not know how anything is judged, does no I/O and reads no clock.
//
//	YAML -> Scenario -> Play -> Night{Truth, Feed} ; Score(Truth, what was decided) -> Table
package feed
