//go:build unix

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	protect "github.com/mcpfleet/mcpfleet/auth"
	"github.com/mcpfleet/mcpfleet/auth/fakeupstream"
	"github.com/mcpfleet/mcpfleet/auth/server"
	feature "github.com/mcpfleet/mcpfleet/everything"
	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/testing/authtest"
	"github.com/mcpfleet/mcpfleet/internal/testing/npm"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	mcpfleet "github.com/mcpfleet/mcpfleet/mcp"
)

// The clients of the TypeScript SDK find out where to log in, register, log in,
// refresh, each request answered by any of three processes.
func TestTypeScriptClientsLogIn(t *testing.T) {
	t.Parallel()
	npm.Dir(t)
	f := startFleet(t, everything, 3, "AUTH_MODE=internal")
	for kind, url := range map[string]string{
		"sdk":        f.URL,
		"2025-11-25": f.URL,
		"2026-07-28": f.URL,
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := startScript(t, "login.mjs", url, kind)
			said := s.next()
			if said.Wants != "login" {
				t.Fatalf("the script says %+v", said)
			}
			back, err := authtest.NewBrowser(t).Login(said.Text, "alice")
			must(t, err)
			s.answer(back.String())
			if said := s.next(); !said.Done {
				t.Errorf("the script says %+v", said)
			}
			must(t, s.wait())
		})
	}
}

// The go-sdk client logs in with a client that registers itself, with one that
// did before, and with one that has a document, and steps up when a tool needs more.
func TestGoClientLogsInAndStepsUp(t *testing.T) {
	t.Parallel()
	f := startFleet(t, everything, 3, "AUTH_MODE=internal")
	for name, configure := range registrations(t, f) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			logins := 0
			config := &auth.AuthorizationCodeHandlerConfig{
				RedirectURL:              authtest.RedirectURL,
				AuthorizationCodeFetcher: authtest.NewBrowser(t).Fetcher("alice", &logins),
			}
			configure(config)
			handler, err := auth.NewAuthorizationCodeHandler(config)
			must(t, err)
			client := mcp.NewClient(&mcp.Implementation{Name: "e2e", Version: "1"}, nil)
			ss, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: f.URL, OAuthHandler: handler}, nil)
			must(t, err)
			defer ss.Close()
			for _, step := range []struct {
				tool      string
				arguments map[string]any
				logins    int
			}{
				{"echo", map[string]any{"message": "hi"}, 1},
				{"toggleTool", nil, 2}, // it needs a scope of its own
				{"toggleTool", nil, 2},
			} {
				_, err := ss.CallTool(t.Context(), &mcp.CallToolParams{Name: step.tool, Arguments: step.arguments})
				must(t, err)
				if logins != step.logins {
					t.Errorf("at %s the user had logged in %d times, want %d", step.tool, logins, step.logins)
				}
			}
		})
	}
}

// registrations returns, by name, the ways in which a client can be known to the
// authorization server.
func registrations(t *testing.T, f *fleet) map[string]func(*auth.AuthorizationCodeHandlerConfig) {
	return map[string]func(*auth.AuthorizationCodeHandlerConfig){
		"by registration": func(c *auth.AuthorizationCodeHandlerConfig) {
			c.DynamicClientRegistrationConfig = &auth.DynamicClientRegistrationConfig{
				Metadata: &oauthex.ClientRegistrationMetadata{ClientName: "e2e", RedirectURIs: []string{authtest.RedirectURL}},
			}
		},
		"by document": func(c *auth.AuthorizationCodeHandlerConfig) {
			// The demo fetches documents from public addresses only, where a test
			// has none: it is as if it had been fetched a moment ago.
			const id = "https://client.example/client.json"
			space, err := rediskeys.New(f.prefix)
			must(t, err)
			redis := f.redis.Client(t)
			must(t, redis.Do(t.Context(), redis.B().Set().Key(space.Document(id)).Value(
				`{"client_id":"`+id+`","client_name":"e2e","redirect_uris":["`+authtest.RedirectURL+`"],"token_endpoint_auth_method":"none"}`,
			).Ex(time.Minute).Build()).Error())
			c.ClientIDMetadataDocumentConfig = &auth.ClientIDMetadataDocumentConfig{URL: id}
		},
		"registered before": func(c *auth.AuthorizationCodeHandlerConfig) {
			res, err := oauthex.RegisterClient(t.Context(), strings.TrimSuffix(f.URL, "/mcp")+"/register", &oauthex.ClientRegistrationMetadata{
				ClientName: "e2e", RedirectURIs: []string{authtest.RedirectURL}, TokenEndpointAuthMethod: "client_secret_post",
			}, nil)
			must(t, err)
			c.PreregisteredClient = &oauthex.ClientCredentials{
				ClientID: res.ClientID, ClientSecretAuth: &oauthex.ClientSecretAuth{ClientSecret: res.ClientSecret},
			}
		},
	}
}

