package treaty

import (
	"bytes"
	"testing"
)

// coseSign1 is the array inside CBOR tag 18, for the library.
type coseSign1 struct {
	_           struct{} `cbor:",toarray"`
	Protected   []byte
	Unprotected struct{}
	Payload     []byte
	Signature   []byte
}

// The hand-written reader must accept exactly what the library reads and writes back unchanged: one byte string more or
// a longer form, and two encodings of one record would have two ids.
func FuzzTakeSign1(f *testing.F) {
	for _, n := range []int{0, 1, 23, 24, 255, 256, 65535, 65536} {
		f.Add(Encode(coseSign1{Protected: bytes.Repeat([]byte{1}, n%300), Payload: bytes.Repeat([]byte{2}, n), Signature: make([]byte, 64)}))
	}
	f.Add([]byte{0x84, 0x58, 0x01, 0x00, 0xa0, 0x40, 0x40})
	f.Add([]byte{0x84, 0x40, 0xa0, 0x5b, 0, 0, 0, 0, 0, 0, 0, 1, 7, 0x40})
	f.Fuzz(func(t *testing.T, b []byte) {
		var c coseSign1
		err := Decode(b, 1<<20, &c)
		protected, payload, sig, ok := takeSign1(b)
		if ok != (err == nil) {
			t.Fatalf("library: %v, ours: %v", err, ok)
		}
		if ok && !(bytes.Equal(protected, c.Protected) && bytes.Equal(payload, c.Payload) && bytes.Equal(sig, c.Signature)) {
			t.Fatal("they read different parts")
		}
	})
}
