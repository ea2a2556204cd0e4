package raftlog

import (
	"bytes"
	"testing"

	"github.com/hashicorp/raft"
)

// Would catch a decoder that panics, takes bytes the encoder does not write, or gives back another entry.
func FuzzEntry(f *testing.F) {
	f.Add(encodeEntry(nil, &raft.Log{Index: 7, Term: 3, Type: raft.LogCommand, Data: []byte("data")}))
	f.Add(encodeEntry(nil, &raft.Log{Index: 7, Term: 3, Type: raft.LogNoop}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var l raft.Log
		if decodeEntry(7, b, &l) != nil {
			return
		}
		if again := encodeEntry(nil, &l); !bytes.Equal(again, b) || l.Index != 7 {
			t.Errorf("%x decodes and encodes to %x", b, again)
		}
	})
}

// Would catch a changed layout: bytes written once must stay readable.
func TestEntryGolden(t *testing.T) {
	golden := []byte("\x01\x00\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x02hi")
	l := raft.Log{Index: 9, Term: 5, Type: raft.LogCommand, Data: []byte("hi")}
	if got := encodeEntry(nil, &l); !bytes.Equal(got, golden) {
		t.Errorf("encoded %x, want %x", got, golden)
	}
	var back raft.Log
	if err := decodeEntry(9, golden, &back); err != nil || back.Term != 5 || string(back.Data) != "hi" {
		t.Errorf("decoded %+v, %v", back, err)
	}
}
