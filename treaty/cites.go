package treaty

import (
	"bytes"
	"cmp"
	"iter"
	"slices"
)

func compareHash(a, b Hash) int { return bytes.Compare(a[:], b[:]) }

// CompareHash orders digests by their bytes: the order of everything that is sorted before it is signed or summed.
func CompareHash(a, b Hash) int { return compareHash(a, b) }

// Compare orders refs by seal, then index.
func (r Ref) Compare(o Ref) int {
	return cmp.Or(compareHash(r.Seal, o.Seal), cmp.Compare(r.Index, o.Index))
}

// NewCites groups refs, in any order and with repeats, into their one form.
func NewCites(refs []Ref) Cites {
	refs = slices.Clone(refs)
	slices.SortFunc(refs, Ref.Compare)
	refs = slices.Compact(refs)
	var c Cites
	for _, r := range refs {
		if n := len(c); n == 0 || c[n-1].Seal != r.Seal {
			c = append(c, SealCite{Seal: r.Seal})
		}
		last := &c[len(c)-1]
		last.Indexes = append(last.Indexes, r.Index)
	}
	return c
}

// All is every cited detection, in order.
func (c Cites) All() iter.Seq[Ref] {
	return func(yield func(Ref) bool) {
		for _, s := range c {
			for _, i := range s.Indexes {
				if !yield(Ref{Seal: s.Seal, Index: i}) {
					return
				}
			}
		}
	}
}

// Len is how many detections are cited.
func (c Cites) Len() int {
	n := 0
	for _, s := range c {
		n += len(s.Indexes)
	}
	return n
}
