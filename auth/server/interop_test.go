package server

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"
)

// golang.org/x/oauth2, as the SDK's client uses it, tries HTTP Basic first, with
// an empty secret if there is none, and refreshes without resource and scope.
func TestT43_TheOAuth2PackageFindsOutByItself(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	for _, one := range []struct {
		client Client
		secret string
	}{{public, ""}, {private, privateSecret}} {
		l := fl.login(t, one.client, with("resource", fl.url+"/mcp"))
		config := &oauth2.Config{
			ClientID: one.client.ID, ClientSecret: one.secret, RedirectURL: callbackURI,
			Endpoint: oauth2.Endpoint{TokenURL: fl.url + tokenPath, AuthStyle: oauth2.AuthStyleAutoDetect},
		}
		got, err := config.Exchange(t.Context(), l.code(t, "alice"), oauth2.VerifierOption(l.verifier), oauth2.SetAuthURLParam("resource", fl.url+"/mcp"))
		if err != nil {
			t.Fatal(err)
		}
		fl.valid(t, one.client.ID, got.AccessToken)
		next, err := config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: got.RefreshToken}).Token()
		if err != nil || next.RefreshToken == got.RefreshToken {
			t.Fatalf("refresh: %v", err)
		}
		token, err := fl.instances[0].Verify(t.Context(), next.AccessToken)
		if err != nil || len(token.Audience) != 1 || token.Audience[0] != fl.url+"/mcp" {
			t.Errorf("a refresh without resource is for %+v, %v", token, err)
		}
	}
}

func TestT43_BasicWithEmptySecretOfAPublicClientIsNone(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	l := fl.login(t, public)
	form := url.Values{"grant_type": {grantCode}, "code": {l.code(t, "alice")}, "code_verifier": {l.verifier}}
	_, refreshToken := mustServe(t, "code", l.post(t, fl.url+tokenPath, form, basic(public.ID, "")))
	mustServe(t, "refresh", l.post(t, fl.url+tokenPath, url.Values{"grant_type": {grantRefreshToken}, "refresh_token": {refreshToken}}, basic(public.ID, "")))
}

func TestT43_BasicWithEmptySecretOfAConfidentialClientSpoilsNothing(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	l := fl.login(t, private)
	code := l.code(t, "alice")
	form := url.Values{"grant_type": {grantCode}, "code": {code}, "code_verifier": {l.verifier}}
	res := l.post(t, fl.url+tokenPath, form, basic(private.ID, ""))
	mustRefuse(t, "an empty secret", res, http.StatusUnauthorized, "invalid_client")
	if !strings.HasPrefix(res.header.Get("WWW-Authenticate"), "Basic ") {
		t.Errorf("WWW-Authenticate %q", res.header.Get("WWW-Authenticate"))
	}
	mustServe(t, "then with the secret", l.redeem(t, code))
}

