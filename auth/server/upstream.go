package server

import (
	"context"
	"errors"
	"net/http"
	"net/url"
)

// An Upstream is an identity provider where users log in. It must be safe for
// concurrent use by all instances. What it must remember between its two
// methods it returns as data, because another instance may handle the callback.
type Upstream interface {
	// Begin returns the URL that a browser is sent to for the login, and data
	// that is passed to End, such as a PKCE verifier; data may be nil. After the
	// login, the upstream must redirect the browser to the server's callback (see
	// [Options.CallbackPath]) with state unchanged in the query parameter state.
	Begin(ctx context.Context, state string) (location *url.URL, data []byte, err error)
	// End returns who has logged in, given the request to the callback and
	// Begin's data. It returns [ErrLoginDenied] if the user did not log in or is
	// not allowed to.
	End(ctx context.Context, callback *http.Request, data []byte) (Login, error)
}

// A Login is the outcome of a login at an upstream. Tokens that the upstream
// issued are not part of it and are not stored.
type Login struct {
	// Subject is the user's identifier at the upstream. It must be unique and
	// never given to another user. It must not begin with "client:", as those of
	// clients that act for themselves do.
	Subject string
}

// ErrLoginDenied is the error of an [Upstream] whose user did not log in or is
// not allowed to.
var ErrLoginDenied = errors.New("login denied")
