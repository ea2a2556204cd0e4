package treaty

// Faulty is f, the number of nations out of n that may do anything at all: floor((n-1)/3).
func Faulty(n int) int {
	if n < 1 {
		return 0
	}
	return (n - 1) / 3
}

// Quorum is q = floor((n+f)/2)+1. Any two sets of q nations share at least f+1, so at least one honest nation; and
// q <= n-f, so the honest nations alone can reach it. 2f+1 is right only when n = 3f+1: with n = 6 two sets of 3
// share nobody.
func Quorum(n int) int { return (n+Faulty(n))/2 + 1 }

// Resilience is e, the number of nations whose evidence a finding must not depend on, out of those that contributed
// to it: max(1, floor((contributors-1)/3)).
func Resilience(contributors int) int { return max(1, (contributors-1)/3) }
