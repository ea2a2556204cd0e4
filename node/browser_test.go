package node

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// A page in the operator's browser must not be able to speak to the operator's listener. Catches a listener that asks
// only where a request comes from.
func TestNoBrowsers(t *testing.T) {
	h := noBrowsers(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	for _, x := range []struct {
		name, host, header, value string
		want                      int
	}{
		{"the command", "127.0.0.1:7001", "", "", http.StatusOK},
		{"the command over IPv6", "[::1]:7001", "", "", http.StatusOK},
		{"by name", "localhost:7001", "", "", http.StatusOK},
		{"an address typed into a browser", "127.0.0.1:7001", "Sec-Fetch-Site", "none", http.StatusOK},
		{"a page's form", "127.0.0.1:7001", "Origin", "http://example.org", http.StatusForbidden},
		{"a page's image", "127.0.0.1:7001", "Sec-Fetch-Site", "cross-site", http.StatusForbidden},
		{"a page whose name was bent to this machine", "example.org:7001", "", "", http.StatusForbidden},
	} {
		r := httptest.NewRequest(http.MethodPost, "http://"+x.host+"/v1/redrive", http.NoBody)
		if x.header != "" {
			r.Header.Set(x.header, x.value)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != x.want {
			t.Errorf("%s: %d, want %d", x.name, w.Code, x.want)
		}
	}
}
