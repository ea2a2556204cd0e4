package treaty_test

import (
	"errors"
	"testing"

	"truceline/treaty"
	"truceline/treaty/treatytest"
)

// Would catch a complaint that names nobody, nothing, or two things; one that is some other signed thing; and one of
// another accord.
func TestComplaint(t *testing.T) {
	f, other := treatytest.New(4), treatytest.New(5)
	sign := func(change func(*treaty.Complaint)) []byte {
		c := treaty.Complaint{Term: 7, Leader: "CZE", About: treaty.GrievanceRecord, Record: h("record"), Waited: 10_250}
		change(&c)
		return must(f.Signers["BEL"].SignComplaint(c))
	}
	for name, c := range map[string]struct {
		raw  []byte
		want error
	}{
		"good":                     {sign(func(*treaty.Complaint) {}), nil},
		"no progress":              {sign(func(c *treaty.Complaint) { c.About, c.Record = treaty.GrievanceProgress, treaty.Hash{} }), nil},
		"no record":                {sign(func(c *treaty.Complaint) { c.Record = treaty.Hash{} }), treaty.ErrMalformed},
		"a record of no progress":  {sign(func(c *treaty.Complaint) { c.About = treaty.GrievanceProgress }), treaty.ErrMalformed},
		"about nothing":            {sign(func(c *treaty.Complaint) { c.About = 0 }), treaty.ErrMalformed},
		"about something new":      {sign(func(c *treaty.Complaint) { c.About, c.Record = 4, treaty.Hash{} }), treaty.ErrMalformed},
		"no leader":                {sign(func(c *treaty.Complaint) { c.Leader = "x" }), treaty.ErrMalformed},
		"term zero":                {sign(func(c *treaty.Complaint) { c.Term = 0 }), treaty.ErrMalformed},
		"a term beyond the bounds": {sign(func(c *treaty.Complaint) { c.Term = 1<<40 + 1 }), treaty.ErrMalformed},
		"a thousand years":         {sign(func(c *treaty.Complaint) { c.Waited = 1 << 45 }), treaty.ErrMalformed},
		"another type":             {must(f.Signers["BEL"].Sign(treaty.TypeVote, treaty.Encode(treaty.Complaint{Term: 1}))), treaty.ErrMalformed},
		"too much":                 {make([]byte, treaty.MaxComplaint+1), treaty.ErrTooLarge},
	} {
		s, got, err := treaty.ParseComplaint(c.raw)
		if !errors.Is(err, c.want) || (err == nil) != (got.Term == 7) {
			t.Errorf("%s: %+v, %v; want %v", name, got, err, c.want)
		}
		if err == nil && f.Net.Verify(s) != nil {
			t.Errorf("%s: its signature does not hold", name)
		}
	}
	abroad := must(other.Signers["BEL"].SignComplaint(treaty.Complaint{Term: 7, Leader: "CZE", About: treaty.GrievanceTenure}))
	s, _, err := treaty.ParseComplaint(abroad)
	if err != nil || !errors.Is(f.Net.Verify(s), treaty.ErrWrongAccord) {
		t.Errorf("a complaint of another accord: %v", err)
	}
	if n := len(sign(func(c *treaty.Complaint) { c.Term, c.Waited = 1<<40, 366*24*3600*1000 })); n > treaty.MaxComplaint {
		t.Errorf("the largest complaint has %d bytes, over MaxComplaint", n)
	}
}

// Would catch a panic on any bytes, or a second encoding of one complaint.
func FuzzComplaint(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.data)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, c, err := treaty.ParseComplaint(b); err == nil && (string(s.Raw) != string(b) || string(treaty.Encode(c)) != string(s.Payload)) {
			t.Fatal("a second encoding was accepted")
		}
	})
}
