package observe

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"filippo.io/torchwood"
	"github.com/cockroachdb/pebble/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"truceline/consensus/ledger"
	"truceline/treaty"
)

// Config is what a server needs. All fields but Registerer are required.
type Config struct {
	Net      *treaty.Network
	Ledger   *ledger.Ledger
	DB       *pebble.DB // for the index, under its own prefix
	Network  func() NetworkView
	Gatherer prometheus.Gatherer
	// Registerer takes the server's own counters; nil: they are not shown.
	Registerer prometheus.Registerer
	Log        *slog.Logger
}

// Validate reports all problems.
func (c Config) Validate() error {
	var errs []error
	for _, f := range []struct {
		missing bool
		name    string
	}{
		{c.Net == nil, "Net"},
		{c.Ledger == nil, "Ledger"},
		{c.DB == nil, "DB"},
		{c.Network == nil, "Network"},
		{c.Gatherer == nil, "Gatherer"},
		{c.Log == nil, "Log"},
	} {
		if f.missing {
			errs = append(errs, fmt.Errorf("observe config: %s is missing", f.name))
		}
	}
	return errors.Join(errs...)
}

// Server answers observers. Run indexes; Handler answers at any time.
type Server struct {
	cfg     Config
	woken   chan struct{}
	limit   *limiter
	conns   *conns
	streams *streams
	counts  *counts
	mux     *http.ServeMux
	net     networkCache
	// indexed is how many ledger entries the index has read; broken is why it reads no more.
	indexed atomic.Uint64
	broken  atomic.Pointer[string]
	// notices is what is proven against each nation; proven, owned by the indexer, that there is more of it.
	notices atomic.Pointer[map[treaty.Nation][]Notice]
	proven  bool
	// accordYAML and policyText never change while this server lives.
	accordYAML, policyText []byte
}

//go:embed web openapi.yaml
var files embed.FS

// New makes a server.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, woken: make(chan struct{}, 1), limit: newLimiter(), conns: newConns(), streams: newStreams(),
		accordYAML: treaty.FormatAccordYAML(cfg.Net.Accord), policyText: cfg.Net.Policy(),
	}
	next, err := s.cursor()
	if err != nil {
		return nil, fmt.Errorf("observers: %w", err)
	}
	s.indexed.Store(next)
	if err := s.loadNotices(); err != nil {
		return nil, fmt.Errorf("observers: %w", err)
	}
	if s.counts, err = newCounts(cfg.Registerer, s.streams); err != nil {
		return nil, fmt.Errorf("observers: %w", err)
	}
	s.routes()
	return s, nil
}

// routes is every path this server knows; openapi.yaml documents each, and a test holds the two together.
func (s *Server) routes() {
	m := http.NewServeMux()
	m.HandleFunc("GET /v1/verdicts", s.verdicts)
	m.HandleFunc("GET /v1/verdicts/{id}", s.verdict)
	m.HandleFunc("GET /v1/verdicts/{id}/entry", s.entry)
	m.HandleFunc("GET /v1/verdicts/{id}/proof", s.proof)
	m.HandleFunc("GET /v1/incidents/{id}", s.incident)
	m.HandleFunc("GET /v1/misbehaviour", s.misbehaviours)
	m.HandleFunc("GET /v1/misbehaviour/{id}", s.misbehaviour)
	m.HandleFunc("GET /v1/misbehaviour/{id}/entry", s.misbehaviourEntry)
	m.HandleFunc("GET /v1/misbehaviour/{id}/proof", s.misbehaviourProof)
	m.HandleFunc("GET /v1/checkpoint", s.checkpointView)
	m.HandleFunc("GET /v1/network", s.network)
	m.HandleFunc("GET /v1/policy", s.policy)
	m.HandleFunc("GET /v1/accord", s.accord)
	m.HandleFunc("GET /v1/stream", s.stream)
	m.HandleFunc("GET /checkpoint", s.checkpoint)
	m.HandleFunc("GET /tile/{path...}", s.tile)
	m.Handle("GET /metrics", promhttp.HandlerFor(s.cfg.Gatherer, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	m.HandleFunc("GET /healthz", s.healthz)
	m.HandleFunc("GET /openapi.yaml", s.openapi)
	web, err := fs.Sub(files, "web")
	if err != nil {
		panic(err) // embedded at build time
	}
	page := http.FileServerFS(web)
	m.Handle("GET /{$}", revalidated(page))
	m.Handle("GET /web/", http.StripPrefix("/web", revalidated(page)))
	m.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		s.fail(w, http.StatusNotFound, "there is nothing here; /openapi.yaml lists what there is")
	})
	s.mux = m
}

