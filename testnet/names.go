package testnet

import (
	"strings"

	"truceline/treaty"
)

// nations are made-up guarantors: no testnet speaks in a real nation's name. Their codes lie in the range that ISO 3166-1
// leaves to users (XAA to XZZ).
var nations = []string{
	"Alvania", "Borland", "Cassmark", "Dunmere", "Estovar", "Fjordane", "Galdria", "Hestmark", "Ilvera", "Jorvland",
	"Kestria", "Lormark", "Merovia", "Norrland", "Ostwald", "Pelagia", "Quellen", "Rhovania", "Sundmark", "Tarvos",
	"Ulmeria", "Valdane", "Westmere", "Xanthia", "Yarrow", "Zembria", "Arvelle", "Brannia", "Corvane", "Drasmark",
	"Elvaria", "Farland", "Gresten", "Holmgard", "Istrava", "Jutmark", "Kalmaria", "Lysmark", "Montavia", "Nerland",
}

// roster is the first n nations with the codes they have, by code: X and the first two letters that nobody took before.
func roster(n int) []treaty.Member {
	taken := map[string]bool{}
	var out []treaty.Member
	for _, name := range nations[:n] {
		letters := strings.ToUpper(name)
		code := ""
		for i := 1; i < len(letters) && (code == "" || taken[code]); i++ {
			code = "X" + letters[:1] + letters[i:i+1]
		}
		taken[code] = true
		out = append(out, treaty.Member{Nation: treaty.Nation(code), Name: name})
	}
	return out
}
