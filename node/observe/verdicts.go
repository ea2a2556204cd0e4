package observe

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"

	"truceline/treaty"
)

// view makes the JSON view of the verdict at a ledger index.
func (s *Server) view(i uint64) (VerdictView, error) {
	entry, err := s.cfg.Ledger.Entry(i)
	if err != nil {
		return VerdictView{}, err
	}
	v, err := s.cfg.Net.ParseVerdict(entry)
	if err != nil {
		return VerdictView{}, err
	}
	id := treaty.HashOf(entry)
	out := VerdictView{
		ID: id, Index: i, Status: "FINAL", Exercise: v.Exercise, Likelihood: treaty.Likelihood(v.Likelihood), Verdict: v,
		Links: Links{
			Entry: "/v1/verdicts/" + id.String() + "/entry", Proof: "/v1/verdicts/" + id.String() + "/proof",
			Policy: "/v1/policy", Incident: "/v1/incidents/" + v.Incident.String(),
		},
	}
	out.Misbehaviour = s.noticesOn(v)
	by, err := s.get(key(kindSupersede, id[:]))
	if err != nil {
		return VerdictView{}, err
	}
	if len(by) == len(out.SupersededBy) {
		out.Status, out.SupersededBy = "SUPERSEDED", treaty.Hash(by)
	}
	out.Standing, err = s.standing(v)
	return out, err
}

// number reads a whole number of a query, or takes the default.
func number(q url.Values, name string, def, low, high uint64) (uint64, error) {
	if !q.Has(name) {
		return def, nil
	}
	n, err := strconv.ParseUint(q.Get(name), 10, 64)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("%s is %q, must be a whole number from %d to %d", name, q.Get(name), low, high)
	}
	return n, nil
}

// page reads the query of a list: where it begins, and how many.
func page(r *http.Request, from string, def uint64) (at uint64, limit int, err error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return 0, 0, errors.New("the query cannot be read: write name=value, joined by &")
	}
	at, errAt := number(q, from, def, 0, math.MaxInt64)
	n, errN := number(q, "limit", pageSize, 1, maxPage)
	return at, int(n), errors.Join(errAt, errN)
}

func (s *Server) verdicts(w http.ResponseWriter, r *http.Request) {
	size := s.indexed.Load()
	before, limit, err := page(r, "before", size)
	if err != nil {
		s.fail(w, http.StatusBadRequest, "%s", err)
		return
	}
	if s.atSize(w, r) {
		return
	}
	indexes, err := s.before(kindVerdict, min(before, size), limit+1)
	if err != nil {
		s.internal(w, err)
		return
	}
	list := VerdictList{Exercise: s.cfg.Net.Accord.Exercise, Size: size}
	if len(indexes) > limit {
		indexes = indexes[:limit]
		list.Next = fmt.Sprintf("/v1/verdicts?before=%d&limit=%d", indexes[limit-1], limit)
	}
	if list.Verdicts, err = s.views(indexes); err != nil {
		s.internal(w, err)
		return
	}
	s.json(w, http.StatusOK, list)
}

func (s *Server) views(indexes []uint64) ([]VerdictView, error) {
	out := make([]VerdictView, 0, len(indexes))
	for _, i := range indexes {
		v, err := s.view(i)
		if err != nil {
			return nil, fmt.Errorf("verdict at %d: %w", i, err)
		}
		out = append(out, v)
	}
	return out, nil
}

// find reads the id in the path and looks it up among what is FINAL. It answers the request itself when it fails.
func (s *Server) find(w http.ResponseWriter, r *http.Request) (index uint64, id treaty.Hash, ok bool) {
	id, err := treaty.ParseHash(r.PathValue("id"))
	if err != nil {
		s.fail(w, http.StatusBadRequest, "%q is no id: 64 hexadecimal characters", r.PathValue("id"))
		return 0, id, false
	}
	index, final, found := s.cfg.Ledger.Find(id)
	if !found || !final || index >= s.cfg.Ledger.CosignedSize() {
		s.fail(w, http.StatusNotFound, "nothing FINAL has this id here")
		return 0, id, false
	}
	return index, id, true
}

