package treaty

import (
	"bytes"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// encMode is RFC 8949 section 4.2.1 (core deterministic) without floats in any type of ours; an empty list is an
// empty list and never null.
var encMode = func() cbor.EncMode {
	o := cbor.CoreDetEncOptions()
	o.NilContainers = cbor.NilContainerAsEmpty
	o.BinaryMarshaler = cbor.BinaryMarshalerNone
	o.TagsMd = cbor.TagsForbidden
	m, err := o.EncMode()
	if err != nil {
		panic(err)
	}
	return m
}()

var decMode = func() cbor.DecMode {
	m, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		UTF8:              cbor.UTF8RejectInvalid,
		BinaryUnmarshaler: cbor.BinaryUnmarshalerNone,
		MaxNestedLevels:   16,
		MaxArrayElements:  MaxVertices,
		MaxMapPairs:       64,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return m
}()

// Encode is the one encoding of a value of this package. It panics when v cannot be encoded, which is a bug of ours:
// every type here is plain data.
func Encode(v any) []byte {
	b, err := encMode.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("treaty: encode %T: %v", v, err))
	}
	return b
}

// Decode reads b into v and accepts it only if b is exactly Encode(*v), at most limit bytes.
// Errors: ErrTooLarge, ErrMalformed.
func Decode(b []byte, limit int, v any) error {
	if len(b) > limit {
		return fmt.Errorf("%w: %T of %d bytes, at most %d", ErrTooLarge, v, len(b), limit)
	}
	if err := decMode.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %T: %v", ErrMalformed, v, err)
	}
	again, err := encMode.Marshal(v)
	if err != nil {
		return fmt.Errorf("%w: %T: %v", ErrMalformed, v, err)
	}
	if !bytes.Equal(again, b) {
		return fmt.Errorf("%w: %T is not in its one encoding (RFC 8949 4.2.1)", ErrMalformed, v)
	}
	return nil
}
