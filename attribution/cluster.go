package attribution

import (
	"slices"
)

// cluster is a set of sensors of one spacing, which one grid covers.
type cluster struct {
	sensors []int
	reach   float64 // the longest reach of its sensors
}

// clusters groups sensors by their own spacing (the distance to the third neighbour), so that a dense city array and
// a thin line of stations in one window each get a grid of their own scale.
func (s *scene) clusters() []cluster {
	n := len(s.sensors)
	near := make([]float64, n)
	for i := range s.sensors {
		d := make([]float64, 0, n)
		for k := range s.sensors {
			if k != i {
				v := s.sensors[i].at.sub(s.sensors[k].at)
				d = append(d, norm3(v[0], v[1], v[2]))
			}
		}
		slices.Sort(d)
		if len(d) > 0 {
			near[i] = max(50, d[min(2, len(d)-1)])
		}
	}
	group := make([]int, n)
	for i := range group {
		group[i] = -1
	}
	var out []cluster
	for i := range s.sensors {
		if group[i] >= 0 {
			continue
		}
		g := len(out)
		c := cluster{sensors: []int{i}}
		group[i] = g
		for q := 0; q < len(c.sensors); q++ {
			a := c.sensors[q]
			for b := range s.sensors {
				if group[b] >= 0 {
					continue
				}
				v := s.sensors[a].at.sub(s.sensors[b].at)
				if norm3(v[0], v[1], v[2]) <= float64(5*min(near[a], near[b])) {
					group[b] = g
					c.sensors = append(c.sensors, b)
				}
			}
		}
		slices.Sort(c.sensors)
		sp := make([]float64, 0, len(c.sensors))
		for _, i := range c.sensors {
			sp = append(sp, near[i])
		}
		reach := float64(5 * median(sp))
		for _, i := range c.sensors {
			sn := &s.sensors[i]
			sn.reach = min(s.j.p.HearingRange, max(1000, reach))
			if sn.stated > 0 {
				sn.reach = min(sn.stated, max(1000, reach))
			}
			sn.lambda = min(20, max(1.0/600, (float64(sn.count)+0.5)/s.span))
			c.reach = max(c.reach, sn.reach)
		}
		out = append(out, c)
	}
	return out
}
