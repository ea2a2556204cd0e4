package tally

import (
	"cmp"
	"slices"

	"truceline/treaty"
)

// lowerMedian is the element in the middle of a sorted list, the lower one of two. Of m values of which at most
// (m-1)/2 are lies it is never outside the honest range: as many or more values stand on either side of it.
// Every list here is a roster (m = n >= 3f+1) or a quorum (m >= q >= 2f+1).
func lowerMedian[T any](sorted []T) (m T) {
	if len(sorted) == 0 {
		return m
	}
	return sorted[(len(sorted)-1)/2]
}

// medianOf is the lower median of one number of each attestation.
func medianOf[T cmp.Ordered](as []*attestation, of func(*attestation) T) T {
	vs := make([]T, len(as))
	for i, a := range as {
		vs[i] = of(a)
	}
	slices.Sort(vs)
	return lowerMedian(vs)
}

// mostNamed is the value that most attestations name, the lowest of several.
func mostNamed[T cmp.Ordered](as []*attestation, of func(*attestation) T) (best T) {
	vs := make([]T, len(as))
	for i, a := range as {
		vs[i] = of(a)
	}
	slices.Sort(vs)
	most := 0
	for i := 0; i < len(vs); {
		j := i
		for j < len(vs) && vs[j] == vs[i] {
			j++
		}
		if j-i > most {
			best, most = vs[i], j-i
		}
		i = j
	}
	return best
}

// sortTimes puts times in rising order.
func sortTimes(ts []treaty.Time) { slices.Sort(ts) }

// replaceTime changes one value of a sorted list to a later one and keeps it sorted.
func replaceTime(ts []treaty.Time, was, now treaty.Time) {
	i, _ := slices.BinarySearch(ts, was)
	for ; i+1 < len(ts) && ts[i+1] < now; i++ {
		ts[i] = ts[i+1]
	}
	ts[i] = now
}

// set is a small set of numbers below 64: nations by roster index, modalities, reasons.
type set uint64

func (s set) has(i int) bool { return s>>uint(i)&1 == 1 }
func (s *set) add(i int)     { *s |= 1 << uint(i) }

// members lists a set in rising order.
func (s set) members() (is []int) {
	for i := range 64 {
		if s.has(i) {
			is = append(is, i)
		}
	}
	return is
}

// setOf packs a list of small numbers; the caller has checked that they are below 64.
func setOf[T ~uint8](vs []T) (s set) {
	for _, v := range vs {
		s.add(int(v & 63))
	}
	return s
}

// named is the set of numbers that at least k of the attestations' sets hold. With k = f+1, an honest one names each.
func named(as []*attestation, k int, of func(*attestation) set) (out set) {
	var count [64]int
	for _, a := range as {
		for _, i := range of(a).members() {
			count[i]++
		}
	}
	for i, c := range count {
		if c >= k {
			out.add(i)
		}
	}
	return out
}
