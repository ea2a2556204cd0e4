// Package treatytest makes networks for tests: the same nations with the same keys every time. Tests only.
package treatytest

import (
	"crypto/ed25519"
	"fmt"
	"time"

	"truceline/treaty"
)

// Names are the guarantors of a made-up accord, in roster order.
var Names = []treaty.Nation{
	"AUT", "BEL", "CZE", "DNK", "EST", "FIN", "GRC", "HUN", "IRL", "JPN", "KOR", "LTU", "MLT", "NLD", "OMN", "POL",
	"QAT", "ROU", "SWE", "TUR", "URY", "VNM", "WSM", "YEM", "ZAF", "ZMB", "ZWE", "ZZA", "ZZB", "ZZC", "ZZD", "ZZE",
	"ZZF", "ZZG", "ZZH", "ZZI", "ZZJ", "ZZK", "ZZL", "ZZM",
}

// Founded is when the test accord begins: the start of a synctest bubble's clock, less one day.
var Founded = treaty.TimeOf(time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC))

// Keys are one nation's private keys.
type Keys struct {
	Treaty, Cosign, Node ed25519.PrivateKey
}

// Fixture is a network with everybody's keys.
type Fixture struct {
	Net     *treaty.Network
	Keys    map[treaty.Nation]Keys
	Signers map[treaty.Nation]*treaty.Signer
}

func key(what string, n treaty.Nation) ed25519.PrivateKey {
	seed := treaty.HashOf(fmt.Appendf(nil, "treatytest %s %s", what, n))
	return ed25519.NewKeyFromSeed(seed[:])
}

// Accord is an exercise accord of n nations over a straight east-west line at 48 degrees north from 37 to 39 degrees
// east: party A north of it, party B south. change may be nil.
func Accord(n int, change func(*treaty.Accord)) *treaty.Accord {
	a := &treaty.Accord{
		Name: "Test line", Origin: "EXERCISE.test.truceline/1", Epoch: 1, Exercise: true, Founded: Founded,
		Parties: []treaty.PartyInfo{{Code: "A", Name: "Northern side"}, {Code: "B", Name: "Southern side"}},
		Lines: []treaty.Line{{
			From: Founded, SigmaMm: 20_000,
			Vertices: []treaty.Position{{LatE7: 48e7, LonE7: 37e7}, {LatE7: 48e7, LonE7: 39e7}},
		}},
		Policy: treaty.DefaultPolicy(),
	}
	for _, k := range Names[:n] {
		m := treaty.Member{Nation: k, Name: "Nation " + string(k)}
		for _, r := range []treaty.KeyRole{treaty.RoleTreaty, treaty.RoleCosign, treaty.RoleNode} {
			pub := key(r.String(), k).Public().(ed25519.PublicKey)
			m.Keys = append(m.Keys, treaty.Key{Role: r, Kind: treaty.KindEd25519, Public: pub})
		}
		a.Members = append(a.Members, m)
	}
	fire := []treaty.EventClass{
		treaty.ClassExplosion, treaty.ClassLaunch, treaty.ClassBurst, treaty.ClassShot,
		treaty.ClassArtillery, treaty.ClassMortar, treaty.ClassRocketArtillery, treaty.ClassSmallArms,
	}
	heavy := []treaty.EventClass{treaty.ClassArtillery, treaty.ClassMortar, treaty.ClassRocketArtillery}
	a.Clauses = []treaty.Clause{
		{ID: "1", Text: "No fire of any kind within 20 km of the contact line.", Act: treaty.ActFire, Classes: fire, WithinMm: 20_000_000, Severity: 1, From: Founded},
		{ID: "1.1", Text: "No small-arms fire.", Act: treaty.ActFire, Classes: []treaty.EventClass{treaty.ClassShot, treaty.ClassSmallArms}, WithinMm: 20_000_000, Severity: 2, From: Founded},
		{ID: "1.2", Text: "No heavy weapons.", Act: treaty.ActFire, Classes: heavy, WithinMm: 20_000_000, Severity: 4, From: Founded},
	}
	if change != nil {
		change(a)
	}
	return a
}

// New makes a network of n nations, 4 to 40.
func New(n int) *Fixture { return NewWith(n, nil) }

// NewWith makes a network whose accord is changed first. It panics when the change breaks the accord.
func NewWith(n int, change func(*treaty.Accord)) *Fixture {
	net, err := treaty.NewNetwork(Accord(n, change))
	if err != nil {
		panic(err)
	}
	f := &Fixture{Net: net, Keys: map[treaty.Nation]Keys{}, Signers: map[treaty.Nation]*treaty.Signer{}}
	for _, k := range Names[:n] {
		ks := Keys{Treaty: key("treaty", k), Cosign: key("cosign", k), Node: key("node", k)}
		f.Keys[k] = ks
		if f.Signers[k], err = treaty.NewSigner(net, k, ks.Treaty); err != nil {
			panic(err)
		}
	}
	return f
}
