package node

import (
	"cmp"
	"slices"
	"time"

	"truceline/attribution"
	"truceline/treaty"
)

// window is the rolling evidence that attribution sees: what was measured within the last minutes, and the latest
// status of every sensor, however old. The pipeline owns it.
type window struct {
	items   []attribution.Evidence // by time, then ref
	status  map[sensorKey]attribution.Evidence
	sensors map[treaty.Nation]int // in status
}

// maxSensors bounds the sensors of one nation whose status is kept: what is beyond is evidence all the same, only without.
const maxSensors = 4096

// maxAheadOfWindow is how far beyond its window's end a detection's own time may lie: a sensor's clock may be off, but
// what is dated in the future for ever would never be forgotten.
const maxAheadOfWindow = time.Minute

type sensorKey struct {
	nation treaty.Nation
	sensor treaty.SensorID
}

func newWindow() *window {
	return &window{status: map[sensorKey]attribution.Evidence{}, sensors: map[treaty.Nation]int{}}
}

func compareEvidence(a, b attribution.Evidence) int {
	return cmp.Or(cmp.Compare(a.Detection.Time.Value, b.Detection.Time.Value), a.Ref.Compare(b.Ref))
}

// add takes the detections of one revealed batch in. It says whether anything but sensor status came.
func (w *window) add(seal treaty.Hash, b *treaty.Batch, independent bool, length time.Duration) (measured bool) {
	latest := b.Window.End(length).Add(maxAheadOfWindow)
	for i := range b.Detections {
		d := &b.Detections[i]
		e := attribution.Evidence{
			Ref: treaty.Ref{Seal: seal, Index: uint32(i)}, Nation: b.Nation, Detection: d, Independent: independent,
		}
		if d.Time.Value > latest {
			continue
		}
		if d.Status != nil {
			k := sensorKey{b.Nation, d.Sensor}
			old, ok := w.status[k]
			if !ok {
				if w.sensors[b.Nation] >= maxSensors {
					continue
				}
				w.sensors[b.Nation]++
			}
			if !ok || compareEvidence(old, e) < 0 {
				w.status[k] = e
			}
			continue
		}
		measured = true
		w.items = append(w.items, e)
	}
	slices.SortFunc(w.items, compareEvidence)
	w.items = slices.CompactFunc(w.items, func(a, b attribution.Evidence) bool { return a.Ref == b.Ref })
	return measured
}

// forget drops what was measured before t.
func (w *window) forget(t treaty.Time) {
	i := 0
	for i < len(w.items) && w.items[i].Detection.Time.Value < t {
		i++
	}
	w.items = slices.Delete(w.items, 0, i)
}

// all is the evidence in its one order.
func (w *window) all() []attribution.Evidence {
	out := slices.Clone(w.items)
	for _, e := range w.status {
		out = append(out, e)
	}
	slices.SortFunc(out, compareEvidence)
	return out
}
