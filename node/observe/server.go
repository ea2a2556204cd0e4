package observe

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"filippo.io/torchwood"
	"github.com/cockroachdb/pebble/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"truceline/consensus/ledger"
	"truceline/treaty"
)

// Config is what a server needs. All fields are required.
type Config struct {
	Net      *treaty.Network
	Ledger   *ledger.Ledger
	DB       *pebble.DB // for the index, under its own prefix
	Network  func() NetworkView
	Gatherer prometheus.Gatherer
	Log      *slog.Logger
}

// Validate reports all problems.
func (c Config) Validate() error {
	if c.Net == nil || c.Ledger == nil || c.DB == nil || c.Network == nil || c.Gatherer == nil || c.Log == nil {
		return errors.New("observe: Net, Ledger, DB, Network, Gatherer and Log are all required")
	}
	return nil
}

// Server answers observers. Run indexes; Handler answers at any time.
type Server struct {
	cfg     Config
	woken   chan struct{}
	limit   *limiter
	streams *streams
	mux     *http.ServeMux
}

//go:embed web openapi.yaml
var files embed.FS

// New makes a server.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, woken: make(chan struct{}, 1), limit: newLimiter(), streams: newStreams()}
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
	m.HandleFunc("GET /v1/checkpoint", s.checkpointView)
	m.HandleFunc("GET /v1/network", s.network)
	m.HandleFunc("GET /v1/policy", s.policy)
	m.HandleFunc("GET /v1/accord", s.accord)
	m.HandleFunc("GET /v1/stream", s.stream)
	m.HandleFunc("GET /checkpoint", s.checkpoint)
	m.HandleFunc("GET /tile/{path...}", s.tile)
	m.Handle("GET /metrics", promhttp.HandlerFor(s.cfg.Gatherer, promhttp.HandlerOpts{}))
	m.HandleFunc("GET /healthz", s.healthz)
	m.HandleFunc("GET /openapi.yaml", s.openapi)
	web, err := fs.Sub(files, "web")
	if err != nil {
		panic(err) // embedded at build time
	}
	m.Handle("GET /{$}", http.FileServerFS(web))
	m.Handle("GET /web/", http.StripPrefix("/web", http.FileServerFS(web)))
	s.mux = m
}

// Limits of one request; ReadHeaderTimeout and the rest are in HTTPServer.
const (
	maxURL      = 2048
	pageSize    = 100
	maxPage     = 500
	maxAbout    = 512
	writeWithin = 30 * time.Second
)

// HTTPServer is a server with timeouts on everything.
func (s *Server) HTTPServer() *http.Server {
	return &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: writeWithin, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
	}
}

// Handler answers requests: GET and HEAD only, bounded in size and rate.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
		h.Set("Access-Control-Allow-Origin", "*") // everything here is public
		if s.cfg.Net.Accord.Exercise {
			h.Set("X-Truceline-Exercise", "EXERCISE")
		}
		switch host, _, _ := net.SplitHostPort(r.RemoteAddr); {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			s.fail(w, http.StatusMethodNotAllowed, "this server is read-only: use GET")
		case len(r.URL.RequestURI()) > maxURL:
			s.fail(w, http.StatusRequestURITooLong, "the address is too long")
		case r.ContentLength > 0:
			s.fail(w, http.StatusRequestEntityTooLarge, "send no body")
		case !s.limit.allow(host):
			h.Set("Retry-After", "2")
			s.fail(w, http.StatusTooManyRequests, "too many requests from your address; wait two seconds")
		default:
			s.mux.ServeHTTP(w, r)
		}
	})
}

// Run indexes what becomes FINAL until ctx ends, and tells streams about new verdicts.
func (s *Server) Run(ctx context.Context) error {
	for {
		fresh, err := s.catchUp()
		if err != nil {
			return fmt.Errorf("observers: %w", err)
		}
		for _, i := range fresh {
			v, err := s.view(i)
			if err != nil {
				return fmt.Errorf("observers: verdict at %d: %w", i, err)
			}
			s.streams.publish(v)
		}
		select {
		case <-ctx.Done():
			s.streams.close()
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
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(code)
	_, _ = w.Write(append(b, '\n'))
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

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	n := s.cfg.Network()
	if n.Node.Problem != "" {
		s.fail(w, http.StatusServiceUnavailable, "%s", n.Node.Problem)
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

func (s *Server) policy(w http.ResponseWriter, _ *http.Request) {
	s.plain(w, "text/plain; charset=utf-8", s.cfg.Net.Policy())
}

func (s *Server) accord(w http.ResponseWriter, _ *http.Request) {
	s.plain(w, "application/yaml", treaty.FormatAccordYAML(s.cfg.Net.Accord))
}

func (s *Server) network(w http.ResponseWriter, _ *http.Request) {
	s.json(w, http.StatusOK, s.cfg.Network())
}

// checkpoint is C2SP tlog-tiles: the cosigned checkpoint, verbatim.
func (s *Server) checkpoint(w http.ResponseWriter, _ *http.Request) {
	_, note, ok := s.cfg.Ledger.Cosigned()
	if !ok {
		s.fail(w, http.StatusNotFound, "nothing is final yet")
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	s.plain(w, "text/plain; charset=utf-8", note)
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
	if err != nil {
		s.fail(w, http.StatusNotFound, "this tile is not final here (yet)")
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	s.plain(w, "application/octet-stream", b)
}
