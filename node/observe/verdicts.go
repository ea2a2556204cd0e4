package observe

import (
	"fmt"
	"net/http"
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
	by, err := s.get(key(kindSupersede, id[:]))
	if err != nil {
		return VerdictView{}, err
	}
	if len(by) == len(out.SupersededBy) {
		out.Status, out.SupersededBy = "SUPERSEDED", treaty.Hash(by)
	}
	return out, nil
}

func (s *Server) verdicts(w http.ResponseWriter, r *http.Request) {
	size := s.cfg.Ledger.CosignedSize()
	before, limit := size, pageSize
	var err error
	q := r.URL.Query()
	if b := q.Get("before"); b != "" {
		if before, err = strconv.ParseUint(b, 10, 63); err != nil {
			s.fail(w, http.StatusBadRequest, "before is %q, must be a ledger index", b)
			return
		}
	}
	if l := q.Get("limit"); l != "" {
		if limit, err = strconv.Atoi(l); err != nil || limit < 1 || limit > maxPage {
			s.fail(w, http.StatusBadRequest, "limit is %q, must be 1 to %d", l, maxPage)
			return
		}
	}
	indexes, err := s.verdictsBefore(min(before, size), limit)
	if err != nil {
		s.internal(w, err)
		return
	}
	list := VerdictList{Exercise: s.cfg.Net.Accord.Exercise, Size: size, Verdicts: []VerdictView{}}
	for _, i := range indexes {
		v, err := s.view(i)
		if err != nil {
			s.internal(w, err)
			return
		}
		list.Verdicts = append(list.Verdicts, v)
	}
	if len(indexes) == limit {
		list.Next = fmt.Sprintf("/v1/verdicts?before=%d&limit=%d", indexes[limit-1], limit)
	}
	s.json(w, http.StatusOK, list)
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
	if !ok {
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
	if !ok {
		return
	}
	size, note, _ := s.cfg.Ledger.Cosigned()
	p, err := s.cfg.Ledger.ProveRecord(index, size)
	if err != nil {
		s.internal(w, err)
		return
	}
	s.plain(w, "text/plain; charset=utf-8", treaty.FormatProof(index, p, note))
}

func (s *Server) incident(w http.ResponseWriter, r *http.Request) {
	_, id, ok := s.find(w, r)
	if !ok {
		return
	}
	indexes, err := s.about(id, maxAbout)
	if err != nil {
		s.internal(w, err)
		return
	}
	out := IncidentView{ID: id, Exercise: s.cfg.Net.Accord.Exercise, Records: []RecordView{}, Verdicts: []VerdictView{}}
	for _, i := range indexes {
		entry, err := s.cfg.Ledger.Entry(i)
		if err != nil {
			s.internal(w, err)
			return
		}
		if treaty.IsVerdict(entry) {
			v, err := s.view(i)
			if err != nil {
				s.internal(w, err)
				return
			}
			out.Verdicts = append(out.Verdicts, v)
			continue
		}
		rec, err := treaty.ParseRecord(entry)
		if err != nil {
			s.internal(w, err)
			return
		}
		out.Records = append(out.Records, RecordView{
			ID: rec.ID, Index: i, Nation: rec.Nation, Time: rec.Time,
			Incident: rec.Incident, Attestation: rec.Attestation, Remark: rec.Remark,
		})
	}
	if len(out.Records) == 0 || out.Records[0].Incident == nil {
		s.fail(w, http.StatusNotFound, "this id is no incident")
		return
	}
	s.json(w, http.StatusOK, out)
}
