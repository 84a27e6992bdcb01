//go:build unix

package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/testing/authtest"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
)

// Calls of both eras and a session of HTTP+SSE outlive three refreshes, each at any
// process; revoking the grant ends the session.
func TestWhatRunsOutlivesRefreshes(t *testing.T) {
	t.Parallel()
	f := startFleet(t, everything, 2, "AUTH_MODE=internal", "REFRESH_GRACE=1s")
	l := logIn(t, f)

	sse := &fleettest.Client{URL: f.SSE, Header: l.header(), HTTP: http.DefaultClient}
	stream := sse.Get(t, "")
	endpoint, err := stream.Next()
	must(t, err)
	from, err := url.Parse(f.SSE)
	must(t, err)
	messages, err := from.Parse(string(endpoint.Data))
	must(t, err)

	const call = `{"name":"longRunningOperation","arguments":{"duration":16,"steps":2}`
	old := fleettest.NewClient(t, f.URL)
	old.Header = l.header()
	old.Initialize(t, "2025-11-25", "{}")
	stateless := &fleettest.Client{URL: f.URL, Header: l.header(), HTTP: http.DefaultClient}
	results := make(chan string, 2)
	begin := func(c *fleettest.Client, body string, change ...func(http.Header)) {
		res, err := c.Do(t.Context(), http.MethodPost, body, change...)
		if err != nil {
			results <- err.Error()
			return
		}
		results <- bodyOf(res)
	}
	go begin(old, fleettest.Request(1, "tools/call", call+`}`))
	go begin(stateless, fleettest.Request(1, "tools/call", call+`,"_meta":{`+
		`"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"raw","version":"1"},`+
		`"io.modelcontextprotocol/clientCapabilities":{}}}`), func(h http.Header) {
		h.Set("Mcp-Protocol-Version", "2026-07-28")
		h.Set("Mcp-Method", "tools/call")
		h.Set("Mcp-Name", "longRunningOperation")
	})
	for range 3 {
		l.exchange(t, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {l.refresh}})
	}
	for range 2 {
		if got := <-results; !strings.Contains(got, "Long running operation completed") {
			t.Errorf("a call: %s", got)
		}
	}

	sse.URL, sse.Header = messages.String(), l.header()
	if res := sse.Post(t, fleettest.Request(7, "ping", "{}")); res.StatusCode != http.StatusAccepted {
		t.Fatalf("a message of the HTTP+SSE session: %s", res.Status)
	}
	if e, err := stream.Next(); err != nil || !strings.Contains(string(e.Data), `"id":7`) {
		t.Errorf("its response: %s, %v", e.Data, err)
	}
	l.post(t, "/revoke", url.Values{"token": {l.refresh}, "client_id": {l.client}})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for err := error(nil); err == nil; {
			_, err = stream.Next()
		}
	}()
	select {
	case <-ended:
	case <-time.After(100 * time.Second):
		t.Error("the HTTP+SSE session goes on after its grant was revoked")
	}
}

// A loggedIn is a client that has tokens.
type loggedIn struct {
	base                    string
	client, access, refresh string
}

// logIn registers a client and logs its user in.
func logIn(t testing.TB, f *fleet) *loggedIn {
	t.Helper()
	l := &loggedIn{base: strings.TrimSuffix(f.URL, "/mcp")}
	res, err := http.Post(l.base+"/register", "application/json", strings.NewReader(fmt.Sprintf(
		`{"client_name":"e2e","redirect_uris":[%q],"token_endpoint_auth_method":"none"}`, authtest.RedirectURL)))
	must(t, err)
	var registered struct {
		ID string `json:"client_id"`
	}
	must(t, json.Unmarshal([]byte(bodyOf(res)), &registered))
	l.client = registered.ID
	const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	challenge := sha256.Sum256([]byte(verifier))
	back, err := authtest.NewBrowser(t).Login(l.base+"/authorize?"+url.Values{
		"response_type": {"code"}, "client_id": {l.client}, "redirect_uri": {authtest.RedirectURL}, "state": {"s"}, "resource": {f.URL, f.SSE},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}.Encode(), "alice")
	must(t, err)
	l.exchange(t, url.Values{
		"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")}, "code_verifier": {verifier}, "redirect_uri": {authtest.RedirectURL},
	})
	return l
}

func (l *loggedIn) header() http.Header { return http.Header{"Authorization": {"Bearer " + l.access}} }

// exchange gets tokens.
func (l *loggedIn) exchange(t testing.TB, form url.Values) {
	t.Helper()
	form.Set("client_id", l.client)
	var tokens struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	must(t, json.Unmarshal([]byte(l.post(t, "/token", form)), &tokens))
	l.access, l.refresh = tokens.Access, tokens.Refresh
}

func (l *loggedIn) post(t testing.TB, path string, form url.Values) string {
	t.Helper()
	res, err := http.PostForm(l.base+path, form)
	must(t, err)
	body := bodyOf(res)
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s", path, res.Status, body)
	}
	return body
}

// bodyOf returns the body of a response, or why there is none.
func bodyOf(res *http.Response) string {
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}
