package mcp_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// bearer is the SDK's middleware with a verifier that believes every token: it
// is the name of the user, and after a slash the time until which it is valid.
func bearer(h http.Handler) http.Handler {
	verify := func(_ context.Context, token string, _ *http.Request) (*auth.TokenInfo, error) {
		name, life, limited := strings.Cut(token, "/")
		info := &auth.TokenInfo{UserID: name, Expiration: time.Now().Add(24 * time.Hour)}
		if limited {
			until, err := time.Parse(time.RFC3339, life)
			if err != nil {
				return nil, auth.ErrInvalidToken
			}
			info.Expiration = until
		}
		return info, nil
	}
	return auth.RequireBearerToken(verify, nil)(h)
}

// user returns a client of the balancer with a session of the user.
func (s *simulation) user(t testing.TB, name string) *fleettest.Client {
	t.Helper()
	c := s.client(t)
	c.Header.Set("Authorization", "Bearer "+name)
	c.Initialize(t, "2025-11-25", everyCapability)
	return c
}

// as returns the session's client with a token of another user.
func as(c *fleettest.Client, token string) *fleettest.Client {
	d := *c
	d.Header = c.Header.Clone()
	d.Header.Set("Authorization", "Bearer "+token)
	return &d
}

// Who knows the ids of another user's session, streams and requests can do
// nothing with them, and is told what everybody is told who guesses.
func TestForeignUserWhoKnowsEverything(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{wrap: bearer}, func(t *testing.T, s *simulation) {
		alice := s.user(t, "alice")
		q := asked(t, alice, "form")
		standalone := alice.Get(t, "")
		wantText(t, alice.Message(t, alice.Post(t, fleettest.Request(2, "tools/call", `{"name":"aside","arguments":{"text":"x"}}`))), "said")
		standalone.Message(t)
		want := errorResponse(404, "null", -32001, "session not found")
		for _, user := range []string{"mallory", "Alice", "alicealice"} {
			for _, instance := range s.instances {
				mallory := at(as(alice, user), instance.url)
				for _, request := range []struct{ method, body, last string }{
					{"POST", fleettest.Request(3, "tools/call", `{"name":"echo","arguments":{}}`), ""},
					{"POST", responseTo(q.ID, "stolen"), ""},
					{"POST", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`, ""},
					{"POST", initializedBody, ""},
					{"GET", "", ""},
					{"GET", "", standalone.Last},
					{"GET", "", q.stream.Last},
					{"DELETE", "", ""},
				} {
					res, err := mallory.Do(t.Context(), request.method, request.body, set("Last-Event-ID", request.last))
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(want, read(t, res)); diff != "" {
						t.Errorf("%s: %s %s %s: (-want +got)\n%s", user, request.method, request.body, request.last, diff)
					}
				}
			}
		}
		accepts(t, alice, responseTo(q.ID, " by alice"))
		wantText(t, q.stream.Message(t), "accept by alice")
		wantText(t, alice.CallTool(t, "aside", `{"text":"still hers"}`), "said")
		if m := standalone.Message(t); !strings.Contains(string(m.Params), "still hers") {
			t.Errorf("her stream has %s", m.Params)
		}
	})
}

// A session that began without authentication is not one of an authenticated
// user, nor the other way round: middleware may be added to a running fleet.
func TestSessionsBeforeAndAfterAuthentication(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		anonymous := at(s.session(t), s.instances[0].url)
		guarded := s.join(t, simulated{wrap: bearer})
		alice := as(at(s.client(t), guarded.url), "alice")
		alice.Initialize(t, "2025-11-25", "{}")
		want := errorResponse(404, "null", -32001, "session not found")
		ping := fleettest.Request(1, "ping", "{}")
		if diff := cmp.Diff(want, read(t, at(as(anonymous, "alice"), guarded.url).Post(t, ping))); diff != "" {
			t.Errorf("an anonymous session, used by alice: (-want +got)\n%s", diff)
		}
		if diff := cmp.Diff(want, read(t, at(alice, s.instances[0].url).Post(t, ping))); diff != "" {
			t.Errorf("alice's session, used by nobody: (-want +got)\n%s", diff)
		}
		for _, c := range []*fleettest.Client{anonymous, alice} {
			if diff := cmp.Diff(pong, read(t, c.Post(t, ping))); diff != "" {
				t.Errorf("its own session: (-want +got)\n%s", diff)
			}
		}
	})
}

// Taken for anonymous, all users of a verifier that sets no UserID would share
// one identity.
func TestTokenInfoWithoutUserID(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	wrap := func(h http.Handler) http.Handler {
		verify := func(context.Context, string, *http.Request) (*auth.TokenInfo, error) {
			return &auth.TokenInfo{Expiration: time.Now().Add(time.Hour)}, nil
		}
		return auth.RequireBearerToken(verify, nil)(h)
	}
	options := func(o *fleet.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) }
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := as(s.session(t), "token")
		careless := s.join(t, simulated{wrap: wrap, options: options})
		for _, request := range []struct{ method, body, session, id string }{
			{"POST", initializeBody, "", "1"},
			{"POST", fleettest.Request(1, "ping", "{}"), c.Session, "1"},
			{"POST", initializedBody, c.Session, "null"},
			{"GET", "", c.Session, "null"},
			{"DELETE", "", c.Session, "null"},
		} {
			res, err := at(c, careless.url).Do(t.Context(), request.method, request.body, set("Mcp-Session-Id", request.session))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(errorResponse(500, request.id, -32603, "internal error"), read(t, res)); diff != "" {
				t.Errorf("%s %s: (-want +got)\n%s", request.method, request.body, diff)
			}
		}
		if n := strings.Count(log.String(), "TokenInfo has no UserID: the token verifier must set it"); n != 5 {
			t.Errorf("the log says why %d times, want 5:\n%s", n, &log)
		}
	})
}

// A stream lasts no longer than the token it came with. The call goes on, and a
// new token resumes it anywhere.
func TestStreamsEndWhenTheTokenExpires(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{wrap: bearer}, func(t *testing.T, s *simulation) {
		c := s.user(t, "alice")
		until := time.Now().Add(time.Minute)
		limited := as(c, "alice/"+until.Format(time.RFC3339))
		ended := make(chan string, 3)
		watch := func(name string, stream *fleettest.Stream) {
			go func() {
				for {
					if _, err := stream.Next(); err != nil {
						ended <- name
						return
					}
				}
			}()
		}
		call := fleettest.NewStream(at(limited, s.instances[0].url).Post(t,
			fleettest.Request(1, "tools/call", `{"name":"wait","arguments":{"name":"w"}}`)))
		s.runs(t, "w")
		first, err := call.Next()
		if err != nil {
			t.Fatal(err)
		}
		watch("call", call)
		watch("standalone", at(limited, s.instances[1].url).Get(t, ""))
		unlimited := messages(as(c, "alice").Get(t, "")) // takes the standalone stream over
		time.Sleep(time.Until(until) - time.Second)
		if got := soon(t, ended); got != "standalone" {
			t.Fatalf("%s has ended", got)
		}
		watch("resumed", at(limited, s.instances[1].url).Get(t, first.ID))
		if got := soon(t, ended); got != "call" {
			t.Fatalf("%s has ended, want the connection that was taken over", got)
		}
		began := time.Now()
		if got := soon(t, ended); got != "resumed" {
			t.Fatalf("%s has ended", got)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the stream outlived its token by %v", took)
		}
		if n := s.running.Load(); n != 1 {
			t.Errorf("%d calls run, want the one whose stream has ended", n)
		}
		renewed := as(c, "alice").Get(t, first.ID)
		s.open("w")
		wantText(t, renewed.Message(t), "went on")
		wantText(t, c.CallTool(t, "aside", `{"text":"later"}`), "said")
		if m := soon(t, unlimited); !strings.Contains(string(m.Data), "later") {
			t.Errorf("the stream of a token that is still valid has %q", m.Data)
		}
	})
}

// Handlers see of the HTTP request what they see with the SDK's handler.
func TestHandlersSeeTheRequest(t *testing.T) {
	t.Parallel()
	type key struct{}
	r := newRig(nil)
	r.more = func(s *mcp.Server) {
		tool(s, "whoami", func(ctx context.Context, req *mcp.CallToolRequest, _ toolArguments) (string, error) {
			return fmt.Sprint(req.Extra.TokenInfo.UserID, " ", auth.TokenInfoFromContext(ctx).UserID, " ",
				req.Extra.Header.Get("X-Trace"), " ", ctx.Value(key{})), nil
		})
	}
	wrap := func(h http.Handler) http.Handler {
		return bearer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, "value")))
		}))
	}
	simulate(t, simulated{rig: r, wrap: wrap}, func(t *testing.T, s *simulation) {
		c := s.user(t, "alice")
		c.Header.Set("X-Trace", "7")
		for range s.instances {
			wantText(t, c.CallTool(t, "whoami", "{}"), "alice alice 7 value")
		}
	})
}
