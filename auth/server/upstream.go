package server

import (
	"context"
	"net/http"
	"net/url"
)

// An Upstream is where users log in: an identity provider. It is safe for
// concurrent use by all instances; what it must remember between its two
// methods it returns as data, because another instance may go on.
type Upstream interface {
	// Begin returns where a browser is sent to log in, and data that End gets
	// back, such as a PKCE verifier; data may be nil. The upstream must send the
	// browser to the server's callback (see [Server.Handle]) with state
	// unchanged in the query parameter of that name.
	Begin(ctx context.Context, state string) (location *url.URL, data []byte, err error)
	// End returns who has logged in, given the request to the callback and
	// Begin's data. It fails with [ErrLoginDenied] if the user did not want to,
	// or was not allowed to.
	End(ctx context.Context, callback *http.Request, data []byte) (Login, error)
}

// A Login is the outcome of a login at an upstream. What the upstream issued for
// the user, such as tokens, is not part of it: nothing of it is kept.
type Login struct {
	// Subject is the user's identifier at the upstream. It must be unique and
	// never given to another user. It must not begin with "client:", as those of
	// clients that act for themselves do.
	Subject string
}
