package observe

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/torchwood"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/mod/sumdb/tlog"

	"truceline/treaty"
)

func get[T any](t *testing.T, w *world, path string, code int) T {
	t.Helper()
	rec := w.ask("GET", path)
	if rec.Code != code {
		t.Fatalf("GET %s: %d, want %d: %s", path, rec.Code, code, rec.Body)
	}
	var v T
	if err := json.Unmarshal(rec.Body.Bytes(), &v); err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	return v
}

// It would catch verdicts left out of or twice in pages, a superseded one shown as FINAL, and a page that repeats forever.
func TestListPagesAndSupersedes(t *testing.T) {
	w := newWorld(t)
	w.night()
	all := get[VerdictList](t, w, "/v1/verdicts", 200)
	if len(all.Verdicts) != 5 || all.Next != "" || !all.Exercise || all.Size != w.ledger.CosignedSize() {
		t.Fatalf("%d verdicts, next %q, size %d", len(all.Verdicts), all.Next, all.Size)
	}
	var paged []VerdictView
	for path := "/v1/verdicts?limit=2"; path != ""; {
		p := get[VerdictList](t, w, path, 200)
		paged = append(paged, p.Verdicts...)
		if path = p.Next; len(paged) > 5 {
			t.Fatal("pages do not end")
		}
	}
	for i, v := range paged {
		if v.ID != all.Verdicts[i].ID || i > 0 && v.Index >= paged[i-1].Index {
			t.Fatalf("page order differs at %d", i)
		}
	}
	last, first := all.Verdicts[1], all.Verdicts[4]
	if first.Status != "SUPERSEDED" || first.SupersededBy != last.ID || last.Status != "FINAL" || last.Verdict.Amends != first.ID {
		t.Fatalf("first %s by %s, its amendment %s", first.Status, first.SupersededBy.Short(), last.ID.Short())
	}
	for _, v := range all.Verdicts {
		if one := get[VerdictView](t, w, "/v1/verdicts/"+v.ID.String(), 200); one.Status != v.Status || one.Index != v.Index {
			t.Fatalf("verdict %d differs from its list entry", v.Index)
		}
	}
}

// It would catch an INCONCLUSIVE on an amendment that reads as if it took the place of the breach that still stands: also of
// one that amends another such, and after the breach itself was superseded.
func TestInconclusiveBesideAStandingBreach(t *testing.T) {
	w := newWorld(t)
	at := place(48.012, 37.9)
	first := w.judge(treaty.Breach, "A", at, treaty.Hash{})
	beside := w.judge(treaty.Inconclusive, "", at, first.ID)
	again := w.judge(treaty.Inconclusive, "", at, beside.ID)
	w.finish()
	view := func(incident treaty.Hash) VerdictView {
		vs := get[IncidentView](t, w, "/v1/incidents/"+incident.String(), 200).Verdicts
		if len(vs) != 1 {
			t.Fatalf("%d verdicts", len(vs))
		}
		return vs[0]
	}
	breach := view(first.ID)
	if breach.Status != "FINAL" || !breach.Standing.IsZero() {
		t.Errorf("the breach is %s, %s stands instead", breach.Status, breach.Standing.Short())
	}
	for _, in := range []treaty.Hash{beside.ID, again.ID} {
		if v := view(in); v.Standing != breach.ID || !v.Verdict.Amends.IsZero() {
			t.Errorf("%s beside the breach: %s stands, want %s", v.Verdict.Outcome, v.Standing.Short(), breach.ID.Short())
		}
	}
	w.judge(treaty.NoBreach, "", at, again.ID)
	w.finish()
	if now := view(first.ID); now.Status != "SUPERSEDED" || view(beside.ID).Standing != now.SupersededBy {
		t.Errorf("the breach is %s by %s; %s stands", now.Status, now.SupersededBy.Short(), view(beside.ID).Standing.Short())
	}
}

// It would catch anything of a verdict that is ordered, or certified, but not cosigned.
func TestNothingTentative(t *testing.T) {
	w := newWorld(t)
	w.night()
	size := w.ledger.CosignedSize()
	before := w.ask("GET", "/v1/verdicts").Body.String()
	inc := w.judge(treaty.Breach, "A", place(48.03, 37.95), treaty.Hash{})
	check := func(when string, want int) {
		t.Helper()
		w.catchUp()
		if got := w.ask("GET", "/v1/verdicts").Body.String(); (got == before) != (want == 404) {
			t.Fatalf("%s: the list is wrong", when)
		}
		var id treaty.Hash
		if s, ok := w.tallyVerdict(inc.ID); ok {
			id = s
		} else {
			t.Fatal("the tally has no verdict")
		}
		for _, p := range []string{
			"/v1/verdicts/" + id.String(), "/v1/verdicts/" + id.String() + "/entry", "/v1/verdicts/" + id.String() + "/proof",
			"/v1/incidents/" + inc.ID.String(), "/" + torchwood.TilePath(tlog.Tile{H: 8, L: 0, N: 0, W: int(size + 1)}),
			"/" + torchwood.TilePath(tlog.Tile{H: 8, L: -1, N: 0, W: int(size + 1)}),
		} {
			if rec := w.ask("GET", p); rec.Code != want {
				t.Errorf("%s: GET %s: %d, want %d", when, p, rec.Code, want)
			}
		}
	}
	check("ordered", 404)
	c := w.certify()
	check("certified", 404)
	w.cosign(c)
	check("cosigned", 200)
}

