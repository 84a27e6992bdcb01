package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
)

// A login gets access tokens by the authorization code flow. The SDK's handler
// does the protocol: it finds the authorization server, makes itself known there
// (by registration, or by the URL of a document), protects the code by PKCE, and
// refreshes tokens. Left to us is the part with the user: to show the page where
// the user logs in, and to receive the code, to which the browser is sent at the
// end. For that a login listens on a loopback port (RFC 8252, section 7.3).
type login struct {
	handler  *auth.AuthorizationCodeHandler
	terminal *terminal
	browser  bool

	callback *http.Server
	serving  sync.WaitGroup
	outcomes chan outcome
}

// An outcome is what the browser brings back from the authorization server.
type outcome struct {
	*auth.AuthorizationResult
	err error
}

const callbackPath = "/callback"

// newLogin prepares a login; nothing happens unless the server asks for a token.
func newLogin(term *terminal, s settings) (*login, error) {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", s.callbackPort))
	if err != nil {
		return nil, fmt.Errorf("listen for the end of a login: %w", err)
	}
	l := &login{terminal: term, browser: s.openBrowser, outcomes: make(chan outcome)}
	redirect := "http://" + listener.Addr().String() + callbackPath
	if l.handler, err = auth.NewAuthorizationCodeHandler(l.config(redirect, s.document)); err != nil {
		listener.Close()
		return nil, fmt.Errorf("prepare the login: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+callbackPath, l.receive)
	l.callback = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	l.serving.Go(func() { _ = l.callback.Serve(listener) }) // until close
	return l, nil
}

func (l *login) config(redirect, document string) *auth.AuthorizationCodeHandlerConfig {
	config := &auth.AuthorizationCodeHandlerConfig{RedirectURL: redirect, AuthorizationCodeFetcher: l.fetchCode}
	if document != "" {
		config.ClientIDMetadataDocumentConfig = &auth.ClientIDMetadataDocumentConfig{URL: document}
		return config
	}
	config.DynamicClientRegistrationConfig = &auth.DynamicClientRegistrationConfig{Metadata: &oauthex.ClientRegistrationMetadata{
		ClientName:              "mcpfleet example client",
		RedirectURIs:            []string{redirect},
		GrantTypes:              []string{"authorization_code", "refresh_token"},
		TokenEndpointAuthMethod: "none", // what a program on a user's machine knows is no secret
	}}
	return config
}

func (l *login) close() {
	l.callback.Close()
	l.serving.Wait()
}

// fetchCode sends the user to the authorization server and waits for the outcome.
func (l *login) fetchCode(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
	l.terminal.printf("log in at:\n  %s", args.URL)
	if l.browser {
		openBrowser(args.URL)
	}
	select {
	case o := <-l.outcomes:
		return o.AuthorizationResult, o.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// receive answers the browser that comes back. The SDK checks state and issuer.
func (l *login) receive(w http.ResponseWriter, r *http.Request) {
	select {
	case l.outcomes <- readOutcome(r.URL.Query()):
		fmt.Fprintln(w, "You may close this window and return to the terminal.")
	case <-r.Context().Done():
	case <-time.After(time.Second):
		http.Error(w, "Nobody is waiting for a login.", http.StatusConflict)
	}
}

func readOutcome(q url.Values) outcome {
	if code := q.Get("error"); code != "" {
		return outcome{err: fmt.Errorf("the authorization server refused: %s %s", code, q.Get("error_description"))}
	}
	if q.Get("code") == "" {
		return outcome{err: errors.New("the authorization server sent no code")}
	}
	return outcome{AuthorizationResult: &auth.AuthorizationResult{Code: q.Get("code"), State: q.Get("state"), Iss: q.Get("iss")}}
}

// openBrowser tries to show a page; its address has been printed anyway.
func openBrowser(address string) {
	name, args := "xdg-open", []string{address}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", address}
	}
	cmd := exec.Command(name, args...)
	if cmd.Start() == nil {
		_ = cmd.Process.Release() // it lives on without us
	}
}

// A loginTransport adds tokens to requests and has the user log in when the
// server wants one: what the SDK's Streamable HTTP transport does by itself, and
// its SSE transport does not.
type loginTransport struct {
	login    *login
	endpoint string
	base     http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *loginTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := t.send(req)
	if err != nil || res.StatusCode != http.StatusUnauthorized && res.StatusCode != http.StatusForbidden {
		return res, err
	}
	// Tokens are for the endpoint that has the stream, also where messages are posted.
	refused, err := http.NewRequestWithContext(req.Context(), req.Method, t.endpoint, nil)
	if err != nil {
		return nil, err
	}
	if err := t.login.handler.Authorize(req.Context(), refused, res); err != nil {
		return nil, err
	}
	return t.send(req)
}

// send sends a copy of req, which it may do more than once.
func (t *loginTransport) send(req *http.Request) (*http.Response, error) {
	r := req.Clone(req.Context())
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		r.Body = body
	}
	tokens, err := t.login.handler.TokenSource(req.Context())
	if err != nil {
		return nil, err
	}
	if tokens != nil {
		token, err := tokens.Token()
		if err != nil {
			return nil, err
		}
		token.SetAuthHeader(r)
	}
	return t.base.RoundTrip(r)
}
