//go:build unix

package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/balance"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/npm"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	mcpfleet "github.com/mcpfleet/mcpfleet/mcp"
)

// A migratedUse is what a client makes of a migrated server's tool: how that ends, and what it
// hears meanwhile.
type migratedUse struct {
	tool, want string
	// sessions is what it ends with in protocols with sessions, if not with want.
	sessions         string
	progress, logged int
}

// uses are of all kinds of tools that there are. One that cannot work in a fleet says
// what to do.
var uses = []migratedUse{
	{tool: "plain", want: "plain"},
	{tool: "typed", want: `{"sum":3}`},
	{tool: "progress", want: "done", progress: 3},
	{tool: "log", want: "logged", logged: 1},
	{tool: "elicit form", want: "accept Ada"},
	{tool: "elicit URL", want: "accept"},
	{tool: "sample", want: "sampled this"},
	{tool: "sample tools", want: "use getWeather"},
	{tool: "roots", want: "file:///desk"},
	{tool: "ping", want: "pinged"},
	{tool: "returns", want: "mine Ada"},
	{tool: "sheds", want: "served", sessions: "the server is busy, retry later"},
	{tool: "links", want: "two"},
	{tool: "long", want: "at last"},
	{tool: "outside", want: "soon"},
	{tool: "adds a tool", want: "added"},
	{tool: "updates", want: "updated"},
	{tool: "acme/word", want: "word!"},
}

// inFleet are those that end otherwise in a fleet, in every protocol.
var inFleet = []migratedUse{{tool: "panics", want: "internal error"}}

// A migration is a server that was served by the SDK's handler, and is served by ours
// on two instances.
type migration struct {
	*fleettest.Fleet
	servers []*migrated
	log     *lockedBuilder
}

type lockedBuilder struct {
	mu sync.Mutex // guards b
	b  strings.Builder
}

func (l *lockedBuilder) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuilder) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func migrate(t *testing.T, wrap func(http.Handler) http.Handler) *migration {
	t.Helper()
	m := &migration{log: &lockedBuilder{}}
	m.Fleet = fleettest.Start(t, fleettest.Config{
		Redis: redistest.Real(t), Pick: balance.Random, Wrap: wrap,
		Server: func() *mcp.Server {
			server := newMigrated()
			m.servers = append(m.servers, server)
			return server.Server
		},
		Options: func(o *mcpfleet.Options) { o.Logger = slog.New(slog.NewTextHandler(m.log, nil)) },
	})
	return m
}

// Before the one line is changed: all this works.
func TestServerBeforeItsMigration(t *testing.T) {
	t.Parallel()
	server := newMigrated()
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server.Server }, nil)
	front := httptest.NewServer(handler)
	t.Cleanup(func() { front.CloseClientConnections(); front.Close() })
	u := newMigratedUser(t, front.URL, "", nil)
	for _, use := range uses {
		u.uses(t, use)
	}
}

// Whatever a tool does that was written for the SDK's handler, it works in a fleet too,
// or says what to do.
func TestServerAfterItsMigration(t *testing.T) {
	t.Parallel()
	t.Run("go-sdk", func(t *testing.T) {
		t.Parallel()
		m := migrate(t, nil)
		u := newMigratedUser(t, m.URL, "", nil)
		if !u.stateless() {
			t.Error("the client has a session")
		}
		for _, use := range append(uses, inFleet...) {
			u.uses(t, use)
		}
		m.wantRemedies(t)
	})
	for _, kind := range []string{"2025-11-25", "auto"} {
		t.Run("TypeScript/"+kind, func(t *testing.T) {
			t.Parallel()
			npm.Dir(t)
			m := migrate(t, nil)
			args := []string{m.URL, kind}
			for _, use := range append(uses, inFleet...) {
				args = append(args, use.tool)
			}
			s := startScript(t, "migrated.mjs", args...)
			for _, use := range append(uses, inFleet...) {
				said := s.next()
				use.check(t, kind != "auto", said.Text+said.Error, said.Progress, said.Logged)
			}
			must(t, s.wait())
			m.wantRemedies(t)
		})
	}
}

func (u migratedUse) check(t *testing.T, sessions bool, ended string, progress, logged int) {
	t.Helper()
	want := u.want
	if sessions && u.sessions != "" {
		want = u.sessions
	}
	if !strings.Contains(ended, want) || progress != u.progress || logged != u.logged {
		t.Errorf("%s ends with %q after %d reports of progress and %d log messages, want %q after %d and %d",
			u.tool, ended, progress, logged, want, u.progress, u.logged)
	}
}

// wantRemedies checks that what a tool did after its call has failed with what to use.
func (m *migration) wantRemedies(t *testing.T) {
	t.Helper()
	errs := make(chan error, 1)
	for _, server := range m.servers {
		go func() {
			for err := range server.outside {
				errs <- err
			}
		}()
	}
	err := receive(t, errs)
	for _, server := range m.servers {
		close(server.outside)
	}
	if err == nil || !strings.Contains(err.Error(), "use Notify of fleet.Handler or fleet.Notifier") {
		t.Errorf("what is sent after the call's end: %v", err)
	}
}

