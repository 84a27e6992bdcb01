//go:build unix

package e2e

import (
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"golang.org/x/oauth2"

	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/testing/authtest"
)

// A clientShape is what a client that is out there sends to log in: the members of
// its registration or document, and the parameters of its requests.
type clientShape struct {
	// registration is the body, in which SCOPE is the scope that it asks for.
	registration string
	// document is, instead, what is at the client's id.
	id, document string
	// redirect is the redirect URI that it uses.
	redirect string
	// scope is what it asks for; if empty, what the server's challenge says.
	scope string
	// state is its form of a state; if empty, a random text.
	state string
	// more are further parameters of the authorization request.
	more url.Values
	// looks: it opens the authorization request itself before its user does.
	looks bool
}

const (
	cursorURIs = `["cursor://anysphere.cursor-mcp/oauth/callback","https://www.cursor.com/agents/mcp/oauth/callback","http://localhost:8787/callback"]`
	vsCodeURIs = `["https://insiders.vscode.dev/redirect","https://vscode.dev/redirect","http://127.0.0.1/","http://127.0.0.1:33418/"]`
	vsCode     = `{"client_name":"Visual Studio Code","client_uri":"https://code.visualstudio.com","grant_types":["authorization_code","refresh_token"],` +
		`"response_types":["code"],"redirect_uris":` + vsCodeURIs + `,"scope":"SCOPE","token_endpoint_auth_method":"none","application_type":"native"}`
	// The state of VS Code is a URI that leads back to its window.
	vsCodeState = "vscode://dynamicauthprovider/localhost:3232/redirect?nonce%3D0123456789abcdef%26windowId%3D1"
	vsCodeID    = "https://vscode.dev/oauth/client-metadata.json"
	mcpRemote   = `{"redirect_uris":["http://localhost:21493/oauth/callback"],"token_endpoint_auth_method":"none","grant_types":["authorization_code","refresh_token"],` +
		`"response_types":["code"],"client_name":"MCP CLI Proxy","client_uri":"https://github.com/modelcontextprotocol/mcp-cli",` +
		`"software_id":"2e6dc280-f3c3-4e01-99a7-8181dbd1d23d","software_version":"0.15.1","scope":"SCOPE","application_type":"native"}`
)

// The shapes of clients that log in at the demo as it is.
var clientShapes = map[string]clientShape{
	"Cursor": {
		registration: `{"client_name":"Cursor","redirect_uris":` + cursorURIs + `,"grant_types":["authorization_code","refresh_token"],` +
			`"response_types":["code"],"token_endpoint_auth_method":"none"}`,
		redirect: "http://localhost:8787/callback",
	},
	"Cursor that says it is a web application": {
		registration: `{"application_type":"web","client_name":"Cursor","redirect_uris":` + cursorURIs + `,"grant_types":["authorization_code","refresh_token"],` +
			`"response_types":["code"],"token_endpoint_auth_method":"none"}`,
		redirect: "http://localhost:8787/callback",
	},
	"Cursor in the cloud": {
		registration: `{"client_name":"Cursor","redirect_uris":` + cursorURIs + `,"grant_types":["authorization_code","refresh_token"],` +
			`"response_types":["code"],"token_endpoint_auth_method":"none"}`,
		redirect: "https://www.cursor.com/agents/mcp/oauth/callback",
	},
	"Cursor with scopes in its settings": {
		registration: `{"client_name":"Cursor","redirect_uris":` + cursorURIs + `,"grant_types":["authorization_code","refresh_token"],` +
			`"response_types":["code"],"token_endpoint_auth_method":"none","scope":"SCOPE"}`,
		redirect: "http://localhost:8787/callback", scope: "openid mcp offline_access", more: url.Values{"prompt": {"consent"}},
	},
	"VS Code":                     {registration: vsCode, redirect: "https://vscode.dev/redirect", state: vsCodeState},
	"VS Code on its port":         {registration: vsCode, redirect: "http://127.0.0.1:33418/"},
	"VS Code on another port":     {registration: vsCode, redirect: "http://127.0.0.1:59656/"},
	"VS Code that asks for email": {registration: vsCode, redirect: "http://127.0.0.1:33418/", scope: "openid profile email mcp"},
	"VS Code by its document": {
		id: vsCodeID, redirect: "http://127.0.0.1:33418/",
		document: `{"client_id":"` + vsCodeID + `","client_name":"Visual Studio Code","client_uri":"https://code.visualstudio.com",` +
			`"grant_types":["authorization_code","refresh_token","urn:ietf:params:oauth:grant-type:device_code"],"response_types":["code"],` +
			`"redirect_uris":` + vsCodeURIs + `,"token_endpoint_auth_method":"none","application_type":"native"}`,
	},
	"mcp-remote 0.15.1": {registration: mcpRemote, redirect: "http://localhost:21493/oauth/callback", looks: true},
	"mcp-remote 0.15.1 on the next port": {
		registration: mcpRemote, redirect: "http://localhost:21494/oauth/callback", looks: true,
	},
	"mcp-remote 0.15.1 with a scope of its own": {
		registration: mcpRemote, redirect: "http://localhost:21493/oauth/callback", looks: true, scope: "openid email profile mcp",
	},
	"@modelcontextprotocol/sdk 1.32.2": {
		registration: `{"client_name":"app","redirect_uris":["http://localhost:8090/callback"],"grant_types":["authorization_code","refresh_token"],` +
			`"response_types":["code"],"token_endpoint_auth_method":"client_secret_post","scope":"SCOPE"}`,
		redirect: "http://localhost:8090/callback",
	},
	"@modelcontextprotocol/sdk 1.32.2, as little as there may be": {
		registration: `{"redirect_uris":["http://localhost:8090/callback"],"scope":"SCOPE"}`, redirect: "http://localhost:8090/callback",
		scope: "mcp offline_access", more: url.Values{"prompt": {"consent"}},
	},
	"@modelcontextprotocol/client 2.4.0": {
		registration: `{"client_name":"app","redirect_uris":["http://localhost:8090/callback"],"token_endpoint_auth_method":"none",` +
			`"grant_types":["authorization_code","refresh_token"],"application_type":"native","scope":"SCOPE"}`,
		redirect: "http://localhost:8090/callback",
	},
	"@modelcontextprotocol/client 2.4.0 with openid": {
		registration: `{"client_name":"app","redirect_uris":["https://app.example/callback","app:/callback"],"token_endpoint_auth_method":"none",` +
			`"grant_types":["authorization_code","refresh_token"],"application_type":"native","scope":"SCOPE"}`,
		redirect: "https://app.example/callback", scope: "openid mcp",
	},
}

