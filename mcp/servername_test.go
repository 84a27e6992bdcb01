package mcp_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// joinNamed adds an instance that serves a server of that name, with its log.
func (s *simulation) joinNamed(t *testing.T, name string, c simulated) (*simulatedInstance, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	c.options = func(o *fleet.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) }
	server := mcp.NewServer(&mcp.Implementation{Name: name, Version: "1"}, nil)
	return s.joinServing(t, c, func(*http.Request) *mcp.Server { return server }), &log
}

var noSession = errorResponse(404, "null", -32001, "session not found")

// Two servers that share a prefix by mistake do not serve each other's sessions, in
// no way, and the log says what to do about it, once.
func TestSessionsOfAnotherServer(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"2025-03-26", "2025-06-18", "2025-11-25"} {
		simulate(t, simulated{}, func(t *testing.T, s *simulation) {
			other, log := s.joinNamed(t, "other", simulated{})
			c := s.client(t)
			c.URL = s.instances[0].url
			c.Initialize(t, version, everyCapability)
			q := asked(t, c, "form")
			for name, res := range map[string]*http.Response{
				"a call":       at(c, other.url).Post(t, fleettest.Request(1, "ping", "{}")),
				"notification": at(c, other.url).Post(t, `{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`),
				"a response":   at(c, other.url).Post(t, responseTo(q.ID, " no")),
				"a batch":      at(c, other.url).Post(t, "["+fleettest.Request(1, "ping", "{}")+"]"),
				"a stream":     at(c, other.url).Get(t, "").Response,
				"a resumption": at(c, other.url).Get(t, q.stream.Last).Response,
				"the end":      send(t, at(c, other.url), http.MethodDelete),
			} {
				if name == "a batch" && version != "2025-03-26" {
					continue // refused anyway
				}
				if diff := cmp.Diff(noSession, read(t, res)); diff != "" {
					t.Errorf("%s, %s: (-want +got)\n%s", version, name, diff)
				}
			}
			accepts(t, at(c, s.instances[1].url), responseTo(q.ID, " yes"))
			wantText(t, q.stream.Message(t), "accept yes")
			synctest.Wait()
			if n := strings.Count(log.String(), "Options.Prefix"); n != 1 || !strings.Contains(log.String(), "level=WARN") {
				t.Errorf("Options.Prefix is named %d times in\n%s", n, log)
			}
			if strings.Contains(log.String(), c.Session) {
				t.Error("the log has the session's id")
			}
		})
	}
}

func TestHTTPSSESessionsOfAnotherServer(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{wrap: withSSE}, func(t *testing.T, s *simulation) {
		other, log := s.joinNamed(t, "other", simulated{wrap: withSSE})
		fresh := openSSE(t, at(s.client(t), s.instances[0].url), "")
		c := openSSE(t, at(s.client(t), s.instances[0].url), "")
		c.initialize(t)
		for name, res := range map[string]*http.Response{
			"initialize":   fresh.at(other.url).Post(t, initializeBody),
			"a call":       c.at(other.url).Post(t, fleettest.Request(1, "ping", "{}")),
			"notification": c.at(other.url).Post(t, `{"jsonrpc":"2.0","method":"notifications/initialized"}`),
			"a response":   c.at(other.url).Post(t, responseTo([]byte(`"x"`), "")),
		} {
			if diff := cmp.Diff(noSession, read(t, res)); diff != "" {
				t.Errorf("%s: (-want +got)\n%s", name, diff)
			}
		}
		wantText(t, c.at(s.instances[1].url).call(t, toolCall(1, "echo", `{"text":"well"}`)), "well")
		if n := strings.Count(log.String(), "Options.Prefix"); n != 1 {
			t.Errorf("Options.Prefix is named %d times in\n%s", n, log)
		}
	})
}

// A handler may serve several servers: a session belongs to the one it began with.
func TestSessionsOfAnotherServerOfTheSameHandler(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		servers := map[string]*mcp.Server{}
		for _, name := range []string{"a", "b"} {
			servers["/"+name] = mcp.NewServer(&mcp.Implementation{Name: name, Version: "1"}, nil)
		}
		one := s.joinServing(t, simulated{}, func(r *http.Request) *mcp.Server { return servers[r.URL.Path] })
		c := at(s.client(t), one.url+"a")
		c.Initialize(t, "2025-11-25", "{}")
		if diff := cmp.Diff(noSession, read(t, at(c, one.url+"b").Post(t, fleettest.Request(1, "ping", "{}")))); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if got := read(t, c.Post(t, fleettest.Request(1, "ping", "{}"))); got.Status != http.StatusOK {
			t.Errorf("at its own server: %+v", got)
		}
	})
}

// Instances of a version before have written records without a name: they are
// served, during an upgrade and after it.
func TestSessionsWithoutTheNameOfTheirServer(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		other, log := s.joinNamed(t, "other", simulated{})
		c.URL = other.url
		admin := s.redis.Client(t)
		key := s.prefix + ":{" + c.Session + "}:session"
		if err := admin.Do(t.Context(), admin.B().Hdel().Key(key).Field("name").Build()).Error(); err != nil {
			t.Fatal(err)
		}
		if got := read(t, c.Post(t, fleettest.Request(1, "ping", "{}"))); got.Status != http.StatusOK {
			t.Errorf("%+v", got)
		}
		if strings.Contains(log.String(), "WARN") {
			t.Error(log)
		}
	})
}

func send(t *testing.T, c *fleettest.Client, method string) *http.Response {
	t.Helper()
	res, err := c.Do(t.Context(), method, "")
	if err != nil {
		t.Fatal(err)
	}
	return res
}
