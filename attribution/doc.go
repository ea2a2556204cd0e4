// Package attribution works out what happened from what sensors heard: which detections are one event (Associate),
// where and when it was, on whose side of the line, what it was, which clause it breaks, how likely that is and how
// good the grounds are (Assess).
//
// It promises: the answer depends on the evidence and the accord alone, not on the order of the evidence, a clock, a
// goroutine or the processor (every float product is rounded by a conversion before it meets a sum, elementary
// functions are our own, mathx.go; results are rounded integers, and thresholds have a guard band). A breach is found
// only if it is found again without the evidence of any e of the contributing nations. A weapon is named only when its
// sound tells it from the others; else the coarser word stands.
//
// It does not fuse bearings, tracks, thermal pixels or human reports into the fit: they corroborate by gating
// (corroborate.go). It does not know seismic or infrasound travel times. It cannot see collusion of more than e
// contributing nations, nor a weapon fired from the other side's ground.
package attribution
