package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"truceline/node/evidence"
	"truceline/node/observe"
	"truceline/treaty"
)

// The operator's listener takes sensors' input and the duty officer's decisions. It trusts who reaches it, so it
// belongs on loopback or a guarded network; the public API is another listener.

func (n *Node) openObservers() (err error) {
	n.observer, err = observe.New(observe.Config{
		Net: n.cfg.Net, Ledger: n.ledger, DB: n.db, Network: n.Network, Gatherer: n.cfg.Registry,
		Registerer: n.cfg.Registry, Log: n.log,
	})
	if err != nil {
		return err
	}
	push, err := n.intake.Handler(PushSource)
	if err != nil {
		return err
	}
	for _, l := range []struct {
		addr string
		srv  *http.Server
		at   *net.Listener
	}{
		{n.cfg.Observe, n.observer.HTTPServer(), &n.observeAt},
		{n.cfg.Operator, n.operatorServer(push), &n.operatorAt},
	} {
		if l.addr == "" {
			continue
		}
		ln, err := net.Listen("tcp", l.addr)
		if err != nil {
			return fmt.Errorf("%w (is another node using this address?)", err)
		}
		*l.at = ln
		n.servers = append(n.servers, server{l.srv, ln})
	}
	return nil
}

type server struct {
	srv *http.Server
	ln  net.Listener
}

// serve runs the HTTP listeners and the observers' index.
func (n *Node) serve(ctx context.Context) error {
	failed := make(chan error, len(n.servers))
	for _, s := range n.servers {
		go func() { failed <- s.srv.Serve(s.ln) }()
	}
	indexed := make(chan error, 1)
	go func() { indexed <- n.observer.Run(ctx) }()
	var err error
	select {
	case <-ctx.Done():
		err = <-indexed
	case err = <-indexed:
	case err = <-failed:
	}
	for _, s := range n.servers {
		stop, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		if s.srv.Shutdown(stop) != nil {
			_ = s.srv.Close()
		}
		cancel()
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// ObserveAddr is where observers reach this node, "" without a listener.
func (n *Node) ObserveAddr() string { return addr(n.observeAt) }

// OperatorAddr is where its operator reaches it.
func (n *Node) OperatorAddr() string { return addr(n.operatorAt) }

func addr(l net.Listener) string {
	if l == nil {
		return ""
	}
	return l.Addr().String()
}

// Observer is the handler of the public API, for tests without sockets.
func (n *Node) Observer() http.Handler { return n.observer.Handler() }

// Operator is the handler of the operator's listener, for tests without sockets.
func (n *Node) Operator() (http.Handler, error) {
	push, err := n.intake.Handler(PushSource)
	if err != nil {
		return nil, err
	}
	return n.operatorServer(push).Handler, nil
}

// noBrowsers refuses what a web page may have sent: the operator's browser can reach this listener, and the pages it shows
// must not post detections or approve reviews. Browsers name the page in Origin or Sec-Fetch-Site; a name in Host
// that is no address may be a page's own, bent to this machine (DNS rebinding).
func noBrowsers(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if bare, _, err := net.SplitHostPort(host); err == nil {
			host = bare
		}
		site := r.Header.Get("Sec-Fetch-Site")
		if r.Header.Get("Origin") != "" || site != "" && site != "none" || host != "localhost" && net.ParseIP(strings.Trim(host, "[]")) == nil {
			refuse(w, http.StatusForbidden, errors.New("the operator's listener takes no requests of web pages; use the truceline command"))
			return
		}
		h.ServeHTTP(w, r)
	})
}

func (n *Node) operatorServer(push http.Handler) *http.Server {
	m := http.NewServeMux()
	m.Handle("POST /v1/detections", push)
	m.HandleFunc("GET /v1/status", n.getStatus)
	m.HandleFunc("GET /v1/review", n.getReview)
	m.HandleFunc("POST /v1/review/{incident}", n.postReview)
	m.HandleFunc("POST /v1/remarks", n.postRemark)
	m.HandleFunc("POST /v1/redrive", n.postRedrive)
	return &http.Server{
		Handler: http.MaxBytesHandler(noBrowsers(m), 8<<20), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: time.Minute,
		WriteTimeout: time.Minute, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
	}
}

