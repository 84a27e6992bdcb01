package mcp_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// A versionCell is a call, by what it says of its protocol version.
type versionCell struct {
	kind         string // the version of its session, "initialize", or "no session"
	header, meta string
}

func (c versionCell) stateless() bool { return max(c.header, c.meta) >= statelessVersion }

// send sends the call to a handler, and returns the gist of its response: the
// status, and the code of an error that belongs to JSON-RPC.
func (c versionCell) send(h http.Handler, session string) (gist string, supported []string) {
	method, params := "tools/call", `{"name":"echo","arguments":{"text":"x"}`
	if c.kind == "initialize" {
		method, params = "initialize", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"n","version":"1"}`
	}
	if c.meta != "" {
		params += `,"_meta":{` + strings.ReplaceAll(statelessMeta, statelessVersion, c.meta) + `}`
	}
	w := post(h, fleettest.Request(1, method, params+"}"), func(header http.Header) {
		set("Mcp-Protocol-Version", c.header)(header)
		set("Mcp-Session-Id", session)(header)
		if c.stateless() {
			named(method, "echo")(header)
		}
	})
	var m struct {
		Error struct {
			Code int
			Data struct{ Supported []string }
		}
	}
	_, body, isStream := strings.Cut(w.Body.String(), "data: {")
	if body = "{" + body; !isStream {
		body = w.Body.String()
	}
	if json.NewDecoder(strings.NewReader(body)).Decode(&m) != nil || m.Error.Code == -32000 {
		m.Error.Code = 0 // the SDK says it as text
	}
	return fmt.Sprint(w.Code, " ", m.Error.Code), m.Error.Data.Supported
}

func post(h http.Handler, body string, change func(http.Header)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "http://fleet.test/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	change(r.Header)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// begin begins a session of the handler.
func begin(t testing.TB, h http.Handler, version string) string {
	t.Helper()
	id := post(h, strings.Replace(initializeBody, "2025-11-25", version, 1), func(http.Header) {}).Header().Get("Mcp-Session-Id")
	if w := post(h, initializedBody, set("Mcp-Session-Id", id)); w.Code != http.StatusAccepted {
		t.Fatalf("initialized: %d %s", w.Code, w.Body)
	}
	return id
}

// The SDK has two handlers, one with sessions and one for stateless requests, which
// say what is right.
func TestVersionsAreJudgedAsByTheSDK(t *testing.T) {
	t.Parallel()
	versions := []string{"", "2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", statelessVersion, "latest", "2099-01-01", "1999-01-01"}
	for _, option := range [][]string{nil, {"2025-06-18", "2025-11-25"}, {statelessVersion}, {"2025-11-25", statelessVersion}} {
		t.Run(fmt.Sprint(option), func(t *testing.T) {
			t.Parallel()
			r := newRig(&mcp.ServerOptions{SupportedProtocolVersions: option})
			server := r.server()
			f := fleettest.Start(t, fleettest.Config{Redis: redistest.NewMiniredis(t), Server: func() *mcp.Server { return server }})
			get := func(*http.Request) *mcp.Server { return server }
			sessions := mcp.NewStreamableHTTPHandler(get, nil)
			stateless := mcp.NewStreamableHTTPHandler(get, &mcp.StreamableHTTPOptions{Stateless: true})
			supported := mcp.SupportedProtocolVersions()
			if option != nil {
				supported = slices.DeleteFunc(supported, func(v string) bool { return !slices.Contains(option, v) })
			}
			knows := func(v string) bool { return v == "" || slices.Contains(supported, v) }
			for _, kind := range []string{"2025-06-18", "2025-11-25", "initialize", "no session"} {
				begun := strings.HasPrefix(kind, "20")
				var ours, theirs string
				if begun {
					ours, theirs = begin(t, f.Instances[0].Handler, kind), begin(t, sessions, kind)
				}
				for _, header := range versions {
					for _, meta := range versions {
						c := versionCell{kind, header, meta}
						got, list := c.send(f.Instances[1].Handler, ours)
						var want string
						switch {
						case c.stateless() && header != "" && meta != "" && header != meta:
							want = "400 -32020" // also where the SDK says it as text
						case c.stateless() && (knows(header) || meta != ""):
							want, _ = c.send(stateless, "")
						case kind == "no session" && !c.stateless():
							want = "400 " + strings.Fields(got)[1] // one is needed, where the SDK may begin one
						case meta != "" && knows(header) && knows(meta):
							want = "200 0" // the SDK takes _meta in stateless requests alone; it does no harm
						case meta != "" && !knows(header):
							want = "400 " + strings.Fields(got)[1] // both versions are wrong
						default:
							want, _ = c.send(sessions, theirs)
						}
						if diff := cmp.Diff(want, got); diff != "" {
							t.Errorf("%+v: (-want +got)\n%s", c, diff)
						}
						if strings.HasSuffix(got, "-32022") && !slices.Equal(list, supported) {
							t.Errorf("%+v: %v are supported, want %v", c, list, supported)
						}
					}
				}
			}
		})
	}
}

// What is no call has no _meta, and its header counts. Only a message for a server
// asks for the server.
func TestUnknownVersionsAreRefusedOnEveryVerb(t *testing.T) {
	t.Parallel()
	r := newRig(&mcp.ServerOptions{SupportedProtocolVersions: []string{"2025-11-25"}})
	simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		for _, i := range s.instances {
			for _, v := range []string{"2025-06-18", "latest", "1999-01-01"} {
				for _, request := range []struct{ method, body string }{
					{"POST", fleettest.Request(1, "ping", "{}")}, {"GET", ""}, {"DELETE", ""},
				} {
					if v == "2025-06-18" && request.method != "POST" {
						continue
					}
					res, err := at(c, i.url).Do(t.Context(), request.method, request.body, set("Mcp-Protocol-Version", v))
					must(t, err)
					if got := read(t, res); got.Status != 400 || !strings.Contains(got.Body, "2025-11-25") {
						t.Errorf("%s with %s: %+v", request.method, v, got)
					}
				}
				if got := read(t, at(c, i.url).Post(t, initializedBody, set("Mcp-Protocol-Version", v))); got.Status != 400 {
					t.Errorf("a notification with %s: %+v", v, got)
				}
			}
		}
		wantText(t, c.CallTool(t, "echo", `{"text":"hi"}`), "hi")
	})
}
