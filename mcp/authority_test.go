package mcp_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpfleet/mcpfleet/auth"
	"github.com/mcpfleet/mcpfleet/internal/sse"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// An authority issues tokens, and verifies them for every instance.
type authority struct {
	mu     sync.Mutex
	tokens map[string]*auth.Token
	err    error
	asked  int
}

const (
	ourIssuer   = "https://login.example.com"
	otherIssuer = "https://login.example.org"
)

// issue returns a new token of a user.
func (a *authority) issue(issuer, subject string, life time.Duration) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tokens == nil {
		a.tokens = map[string]*auth.Token{}
	}
	text := fmt.Sprint("token-", len(a.tokens))
	a.tokens[text] = &auth.Token{
		Issuer: issuer, Subject: subject, ClientID: fmt.Sprint("client-", len(a.tokens)),
		Audience: []string{balancer}, Expires: time.Now().Add(life),
	}
	return text
}

func (a *authority) token(subject string) string { return a.issue(ourIssuer, subject, 24*time.Hour) }

func (a *authority) revoke(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tokens[text] = nil
}

// fail makes every verification fail, or none if err is nil.
func (a *authority) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = err
}

// Verify implements [auth.Verifier].
func (a *authority) Verify(_ context.Context, text string) (*auth.Token, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	if a.err != nil {
		return nil, a.err
	}
	if token := a.tokens[text]; token != nil {
		return token, nil
	}
	return nil, auth.ErrInvalidToken
}

// protect is middleware as a server would have it, with the HTTP+SSE transport
// beside the endpoint.
func (a *authority) protect(h http.Handler) http.Handler {
	resource, err := auth.NewResource(balancer, &auth.ResourceOptions{Verifier: a, AuthorizationServers: []string{ourIssuer}})
	if err != nil {
		panic(err) // a mistake in the test
	}
	f := h.(*fleet.Handler)
	mux := http.NewServeMux()
	mux.Handle("/", f.Guard(resource.Protect(f)))
	mux.Handle("/sse", f.Guard(resource.Protect(f.SSE("/message"))))
	mux.Handle("/message", f.Guard(resource.Protect(f.Messages())))
	return mux
}

// guest returns a client of the balancer with a token, and without a session.
func (s *simulation) guest(t testing.TB, token string) *fleettest.Client {
	t.Helper()
	return as(s.client(t), token)
}

// begun returns a client of the balancer with a token and a session.
func (s *simulation) begun(t testing.TB, token string) *fleettest.Client {
	t.Helper()
	c := s.guest(t, token)
	c.Initialize(t, "2025-11-25", everyCapability)
	return c
}

// dump returns all of a response but when it was made.
func dump(t testing.TB, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	res.Header.Del("Date")
	data, err := httputil.DumpResponse(res, true)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// rest returns what is left of an ended stream, and fails the test if the stream
// does not end within a time.
func rest(t testing.TB, name string, events <-chan sse.Event, within time.Duration) (data []string) {
	t.Helper()
	late := time.After(within)
	for {
		select {
		case e, open := <-events:
			if !open {
				return data
			}
			data = append(data, string(e.Data))
		case <-late:
			t.Errorf("%s goes on after %v", name, within)
			return data
		}
	}
}

// goesOn fails the test if a stream has ended, or has said anything.
func goesOn(t testing.TB, name string, events <-chan sse.Event) {
	t.Helper()
	select {
	case e, open := <-events:
		t.Errorf("%s: open: %t: %s", name, open, e.Data)
	default:
	}
}

// contains fails the test unless a message has come and has a part.
func contains(t testing.TB, events <-chan sse.Event, part string) {
	t.Helper()
	if e := soon(t, events); !strings.Contains(string(e.Data), part) {
		t.Errorf("got %q, want %q", e.Data, part)
	}
}
