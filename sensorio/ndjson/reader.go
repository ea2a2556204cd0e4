package ndjson

import (
	"encoding"
	"errors"
	"fmt"

	"truceline/treaty"
)

// object reads the fields of one JSON object by name. The first problem of each field is kept, so that one answer lists
// all that is wrong with a line.
type object struct {
	path   string // "" or "arrival."
	fields []field
	errs   *[]error
}

func (o object) bad(name, format string, args ...any) {
	*o.errs = append(*o.errs, fmt.Errorf("%s%s: %s", o.path, name, fmt.Sprintf(format, args...)))
}

// get finds a field of a kind. It reports a missing one when need is set.
func (o object) get(name string, k kind, need bool) (node, bool) {
	for i := range o.fields {
		f := &o.fields[i]
		if f.name != name {
			continue
		}
		f.used = true
		if f.value.kind != k {
			o.bad(name, "is %s, must be %s", f.value.kind, k)
			return node{}, false
		}
		return f.value, true
	}
	if need {
		o.bad(name, "is missing: add it")
	}
	return node{}, false
}

func (o object) has(name string) bool {
	for i := range o.fields {
		if o.fields[i].name == name {
			return true
		}
	}
	return false
}

const (
	required = true
	optional = false
)

func (o object) str(name string, need bool) string {
	n, _ := o.get(name, isString, need)
	return n.text
}

// word reads a text into an enumeration, a time or a digest.
func (o object) word(name string, need bool, v encoding.TextUnmarshaler) {
	if n, ok := o.get(name, isString, need); ok {
		if err := v.UnmarshalText([]byte(n.text)); err != nil {
			o.bad(name, "%v", err)
		}
	}
}

// num reads a number in steps of 10^-places.
func (o object) num(name string, places int, need bool) int64 {
	n, ok := o.get(name, isNumber, need)
	if !ok {
		return 0
	}
	v, ok := decimal(n.text, places)
	if !ok {
		o.bad(name, "%s is too large", n.text)
	}
	return v
}

// count reads a whole number of at most 32 bits.
func (o object) count(name string, need bool) uint32 {
	n, ok := o.get(name, isNumber, need)
	if !ok {
		return 0
	}
	v, ok := decimal(n.text, 3)
	if !ok || v%1000 != 0 || v < 0 || v/1000 > 1<<32-1 {
		o.bad(name, "%s is not a whole number from 0 to 4294967295", n.text)
		return 0
	}
	return uint32(v / 1000)
}

func (o object) flag(name string) bool {
	n, _ := o.get(name, isBool, optional)
	return n.yes
}

// sub opens a field that is an object.
func (o object) sub(name string, need bool) (object, bool) {
	n, ok := o.get(name, isObject, need)
	if !ok {
		return object{}, false
	}
	return object{path: o.path + name + ".", fields: n.fields, errs: o.errs}, true
}

// angle reads name_deg and name_sigma_deg.
func (o object) angle(name string) (a treaty.Angle) {
	for _, x := range []struct {
		name string
		to   *int64
	}{{name + "_deg", &a.Urad}, {name + "_sigma_deg", &a.SigmaUrad}} {
		n, ok := o.get(x.name, isNumber, required)
		if !ok {
			continue
		}
		nano, fits := decimal(n.text, 9)
		if fits {
			*x.to, fits = urad(nano)
		}
		if !fits {
			o.bad(x.name, "%s is too large", n.text)
		}
	}
	return a
}

// maybeAngle is nil where neither field is there.
func (o object) maybeAngle(name string) *treaty.Angle {
	if !o.has(name+"_deg") && !o.has(name+"_sigma_deg") {
		return nil
	}
	a := o.angle(name)
	return &a
}

func (o object) position() treaty.Position {
	return treaty.Position{LatE7: o.num("lat", 7, required), LonE7: o.num("lon", 7, required), HAEmm: o.num("hae_m", 3, optional)}
}

func (o object) time(name string) (t treaty.Time) {
	o.word(name, required, &t)
	return t
}

// rest reports fields that nobody asked for.
func (o object) rest() {
	for _, f := range o.fields {
		if !f.used {
			o.bad(f.name, "is not a field of this form: remove it, or correct its name")
		}
	}
}

func (o object) err() error {
	if len(*o.errs) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", treaty.ErrMalformed, errors.Join(*o.errs...))
}