// What clients of MCP send that this server has no use for is left out, not
// refused.
func TestT43_RegistrationsOfRealClients(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	for name, one := range map[string]struct {
		body string
		want map[string]string // of the response
	}{
		"no application_type": {
			`{"redirect_uris":["http://localhost:33418/","http://127.0.0.1:33418/"],"token_endpoint_auth_method":"none","client_name":"Editor"}`,
			map[string]string{"token_endpoint_auth_method": "none", "client_secret": "", "grant_types": "authorization_code refresh_token"},
		},
		"grant types there are not": {
			`{"redirect_uris":["http://127.0.0.1/"],"grant_types":["authorization_code","refresh_token","urn:ietf:params:oauth:grant-type:device_code"],"response_types":["code"],"token_endpoint_auth_method":"none","application_type":"native"}`,
			map[string]string{"grant_types": "authorization_code refresh_token", "application_type": "native"},
		},
		"scopes there are not": {
			`{"redirect_uris":["https://client.example/cb"],"scope":"openid read offline_access","application_type":"web"}`,
			map[string]string{"scope": "read", "token_endpoint_auth_method": "client_secret_basic"},
		},
		"unknown fields": {
			`{"redirect_uris":["https://client.example/cb"],"logo_uri":"https://client.example/l.png","software_id":"x","contacts":["a@b"],"jwks":{"keys":[]},"client_name#de":"Klient"}`,
			map[string]string{"response_types": "code"},
		},
		"refresh only if asked for": {
			`{"redirect_uris":["https://client.example/cb"],"grant_types":["authorization_code"]}`,
			map[string]string{"grant_types": "authorization_code"},
		},
		// Where nothing that is asked for can be served, a default can (RFC 7591, section 3.2.1).
		"implicit": {
			`{"redirect_uris":["https://client.example/"],"grant_types":["implicit"],"response_types":["token"]}`,
			map[string]string{"grant_types": "authorization_code refresh_token", "response_types": "code"},
		},
		"only refresh": {
			`{"redirect_uris":["https://client.example/"],"grant_types":["refresh_token"],"response_types":[]}`,
			map[string]string{"grant_types": "authorization_code refresh_token", "response_types": "code"},
		},
		"a method there is not": {
			`{"redirect_uris":["https://client.example/"],"token_endpoint_auth_method":"tls_client_auth"}`,
			map[string]string{"token_endpoint_auth_method": "client_secret_basic"},
		},
		"a method for others": {
			`{"redirect_uris":["https://client.example/"],"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://client.example/jwks"}`,
			map[string]string{"token_endpoint_auth_method": "client_secret_basic", "jwks_uri": ""},
		},
		"no scope there is": {
			`{"redirect_uris":["https://client.example/"],"scope":"openid email profile"}`, map[string]string{"scope": "read write"},
		},
		"a web client at home": {
			`{"redirect_uris":["https://client.example/","http://localhost/"],"application_type":"web"}`,
			map[string]string{"redirect_uris": "https://client.example/ http://localhost/", "application_type": "native"},
		},
		"a web client": {
			`{"redirect_uris":["HTTPS://client.example/"],"application_type":"web"}`, map[string]string{"application_type": "web"},
		},
		"an unknown kind of clients": {
			`{"redirect_uris":["https://client.example/"],"application_type":"x"}`, map[string]string{"application_type": "native"},
		},
		"all that RFC 7591 has": {
			`{"redirect_uris":["https://client.example/"],"client_uri":"javascript:x","logo_uri":7,"contacts":"a@b","tos_uri":null,"policy_uri":{},` +
				`"jwks":[],"software_id":1,"software_version":[],"software_statement":"x"}`,
			map[string]string{"logo_uri": "", "client_uri": ""},
		},
	} {
		res := fl.registerJSON(t, one.body)
		if res.status != http.StatusCreated || res.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v %s", name, res.status, res.header, res.body)
			continue
		}
		v := res.json(t)
		for field, want := range one.want {
			got, _ := v[field].(string)
			if list, ok := v[field].([]any); ok {
				for i, item := range list {
					if i > 0 {
						got += " "
					}
					got += item.(string)
				}
			}
			if got != want {
				t.Errorf("%s: %s is %q, want %q", name, field, got, want)
			}
		}
	}
	for name, one := range map[string]struct{ body, code string }{
		"no JSON":          {`redirect_uris=x`, "invalid_client_metadata"},
		"no object":        {`[]`, "invalid_client_metadata"},
		"wrong types":      {`{"redirect_uris":"https://client.example/"}`, "invalid_client_metadata"},
		"no redirect URIs": {`{}`, "invalid_redirect_uri"},
		"no redirect URI":  {`{"redirect_uris":[]}`, "invalid_redirect_uri"},
	} {
		mustRefuse(t, name, fl.registerJSON(t, one.body), http.StatusBadRequest, one.code)
	}
	for _, media := range []string{"application/x-www-form-urlencoded", "text/plain", ""} {
		mustRefuse(t, media, fl.registerJSON(t, `{"redirect_uris":["https://client.example/"]}`, header("Content-Type", media)), http.StatusBadRequest, "invalid_client_metadata")
	}
}

func TestWithoutScopesWhatIsAskedForIsIgnored(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t, func(o *Options) { o.Scopes = nil })
	l := fl.login(t, public, with("scope", "mcp openid"))
	res := l.redeem(t, l.code(t, "alice"))
	_, refreshToken := mustServe(t, "code", res)
	mustServe(t, "refresh", l.refresh(t, refreshToken, with("scope", "mcp")))
	if strings.Contains(res.body, `"scope"`) {
		t.Errorf("%s", res.body)
	}
}