// The conformance suite plays a client of the authorization server, and the test
// its user. It has a client prove who it is only if the server has no others, so
// for that there is another server.
func TestConformanceOfTheAuthorizationServer(t *testing.T) {
	t.Parallel()
	bin := filepath.Join(npm.Dir(t), "node_modules", ".bin")
	f := startFleet(t, everything, 3, "AUTH_MODE=internal")
	issuers := map[string]string{"none": strings.TrimSuffix(f.URL, "/mcp"), "client_secret_post": confidentialServer(t)}
	for method, issuer := range issuers {
		for _, version := range []string{"2025-11-25", "2026-07-28"} {
			t.Run(version+" "+method, func(t *testing.T) {
				t.Parallel()
				port, dir := freePort(t), t.TempDir()
				res, err := oauthex.RegisterClient(t.Context(), issuer+"/register", &oauthex.ClientRegistrationMetadata{
					ClientName: "conformance", RedirectURIs: []string{"http://127.0.0.1:" + port + "/callback"}, TokenEndpointAuthMethod: method,
				}, nil)
				must(t, err)
				settings := map[string]string{"url": issuer, "clientId": res.ClientID, "resource": issuer + "/mcp"}
				if res.ClientSecret != "" {
					settings["clientSecret"] = res.ClientSecret
				}
				data, err := json.Marshal(settings)
				must(t, err)
				must(t, os.WriteFile(filepath.Join(dir, "settings.json"), data, 0o600))
				cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "node"), filepath.Join(bin, "conformance"), "authorization",
					"--file", filepath.Join(dir, "settings.json"), "-p", port, "-o", filepath.Join(dir, "results"), "--spec-version", version)
				out, err := cmd.StdoutPipe()
				must(t, err)
				cmd.Stderr = cmd.Stdout
				must(t, cmd.Start())
				said := logInWhenAsked(t, out, issuer)
				if err := cmd.Wait(); err != nil {
					t.Errorf("%v\n%s", err, said)
				}
				wantSuccess(t, filepath.Join(dir, "results"))
			})
		}
	}
}

// confidentialServer starts two instances of an authorization server without
// public clients, behind one address, and returns its issuer identifier.
func confidentialServer(t *testing.T) string {
	t.Helper()
	return startServers(t, func(_ *http.ServeMux, o *server.Options) { o.NoPublicClients = true }, nil)
}

// startServers starts two instances of an authorization server in this process,
// behind one address, and returns its issuer identifier. Configure changes the
// options; more, if it is not nil, adds to what an instance serves.
func startServers(t *testing.T, configure func(*http.ServeMux, *server.Options), more func(*http.ServeMux, *server.Server, *server.Options)) string {
	t.Helper()
	redis, prefix := redistest.Real(t), redistest.NewPrefix()
	var turn atomic.Uint64
	var instances []http.Handler
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		instances[int(turn.Add(1))%len(instances)].ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	for range 2 {
		mux, client := http.NewServeMux(), redis.Client(t)
		upstream, err := fakeupstream.New(&fakeupstream.Options{Redis: client, Prefix: prefix, BaseURL: front.URL})
		must(t, err)
		opts := &server.Options{
			Redis: client, Prefix: prefix, Issuer: front.URL, Resources: []string{front.URL + "/mcp"},
			Upstream: upstream, CallbackPath: fakeupstream.CallbackPath,
		}
		configure(mux, opts)
		as, err := server.New(opts)
		must(t, err)
		as.Handle(mux)
		mux.Handle(fakeupstream.AuthorizePath, upstream)
		if more != nil {
			more(mux, as, opts)
		}
		instances = append(instances, mux)
	}
	return front.URL
}

