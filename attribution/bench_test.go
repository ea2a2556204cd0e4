package attribution

import (
	"syscall"
	"testing"

	"truceline/treaty"
)

// lineHour is an hour of a 100 km line of 60 stations: events an hour, heard within 15 km, and as many false picks as
// makes 30 % of all.
func lineHour(events int) *world {
	w := newWorld(3, 7, 60, 100_000, 6_000)
	w.weather(15_000)
	n := 0
	for range events {
		n += w.shoot((w.r.Float64()-0.5)*100_000, (w.r.Float64()*2-1)*8_000, w.r.Float64()*3600, howitzer, nil)
	}
	w.clutter(n*3/7, 3600)
	return w
}

// cpu is the processor time this process has used, seconds: wall time on a shared machine says nothing.
func cpu() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// BenchmarkAssociateLine prints arrivals a second on a contact line.
func BenchmarkAssociateLine(b *testing.B) {
	j := judge(b, 7, nil)
	w := lineHour(400)
	c0 := cpu()
	for b.Loop() {
		j.Associate(w.ev)
	}
	b.ReportMetric(float64(len(w.ev)*b.N)/(cpu()-c0), "arrivals/cpu-s")
}

// BenchmarkAssociateCity prints arrivals a second of the live-fire recordings, test by test.
func BenchmarkAssociateCity(b *testing.B) {
	fs := readFirings(b)
	j := judge(b, 7, nil)
	var evs [][]Evidence
	n := 0
	for i := range fs {
		ev, _ := fs[i].evidence(b, 7, true, 5000)
		evs = append(evs, ev)
		n += len(ev)
	}
	c0 := cpu()
	for b.Loop() {
		for _, ev := range evs {
			j.Associate(ev)
		}
	}
	b.ReportMetric(float64(n*b.N)/(cpu()-c0), "arrivals/cpu-s")
}

// BenchmarkAssess prints the cost of one assessment with its leave-out runs.
func BenchmarkAssess(b *testing.B) {
	j := judge(b, 6, nil)
	w := newWorld(1, 6, 18, 16_000, 6_000)
	w.weather(15_000)
	w.shoot(1000, 3000, 100, howitzer, nil)
	w.clutter(20, 200)
	es := j.Associate(w.ev)
	var a treaty.Assessment
	c0 := cpu()
	for b.Loop() {
		a = j.Assess(w.ev, es[0])
	}
	_ = a
	b.ReportMetric(1000*(cpu()-c0)/float64(b.N), "cpu-ms/op")
}
