package authtest

import (
	"context"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
)

// RedirectURL is where clients have the outcome of a login sent to. Nobody
// listens there: a [Browser] returns it.
const RedirectURL = "http://127.0.0.1:8976/callback"

// Fetcher returns the part of a go-sdk client that has its user log in: as user,
// with the browser. Logins counts.
func (b *Browser) Fetcher(user string, logins *int) auth.AuthorizationCodeFetcher {
	return func(_ context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
		*logins++
		back, err := b.Login(args.URL, user)
		if err != nil {
			return nil, err
		}
		q := back.Query()
		return &auth.AuthorizationResult{Code: q.Get("code"), State: q.Get("state"), Iss: q.Get("iss")}, nil
	}
}

// Connect connects a go-sdk client that registers itself and logs in as user.
func Connect(t testing.TB, endpoint, user string) *mcp.ClientSession {
	t.Helper()
	handler, err := auth.NewAuthorizationCodeHandler(&auth.AuthorizationCodeHandlerConfig{
		RedirectURL:              RedirectURL,
		AuthorizationCodeFetcher: NewBrowser(t).Fetcher(user, new(int)),
		DynamicClientRegistrationConfig: &auth.DynamicClientRegistrationConfig{
			Metadata: &oauthex.ClientRegistrationMetadata{ClientName: "test", RedirectURIs: []string{RedirectURL}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ss, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).
		Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: endpoint, OAuthHandler: handler}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ss.Close() })
	return ss
}
