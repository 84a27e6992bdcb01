package server

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/auth"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// Without Redis nobody is told that a token, a code or a client is not valid:
// clients would throw them away. With and without limits, because what counts
// requests is away as well.
func TestT42_WithoutRedisEveryEndpointIsUnavailableAndRecovers(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*redistest.Link){"cut": (*redistest.Link).Cut, "frozen": (*redistest.Link).Freeze} {
		for limited, limits := range map[string]*Limits{"limits": DefaultLimits(), "no limits": {}} {
			t.Run(name+", "+limited, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					fl, links := bubbleFleet(t, func(o *Options) { o.Limits, o.CodeTTL = limits, 10*time.Minute })
					each := func(f func(*redistest.Link)) {
						for _, link := range links {
							f(link)
						}
					}
					// One that has to be looked up, and one that fails later.
					registered := fl.register(t, map[string]any{"redirect_uris": []string{callbackURI}, "token_endpoint_auth_method": "none"}).json(t)
					outage(t, fl, Client{ID: registered["client_id"].(string), RedirectURIs: []string{callbackURI}}, each, fail)
					outage(t, fl, public, each, fail)
				})
			})
		}
	}
}

func outage(t *testing.T, fl *fleet, client Client, each func(func(*redistest.Link)), fail func(*redistest.Link)) {
	t.Helper()
	accessToken, refreshToken := fl.login(t, client).tokens(t, "alice")
	waiting := fl.login(t, client) // at the token endpoint
	code := waiting.code(t, "alice")
	deciding := fl.login(t, client) // on the consent page
	deciding.ask(t)
	leaving := fl.login(t, client) // on its way back from the upstream
	leaving.ask(t)
	upstream := mustURL(t, leaving.decide(t, "allow").link(t))
	back := leaving.url + "/callback?user=alice&state=" + upstream.Query().Get("state")

	each(fail)
	for name, call := range map[string]func() response{
		"authorize": func() response { return fl.login(t, client).ask(t) },
		"consent":   func() response { return deciding.decide(t, "allow") },
		"denial":    func() response { return deciding.decide(t, "deny") },
		"callback":  func() response { return leaving.get(t, back) },
		"code":      func() response { return waiting.redeem(t, code) },
		"refresh":   func() response { return waiting.refresh(t, refreshToken) },
		"revoke":    func() response { return waiting.asClient(t, revokePath, url.Values{"token": {refreshToken}}) },
		"register":  func() response { return fl.register(t, map[string]any{"redirect_uris": []string{callbackURI}}) },
		"introspect": func() response {
			return waiting.post(t, fl.url+introspectPath, url.Values{"token": {accessToken}}, basic("rs", "rs secret"))
		},
	} {
		start := time.Now()
		res := call()
		if res.status != http.StatusServiceUnavailable || res.header.Get("Retry-After") == "" || res.header.Get("Location") != "" {
			t.Errorf("%s: %d %v %s", name, res.status, res.header, res.body)
		}
		for _, lie := range []string{"invalid", "active", "redis", "EOF", "127.0.0.1"} {
			if strings.Contains(res.body, lie) {
				t.Errorf("%s: the response says %q: %s", name, lie, res.body)
			}
		}
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
	for _, instance := range fl.instances {
		if _, err := instance.Verify(t.Context(), accessToken); !errors.Is(err, auth.ErrUnavailable) || errors.Is(err, auth.ErrInvalidToken) {
			t.Errorf("verify: %v", err)
		}
	}
	if res := fl.login(t, client).get(t, fl.url+"/.well-known/oauth-authorization-server"); res.status != http.StatusOK {
		t.Errorf("metadata needs no Redis: %d", res.status)
	}

	each((*redistest.Link).Heal)
	time.Sleep(time.Minute) // for connections to come back
	fl.valid(t, "after the outage", accessToken)
	if res := fl.login(t, client).ask(t); res.status != http.StatusOK {
		t.Errorf("authorize after the outage: %d %s", res.status, res.body)
	}
}

// A cut link delivers nothing, so nothing was lost on the way either.
func TestT42_WhatAnOutageInterruptedGoesOnAfterIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fl, links := bubbleFleet(t, func(o *Options) { o.CodeTTL = 10 * time.Minute })
		l := fl.login(t, public)
		code := l.code(t, "alice")
		for range 2 {
			for _, link := range links {
				link.Cut()
			}
			if res := l.redeem(t, code); res.status != http.StatusServiceUnavailable {
				t.Errorf("code: %d %s", res.status, res.body)
			}
			for _, link := range links {
				link.Heal()
			}
			time.Sleep(time.Minute)
		}
		_, refreshToken := mustServe(t, "the code after the outage", l.redeem(t, code))
		for _, link := range links {
			link.Freeze() // and what is sent arrives late
		}
		if res := l.refresh(t, refreshToken); res.status != http.StatusServiceUnavailable {
			t.Errorf("refresh: %d %s", res.status, res.body)
		}
		for _, link := range links {
			link.Heal()
		}
		time.Sleep(5 * time.Second)
		mustServe(t, "the refresh token after the outage, within the grace", l.refresh(t, refreshToken))
	})
}

// An instance that is cut off goes on accepting what it knows for CacheTTL.
func TestVerificationCostsNoRoundTrip(t *testing.T) {
	t.Parallel()
	s := redistest.Real(t)
	var links []*redistest.Link
	fl := newFleet(t, s, func(o *Options) {
		links = append(links, s.Link())
		o.Redis, o.CacheTTL = links[len(links)-1].Client(t), time.Minute
	})
	accessToken, _ := fl.login(t, public).tokens(t, "alice")
	fl.valid(t, "once, into the caches", accessToken)
	for _, link := range links {
		link.Freeze()
	}
	for range 1000 {
		fl.valid(t, "without Redis", accessToken)
	}
}