// findVerdict is find for verdicts alone.
func (s *Server) findVerdict(w http.ResponseWriter, r *http.Request) (entry []byte, index uint64, ok bool) {
	index, _, ok = s.find(w, r)
	if !ok {
		return nil, 0, false
	}
	entry, err := s.cfg.Ledger.Entry(index)
	if err != nil {
		s.internal(w, err)
		return nil, 0, false
	}
	if !treaty.IsVerdict(entry) {
		s.fail(w, http.StatusNotFound, "this id is a record, not a verdict")
		return nil, 0, false
	}
	return entry, index, true
}

func (s *Server) verdict(w http.ResponseWriter, r *http.Request) {
	_, index, ok := s.findVerdict(w, r)
	if !ok || s.atSize(w, r) {
		return
	}
	v, err := s.view(index)
	if err != nil {
		s.internal(w, err)
		return
	}
	s.json(w, http.StatusOK, v)
}

func (s *Server) entry(w http.ResponseWriter, r *http.Request) {
	entry, _, ok := s.findVerdict(w, r)
	if !ok {
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	s.plain(w, "application/octet-stream", entry)
}

// proof is the C2SP tlog-proof under the newest cosigned checkpoint.
func (s *Server) proof(w http.ResponseWriter, r *http.Request) {
	_, index, ok := s.findVerdict(w, r)
	if ok {
		s.prove(w, r, index)
	}
}

// prove answers with the proof of the entry at a ledger index.
func (s *Server) prove(w http.ResponseWriter, r *http.Request, index uint64) {
	size, note, _ := s.cfg.Ledger.Cosigned()
	if unchanged(w, r, treaty.HashOf(note).Short()) {
		return
	}
	p, err := s.cfg.Ledger.ProveRecord(index, size)
	if err != nil {
		s.internal(w, err)
		return
	}
	s.plain(w, "text/plain; charset=utf-8", treaty.FormatProof(index, p, note))
}

// incident shows the proposal, the verdicts on it, and a page of what nations said about it.
func (s *Server) incident(w http.ResponseWriter, r *http.Request) {
	size := s.indexed.Load()
	from, limit, err := page(r, "from", 0)
	if err != nil {
		s.fail(w, http.StatusBadRequest, "%s", err)
		return
	}
	at, id, ok := s.find(w, r)
	if !ok {
		return
	}
	proposal, err := s.record(at)
	if err != nil {
		s.internal(w, err)
		return
	}
	if proposal.Incident == nil {
		s.fail(w, http.StatusNotFound, "this id is no incident")
		return
	}
	if s.atSize(w, r) {
		return
	}
	out := IncidentView{ID: id, Exercise: s.cfg.Net.Accord.Exercise, Records: []RecordView{proposal}}
	judged, err := s.rising(key(kindJudged, id[:]), 0, size, maxPage)
	if err == nil {
		out.Verdicts, err = s.views(judged)
	}
	if err != nil {
		s.internal(w, err)
		return
	}
	said, err := s.rising(key(kindAbout, id[:]), from, size, limit+1)
	if err != nil {
		s.internal(w, err)
		return
	}
	if len(said) > limit {
		out.Next = fmt.Sprintf("/v1/incidents/%s?from=%d&limit=%d", id, said[limit], limit)
		said = said[:limit]
	}
	for _, i := range said {
		v, err := s.record(i)
		if err != nil {
			s.internal(w, err)
			return
		}
		out.Records = append(out.Records, v)
	}
	s.json(w, http.StatusOK, out)
}

// record makes the JSON view of the record at a ledger index; of a verdict, an empty one.
func (s *Server) record(i uint64) (RecordView, error) {
	entry, err := s.cfg.Ledger.Entry(i)
	if err != nil || treaty.IsVerdict(entry) {
		return RecordView{}, err
	}
	rec, err := treaty.ParseRecord(entry)
	if err != nil {
		return RecordView{}, fmt.Errorf("record at %d: %w", i, err)
	}
	return RecordView{
		ID: rec.ID, Index: i, Nation: rec.Nation, Time: rec.Time,
		Incident: rec.Incident, Attestation: rec.Attestation, Remark: rec.Remark,
	}, nil
}
