// Package ndjson is the canonical form of a detection for people and for adapters: one JSON object per line.
//
//	{"sensor":"acoustic:17","native_id":"pick-4711","modality":"acoustic","mode":"REAL",
//	 "time":"2026-11-22T22:10:00.123456789Z","time_sigma_s":0.001,"time_source":"GNSS",
//	 "lat":48.0123456,"lon":37.7654321,"hae_m":142.5,"pose_sigma_m":1.5,
//	 "class":"SHOT","confidence":0.8,"trust":"channel",
//	 "arrival":{"phase":"muzzle_blast","back_azimuth_deg":271.5,"back_azimuth_sigma_deg":2,
//	            "snr_db":14.2,"amplitude_db":91.7,"period_s":0.0025}}
//
// (on one line). Units are SI with plain names: seconds, metres, degrees, degrees Celsius, kelvin, decibels, m/s. Numbers
// are decimals; they are converted to the integers of treaty.Detection digit by digit, without floating point, and what
// is finer than an integer's step is rounded half away from zero.
//
// Required: sensor, modality, mode, time, time_sigma_s, time_source, lat, lon, pose_sigma_m, class, confidence, trust, and
// exactly one measurement: arrival, bearing, range_bearing, location, trajectory, thermal, human, status or gap. The
// fields of each are in decode.go. "raw" (64 hexadecimal characters) names the bytes an adapter decoded from; without
// it the digest of the line stands there, and the node keeps the line.
//
// It promises: Decode(Encode(d)) is d; the reader is strict (an unknown, repeated, missing, mistyped or out-of-range
// field is an error that names the field and says what to do), and bounded in length and depth before it parses.
//
// It does not judge whether a detection is true, nor whether its sensor may report.
package ndjson