// It would catch a proof, entry or policy over HTTP that does not verify offline, or verifies for another entry.
func TestOfflineVerification(t *testing.T) {
	w := newWorld(t)
	w.night()
	policy := w.ask("GET", "/v1/policy").Body.Bytes()
	vs := get[VerdictList](t, w, "/v1/verdicts", 200).Verdicts
	for _, v := range vs {
		entry, proof := w.ask("GET", v.Links.Entry).Body.Bytes(), w.ask("GET", v.Links.Proof).Body.Bytes()
		size, index, err := treaty.VerifyEntry(entry, proof, policy)
		if err != nil || index != v.Index || size != w.ledger.CosignedSize() || treaty.HashOf(entry) != v.ID {
			t.Fatalf("verdict %d: size %d, index %d, %v", v.Index, size, index, err)
		}
		entry[len(entry)-1] ^= 1
		if _, _, err := treaty.VerifyEntry(entry, proof, policy); err == nil {
			t.Fatal("a changed entry verifies")
		}
	}
}

// It would catch tiles, entry bundles or a checkpoint that an independent C2SP client cannot read.
func TestIndependentClientReadsTheLog(t *testing.T) {
	w := newWorld(t)
	w.night()
	srv := httptest.NewServer(w.srv.Handler())
	defer srv.Close()
	f, err := torchwood.NewTileFetcher(srv.URL, torchwood.WithHTTPClient(srv.Client()))
	if err != nil {
		t.Fatal(err)
	}
	c, err := torchwood.NewClient(f)
	if err != nil {
		t.Fatal(err)
	}
	view := get[CheckpointView](t, w, "/v1/checkpoint", 200)
	pol, err := torchwood.ParsePolicy(w.ask("GET", "/v1/policy").Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	cp, _, err := torchwood.VerifyCheckpoint(w.ask("GET", "/checkpoint").Body.Bytes(), pol)
	if err != nil || uint64(cp.N) != view.Size || treaty.Hash(cp.Hash) != view.Root {
		t.Fatalf("checkpoint %+v, view %d %s: %v", cp, view.Size, view.Root, err)
	}
	if len(view.Signers) != 3 || len(view.Missing) != 1 || view.Missing[0] != "DNK" {
		t.Fatalf("signers %v, missing %v", view.Signers, view.Missing)
	}
	count := int64(0)
	for i, entry := range c.AllEntries(t.Context(), cp.Tree, 0) {
		want, err := w.ledger.Entry(uint64(i))
		if err != nil || string(want) != string(entry) {
			t.Fatalf("entry %d differs", i)
		}
		count++
	}
	if err := c.Err(); err != nil || count != cp.N {
		t.Fatalf("%d of %d entries, %v", count, cp.N, err)
	}
}

// It would catch a nation that hides an incident or its verdict behind any number of remarks, even made beforehand.
func TestChatterHidesNoVerdict(t *testing.T) {
	w := newWorld(t)
	inc := w.judge(treaty.Breach, "A", place(48.03, 37.95), treaty.Hash{})
	for i := range 20 {
		w.say("DNK", &treaty.Remark{About: inc.ID, Text: fmt.Sprint("noise ", i)})
	}
	w.finish()
	seen := 0
	for path := "/v1/incidents/" + inc.ID.String() + "?limit=7"; path != ""; {
		v := get[IncidentView](t, w, path, 200)
		if len(v.Verdicts) != 1 || v.Records[0].Incident == nil || v.Records[0].ID != inc.ID {
			t.Fatalf("%s: %d verdicts, first record %+v", path, len(v.Verdicts), v.Records[0])
		}
		seen += len(v.Records) - 1
		path = v.Next
	}
	if seen != 24 { // 4 attestations and 20 remarks
		t.Fatalf("%d records about the incident, want 24", seen)
	}
}

// It would catch a request that changes something, a limit that is not kept, and an error that is not JSON.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	w.night()
	v := get[VerdictList](t, w, "/v1/verdicts?limit=1", 200).Verdicts[0]
	for _, c := range []struct {
		method, path string
		code         int
	}{
		{"POST", "/v1/verdicts", 405},
		{"DELETE", "/v1/verdicts/" + v.ID.String(), 405},
		{"OPTIONS", "/", 405},
		{"GET", "/v1/verdicts?x=" + strings.Repeat("a", maxURL), 414},
		{"GET", "/v1/verdicts?limit=0", 400},
		{"GET", "/v1/verdicts?limit=501", 400},
		{"GET", "/v1/verdicts?limit=", 400},
		{"GET", "/v1/verdicts?before=-1", 400},
		{"GET", "/v1/verdicts?before=18446744073709551616", 400},
		{"GET", "/v1/verdicts?%zz", 400},
		{"GET", "/v1/verdicts/xyz", 400},
		{"GET", "/v1/verdicts/" + strings.Repeat("0", 64), 404},
		{"GET", "/v1/verdicts/" + v.Verdict.Incident.String(), 404},
		{"GET", "/v1/incidents/" + v.ID.String(), 404},
		{"GET", "/tile/0/x001/000", 404},
		{"GET", "/tile/9/000", 404},
		{"GET", "/tile/0/000", 404},
		{"GET", "/nothing", 404},
		{"GET", "/../etc/passwd", 307},
		{"HEAD", "/v1/verdicts", 200},
	} {
		rec := w.ask(c.method, c.path)
		if rec.Code != c.code {
			t.Errorf("%s %.60s: %d, want %d", c.method, c.path, rec.Code, c.code)
		}
		var p problem
		if c.code >= 400 && (json.Unmarshal(rec.Body.Bytes(), &p) != nil || p.Error == "" || !p.Exercise) {
			t.Errorf("%s %.60s: %q does not say what is wrong", c.method, c.path, rec.Body)
		}
	}
	if rec := w.ask("GET", "/", func(r *http.Request) { r.ContentLength = -1 }); rec.Code != 413 {
		t.Errorf("a body of unknown length: %d", rec.Code)
	}
}

