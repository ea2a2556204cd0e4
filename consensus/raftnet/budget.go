package raftnet

import "time"

const (
	// A leader may send budgetBurst bytes of entries at once, and budgetRate a second in the long run: ten times what a
	// network at full load orders, so that a node catches up in good time and no leader fills a disk in a minute.
	budgetBurst = 256 << 20
	budgetRate  = 32 << 20
)

// budget is how many bytes of entries a member may send now, as of some time.
type budget struct {
	left int64
	at   time.Time
}

// spend takes n bytes from a member's budget, if they are there.
func (g *guard) spend(from string, n int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	b, now := g.budgets[from], time.Now()
	if b == nil {
		b = &budget{budgetBurst, now}
		g.budgets[from] = b
	}
	if gone := min(now.Sub(b.at), budgetBurst/budgetRate*time.Second); gone > 0 {
		b.left = min(budgetBurst, b.left+int64(gone.Microseconds())*budgetRate/1e6)
		b.at = now
	}
	if b.left < int64(n) {
		return false
	}
	b.left -= int64(n)
	return true
}

// after says whether the guard's pace allows another one now, and if so counts it.
func (g *guard) after(last *time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if !last.IsZero() && now.Sub(*last) < g.pace {
		return false
	}
	*last = now
	return true
}
