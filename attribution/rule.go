package attribution

import (
	"slices"

	"truceline/treaty"
)

// charge is one clause with the probability that it was broken, and by whom.
type charge struct {
	clause *treaty.Clause
	depth  int
	class  float64    // the class is one it forbids
	place  [2]float64 // the place is that party's, where the clause holds and no exception does
	exempt float64    // the place is where an exception holds
	area   float64    // the place is where the clause holds, exceptions aside
}

// covers says which computed classes a clause's word stands for: the generic words of sensors stand for several.
func covers(word, class treaty.EventClass) bool {
	if word == class {
		return true
	}
	switch word {
	case treaty.ClassShot, treaty.ClassBurst:
		return class == treaty.ClassSmallArms
	case treaty.ClassLaunch:
		return class == treaty.ClassMortar || class == treaty.ClassRocketArtillery || class == treaty.ClassArtillery
	}
	return false
}

// charges weighs every clause in force over the posterior: the same lattice for place, party and exceptions, so that
// what depends on the place is never multiplied as if it did not. A clause holds only where all above it hold.
func (j *Judge) charges(spots []spot, g *ground, cls classes, t treaty.Time) []charge {
	var out []charge
	for i := range j.accord.Clauses {
		chain := j.chain(&j.accord.Clauses[i])
		if slices.ContainsFunc(chain, func(c *treaty.Clause) bool { return !inForce(c.From, c.Until, t) }) {
			continue
		}
		ch := charge{clause: chain[0], depth: len(chain)}
		for k := range densities {
			all := true
			for _, c := range chain {
				all = all && slices.ContainsFunc(c.Classes, func(w treaty.EventClass) bool { return covers(w, densities[k].class) })
			}
			if all {
				ch.class += cls[k]
			}
		}
		for k := range spots {
			sp := &spots[k]
			bind, exempt := [2]bool{true, true}, false
			for _, c := range chain {
				b, e := j.holds(c, sp, g)
				bind[0], bind[1], exempt = bind[0] && b[0], bind[1] && b[1], exempt || e
			}
			for x := range bind {
				if bind[x] {
					v := mul(sp.weight, sp.odds[x])
					ch.area += v
					if exempt {
						ch.exempt += v
					} else {
						ch.place[x] += v
					}
				}
			}
		}
		out = append(out, ch)
	}
	return out
}

// chain is a clause and all above it, the clause first.
func (j *Judge) chain(c *treaty.Clause) []*treaty.Clause {
	out := []*treaty.Clause{c}
	for id := c.ID.Parent(); id != ""; id = id.Parent() {
		for i := range j.accord.Clauses {
			if j.accord.Clauses[i].ID == id {
				out = append(out, &j.accord.Clauses[i])
			}
		}
	}
	return out
}

// holds says which parties a clause binds at a point, and whether an exercise zone excepts it there. Firing a weapon
// shows its presence, so both acts are judged by the place of the weapon.
func (j *Judge) holds(c *treaty.Clause, sp *spot, g *ground) (bind [2]bool, exempt bool) {
	switch {
	case len(c.Zones) > 0:
		for _, id := range c.Zones {
			a, ok := g.areas[id]
			if !ok || !inside(a.ring, sp.p) {
				continue
			}
			for x := range bind {
				bind[x] = bind[x] || a.zone.Party == "" || a.zone.Party == j.accord.Parties[x].Code
			}
		}
	case c.WithinMm == 0 || sp.lined && sp.dist <= float64(c.WithinMm)/1000:
		bind = [2]bool{true, true}
	}
	for _, id := range c.ExceptIn {
		if a, ok := g.areas[id]; ok && inside(a.ring, sp.p) {
			exempt = true
		}
	}
	return bind, exempt
}
