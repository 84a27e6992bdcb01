package server

import (
	"net/http"
	"strings"
	"testing"
)

// What a client was registered with does not keep it from asking for more later:
// it says so itself, and the user decides. A step-up would end here otherwise.
// Scopes that it cannot have are left out (RFC 6749, section 3.3).
func TestScopesThatAreAskedFor(t *testing.T) {
	t.Parallel()
	limited := Client{ID: "limited", RedirectURIs: []string{callbackURI}, Scopes: []string{"read"}}
	eachFleet(t, func(t *testing.T, fl *fleet) {
		registered := func(scope string) Client {
			return fl.mustRegister(t, scope, map[string]any{
				"redirect_uris": []string{callbackURI}, "token_endpoint_auth_method": "none", "scope": scope,
			}, callbackURI)
		}
		reads, opens := registered("read"), registered("openid")
		for _, one := range []struct {
			client      Client
			asked, want string
		}{
			{public, "", "read write"}, {public, " ", "read write"}, {public, "write", "write"}, {public, "offline_access", "read write"},
			{public, "read offline_access read", "read"}, {public, "openid read", "read"}, {public, "openid email profile write read offline_access", "read write"},
			{public, "READ read", "read"}, {public, `"x" <b>é</b> read`, "read"},
			{limited, "", "read"}, {limited, "read", "read"}, {limited, "openid write read", "read"},
			{reads, "", "read"}, {reads, "write read", "read write"}, {reads, "openid write", "write"},
			{opens, "", "read write"}, {opens, "openid read", "read"},
		} {
			l := fl.login(t, one.client, with("scope", one.asked))
			res := l.redeem(t, l.code(t, "alice"))
			access, refresh := mustServe(t, one.asked, res)
			if got := tokenJSON(t, res).Scope; got != one.want {
				t.Errorf("%s asks for %q and gets %q, want %q", one.client.ID, one.asked, got, one.want)
			}
			for _, instance := range fl.instances {
				if token, err := instance.Verify(t.Context(), access); err != nil || strings.Join(token.Scopes, " ") != one.want {
					t.Errorf("%q: %+v, %v", one.asked, token, err)
				}
			}
			// Clients that send a scope with a refresh repeat what they asked for.
			res = l.refresh(t, refresh, with("scope", one.asked))
			mustServe(t, "refresh "+one.asked, res)
			if got := tokenJSON(t, res).Scope; got != one.want {
				t.Errorf("%s refreshes %q and gets %q, want %q", one.client.ID, one.asked, got, one.want)
			}
		}
		for client, asked := range map[*Client]string{&limited: "write", &public: "openid email", &opens: "openid"} {
			if to := mustURL(t, fl.login(t, *client, with("scope", asked)).ask(t).link(t)); to.Query().Get("error") != "invalid_scope" {
				t.Errorf("%s asks for %q and is sent to %s", client.ID, asked, to)
			}
		}
	}, func(o *Options) { o.Clients = append(o.Clients, limited); o.Limits = &Limits{} })
}

// The user is asked for what will be granted, and for nothing else.
func TestTheConsentPageShowsTheScopesThatAreLeft(t *testing.T) {
	t.Parallel()
	page := oneFleet(t).login(t, public, with("scope", "openid read")).ask(t).body
	if !strings.Contains(page, "<code>read</code>") || strings.Contains(page, "openid") || strings.Contains(page, "<code>write</code>") {
		t.Errorf("%s", page)
	}
}

// Left out is what the client cannot have; what it could have had and was not
// granted is refused, as before (RFC 6749, section 6).
func TestARefreshLeavesOutWhatTheClientCannotHave(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	l := fl.login(t, public, with("scope", "openid read"))
	_, refresh := l.tokens(t, "alice")
	for _, asked := range []string{"openid", "openid write", "read write", "read write openid", "write"} {
		mustRefuse(t, asked, l.refresh(t, refresh, with("scope", asked)), http.StatusBadRequest, "invalid_scope")
	}
	res := l.refresh(t, refresh, with("scope", "openid read email"))
	mustServe(t, "with openid", res)
	if got := tokenJSON(t, res).Scope; got != "read" {
		t.Errorf("scope %q", got)
	}
}

func TestADocumentMayAskForOpenID(t *testing.T) {
	t.Parallel()
	fl, w := oneFleetOnWeb(t)
	for scope, want := range map[string]string{"openid": "read write", "openid read": "read"} {
		uri := "https://client.example/" + strings.ReplaceAll(scope, " ", "-")
		w.put(uri, webPage{body: documentOf(metadataSet{"client_id": uri, "scope": scope})})
		l := fl.login(t, Client{ID: uri, RedirectURIs: []string{callbackURI}})
		if got := tokenJSON(t, l.redeem(t, l.code(t, "alice"))).Scope; got != want {
			t.Errorf("a document with %q gets %q, want %q", scope, got, want)
		}
	}
}