// The go-sdk client logs in with a document that says who it is. The document is
// at a host of the test's: the demo fetches from public addresses only.
func TestGoClientLogsInByItsDocument(t *testing.T) {
	t.Parallel()
	const id = "https://client.example/client.json"
	document := `{"client_id":"` + id + `","client_name":"e2e","redirect_uris":["` + authtest.RedirectURL + `"],"token_endpoint_auth_method":"none"}`
	web := &http.Client{Transport: roundTripper(func(r *http.Request) *http.Response {
		res := httptest.NewRecorder()
		if r.URL.String() == id {
			res.Header().Set("Content-Type", "application/json")
			_, _ = res.WriteString(document)
		} else {
			res.WriteHeader(http.StatusNotFound)
		}
		return res.Result()
	})}
	issuer := startServers(t, func(_ *http.ServeMux, o *server.Options) { o.HTTPClient = web }, serveEverything(t))
	logins := 0
	handler, err := auth.NewAuthorizationCodeHandler(&auth.AuthorizationCodeHandlerConfig{
		RedirectURL:                    authtest.RedirectURL,
		ClientIDMetadataDocumentConfig: &auth.ClientIDMetadataDocumentConfig{URL: id},
		AuthorizationCodeFetcher:       authtest.NewBrowser(t).Fetcher("alice", &logins),
	})
	must(t, err)
	client := mcp.NewClient(&mcp.Implementation{Name: "e2e", Version: "1"}, nil)
	ss, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: issuer + "/mcp", OAuthHandler: handler}, nil)
	must(t, err)
	defer ss.Close()
	_, err = ss.CallTool(t.Context(), &mcp.CallToolParams{Name: "echo", Arguments: map[string]any{"message": "hi"}})
	must(t, err)
	if logins != 1 {
		t.Errorf("the user logged in %d times", logins)
	}
}

type roundTripper func(*http.Request) *http.Response

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	res := f(r)
	res.Request = r
	return res, nil
}

// serveEverything returns what adds the everything server, behind the tokens of
// the authorization server.
func serveEverything(t *testing.T) func(*http.ServeMux, *server.Server, *server.Options) {
	return func(mux *http.ServeMux, as *server.Server, o *server.Options) {
		s := feature.New(nil)
		handler, err := mcpfleet.NewHandler(func(*http.Request) *mcp.Server { return s }, &mcpfleet.Options{Redis: o.Redis, Prefix: o.Prefix})
		must(t, err)
		t.Cleanup(func() { _ = handler.Shutdown(context.WithoutCancel(t.Context())) })
		resource, err := protect.NewResource(o.Resources[0], &protect.ResourceOptions{Verifier: as, AuthorizationServers: []string{o.Issuer}})
		must(t, err)
		mux.Handle(resource.MetadataPath(), resource.Metadata())
		mux.Handle("/mcp", handler.Guard(resource.Protect(handler)))
	}
}

// logInWhenAsked reads what the suite prints, logs in where it says, and goes to
// where the login leads: the suite listens there.
func logInWhenAsked(t *testing.T, out io.Reader, issuer string) string {
	t.Helper()
	var said strings.Builder
	asked := regexp.MustCompile(regexp.QuoteMeta(issuer) + `/authorize\?\S+`)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		request := asked.FindString(lines.Text())
		if request == "" {
			continue
		}
		back, err := authtest.NewBrowser(t).Login(request, "alice")
		if err != nil {
			t.Errorf("%v\n%s", err, said.String())
			continue
		}
		visit(t, back.String())
	}
	return said.String()
}

// visit goes to a client's redirect URI. The client asks its user before it
// listens.
func visit(t *testing.T, uri string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		res, err := http.Get(uri)
		if err == nil {
			res.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Error(err)
			return
		}
	}
}

// wantSuccess reads the suite's results: three checks, all successful.
func wantSuccess(t *testing.T, dir string) {
	t.Helper()
	checks := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.Name() != "checks.json" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var list []struct{ ID, Status, ErrorMessage string }
		if err := json.Unmarshal(data, &list); err != nil {
			return err
		}
		for _, check := range list {
			checks[check.ID] = check.Status
			if check.Status != "SUCCESS" && check.Status != "INFO" {
				t.Errorf("%s: %s %s", check.ID, check.Status, check.ErrorMessage)
			}
		}
		return nil
	}))
	if len(checks) < 3 {
		t.Errorf("checks: %v", checks)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(t, err)
	return port
}
