package observe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"

	"github.com/cockroachdb/pebble/v2"

	"truceline/consensus/tally"
	"truceline/treaty"
)

// MisbehaviourView is one FINAL record that proves by a nation's own signatures that it contradicted itself.
type MisbehaviourView struct {
	ID       treaty.Hash             `json:"id"`
	Index    uint64                  `json:"index"`
	Exercise bool                    `json:"exercise"`
	Accused  treaty.Nation           `json:"accused"`
	Kind     treaty.MisbehaviourKind `json:"kind"`
	// Text says it in one neutral sentence.
	Text string `json:"text"`
	// Reporter brought it; its word counts for nothing.
	Reporter treaty.Nation `json:"reporter"`
	Time     treaty.Time   `json:"time"`
	// Statements are the two signed messages, base64.
	Statements [][]byte `json:"statements"`
	Links      Links    `json:"links"`
}

// MisbehaviourList is a page of them, newest first.
type MisbehaviourList struct {
	Exercise     bool               `json:"exercise"`
	Size         uint64             `json:"size"`
	Misbehaviour []MisbehaviourView `json:"misbehaviour"`
	// Next is the path of the next, older page; empty when there is none.
	Next string `json:"next,omitempty"`
}

// Notice names a nation that attested to a verdict and is recorded for misbehaviour: the first record of each kind. It
// does not touch the verdict, whose count it was no part of.
type Notice struct {
	Nation treaty.Nation           `json:"nation"`
	Kind   treaty.MisbehaviourKind `json:"kind"`
	Text   string                  `json:"text"`
	ID     treaty.Hash             `json:"id"`
}