// The shapes of clients that the demo serves with REDIRECT_SCHEMES.
var clientShapesWithSchemes = map[string]clientShape{
	"Cursor that has only its scheme": {
		registration: `{"application_type":"web","redirect_uris":["cursor://anysphere.cursor-mcp/oauth/callback"],"token_endpoint_auth_method":"none",` +
			`"grant_types":["authorization_code","refresh_token"],"response_types":["code"]}`,
		redirect: "cursor://anysphere.cursor-mcp/oauth/callback",
	},
	"an application with a reverse domain": {
		registration: `{"client_name":"app","redirect_uris":["com.example.app:/callback"],"token_endpoint_auth_method":"none","application_type":"native"}`,
		redirect:     "com.example.app:/callback",
	},
}

// Clients that are out there register, log in, call a tool, refresh and call again,
// with the requests that they send, each answered by either of two processes.
func TestClientsInTheShapesThatAreOutThereLogIn(t *testing.T) {
	t.Parallel()
	for _, at := range []struct {
		shapes   map[string]clientShape
		settings []string
	}{
		{clientShapes, nil},
		{clientShapesWithSchemes, []string{"REDIRECT_SCHEMES=cursor,vscode,com.example.app"}},
	} {
		f := startFleet(t, everything, 2, append(at.settings, "AUTH_MODE=internal")...)
		for name, shape := range at.shapes {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				shape.logIn(t, f)
			})
		}
	}
}

func (c clientShape) logIn(t *testing.T, f *fleet) {
	t.Helper()
	found := discover(t, f.URL)
	if c.scope == "" {
		c.scope = found.scope
	}
	if c.state == "" {
		c.state = rand.Text()
	}
	client := c.register(t, f, found)

	verifier := oauth2.GenerateVerifier()
	request := url.Values{
		"response_type": {"code"}, "client_id": {client.ID}, "redirect_uri": {c.redirect}, "state": {c.state}, "scope": {c.scope},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"}, "resource": {found.resource},
	}
	for name, values := range c.more {
		request[name] = values
	}
	location := found.AuthorizationEndpoint + "?" + request.Encode()
	if c.looks {
		look(t, location)
	}
	back, err := authtest.NewBrowser(t).Login(location, "alice")
	must(t, err)
	q := back.Query()
	if !strings.HasPrefix(back.String(), c.redirect+"?") || q.Get("state") != c.state || q.Get("iss") != found.Issuer {
		t.Fatalf("the client gets %s", back)
	}

	tokens := client.post(t, found, url.Values{
		"grant_type": {"authorization_code"}, "code": {q.Get("code")}, "code_verifier": {verifier}, "redirect_uri": {c.redirect},
	})
	for range 3 {
		callEcho(t, f.URL, tokens.AccessToken)
		before := tokens
		tokens = client.post(t, found, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.RefreshToken}})
		if tokens.AccessToken == before.AccessToken || tokens.RefreshToken == "" {
			t.Fatalf("refreshed: %+v", tokens)
		}
	}
	callEcho(t, f.URL, tokens.AccessToken)
}