func reply(w http.ResponseWriter, code int, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		code, b = http.StatusInternalServerError, []byte(`{"error":"this answer cannot be written"}`)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(append(b, '\n'))
}

func refuse(w http.ResponseWriter, code int, err error) {
	reply(w, code, map[string]string{"error": err.Error()})
}

func (n *Node) getStatus(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, n.Status()) }

// ReviewItem is an assessment that waits for the duty officer.
type ReviewItem struct {
	Incident   treaty.Hash       `json:"incident"`
	Since      treaty.Time       `json:"since"`
	Likelihood string            `json:"likelihood"`
	Assessment treaty.Assessment `json:"assessment"`
}

func (n *Node) getReview(w http.ResponseWriter, _ *http.Request) {
	items := []ReviewItem{}
	for p, err := range n.store.Reviews() {
		if err != nil {
			refuse(w, http.StatusInternalServerError, err)
			return
		}
		a := p.Attestation.Assessment
		items = append(items, ReviewItem{p.Attestation.Incident, p.At, treaty.Likelihood(a.Likelihood), a})
	}
	reply(w, http.StatusOK, items)
}

// Decision is what the duty officer decided about an incident.
type Decision struct {
	// Action is "approve", "change" or "decline". Change attests Finding instead, which must be INCONCLUSIVE or
	// NO_BREACH: a person may doubt what the computation found, but not accuse where it does not. Decline attests nothing.
	Action  string         `json:"action"`
	Finding treaty.Finding `json:"finding,omitzero"`
	Why     string         `json:"why,omitempty"`
}

func (n *Node) postReview(w http.ResponseWriter, r *http.Request) {
	incident, err := treaty.ParseHash(r.PathValue("incident"))
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	var d Decision
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<10))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf("decision: %w", err))
		return
	}
	rec, err := n.Decide(r.Context(), incident, d)
	switch {
	case errors.Is(err, evidence.ErrNotFound):
		refuse(w, http.StatusNotFound, err)
	case err != nil:
		refuse(w, http.StatusBadRequest, err)
	case rec == nil:
		reply(w, http.StatusOK, map[string]string{"declined": incident.String()})
	default:
		reply(w, http.StatusOK, map[string]string{"record": rec.ID.String(), "incident": incident.String()})
	}
}

// Decide carries out the duty officer's decision. It returns the attestation's record, nil when it was declined.
func (n *Node) Decide(ctx context.Context, incident treaty.Hash, d Decision) (*treaty.Record, error) {
	switch d.Action {
	case "decline":
		return nil, n.store.Decline(incident, d.Why, n.cfg.Clock.Now())
	case "approve", "change":
	default:
		return nil, fmt.Errorf("action is %q, must be approve, change or decline", d.Action)
	}
	p, err := n.store.Review(incident)
	if err != nil {
		return nil, err
	}
	a := p.Attestation
	a.Reviewed = true
	if d.Action == "change" {
		if d.Finding != treaty.Inconclusive && d.Finding != treaty.NoBreach {
			return nil, errors.New("a duty officer may change a finding to INCONCLUSIVE or NO_BREACH only")
		}
		a.Assessment.Finding, a.Assessment.Party, a.Assessment.Clause = d.Finding, "", ""
		a.Assessment.Reasons = addReason(a.Assessment.Reasons, treaty.ReasonOperator)
	}
	return n.author.Submit(ctx, &a)
}

func addReason(rs []treaty.Reason, r treaty.Reason) []treaty.Reason {
	out := []treaty.Reason{}
	placed := false
	for _, x := range rs {
		if x == r {
			placed = true
		}
		if !placed && x > r {
			out = append(out, r)
			placed = true
		}
		out = append(out, x)
	}
	if !placed {
		out = append(out, r)
	}
	return out
}

func (n *Node) postRemark(w http.ResponseWriter, r *http.Request) {
	var m treaty.Remark
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<10))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf("remark: %w", err))
		return
	}
	rec, err := n.Submit(r.Context(), &m)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	reply(w, http.StatusOK, map[string]string{"record": rec.ID.String()})
}

func (n *Node) postRedrive(w http.ResponseWriter, r *http.Request) {
	done, err := n.intake.Redrive(r.Context())
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	reply(w, http.StatusOK, done)
}
