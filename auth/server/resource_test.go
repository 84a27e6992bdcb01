package server

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/auth"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	fleetmcp "github.com/mcpfleet/mcpfleet/mcp"
)

// bound is how long an instance may accept what was revoked, in tests that wait
// for it: for each of cache and recheck.
const bound = 100 * time.Millisecond

func quickly(o *Options) { o.CacheTTL = bound }

// resource returns the MCP endpoint that an instance issues tokens for.
func (fl *fleet) resource(t testing.TB, instance int) *auth.Resource {
	t.Helper()
	r, err := auth.NewResource(fl.url+"/mcp", &auth.ResourceOptions{
		Verifier: fl.instances[instance], AuthorizationServers: []string{fl.url}, RecheckEvery: bound,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// protected returns a fleet of MCP endpoints on the same Redis, each with an
// instance of the authorization server as its verifier.
func (fl *fleet) protected(t testing.TB) *fleettest.Fleet {
	t.Helper()
	next := -1
	return fleettest.Start(t, fleettest.Config{
		Redis: fl.redis, Instances: len(fl.instances), Server: waitingServer,
		Wrap: func(h http.Handler) http.Handler {
			next++
			f := h.(*fleetmcp.Handler)
			resource := fl.resource(t, next)
			mux := http.NewServeMux()
			mux.Handle("/", f.Guard(resource.Protect(f)))
			mux.Handle("/sse", f.Guard(resource.Protect(f.SSE("/message"))))
			mux.Handle("/message", f.Guard(resource.Protect(f.Messages())))
			return mux
		},
	})
}

// waitingServer has a tool that streams and then waits until it is cancelled.
func waitingServer() *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "waiting", Version: "1"}, nil)
	mcp.AddTool(s, &mcp.Tool{Name: "wait"}, func(ctx context.Context, req *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
		if err := req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: "server", Progress: 1}); err != nil {
			return nil, nil, err
		}
		<-ctx.Done()
		return nil, nil, ctx.Err()
	})
	return s
}

// withToken returns a client of an instance with a session.
func withToken(t testing.TB, f *fleettest.Fleet, instance int, token string) *fleettest.Client {
	t.Helper()
	c := fleettest.NewClient(t, f.Instances[instance].URL)
	c.Header.Set("Authorization", "Bearer "+token)
	c.Initialize(t, "2025-11-25", "{}")
	return c
}

// What is revoked on one instance is refused on every other, and its streams
// are closed there, within ten times the bound; nothing else's.
func TestSessionOwnershipEndsWithItsGrantOnEveryInstance(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, fl *fleet) {
		f := fl.protected(t)
		_, bobs := streamsOf(t, f, firstOf(fl.login(t, public).tokens(t, "bob")))
		for name, revoke := range map[string]func(t *testing.T, l *login, code, access, refresh string){
			"the refresh token": func(t *testing.T, l *login, _, _, refresh string) {
				l.asClient(t, revokePath, url.Values{"token": {refresh}})
			},
			"the access token": func(t *testing.T, l *login, _, access, _ string) {
				l.asClient(t, revokePath, url.Values{"token": {access}})
			},
			"a code that is redeemed twice": func(t *testing.T, l *login, code, _, _ string) { l.redeem(t, code) },
		} {
			l := fl.login(t, public)
			code := l.back(t, "alice").Query().Get("code")
			access, refresh := tokensIn(t, l.redeem(t, code))
			clients, streams := streamsOf(t, f, access)
			revoke(t, l, code, access, refresh)
			late := time.After(10 * 2 * bound)
			for range streams.n {
				select {
				case <-streams.ended:
				case <-late:
					t.Fatalf("%s: a stream goes on", name)
				}
			}
			for i, c := range clients {
				if res := c.Post(t, fleettest.Request(1, "ping", "{}")); res.StatusCode != http.StatusUnauthorized {
					t.Errorf("%s: the token on instance %d: %s", name, i, res.Status)
				}
			}
		}
		select {
		case stream := <-bobs.ended:
			t.Errorf("bob's %s has ended", stream)
		default:
		}
	}, quickly)
}

func firstOf(access, _ string) string { return access }