// A discovery is what a client finds out before it logs in.
type discovery struct {
	scope    string // of the challenge
	resource string

	Issuer                string `json:"issuer"`
	AuthorizationEndpoint string `json:"authorization_endpoint"`
	RegistrationEndpoint  string `json:"registration_endpoint"`
	TokenEndpoint         string `json:"token_endpoint"`
	Documents             bool   `json:"client_id_metadata_document_supported"`
}

// discover asks for what needs a token, and follows the challenge.
func discover(t *testing.T, endpoint string) (found discovery) {
	t.Helper()
	res, err := http.Post(endpoint, "application/json", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}`))
	must(t, err)
	res.Body.Close()
	challenge := res.Header.Get("WWW-Authenticate")
	attribute := func(name string) string {
		m := regexp.MustCompile(name + `="([^"]*)"`).FindStringSubmatch(challenge)
		if m == nil {
			t.Fatalf("no %s in %d %q", name, res.StatusCode, challenge)
		}
		return m[1]
	}
	found.scope = attribute("scope")
	var resource struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
	}
	getJSON(t, attribute("resource_metadata"), &resource)
	found.resource = resource.Resource
	getJSON(t, resource.Servers[0]+"/.well-known/oauth-authorization-server", &found)
	return found
}

func getJSON(t *testing.T, location string, v any) {
	t.Helper()
	res, err := http.Get(location)
	must(t, err)
	decode(t, res, http.StatusOK, v)
}

func decode(t *testing.T, res *http.Response, status int, v any) {
	t.Helper()
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	must(t, err)
	if res.StatusCode != status {
		t.Fatalf("%s: %d %s", res.Request.URL, res.StatusCode, body)
	}
	must(t, json.Unmarshal(body, v))
}

// A registeredClient is what a client keeps of its registration.
type registeredClient struct {
	ID     string `json:"client_id"`
	Secret string `json:"client_secret"`
	Method string `json:"token_endpoint_auth_method"`
}

// register registers the client, or puts its document where the demo has fetched it
// a moment ago: it fetches from public addresses only.
func (c clientShape) register(t *testing.T, f *fleet, found discovery) (client registeredClient) {
	t.Helper()
	if c.document != "" {
		if !found.Documents {
			t.Fatal("no documents")
		}
		space, err := rediskeys.New(f.prefix)
		must(t, err)
		redis := f.redis.Client(t)
		must(t, redis.Do(t.Context(), redis.B().Set().Key(space.Document(c.id)).Value(c.document).Ex(time.Minute).Build()).Error())
		return registeredClient{ID: c.id, Method: "none"}
	}
	body := strings.ReplaceAll(c.registration, "SCOPE", c.scope)
	res, err := http.Post(found.RegistrationEndpoint, "application/json", strings.NewReader(body))
	must(t, err)
	decode(t, res, http.StatusCreated, &client)
	return client
}

// post asks for tokens, as the method says that the client was registered with.
func (client registeredClient) post(t *testing.T, found discovery, form url.Values) (tokens struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	Scope        string `json:"scope"`
}) {
	t.Helper()
	form.Set("resource", found.resource)
	if client.Method != "client_secret_basic" {
		form.Set("client_id", client.ID)
	}
	if client.Method == "client_secret_post" {
		form.Set("client_secret", client.Secret)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, found.TokenEndpoint, strings.NewReader(form.Encode()))
	must(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if client.Method == "client_secret_basic" {
		req.SetBasicAuth(url.QueryEscape(client.ID), url.QueryEscape(client.Secret))
	}
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	decode(t, res, http.StatusOK, &tokens)
	if tokens.Scope != "mcp" {
		t.Errorf("the client is told that its scope is %q", tokens.Scope)
	}
	return tokens
}

// look opens an authorization request without a browser.
func look(t *testing.T, location string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, location, nil)
	must(t, err)
	req.Header.Set("Accept", "application/json")
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("the look at the request: %d", res.StatusCode)
	}
}

// callEcho calls a tool with a token.
func callEcho(t *testing.T, endpoint, token string) {
	t.Helper()
	source := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token})
	ss, err := mcp.NewClient(&mcp.Implementation{Name: "e2e", Version: "1"}, nil).Connect(t.Context(), &mcp.StreamableClientTransport{
		Endpoint: endpoint, HTTPClient: oauth2.NewClient(t.Context(), source), DisableStandaloneSSE: true,
	}, nil)
	must(t, err)
	defer ss.Close()
	_, err = ss.CallTool(t.Context(), &mcp.CallToolParams{Name: "echo", Arguments: map[string]any{"message": "hi"}})
	must(t, err)
}
