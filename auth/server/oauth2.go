package server

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/loopback"
	"golang.org/x/oauth2"
)

// An IdentifyFunc returns the subject of an upstream's token: the user's
// identifier there, which must be unique and never be reassigned. An email
// address is neither. It may, for example, ask the provider's userinfo endpoint
// with oauth2.NewClient(ctx, oauth2.StaticTokenSource(token)). It returns
// [ErrLoginDenied] if the user may not log in here.
type IdentifyFunc func(ctx context.Context, token *oauth2.Token) (subject string, err error)

// OAuth2UpstreamOptions configure an [OAuth2Upstream].
type OAuth2UpstreamOptions struct {
	// AuthParams are added to authorization requests, such as prompt or hd.
	AuthParams url.Values
	// HTTPClient calls the provider, also for the IdentifyFunc. If nil, one with a
	// timeout of 10 seconds.
	HTTPClient *http.Client
}

// An OAuth2Upstream lets users log in at an identity provider that supports
// OAuth 2.0 or OpenID Connect. The provider's tokens are used to identify the
// user and then discarded.
type OAuth2Upstream struct {
	config   oauth2.Config
	identify IdentifyFunc
	params   []oauth2.AuthCodeOption
	client   *http.Client
}

var _ Upstream = (*OAuth2Upstream)(nil)

// NewOAuth2Upstream returns an upstream for the provider and client that config
// describes. Its RedirectURL must be the server's issuer followed by
// [Options.CallbackPath], and be registered at the provider. opts may be nil.
func NewOAuth2Upstream(config *oauth2.Config, identify IdentifyFunc, opts *OAuth2UpstreamOptions) (*OAuth2Upstream, error) {
	if opts == nil {
		opts = &OAuth2UpstreamOptions{}
	}
	switch {
	case config == nil || config.ClientID == "":
		return nil, errors.New("upstream: there is no client id")
	case config.RedirectURL == "":
		return nil, errors.New("upstream: RedirectURL is empty")
	case identify == nil:
		return nil, errors.New("upstream: there is no function that says who a user is")
	}
	for _, endpoint := range []string{config.Endpoint.AuthURL, config.Endpoint.TokenURL} {
		if u, err := url.Parse(endpoint); err != nil || u.Scheme != "https" && (u.Scheme != "http" || !loopback.IsHost(u.Hostname())) {
			return nil, fmt.Errorf("upstream: endpoint %q is neither https nor, on a loopback host, http", endpoint)
		}
	}
	u := &OAuth2Upstream{config: *config, identify: identify, client: opts.HTTPClient}
	for name, values := range opts.AuthParams {
		for _, value := range values {
			u.params = append(u.params, oauth2.SetAuthURLParam(name, value))
		}
	}
	if u.client == nil {
		u.client = &http.Client{Timeout: 10 * time.Second}
	}
	return u, nil
}

// Begin implements [Upstream]. The data that it returns is half of what the PKCE
// verifier is made of, and the state the other: who reads Redis has only the
// first, who sees the browser's requests only the second.
func (u *OAuth2Upstream) Begin(_ context.Context, state string) (*url.URL, []byte, error) {
	salt := random(secretBytes)
	params := append([]oauth2.AuthCodeOption{oauth2.S256ChallengeOption(upstreamVerifier(state, salt))}, u.params...)
	location, err := url.Parse(u.config.AuthCodeURL(state, params...))
	return location, []byte(salt), err
}

func upstreamVerifier(state, salt string) string {
	key, err := hkdf.Key(sha256.New, []byte(state), []byte(salt), "mcpfleet upstream verifier", secretBytes)
	if err != nil {
		panic(err) // 32 bytes are never too many for HKDF-SHA256
	}
	return base64.RawURLEncoding.EncodeToString(key)
}

// End implements [Upstream].
func (u *OAuth2Upstream) End(ctx context.Context, callback *http.Request, data []byte) (Login, error) {
	p, err := parseParams(callback.URL.RawQuery)
	if err != nil {
		return Login{}, err
	}
	switch code := p.get("error"); {
	case code == "access_denied":
		return Login{}, ErrLoginDenied
	case code != "":
		return Login{}, fmt.Errorf("upstream: the provider refused: %s", printable(fmt.Sprintf("%.100s", code)))
	case p.get("code") == "":
		return Login{}, refuse("invalid_request", "the upstream sent no code")
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, u.client)
	token, err := u.config.Exchange(ctx, p.get("code"), oauth2.VerifierOption(upstreamVerifier(p.get("state"), string(data))))
	if err != nil {
		return Login{}, exchangeError(err)
	}
	subject, err := u.identify(ctx, token)
	if err != nil {
		return Login{}, fmt.Errorf("upstream: identify user: %w", err)
	}
	return Login{Subject: subject}, nil
}

// exchangeError returns what is logged of a failed exchange: not the provider's
// answer, which may quote what it was sent.
func exchangeError(err error) error {
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return fmt.Errorf("upstream: exchange code: %w", err)
	}
	// The code was for another client, browser or login: that is no fault of ours.
	if refused.ErrorCode == "invalid_grant" {
		return fmt.Errorf("%w: the provider does not accept the code", ErrLoginDenied)
	}
	return fmt.Errorf("upstream: exchange code: the provider answered %s, error %q", refused.Response.Status, refused.ErrorCode)
}