// Limits of one request; ReadHeaderTimeout and the rest are in HTTPServer.
const (
	maxURL      = 2048
	pageSize    = 100
	maxPage     = 500
	writeWithin = 30 * time.Second
)

// HTTPServer is a server with timeouts on everything and a bound on connections, in all and from one address.
func (s *Server) HTTPServer() *http.Server {
	return &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: writeWithin, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ConnState: s.conns.state,
		ErrorLog: slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
	}
}

// revalidated makes browsers ask again: a page of an old node must not outlive its update.
func revalidated(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		h.ServeHTTP(w, r)
	})
}

// Handler answers requests: GET and HEAD only, bounded in size and rate.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w := &statusWriter{ResponseWriter: rw}
		defer func() { s.counts.seen(r, w.code) }()
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Access-Control-Allow-Origin", "*") // everything here is public
		if s.cfg.Net.Accord.Exercise {
			h.Set("X-Truceline-Exercise", "EXERCISE")
		}
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			s.fail(w, http.StatusMethodNotAllowed, "this server is read-only: use GET")
		case max(len(r.RequestURI), len(r.URL.RequestURI())) > maxURL:
			s.fail(w, http.StatusRequestURITooLong, "the address is too long: at most %d bytes", maxURL)
		case r.ContentLength != 0: // -1 is a body of unknown length
			s.fail(w, http.StatusRequestEntityTooLarge, "send no body")
		case !s.limit.allow(addressOf(r.RemoteAddr)):
			h.Set("Retry-After", "2")
			s.fail(w, http.StatusTooManyRequests, "too many requests from your address; wait two seconds")
		default:
			s.mux.ServeHTTP(w, r)
		}
	})
}

// Run indexes what becomes FINAL until ctx ends, and wakes the streams.
func (s *Server) Run(ctx context.Context) error {
	defer s.streams.close()
	for {
		if err := s.catchUp(ctx); err != nil {
			why := err.Error()
			s.broken.Store(&why)
			return fmt.Errorf("observers: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.woken:
		}
	}
}

// Cosigned tells the server that there is a new cosigned checkpoint. It never blocks.
func (s *Server) Cosigned(uint64) {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

type problem struct {
	Error    string `json:"error"`
	Exercise bool   `json:"exercise"`
}

func (s *Server) fail(w http.ResponseWriter, code int, format string, args ...any) {
	s.json(w, code, problem{fmt.Sprintf(format, args...), s.cfg.Net.Accord.Exercise})
}

func (s *Server) json(w http.ResponseWriter, code int, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		code, b = http.StatusInternalServerError, []byte(`{"error":"this answer cannot be written"}`)
	}
	s.rawJSON(w, code, append(b, '\n'))
}

func (s *Server) rawJSON(w http.ResponseWriter, code int, b []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("Cache-Control", "no-cache")
	if code >= http.StatusBadRequest {
		h.Del("ETag")
	}
	w.WriteHeader(code)
	_, _ = w.Write(b)
}

// unchanged sets the answer's ETag and says 304 when the client has that answer already. What it answers about is a
// function of the address and the tag, so equal tags mean equal bytes.
func unchanged(w http.ResponseWriter, r *http.Request, tag string) bool {
	tag = strconv.Quote(tag)
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", "no-cache")
	for have := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		if strings.TrimPrefix(strings.TrimSpace(have), "W/") == tag {
			w.WriteHeader(http.StatusNotModified)
			return true
		}
	}
	return false
}

// atSize is the tag of everything that follows from the index: how much of the ledger it has read.
func (s *Server) atSize(w http.ResponseWriter, r *http.Request) bool {
	return unchanged(w, r, s.cfg.Net.Digest.Short()+"-"+strconv.FormatUint(s.indexed.Load(), 10))
}

func (s *Server) internal(w http.ResponseWriter, err error) {
	s.cfg.Log.Error("an observer could not be answered", slog.Any("error", err))
	s.fail(w, http.StatusInternalServerError, "this node cannot read its ledger; ask another nation's node")
}

func (s *Server) plain(w http.ResponseWriter, kind string, b []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b)
}

// maxLag is how many final entries the index may be behind before the node is called unwell.
const maxLag = 4 * maxCatchUp