// It would catch a rate limit that does not hold, that another address suffers from, that a flood of addresses resets,
// or whose memory grows without bound.
func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter()
		for range burst {
			if !l.allow("a") {
				t.Fatal("refused within the burst")
			}
		}
		for i := range 3 * maxAddresses {
			l.allow(fmt.Sprint("other ", i))
			if i%1000 == 0 && l.allow("a") {
				t.Fatalf("allowed after %d other addresses", i)
			}
		}
		if n := len(l.young) + len(l.old); n > 2*maxAddresses {
			t.Fatalf("%d addresses kept", n)
		}
		time.Sleep(time.Second) // of the bubble's clock
		if !l.allow("a") {
			t.Fatal("still refused after a second")
		}
	})
	if addressOf("[2001:db8:1:2:3::4]:5") != addressOf("[2001:db8:1:2:9::9]:7") || addressOf("[::ffff:10.0.0.1]:1") != addressOf("10.0.0.1:2") {
		t.Error("one person counts as many addresses")
	}
}

// It would catch a client that is sent again what it has, and one that is told "unchanged" when there is a new verdict.
func TestETag(t *testing.T) {
	w := newWorld(t)
	w.night()
	for _, p := range []string{"/v1/verdicts", "/checkpoint", "/v1/policy", "/v1/accord"} {
		tag := w.ask("GET", p).Header().Get("ETag")
		same := func(r *http.Request) { r.Header.Set("If-None-Match", `"x", W/`+tag) }
		if rec := w.ask("GET", p, same); tag == "" || rec.Code != 304 || rec.Body.Len() > 0 {
			t.Errorf("%s: tag %q, %d", p, tag, rec.Code)
		}
		if p == "/v1/verdicts" || p == "/checkpoint" {
			w.judge(treaty.NoBreach, "", place(48.1, 38), treaty.Hash{})
			w.finish()
			if rec := w.ask("GET", p, same); rec.Code != 200 {
				t.Errorf("%s: %d after a new verdict", p, rec.Code)
			}
		}
	}
}

// It would catch a health check that says ok when it is not, or is silent about why, and one that asks the node each time.
func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if rec := w.ask("GET", "/healthz"); rec.Code != 200 || rec.Body.String() != "ok\n" {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		w.ask("GET", "/v1/network")
		if w.asked != 1 {
			t.Fatalf("the node was asked %d times", w.asked)
		}
		time.Sleep(2 * networkAge) // of the bubble's clock
		w.broken = "too few nations"
		why := "disk is full"
		w.srv.broken.Store(&why)
		rec := w.ask("GET", "/healthz")
		if rec.Code != 503 || !strings.Contains(rec.Body.String(), w.broken) || !strings.Contains(rec.Body.String(), why) {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		w.db.Close()
		w.open()
	})
}

