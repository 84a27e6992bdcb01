package server

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAServerWithoutPublicClientsHasNone(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t, func(o *Options) { o.NoPublicClients, o.Clients = true, []Client{private} })
	b := newBrowser(t)
	methods, _ := b.get(t, fl.url+"/.well-known/oauth-authorization-server").json(t)["token_endpoint_auth_methods_supported"].([]any)
	if slices.Contains(methods, any(methodNone)) || len(methods) != len(authMethods)-1 {
		t.Errorf("the metadata lists %v", methods)
	}
	register := func(method string) response {
		body := `{"redirect_uris":["` + callbackURI + `"],"token_endpoint_auth_method":"` + method + `"}`
		req, err := http.NewRequest(http.MethodPost, fl.url+registerPath, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		return b.do(t, req)
	}
	if res := register(methodNone); res.status != http.StatusCreated || res.json(t)["token_endpoint_auth_method"] != methodBasic || res.json(t)["client_secret"] == nil {
		t.Errorf("one that would be public gets no secret: %d %s", res.status, res.body)
	}
	if res := register(methodPost); res.status != http.StatusCreated {
		t.Errorf("a confidential one: %d %s", res.status, res.body)
	}
	l := fl.login(t, private)
	code := l.back(t, "alice").Query().Get("code")
	l.client.AuthMethod = methodNone // it forgets to prove who it is
	if res := l.redeem(t, code); res.status != http.StatusUnauthorized {
		t.Errorf("without a secret: %d %s", res.status, res.body)
	}
	l.client = private
	if res := l.redeem(t, code); res.status != http.StatusOK {
		t.Errorf("with it: %d %s", res.status, res.body)
	}
	opts := fl.instances[0].opts
	opts.Clients = []Client{public}
	if _, err := New(&opts); err == nil || !strings.Contains(err.Error(), "NoPublicClients") {
		t.Errorf("a pre-registered public client: %v", err)
	}
}

// It could never redeem the code, so nobody is asked to consent to it.
func TestAServerWithoutPublicClientsAsksNobodyAboutOne(t *testing.T) {
	t.Parallel()
	const id, proving = "https://client.example/client.json", "https://client.example/proving.json"
	w := newWeb()
	w.put(id, webPage{body: documentOf(metadataSet{"client_id": id})})
	w.put(proving, webPage{body: documentOf(metadataSet{
		"client_id": proving, "token_endpoint_auth_method": methodAssertion, "jwks": json.RawMessage(jwksOf(newKey())),
	})})
	fl := oneFleet(t, w.on, func(o *Options) { o.NoPublicClients, o.Clients = true, nil })
	for client, want := range map[string]int{id: http.StatusBadRequest, proving: http.StatusOK} {
		l := fl.login(t, Client{ID: client, RedirectURIs: []string{callbackURI}})
		if res := l.ask(t); res.status != want || want != http.StatusOK && !strings.Contains(res.body, "unauthorized_client") {
			t.Errorf("%s: %d %s", client, res.status, res.body)
		}
	}
}

// A document may say that its client can do without the proof. Here it cannot.
func TestAServerWithoutPublicClientsDemandsTheProof(t *testing.T) {
	t.Parallel()
	const id = "https://client.example/client.json"
	w := newWeb()
	w.put(id, webPage{body: documentOf(metadataSet{
		"client_id": id, "token_endpoint_auth_method": methodAssertion, "jwks": json.RawMessage(jwksOf(newKey())),
		"token_endpoint_auth_methods_supported": []string{methodAssertion, methodNone},
	})})
	for insists, want := range map[bool]int{false: http.StatusOK, true: http.StatusUnauthorized} {
		fl := oneFleet(t, w.on, func(o *Options) { o.NoPublicClients, o.Clients = insists, nil })
		l := fl.login(t, Client{ID: id, RedirectURIs: []string{callbackURI}})
		if res := l.redeem(t, l.code(t, "alice")); res.status != want {
			t.Errorf("insists %t: %d %s", insists, res.status, res.body)
		}
	}
}

func TestASecretEndsWhenItWasToEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := private
		client.SecretExpires = time.Now().Add(time.Minute)
		fl, _ := bubbleFleet(t, func(o *Options) { o.Clients = []Client{client} })
		l := fl.login(t, client)
		_, refreshToken := l.tokens(t, "alice")
		time.Sleep(time.Minute - time.Nanosecond)
		_, refreshToken = mustServe(t, "just before", l.refresh(t, refreshToken))
		time.Sleep(time.Nanosecond)
		mustRefuse(t, "at its end", l.refresh(t, refreshToken), http.StatusUnauthorized, "invalid_client")
	})
}