// indexMisbehaviour keeps what the tally keeps: the first proof of each place, so many of one nation and kind. b is
// indexed, so that two of one batch are seen.
func (s *Server) indexMisbehaviour(b *pebble.Batch, i uint64, r *treaty.Record) (err error) {
	m := r.Misbehaviour
	p, err := s.cfg.Net.CheckMisbehaviour(m)
	if err != nil {
		return nil // a leaf without effect
	}
	of := key(kindPlace, []byte(m.Accused), []byte{byte(m.Kind)})
	end := append(of[:len(of)-1:len(of)-1], byte(m.Kind)+1)
	it, err := b.NewIter(&pebble.IterOptions{LowerBound: of, UpperBound: end})
	if err != nil {
		return err
	}
	kept, known := 0, false
	for ok := it.First(); ok; ok = it.Next() {
		kept++
		known = known || string(it.Key()[len(of):]) == string(p.About[:])
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil || known || kept >= tally.MaxMisbehaviour {
		return err
	}
	s.proven = true
	return errors.Join(
		b.Set(key(kindPlace, []byte(m.Accused), []byte{byte(m.Kind)}, p.About[:]), be64(i), nil),
		b.Set(key(kindMisbehaviour, be64(i)), []byte(p.Text), nil),
	)
}

// loadNotices reads what verdicts must mention from the index. There are few: see tally.MaxMisbehaviour.
func (s *Server) loadNotices() (err error) {
	it, err := s.cfg.DB.NewIter(&pebble.IterOptions{LowerBound: key(kindMisbehaviour), UpperBound: key(kindMisbehaviour + 1)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	notices := map[treaty.Nation][]Notice{}
	type seen struct {
		nation treaty.Nation
		kind   treaty.MisbehaviourKind
	}
	have := map[seen]bool{}
	for ok := it.First(); ok; ok = it.Next() {
		v, err := s.misbehaviourView(binary.BigEndian.Uint64(it.Key()[2:]), string(it.Value()))
		if err != nil {
			return err
		}
		if k := (seen{v.Accused, v.Kind}); !have[k] {
			have[k] = true
			notices[v.Accused] = append(notices[v.Accused], Notice{v.Accused, v.Kind, v.Text, v.ID})
		}
	}
	s.notices.Store(&notices)
	return it.Error()
}

// noticesOn are those on the nations that attested to a verdict, for its outcome or against it, in the verdict's order.
func (s *Server) noticesOn(v *treaty.Verdict) (out []Notice) {
	all := *s.notices.Load()
	if len(all) == 0 {
		return nil
	}
	for _, k := range v.Attesters {
		out = append(out, all[k]...)
	}
	for _, d := range v.Dissents {
		out = append(out, all[d.Nation]...)
	}
	return out
}

// misbehaviourView makes the JSON view of the misbehaviour at a ledger index.
func (s *Server) misbehaviourView(i uint64, text string) (MisbehaviourView, error) {
	entry, err := s.cfg.Ledger.Entry(i)
	if err != nil {
		return MisbehaviourView{}, err
	}
	r, err := treaty.ParseRecord(entry)
	if err != nil || r.Misbehaviour == nil {
		return MisbehaviourView{}, fmt.Errorf("misbehaviour at %d: the entry is none: %w", i, err)
	}
	base := "/v1/misbehaviour/" + r.ID.String()
	return MisbehaviourView{
		ID: r.ID, Index: i, Exercise: s.cfg.Net.Accord.Exercise, Accused: r.Misbehaviour.Accused, Kind: r.Misbehaviour.Kind,
		Text: text, Reporter: r.Nation, Time: r.Time, Statements: r.Misbehaviour.Statements,
		Links: Links{Entry: base + "/entry", Proof: base + "/proof", Policy: "/v1/policy"},
	}, nil
}

func (s *Server) misbehaviours(w http.ResponseWriter, r *http.Request) {
	size := s.indexed.Load()
	before, limit, err := page(r, "before", size)
	if err != nil {
		s.fail(w, http.StatusBadRequest, "%s", err)
		return
	}
	if s.atSize(w, r) {
		return
	}
	indexes, err := s.before(kindMisbehaviour, min(before, size), limit+1)
	if err != nil {
		s.internal(w, err)
		return
	}
	list := MisbehaviourList{Exercise: s.cfg.Net.Accord.Exercise, Size: size, Misbehaviour: []MisbehaviourView{}}
	if len(indexes) > limit {
		indexes = indexes[:limit]
		list.Next = fmt.Sprintf("/v1/misbehaviour?before=%d&limit=%d", indexes[limit-1], limit)
	}
	for _, i := range indexes {
		text, err := s.get(key(kindMisbehaviour, be64(i)))
		var v MisbehaviourView
		if err == nil {
			v, err = s.misbehaviourView(i, string(text))
		}
		if err != nil {
			s.internal(w, err)
			return
		}
		list.Misbehaviour = append(list.Misbehaviour, v)
	}
	s.json(w, http.StatusOK, list)
}

// findMisbehaviour is find for proven misbehaviour alone.
func (s *Server) findMisbehaviour(w http.ResponseWriter, r *http.Request) (v MisbehaviourView, ok bool) {
	index, _, ok := s.find(w, r)
	if !ok {
		return v, false
	}
	text, err := s.get(key(kindMisbehaviour, be64(index)))
	switch {
	case err != nil:
		s.internal(w, err)
		return v, false
	case text == nil:
		s.fail(w, http.StatusNotFound, "this id is no proven misbehaviour, or not the first proof of it")
		return v, false
	}
	if v, err = s.misbehaviourView(index, string(text)); err != nil {
		s.internal(w, err)
		return v, false
	}
	return v, true
}

func (s *Server) misbehaviour(w http.ResponseWriter, r *http.Request) {
	if v, ok := s.findMisbehaviour(w, r); ok && !s.atSize(w, r) {
		s.json(w, http.StatusOK, v)
	}
}

func (s *Server) misbehaviourEntry(w http.ResponseWriter, r *http.Request) {
	v, ok := s.findMisbehaviour(w, r)
	if !ok {
		return
	}
	entry, err := s.cfg.Ledger.Entry(v.Index)
	if err != nil {
		s.internal(w, err)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	s.plain(w, "application/octet-stream", entry)
}

func (s *Server) misbehaviourProof(w http.ResponseWriter, r *http.Request) {
	if v, ok := s.findMisbehaviour(w, r); ok {
		s.prove(w, r, v.Index)
	}
}