// It would catch an index that a power cut leaves without a verdict, or an index kept that belongs to another ledger.
func TestIndexAfterCrash(t *testing.T) {
	w := newWorld(t)
	w.night()
	want := w.ask("GET", "/v1/verdicts").Body.String()
	for seed := range 3 {
		dead := w.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * seed, RNG: rand.New(rand.NewPCG(1, uint64(seed)))})
		again := &world{t: t, f: w.f, fs: dead, now: w.now}
		again.open()
		again.catchUp()
		if got := again.ask("GET", "/v1/verdicts").Body.String(); got != want {
			t.Errorf("with %d %% of unsynced data: the list differs after the crash", 50*seed)
		}
		if seed == 2 {
			if err := again.db.Set(key(kindCursor), be64(1<<40), nil); err != nil {
				t.Fatal(err)
			}
			again.db.Set(key(kindVerdict, be64(0)), nil, nil)
			again.db.Close()
			again.open()
			again.catchUp()
			if got := again.ask("GET", "/v1/verdicts").Body.String(); got != want {
				t.Error("an index of another ledger was kept")
			}
		}
		again.db.Close()
	}
}

// pipes is a listener in memory, so that a bubble's clock drives the real server's timeouts.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// It would catch a stream that misses a verdict between pages, when it resumes, or while it waits; one that the server's
// own timeouts cut; and one that outlives the server.
func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for range streamPage + 5 {
			w.judge(treaty.NoBreach, "", place(48.1, 38), treaty.Hash{})
		}
		w.finish()
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- w.srv.Run(ctx) }()
		p := &pipes{make(chan net.Conn), make(chan struct{})}
		hs := w.srv.HTTPServer()
		go hs.Serve(p)
		there, here := net.Pipe()
		p.conns <- there
		fmt.Fprint(here, "GET /v1/stream HTTP/1.1\r\nHost: x\r\nLast-Event-ID: 0\r\n\r\n")
		ids := make(chan string, 1000)
		go func() {
			defer close(ids)
			for sc := bufio.NewScanner(here); sc.Scan(); {
				if id, ok := strings.CutPrefix(sc.Text(), "id: "); ok {
					ids <- id
				}
			}
		}()
		synctest.Wait()
		if n := len(ids); n != streamPage+5 {
			t.Fatalf("%d verdicts after resuming, want %d", n, streamPage+5)
		}
		time.Sleep(3 * time.Minute) // of the bubble's clock: beyond every timeout
		w.judge(treaty.Breach, "A", place(48.03, 37.95), treaty.Hash{})
		w.cosign(w.certify())
		w.srv.Cosigned(0)
		synctest.Wait()
		if n := len(ids); n != streamPage+6 || w.srv.streams.count() != 1 {
			t.Fatalf("%d verdicts after waiting, want %d", n, streamPage+6)
		}
		stop()
		synctest.Wait()
		if w.srv.streams.count() != 0 {
			t.Error("the stream outlives the server")
		}
		if err := <-ran; err != nil {
			t.Error(err)
		}
		here.Close()
		close(p.done)
		hs.Close()
		synctest.Wait()
		w.db.Close()
		w.open()
	})
}

// It would catch a query or path that makes the server panic or answer with an internal error.
func FuzzRequest(f *testing.F) {
	w := newWorld(f)
	w.night()
	for _, s := range []string{"v1/verdicts?before=3&limit=2", "tile/0/000.p/3", "tile/entries/000.p/1", "v1/incidents/00?from=1", "v1/verdicts/%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := http.NewRequest("GET", "http://x/"+s, nil)
		if err != nil || strings.HasPrefix(r.URL.Path, "/v1/stream") {
			return
		}
		r.RequestURI = r.URL.RequestURI()
		r.RemoteAddr = fmt.Sprintf("10.0.0.%d:1", len(s)%250)
		rec := httptest.NewRecorder()
		w.srv.mux.ServeHTTP(rec, r)
		if rec.Code >= 500 {
			t.Fatalf("GET %q: %d %s", s, rec.Code, rec.Body)
		}
	})
}

// TestServePage serves the page for a person to look at: TRUCELINE_LOOK=127.0.0.1:8099.
func TestServePage(t *testing.T) {
	addr := os.Getenv("TRUCELINE_LOOK")
	if addr == "" {
		t.Skip("set TRUCELINE_LOOK to an address to look at the page")
	}
	w := newWorld(t)
	w.night()
	hs := w.srv.HTTPServer()
	hs.Addr = addr
	t.Log(hs.ListenAndServe())
}