// openStreams are streams that somebody reads.
type openStreams struct {
	n     int
	ended chan string
}

func (o *openStreams) read(name string, s *fleettest.Stream) {
	o.n++
	go func() {
		for {
			if _, err := s.Next(); err != nil {
				o.ended <- name
				return
			}
		}
	}()
}

// streamsOf opens streams of every kind on every instance, and returns a client
// with a session of each.
func streamsOf(t *testing.T, f *fleettest.Fleet, token string) ([]*fleettest.Client, *openStreams) {
	t.Helper()
	var clients []*fleettest.Client
	o := &openStreams{ended: make(chan string, 100)}
	for i, instance := range f.Instances {
		c := withToken(t, f, i, token)
		clients = append(clients, c)
		o.read("standalone stream", c.Get(t, ""))
		o.read("stream of a call", fleettest.NewStream(c.Post(t, fleettest.Request(2, "tools/call", `{"name":"wait","arguments":{}}`))))
		sse := *c
		sse.URL, sse.Session = instance.URL+"/sse", ""
		o.read("SSE stream", sse.Get(t, ""))
		body := fleettest.Request(3, "subscriptions/listen", `{"notifications":{"toolsListChanged":true},"_meta":{`+
			`"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"raw","version":"1"},`+
			`"io.modelcontextprotocol/clientCapabilities":{}}}`)
		listener := c.Post(t, body, func(h http.Header) {
			h.Del("Mcp-Session-Id")
			h.Set("Mcp-Protocol-Version", "2026-07-28")
			h.Set("Mcp-Method", "subscriptions/listen")
		})
		o.read("listener", fleettest.NewStream(listener))
		if listener.StatusCode != http.StatusOK {
			t.Fatalf("listen: %s", listener.Status)
		}
	}
	return clients, o
}

// T25, T26: only an access token is one; whatever else a client has is not.
func TestT25_OtherSecretsAreNoAccessTokens(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, fl *fleet) {
		l := fl.login(t, public)
		code := l.back(t, "alice").Query().Get("code")
		spare := fl.login(t, public).back(t, "alice").Query().Get("code") // is not redeemed
		access, refresh := tokensIn(t, l.redeem(t, code))
		elsewhere := fl.login(t, public, func(q url.Values) { q.Set("resource", fl.url+"/other") })
		other, _ := elsewhere.tokens(t, "alice")
		parsed, _ := parseCredential(accessKind, access)
		for i := range fl.instances {
			handler := fl.resource(t, i).Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			status := func(token string) int {
				r := httptest.NewRequest("GET", "/mcp", nil)
				r.Header.Set("Authorization", "Bearer "+token)
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				return w.Code
			}
			if got := status(access); got != http.StatusOK {
				t.Errorf("the access token: %d", got)
			}
			for name, token := range map[string]string{
				"a code":                      code,
				"a code that is not redeemed": spare,
				"a refresh token":             refresh,
				"a refresh token, called an access token": strings.Replace(refresh, "mcpr.", "mcpa.", 1),
				"a code, called an access token":          strings.Replace(spare, "mcpc.", "mcpa.", 1),
				"a token for another resource":            other,
				"another access token of its grant":       newCredential(accessKind, parsed.grant).String(),
				"an access token of another grant":        credential{kind: accessKind, grant: random(grantIDBytes), value: parsed.value}.String(),
				"the grant alone":                         "mcpa." + parsed.grant + ".",
				"a token with more":                       access + "A",
				"a token of the upstream":                 "gho_16C7e42F292c6912E7710c838347Ae178B4a",
				"a client's secret":                       url.QueryEscape(privateSecret),
				"a JWT":                                   "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.",
			} {
				if got := status(token); got != http.StatusUnauthorized {
					t.Errorf("%s: %d", name, got)
				}
			}
		}
	})
}