// Clients hear of a tool that is added while the server runs, although nobody watches.
func TestMigratedServerTellsOfAToolThatItAdds(t *testing.T) {
	t.Parallel()
	m := migrate(t, nil)
	u := newMigratedUser(t, m.URL, "", nil)
	for range 20 { // each instance has had several requests
		u.uses(t, uses[0])
	}
	u.uses(t, migratedUse{tool: "adds a tool", want: "added"})
	receive(t, u.changed)
}

// A call of the SDK that reaches nobody is logged with what to call instead.
func TestMigratedServerIsToldWhatReachesNobody(t *testing.T) {
	t.Parallel()
	m := migrate(t, nil)
	u := newMigratedUser(t, m.URL, "", fleettest.WithSessions) // of clients that listen nobody is told
	for range 20 {                                             // each instance has had several requests, and watches its server
		u.uses(t, uses[0])
	}
	must(t, u.Subscribe(t.Context(), &mcp.SubscribeParams{URI: migratedURI}))
	for range 20 {
		u.uses(t, migratedUse{tool: "updates", want: "updated"})
	}
	until(t, "the log names the remedy", func() bool {
		log := m.log.String()
		return strings.Contains(log, "reaches nobody") && strings.Contains(log, "ResourceUpdated")
	})
}

// What tools keep by session id is never what another user sees.
func TestMigratedServerKeepsUsersApart(t *testing.T) {
	t.Parallel()
	for name, token := range map[string]func(user string) string{
		"authenticated":   func(user string) string { return user },
		"unauthenticated": func(string) string { return "" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var wrap func(http.Handler) http.Handler
			if name == "authenticated" {
				wrap = bearer
			}
			m := migrate(t, wrap)
			alice, bob := newMigratedUser(t, m.URL, token("alice"), nil), newMigratedUser(t, m.URL, token("bob"), nil)
			for range 20 {
				for user, u := range map[string]*migratedUser{"alice": alice, "bob": bob} {
					res, err := u.CallTool(t.Context(), &mcp.CallToolParams{Name: "remembers", Arguments: map[string]any{"What": user}})
					must(t, err)
					if got := text(res); got != user {
						t.Fatalf("%s is told %q", user, got)
					}
				}
			}
		})
	}
}

// A migratedUser is a go-sdk client. Without options it chooses its protocol itself.
type migratedUser struct {
	*user
}

func newMigratedUser(t *testing.T, url, token string, era *mcp.ClientSessionOptions) *migratedUser {
	t.Helper()
	u := &user{logged: make(chan any, 100), progress: make(chan float64, 100), updated: make(chan string, 100),
		changed: make(chan struct{}, 100), renewed: make(chan struct{}, 100)}
	u.makeClient()
	must(t, mcp.AddSendingCustomMethod[*wordParams, *wordResult](u.client, "acme/word"))
	u.ClientSession = connect(t, u.client, &mcp.StreamableClientTransport{Endpoint: url, HTTPClient: withToken(token)}, era)
	if !u.stateless() {
		must(t, u.SetLoggingLevel(t.Context(), &mcp.SetLoggingLevelParams{Level: "info"}))
	}
	return &migratedUser{u}
}

// uses uses a tool, and checks how that ends.
func (u *migratedUser) uses(t *testing.T, use migratedUse) {
	t.Helper()
	ended := u.ends(t.Context(), use.tool)
	var progress, logged int
	for ; progress < use.progress; progress++ {
		receive(t, u.progress)
	}
	for ; logged < use.logged; logged++ {
		receive(t, u.logged)
	}
	use.check(t, !u.stateless(), ended, progress+len(u.progress), logged+len(u.logged))
}

// ends says how a call ends.
func (u *migratedUser) ends(ctx context.Context, tool string) string {
	if tool == "acme/word" {
		res, err := mcp.CallCustomMethod[*wordParams, *wordResult](ctx, u.ClientSession, tool, &wordParams{Word: "word"})
		if err != nil {
			return err.Error()
		}
		return res.Word
	}
	params := &mcp.CallToolParams{Name: tool, Arguments: map[string]any{"a": 1, "b": 2}}
	if tool != "typed" {
		params.Arguments = map[string]any{}
	}
	if u.stateless() {
		params.Meta = mcp.Meta{mcp.MetaKeyLogLevel: "info"}
	}
	params.SetProgressToken(fmt.Sprint("token of ", tool))
	res, err := u.CallTool(ctx, params)
	if err != nil {
		return err.Error()
	}
	return text(res)
}

// withToken returns a client that sends a bearer token, if there is one.
func withToken(token string) *http.Client {
	if token == "" {
		return nil
	}
	return &http.Client{Transport: tokenTransport(token)}
}

type tokenTransport string

func (token tokenTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+string(token))
	return http.DefaultTransport.RoundTrip(req)
}

// bearer takes a token for the name of its user.
func bearer(next http.Handler) http.Handler {
	verify := func(_ context.Context, token string, _ *http.Request) (*auth.TokenInfo, error) {
		return &auth.TokenInfo{UserID: token, Expiration: time.Now().Add(time.Hour)}, nil
	}
	return auth.RequireBearerToken(verify, nil)(next)
}
