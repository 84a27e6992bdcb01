package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/mcpfleet/mcpfleet/auth"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// robots may act for themselves: one has a secret, one a key, and one may only
// read.
func robots(jwks string) []Client {
	both := []string{grantClientCredentials}
	reader := signingClient("reader", jwks)
	reader.GrantTypes, reader.Scopes, reader.RedirectURIs = both, []string{"read"}, nil
	signer := signingClient("signer", jwks)
	signer.GrantTypes = both
	return []Client{
		{ID: "secretive", AuthMethod: methodBasic, SecretHash: HashSecret(privateSecret), GrantTypes: both}, signer, reader,
	}
}

// clientCredentials asks for a token, as the client with the secret unless form
// says otherwise.
func (fl *fleet) clientCredentials(t *testing.T, form url.Values) response {
	t.Helper()
	form.Set("grant_type", grantClientCredentials)
	return newBrowser(t).post(t, fl.url+tokenPath, form, func(r *http.Request) {
		if !form.Has("client_id") && !form.Has("client_assertion") {
			r.SetBasicAuth("secretive", url.QueryEscape(privateSecret))
		}
	})
}

func TestAClientMayActForItself(t *testing.T) {
	t.Parallel()
	key := newKey()
	eachFleet(t, func(t *testing.T, fl *fleet) {
		for _, c := range []struct {
			client   string
			form     url.Values
			scopes   []string
			audience string
		}{
			{"secretive", url.Values{}, []string{"read", "write"}, "/mcp"},
			{"secretive", url.Values{"scope": {"write"}, "resource": {fl.url + "/other"}}, []string{"write"}, "/other"},
			{"signer", url.Values{}, []string{"read", "write"}, "/mcp"},
			{"reader", url.Values{}, []string{"read"}, "/mcp"},
		} {
			if c.client != "secretive" {
				c.form.Set("client_assertion_type", assertionType)
				c.form.Set("client_assertion", assertionOf(t, fl, key, c.client))
			}
			res := fl.clientCredentials(t, c.form)
			if res.status != http.StatusOK || res.header.Get("Cache-Control") != "no-store" {
				t.Fatalf("%s: %d %v %s", c.client, res.status, res.header, res.body)
			}
			access, refresh := tokensIn(t, res)
			if refresh != "" {
				t.Errorf("%s got a refresh token", c.client)
			}
			for _, instance := range fl.instances {
				token, err := instance.Verify(t.Context(), access)
				if err != nil || token.Subject != "client:"+c.client || token.ClientID != c.client ||
					!slices.Equal(token.Scopes, c.scopes) || !slices.Equal(token.Audience, []string{fl.url + c.audience}) {
					t.Errorf("%s: %+v, %v", c.client, token, err)
				}
			}
		}
		redistest.AssertTTLs(t, fl.admin, fl.prefix)
	}, withClients(robots(jwksOf(key))...))
}

func TestWhoMayNotActForItself(t *testing.T) {
	t.Parallel()
	key, w := newKey(), newWeb()
	fl := oneFleet(t, withClients(robots(jwksOf(key))...), w.on).unlimited()
	w.put(documentURL, webPage{body: documentOf(metadataSet{
		"grant_types":                []string{grantCode, grantClientCredentials},
		"token_endpoint_auth_method": "private_key_jwt", "jwks": json.RawMessage(jwksOf(key)),
	})})
	registered := register(t, fl, `{"redirect_uris":["`+callbackURI+`"],"grant_types":["authorization_code","client_credentials"]}`)
	// A record of a version that was less strict.
	old := &Client{
		ID: clientIDPrefix + "00000000-0000-4000-8000-000000000000", AuthMethod: methodPost, SecretHash: HashSecret(privateSecret),
		GrantTypes: []string{grantClientCredentials},
	}
	if err := fl.instances[0].clients.register(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	asserted := func(client string) url.Values {
		return url.Values{"client_assertion_type": {assertionType}, "client_assertion": {assertionOf(t, fl, key, client)}}
	}
	for name, c := range map[string]struct {
		form url.Values
		want string
	}{
		"a public client":             {url.Values{"client_id": {"public"}}, "unauthorized_client"},
		"one without the grant type":  {url.Values{"client_id": {"private"}, "client_secret": {privateSecret}}, "unauthorized_client"},
		"one that registered itself":  {registered, "unauthorized_client"},
		"one whose record says so":    {url.Values{"client_id": {old.ID}, "client_secret": {privateSecret}}, "unauthorized_client"},
		"one with a document":         {asserted(documentURL), "unauthorized_client"},
		"without the proof":           {url.Values{"client_id": {"secretive"}}, "invalid_client"},
		"with a wrong proof":          {url.Values{"client_id": {"secretive"}, "client_secret": {"wrong"}}, "invalid_client"},
		"with another's proof":        {url.Values{"client_id": {"signer"}, "client_secret": {privateSecret}}, "invalid_client"},
		"for a scope it may not have": {func() url.Values { f := asserted("reader"); f.Set("scope", "write"); return f }(), "invalid_scope"},
		"for a scope there is not":    {url.Values{"scope": {"fly"}}, "invalid_scope"},
		"for a resource there is not": {url.Values{"resource": {"https://other.example/mcp"}}, "invalid_target"},
	} {
		if res := fl.clientCredentials(t, c.form); res.status == http.StatusOK || res.json(t)["error"] != c.want {
			t.Errorf("%s: %d %s", name, res.status, res.body)
		}
	}
}

// register registers a client and returns its credentials.
func register(t *testing.T, fl *fleet, metadata string) url.Values {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, fl.url+registerPath, strings.NewReader(metadata))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res := newBrowser(t).do(t, req)
	if res.status != http.StatusCreated {
		t.Fatalf("%d %s", res.status, res.body)
	}
	v := res.json(t)
	return url.Values{"client_id": {v["client_id"].(string)}, "client_secret": {v["client_secret"].(string)}}
}