// healthz is for machines and people: 200 and ok, or 503 and what is wrong, all of it.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	var wrong []string
	_, n, err := s.net.get(s.cfg.Network)
	if err != nil {
		wrong = append(wrong, "the state of the network cannot be shown: "+err.Error())
	}
	if n.Node.Problem != "" {
		wrong = append(wrong, n.Node.Problem)
	}
	if why := s.broken.Load(); why != nil {
		wrong = append(wrong, "the index of verdicts has stopped, restart the node: "+*why)
	}
	if size, done := s.cfg.Ledger.CosignedSize(), s.indexed.Load(); size > done+maxLag {
		wrong = append(wrong, fmt.Sprintf("the index of verdicts is %d entries behind the ledger", size-done))
	}
	w.Header().Set("Cache-Control", "no-store")
	if len(wrong) > 0 {
		s.fail(w, http.StatusServiceUnavailable, "%s", strings.Join(wrong, "; "))
		return
	}
	s.plain(w, "text/plain; charset=utf-8", []byte("ok\n"))
}

func (s *Server) openapi(w http.ResponseWriter, _ *http.Request) {
	b, err := files.ReadFile("openapi.yaml")
	if err != nil {
		s.internal(w, err)
		return
	}
	s.plain(w, "application/yaml", b)
}

func (s *Server) policy(w http.ResponseWriter, r *http.Request) {
	if !unchanged(w, r, s.cfg.Net.Digest.Short()) {
		s.plain(w, "text/plain; charset=utf-8", s.policyText)
	}
}

func (s *Server) accord(w http.ResponseWriter, r *http.Request) {
	if !unchanged(w, r, s.cfg.Net.Digest.Short()) {
		s.plain(w, "application/yaml", s.accordYAML)
	}
}

func (s *Server) network(w http.ResponseWriter, _ *http.Request) {
	b, _, err := s.net.get(s.cfg.Network)
	if err != nil {
		s.internal(w, err)
		return
	}
	s.rawJSON(w, http.StatusOK, b)
}

// checkpoint is C2SP tlog-tiles: the cosigned checkpoint, verbatim.
func (s *Server) checkpoint(w http.ResponseWriter, r *http.Request) {
	_, note, ok := s.cfg.Ledger.Cosigned()
	if !ok {
		s.fail(w, http.StatusNotFound, "nothing is final yet")
		return
	}
	if !unchanged(w, r, treaty.HashOf(note).Short()) {
		s.plain(w, "text/plain; charset=utf-8", note)
	}
}

func (s *Server) checkpointView(w http.ResponseWriter, _ *http.Request) {
	size, note, ok := s.cfg.Ledger.Cosigned()
	if !ok {
		s.fail(w, http.StatusNotFound, "nothing is final yet")
		return
	}
	root, err := s.cfg.Ledger.RootAt(size)
	if err != nil {
		s.internal(w, err)
		return
	}
	v := CheckpointView{
		Origin: s.cfg.Net.Accord.Origin, Exercise: s.cfg.Net.Accord.Exercise, Size: size, Root: root, Note: string(note),
		Signers: []treaty.Nation{},
	}
	for _, k := range s.cfg.Net.Nations() {
		if strings.Contains(string(note), "\u2014 "+s.cfg.Net.CosignerName(k)+" ") {
			v.Signers = append(v.Signers, k)
		}
	}
	v.Missing = s.cfg.Net.Missing(v.Signers)
	s.json(w, http.StatusOK, v)
}

// tile is C2SP tlog-tiles: hash tiles and entry bundles, immutable.
func (s *Server) tile(w http.ResponseWriter, r *http.Request) {
	path := "tile/" + r.PathValue("path")
	t, err := torchwood.ParseTilePath(path)
	if err != nil {
		s.fail(w, http.StatusNotFound, "no such tile: paths are those of c2sp.org/tlog-tiles")
		return
	}
	var b []byte
	if t.L == -1 {
		b, err = s.cfg.Ledger.EntryTile(t)
	} else {
		b, err = s.cfg.Ledger.Tile(t)
	}
	switch {
	case errors.Is(err, ledger.ErrNotFinal), errors.Is(err, ledger.ErrNotFound):
		w.Header().Set("Cache-Control", "no-store") // it may come
		s.fail(w, http.StatusNotFound, "this tile is not final here (yet)")
		return
	case err != nil:
		s.internal(w, err)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	s.plain(w, "application/octet-stream", b)
}
