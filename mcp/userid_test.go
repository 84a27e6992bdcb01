package mcp_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/session"
)

// joinCounting adds an instance whose tool "id" says its session's id, and whose tool
// "count" counts in a value.
func (s *simulation) joinCounting(t testing.TB, name string) *simulatedInstance {
	t.Helper()
	server := mcp.NewServer(&mcp.Implementation{Name: name, Version: "1"}, nil)
	i := s.joinServing(t, simulated{wrap: bearerIfAny}, func(*http.Request) *mcp.Server { return server })
	counts := session.NewValues[int](i.handler.Sessions(), "count")
	tool(server, "id", func(_ context.Context, req *mcp.CallToolRequest, _ toolArguments) (string, error) {
		return req.Session.ID(), nil
	})
	tool(server, "count", func(ctx context.Context, req *mcp.CallToolRequest, _ toolArguments) (string, error) {
		n, err := counts.Update(ctx, req.Session.ID(), func(n int) (int, error) { return n + 1, nil })
		return fmt.Sprint(n), err
	})
	return i
}

// bearerIfAny is bearer for requests with a token.
func bearerIfAny(h http.Handler) http.Handler {
	authenticated := bearer(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			h.ServeHTTP(w, r)
			return
		}
		authenticated.ServeHTTP(w, r)
	})
}

// says calls a tool of an instance in protocol 2026-07-28, without a user if the name
// is empty.
func (s *simulation) says(t testing.TB, i *simulatedInstance, user, name string) string {
	t.Helper()
	c := at(s.stateless(t), i.url)
	if user != "" {
		c.Header.Set("Authorization", "Bearer "+user)
	}
	return text(t, c.Message(t, statelessCall(t, c, name, "{}")))
}

func TestAStatelessRequestHasTheIDOfItsUser(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		a, b, other := s.joinCounting(t, "shop"), s.joinCounting(t, "shop"), s.joinCounting(t, "bank")
		alice := s.says(t, a, "alice", "id")
		for i, same := range []string{s.says(t, a, "alice", "id"), s.says(t, b, "alice", "id"), s.says(t, s.joinCounting(t, "shop"), "alice", "id")} {
			if same != alice {
				t.Errorf("%d: alice's id is %q, and %q", i, alice, same)
			}
		}
		c := at(s.stateless(t), a.url)
		c.Header.Set("Authorization", "Bearer alice")
		if id := text(t, c.Message(t, statelessCall(t, c, "id", "{}", set("Mcp-Session-Id", "another")))); id != alice {
			t.Errorf("with a session's id in the header it is %q", id)
		}
		seen := map[string]bool{alice: true}
		for i, another := range []string{s.says(t, a, "bob", "id"), s.says(t, other, "alice", "id"), s.says(t, a, "", "id"), s.says(t, a, "", "id"), s.says(t, b, "", "id")} {
			if another == "" || seen[another] || strings.Contains(another, "bob") {
				t.Errorf("%d: the id is %q", i, another)
			}
			seen[another] = true
		}
	})
}

func TestValuesOfAUserWithoutSessions(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		a, b := s.joinCounting(t, "shop"), s.joinCounting(t, "shop")
		for n := 1; n <= 4; n++ {
			if said := s.says(t, []*simulatedInstance{a, b}[n%2], "alice", "count"); said != fmt.Sprint(n) {
				t.Errorf("alice counts to %s, want %d", said, n)
			}
		}
		if said := s.says(t, a, "bob", "count"); said != "1" {
			t.Errorf("bob counts to %s", said)
		}
		c := at(s.client(t), b.url)
		c.Header.Set("Authorization", "Bearer alice")
		c.Initialize(t, "2025-11-25", everyCapability)
		wantText(t, c.CallTool(t, "count", "{}"), "1") // a session is a conversation of its own

		anonymous := at(s.stateless(t), a.url)
		m := anonymous.Message(t, statelessCall(t, anonymous, "count", "{}"))
		if m.Error == nil || !strings.Contains(string(m.Error), "put authentication in front of the handler") {
			t.Errorf("without a user: %s %s", m.Error, m.Result)
		}
	})
}

func TestAUserWithoutSessionsCannotBeNotified(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		a := s.joinCounting(t, "shop")
		for _, user := range []string{"alice", ""} {
			err := s.instances[0].handler.Notify(t.Context(), s.says(t, a, user, "id"), "notifications/weather", nil)
			if err == nil || !strings.Contains(err.Error(), "only updates of resources and changes of lists") {
				t.Errorf("user %q: %v", user, err)
			}
		}
	})
}

func TestInstancesKeepTheSecretOfIDs(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		a := s.joinCounting(t, "shop")
		alice := s.says(t, a, "alice", "id")
		must(t, a.link.Client(t).Do(t.Context(), a.link.Client(t).B().Flushall().Build()).Error())
		time.Sleep(3 * time.Minute)
		if id := s.says(t, s.joinCounting(t, "shop"), "alice", "id"); id != alice {
			t.Error("after a loss another instance has another id")
		}
	})
}

// The first request of a user asks Redis for the secret, and none after it anything.
func TestAnIDCostsRedisNothing(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		a := s.joinCounting(t, "shop")
		alice := s.says(t, a, "alice", "id")
		a.link.Cut()
		if id := s.says(t, a, "alice", "id"); id != alice {
			t.Errorf("without Redis it is %q, want %q", id, alice)
		}
		if bob := s.says(t, a, "bob", "id"); bob == "" || bob == alice {
			t.Errorf("bob's is %q", bob)
		}
		a.link.Heal()

		cold := s.joinCounting(t, "shop")
		cold.link.Cut()
		c := at(s.stateless(t), cold.url)
		c.Header.Set("Authorization", "Bearer alice")
		if res := statelessCall(t, c, "id", "{}"); res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
			t.Errorf("an instance that cannot know the id: %s, Retry-After %q", res.Status, res.Header.Get("Retry-After"))
		}
		cold.link.Heal()
	})
}
