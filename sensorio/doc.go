// Package sensorio takes in what sensors send, keeps it, and turns it into detections for the sealer.
//
// The way of one message: Source.Read → bounded queue → raw log, synced → the sensor is told (Ack) → decoded → judged by
// policy → handed to the sealer. Sources only move bytes; decoders are pure functions from one message to detections.
//
// It promises: nothing is acknowledged before it survives a power cut; what was acknowledged is decoded and handed over
// exactly once by its content, across crashes, or is a dead letter with a reason; malformed input never stops a source;
// every queue is bounded, and when one is full the sensor waits (or, over HTTP, is told to come back).
//
// It does not sign, seal, locate or judge what happened, and it trusts no word of a sensor about itself beyond what the
// source's configuration allows.
//
// Sub-packages: rawlog (the bytes on disk), ndjson (the canonical lines), livefire and firms (recordings and satellites),
// seal (windows and commitments). Metrics are listed in metrics.go.
package sensorio