func TestATokenOfAClientEndsWhenItIsRevoked(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t, withClients(robots(jwksOf(newKey()))...))
	access, _ := tokensIn(t, fl.clientCredentials(t, url.Values{}))
	other, _ := tokensIn(t, fl.clientCredentials(t, url.Values{}))
	revoke := func(client, secret string) {
		res := newBrowser(t).post(t, fl.url+revokePath, url.Values{"token": {access}}, func(r *http.Request) {
			r.SetBasicAuth(client, url.QueryEscape(secret))
		})
		if res.status != http.StatusOK {
			t.Errorf("%d %s", res.status, res.body)
		}
	}
	revoke("private", privateSecret) // which is not its
	if _, err := fl.instances[0].Verify(t.Context(), access); err != nil {
		t.Fatal(err)
	}
	revoke("secretive", privateSecret)
	for _, instance := range fl.instances {
		if _, err := instance.Verify(t.Context(), access); !errors.Is(err, auth.ErrInvalidToken) {
			t.Errorf("revoked: %v", err)
		}
		if _, err := instance.Verify(t.Context(), other); err != nil {
			t.Errorf("another: %v", err)
		}
	}
}

// A upstreamOf logs in a user whatever happens.
type upstreamOf struct {
	upstreamStub
	subject string
}

func (u upstreamOf) End(context.Context, *http.Request, []byte) (Login, error) {
	return Login{Subject: u.subject}, nil
}

func TestNoUserIsTakenForAClient(t *testing.T) {
	t.Parallel()
	for subject, ok := range map[string]bool{
		"client:secretive": false, "client:": false, "": false,
		"Client:secretive": true, "secretive": true, "clients": true, "x|client:secretive": true,
	} {
		fl := oneFleet(t, withClients(robots(jwksOf(newKey()))...), func(o *Options) { o.Upstream = upstreamOf{upstreamStub(o.Issuer), subject} })
		l := fl.login(t, public)
		l.ask(t)
		upstream, err := url.Parse(l.decide(t, "allow").link(t))
		if err != nil {
			t.Fatal(err)
		}
		res := l.get(t, fl.url+"/callback?"+url.Values{"state": {upstream.Query().Get("state")}}.Encode())
		if (res.status == http.StatusSeeOther) != ok {
			t.Errorf("%q: %d %s", subject, res.status, res.body)
		}
	}
}

func TestMetadataListsWhatIsTrue(t *testing.T) {
	t.Parallel()
	get := func(fl *fleet) map[string]any {
		return newBrowser(t).get(t, fl.url+"/.well-known/oauth-authorization-server").json(t)
	}
	list := func(v any) (names []string) {
		for _, name := range v.([]any) {
			names = append(names, name.(string))
		}
		return names
	}
	plain := get(oneFleet(t))
	if grants := list(plain["grant_types_supported"]); slices.Contains(grants, grantClientCredentials) {
		t.Errorf("nobody may use it: %v", grants)
	}
	if plain["jwks_uri"] != nil {
		t.Errorf("jwks_uri without keys: %v", plain["jwks_uri"])
	}
	fl := oneFleet(t, withClients(robots(jwksOf(newKey()))...), func(o *Options) { o.SigningKeys = []SigningKey{{ID: "1", Key: newKey()}} })
	m := get(fl)
	if grants := list(m["grant_types_supported"]); !slices.Contains(grants, grantClientCredentials) {
		t.Errorf("grant types %v", grants)
	}
	if m["jwks_uri"] != fl.url+"/jwks" {
		t.Errorf("jwks_uri %v", m["jwks_uri"])
	}
	for _, endpoint := range []string{"token", "revocation"} {
		if methods := list(m[endpoint+"_endpoint_auth_methods_supported"]); !slices.Contains(methods, methodAssertion) {
			t.Errorf("%s: methods %v", endpoint, methods)
		}
		if algorithms := list(m[endpoint+"_endpoint_auth_signing_alg_values_supported"]); !slices.Equal(algorithms, []string{"ES256", "RS256", "PS256", "EdDSA"}) {
			t.Errorf("%s: algorithms %v", endpoint, algorithms)
		}
	}
}

func TestClientsThatCannotWorkAreRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	for name, client := range map[string]Client{
		"does not authenticate": {ID: "x", GrantTypes: []string{grantClientCredentials}},
		"private or symmetric":  signingClient("x", `{"keys":[{"kty":"oct","k":"AA"}]}`),
		"no key that":           signingClient("x", `{"keys":[]}`),
		"no JWK set":            signingClient("x", `[]`),
		"JWKSURI":               signingClient("x", ""),
	} {
		o := &Options{
			Redis: redistest.NewMiniredis(t).Client(t), Issuer: "https://auth.example", Resources: []string{"https://mcp.example/mcp"},
			Upstream: upstreamStub(""), Clients: []Client{client},
		}
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
