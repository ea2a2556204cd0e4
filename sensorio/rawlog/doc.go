// Package rawlog keeps what sensors sent, byte for byte, before anybody tells the sensor that it arrived.
//
// It promises: when Append returns nil, the bytes survive a power cut and are read back in the order of their positions;
// when it returns an error, nothing may be acknowledged. What could not be decoded is kept beside it with the reason
// (dead letters) until Redrive decodes it. A torn tail, left by a power cut, is cut off at Open: nothing in it was ever
// acknowledged. Damage elsewhere is reported and read around, never repaired by guessing.
//
// It does not decode, judge or wait for sensors, and it keeps no index: it is read by position, forward.
//
// On disk, in one folder:
//
//	raw-<base>.seg    messages        base: position of the file's first byte, 16 hexadecimal digits
//	dead-<base>.seg   dead letters and marks that one was redriven
//	checkpoint        how far everything is sealed (CBOR and a CRC), replaced as a whole
//
// A segment is "TLRAW01\n", the base (8 bytes, big-endian), then frames: length (4 bytes, big-endian), CRC-32C of length
// and payload (4 bytes), payload (frame.go). A position is base plus offset in the file: it never repeats.
//
// Retention: segments are removed oldest first when all of them together exceed Config.MaxBytes, and only those in which
// everything is sealed. If that is not enough, Append refuses with ErrBacklog and the sensors wait. Dead letters have a
// bound of their own (MaxDeadBytes); beyond it the oldest segment of them is dropped, counted and logged.
//
// A failed write or sync is final: after it nobody knows what the disk holds (a second fsync may report success for lost
// pages), so the log refuses everything until it is opened again. The node stops with that error.
//
// Files go through an injected pebble vfs.FS, and only for one reason: its in-memory disk can be crashed at any write
// (vfs.MemFS.CrashClone), so that the promises above are tested and not believed.
package rawlog
