package mcp_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

const page = "https://app.example.com"

func allowPage(o *fleet.Options) { o.AllowedOrigins = []string{page} }

// exchange sends a request to an instance's whole server, past HTTP.
func exchange(i *simulatedInstance, method, path string, header http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://fleet.test"+path, strings.NewReader(fleettest.Request(1, "ping", "{}")))
	r.Header = header
	w := httptest.NewRecorder()
	i.server.Handler.ServeHTTP(w, r)
	return w
}

// endpoints are what a server protects, with the method that each has.
var endpoints = map[string]string{"/": "POST", "/sse": "GET", "/message": "POST"}

// A browser asks without a token what it may send.
func TestGuardServesPreflightRequestsBeforeAuthentication(t *testing.T) {
	t.Parallel()
	a := &authority{}
	simulate(t, simulated{wrap: a.protect, options: allowPage}, func(t *testing.T, s *simulation) {
		for path, method := range endpoints {
			w := exchange(s.instances[0], "OPTIONS", path, http.Header{
				"Origin": {page}, "Access-Control-Request-Method": {method}, "Access-Control-Request-Headers": {"authorization,content-type"},
			})
			h := w.Header()
			got := []string{h.Get("Access-Control-Allow-Origin"), h.Get("Access-Control-Allow-Headers"), h.Get("Access-Control-Allow-Methods")}
			if diff := cmp.Diff([]string{page, "authorization,content-type", "GET, POST, DELETE"}, got); diff != "" || w.Code != http.StatusNoContent {
				t.Errorf("%s: %d (-want +got)\n%s", path, w.Code, diff)
			}
		}
		if a.asked != 0 {
			t.Errorf("%d tokens were verified", a.asked)
		}
	})
}

// A page has to read why it is refused, and where to log in.
func TestGuardLetsPagesReadRefusals(t *testing.T) {
	t.Parallel()
	a := &authority{}
	simulate(t, simulated{wrap: a.protect, options: allowPage}, func(t *testing.T, s *simulation) {
		for path, method := range endpoints {
			for _, token := range []string{"", "Bearer unknown"} {
				w := exchange(s.instances[0], method, path, http.Header{"Origin": {page}, "Authorization": {token}})
				want := http.Header{
					"Access-Control-Allow-Origin":   {page},
					"Access-Control-Expose-Headers": {"Mcp-Session-Id, WWW-Authenticate"},
					"Cache-Control":                 {"no-store"},
					"Content-Type":                  {"application/json"},
					"Vary":                          {"Origin"},
					"Www-Authenticate":              w.Header()["Www-Authenticate"],
				}
				for _, name := range []string{"Content-Security-Policy", "Referrer-Policy", "X-Content-Type-Options", "X-Frame-Options"} {
					want[name] = w.Header()[name] // auth puts them on its refusals
				}
				if diff := cmp.Diff(want, w.Header()); diff != "" || w.Code != http.StatusUnauthorized || len(w.Header()["Www-Authenticate"]) != 1 {
					t.Errorf("%s with %q: %d (-want +got)\n%s", path, token, w.Code, diff)
				}
			}
		}
	})
}

// What is served has each header once, although two guards are in its way.
func TestGuardAddsHeadersOnce(t *testing.T) {
	t.Parallel()
	a := &authority{}
	simulate(t, simulated{wrap: a.protect, options: allowPage}, func(t *testing.T, s *simulation) {
		c := s.begun(t, a.token("alice"))
		c.Header.Set("Origin", page)
		stream := c.Get(t, "")
		for name, res := range map[string]*http.Response{"POST": c.Post(t, fleettest.Request(1, "ping", "{}")), "GET": stream.Response} {
			for header, want := range map[string]string{
				"Vary": "Origin", "Access-Control-Allow-Origin": page, "Access-Control-Expose-Headers": "Mcp-Session-Id, WWW-Authenticate",
			} {
				if diff := cmp.Diff([]string{want}, res.Header.Values(header)); diff != "" || res.StatusCode != http.StatusOK {
					t.Errorf("%s: %s: %s (-want +got)\n%s", name, res.Status, header, diff)
				}
			}
		}
	})
}