// commandsRun returns how many commands Redis has run, but for INFO and those
// by which clients keep their connections.
func commandsRun(t testing.TB, client rueidis.Client) (total int64) {
	t.Helper()
	info, err := client.Do(t.Context(), client.B().Info().Section("commandstats").Build()).ToString()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(info) {
		name, stats, ok := strings.Cut(line, ":calls=")
		if !ok || name == "cmdstat_info" || name == "cmdstat_ping" {
			continue
		}
		count, _, _ := strings.Cut(stats, ",")
		n, err := strconv.ParseInt(count, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		total += n
	}
	return total
}

// As long as the client may use its copy, Redis hears of no request.
func TestVerificationCostsNoRoundTripInSteadyState(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	fl := newFleet(t, &s.Server)
	access, _ := fl.login(t, public).tokens(t, "alice")
	handler := fl.resource(t, 1).Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	request := func() {
		t.Helper()
		r := httptest.NewRequest("POST", "/mcp", nil)
		r.Header.Set("Authorization", "Bearer "+access)
		w := httptest.NewRecorder()
		if handler.ServeHTTP(w, r); w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	request() // may ask
	before, began := commandsRun(t, fl.admin), time.Now()
	for range 1000 {
		request()
	}
	// The copy lives for CacheTTL; then one read is two commands.
	allowed := 2 * int64(time.Since(began)/(5*time.Second)+1)
	if time.Since(began) < 3*time.Second {
		allowed = 0
	}
	if n := commandsRun(t, fl.admin) - before; n > allowed {
		t.Errorf("1,000 requests with one token cost %d commands", n)
	}
}

// BenchmarkProtect is a ping of a session, served past HTTP by a handler behind
// Protect; x-bare says how many times as long it takes as the handler alone.
func BenchmarkProtect(b *testing.B) {
	s := redistest.Real(b)
	prefix := s.Prefix(b)
	as, err := New(&Options{
		Redis: s.Client(b), Prefix: prefix, Issuer: "https://login.example.com", Resources: []string{"https://mcp.example.com/mcp"},
		Upstream: upstreamStub("https://login.example.com"), Clients: []Client{public},
	})
	if err != nil {
		b.Fatal(err)
	}
	g := grant{Client: public.ID, Subject: "alice", Resources: as.opts.Resources}
	code, err := as.grants.create(b.Context(), g)
	if err != nil {
		b.Fatal(err)
	}
	tokens, err := as.grants.redeem(b.Context(), code, g, access{Resources: g.Resources}, false)
	if err != nil {
		b.Fatal(err)
	}
	resource, err := auth.NewResource(g.Resources[0], &auth.ResourceOptions{Verifier: as, AuthorizationServers: []string{as.opts.Issuer}})
	if err != nil {
		b.Fatal(err)
	}
	pinged := waitingServer()
	bare, err := fleetmcp.NewHandler(func(*http.Request) *mcp.Server { return pinged }, &fleetmcp.Options{Redis: s.Client(b), Prefix: prefix})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = bare.Shutdown(context.WithoutCancel(b.Context())) })
	ping := func(h http.Handler, token, session string) *httptest.ResponseRecorder {
		body := fleettest.Request(1, "ping", "{}")
		if session == "" {
			body = fleettest.Request(1, "initialize", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"raw","version":"1"}}`)
		}
		ctx, done := context.WithCancel(b.Context()) // as net/http's, which ends with the request
		defer done()
		r := httptest.NewRequestWithContext(ctx, "POST", "/mcp", strings.NewReader(body))
		r.Header = http.Header{"Accept": {"application/json, text/event-stream"}, "Content-Type": {"application/json"}}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		if session != "" {
			r.Header.Set("Mcp-Session-Id", session)
		}
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != http.StatusOK {
			b.Fatal(fmt.Sprint(w.Code, w.Body))
		}
		return w
	}
	measure := func(h http.Handler, token string, n int) time.Duration {
		session := ping(h, token, "").Header().Get("Mcp-Session-Id")
		for range 100 {
			ping(h, token, session)
		}
		began := time.Now()
		for range n {
			ping(h, token, session)
		}
		return time.Since(began)
	}
	var protected, alone time.Duration
	for b.Loop() {
		const round = 500 // in turns, so that neither has the quieter machine
		protected += measure(resource.Protect(bare), tokens.access.String(), round)
		alone += measure(bare, "", round)
	}
	b.ReportMetric(float64(protected)/float64(alone), "x-bare")
	b.ReportMetric(float64((protected-alone).Nanoseconds())/float64(b.N*500), "ns-more/request")
}