// Of what comes from a foreign page nobody looks at the token.
func TestGuardRefusesForeignPagesBeforeAuthentication(t *testing.T) {
	t.Parallel()
	a := &authority{}
	simulate(t, simulated{wrap: a.protect, options: func(o *fleet.Options) {
		allowPage(o)
		o.AllowedHosts = []string{"fleet.test"}
	}}, func(t *testing.T, s *simulation) {
		token := a.token("alice")
		for path, method := range endpoints {
			foreign := exchange(s.instances[0], method, path, http.Header{"Origin": {"https://evil.example"}, "Authorization": {"Bearer " + token}})
			if diff := cmp.Diff(errorResponse(403, "null", -32000, `origin "https://evil.example" is not allowed`), read(t, foreign.Result())); diff != "" {
				t.Errorf("%s: (-want +got)\n%s", path, diff)
			}
			if h := foreign.Header(); h.Get("Access-Control-Allow-Origin") != "" || h.Get("Www-Authenticate") != "" {
				t.Errorf("%s: headers %v", path, h)
			}
			r := httptest.NewRequest(method, "http://evil.example"+path, nil)
			r.Header.Set("Authorization", "Bearer "+token)
			w := httptest.NewRecorder()
			if s.instances[0].server.Handler.ServeHTTP(w, r); w.Code != http.StatusForbidden {
				t.Errorf("%s by another host: %d", path, w.Code)
			}
		}
		if a.asked != 0 {
			t.Errorf("%d tokens were verified", a.asked)
		}
	})
}

// One handler's guard does not speak for another, which may be stricter.
func TestGuardOfAnotherHandler(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{options: allowPage}, func(t *testing.T, s *simulation) {
		strict := s.join(t, simulated{})
		for want, h := range map[int]http.Handler{
			http.StatusForbidden:        s.instances[0].handler.Guard(strict.handler),
			http.StatusMethodNotAllowed: s.instances[0].handler.Guard(s.instances[1].handler),
		} {
			r := httptest.NewRequest("PUT", "http://fleet.test/", nil)
			r.Header.Set("Origin", page)
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != want {
				t.Errorf("%d, want %d", w.Code, want)
			}
		}
	})
}

// No response may be kept by anybody, whatever it is and on whichever path.
func TestNoResponseMayBeStored(t *testing.T) {
	t.Parallel()
	const never, stream = "no-store", "no-store, no-transform"
	simulate(t, simulated{rig: statelessRig(), wrap: withSSE}, func(t *testing.T, s *simulation) {
		c, recent := s.session(t), s.stateless(t)
		check := func(name string, res *http.Response, want string) {
			t.Helper()
			if diff := cmp.Diff([]string{want}, res.Header.Values("Cache-Control")); diff != "" {
				t.Errorf("%s: %s (-want +got)\n%s", name, res.Status, diff)
			}
		}
		q := asked(t, c, "form")
		standalone := c.Get(t, "")
		check("stream of a call", q.stream.Response, stream)
		check("standalone stream", standalone.Response, stream)
		check("resumed stream", c.Get(t, q.stream.Last).Response, stream)
		check("stream that is lost", c.Get(t, "7_0_x").Response, never)
		check("response", c.Post(t, fleettest.Request(2, "ping", "{}")), never)
		check("accepted", c.Post(t, notification), never)
		check("error", c.Post(t, "{"), never)
		check("unknown session", c.Post(t, fleettest.Request(2, "ping", "{}"), set("Mcp-Session-Id", "x")), never)
		check("another method", exchange(s.instances[0], "PUT", "/", http.Header{}).Result(), never)
		check("refused by the guard", c.Post(t, fleettest.Request(2, "ping", "{}"), set("Origin", "https://evil.example")), never)
		check("stateless response", statelessCall(t, recent, "echo", "{}"), never)
		check("stateless stream", statelessCall(t, recent, "refuse", "{}"), stream)
		check("stateless error", statelessCall(t, recent, "echo", "{}", set("Mcp-Name", "other")), never)
		check("stateless GET", recent.Get(t, "").Response, never)
		check("listener", listen(t, recent, `1`, `{"toolsListChanged":true}`).Response, stream)
		check("listener that is refused", recent.Post(t, statelessBody(1, "subscriptions/listen", `{"notifications":7}`), named("subscriptions/listen", "")), never)
		check("SSE stream", openSSE(t, s.client(t), "").stream.Response, stream)
		check("refused message", at(s.client(t), balancer+"message").Post(t, "{}"), never)
		quiet := make(chan *http.Response)
		go func() { quiet <- statelessCall(t, recent, "wait", `{"name":"w"}`) }() // begins after StreamAfter
		check("quiet stateless stream", <-quiet, stream)
		s.open("w")
		check("the end", c.Post(t, "", func(h http.Header) {}), never)
		res, err := c.Do(t.Context(), "DELETE", "")
		must(t, err)
		check("the end", res, never)
	})
}
