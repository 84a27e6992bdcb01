package server

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// An addressed transport sends requests by a proxy that sees them come from an
// address.
type addressed struct {
	http.RoundTripper
	address string
}

func (a addressed) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Forwarded-For", a.address)
	next := a.RoundTripper
	if next == nil {
		next = http.DefaultTransport
	}
	return next.RoundTrip(r)
}

// loginFrom is a login of a browser at an address.
func (fl *fleet) loginFrom(t *testing.T, address string) *login {
	t.Helper()
	l := fl.login(t, public)
	l.browser.Transport = addressed{l.browser.Transport, address}
	return l
}

func behindProxy(o *Options) { o.TrustedProxies = 1 }

// An office has one address, and at nine o'clock all of it logs in.
func TestManyPeopleBehindOneAddressLogIn(t *testing.T) {
	t.Parallel()
	const people = 200
	eachFleet(t, func(t *testing.T, fl *fleet) {
		for i := range people {
			l := fl.login(t, public)
			_, refreshToken := l.tokens(t, fmt.Sprint("user ", i))
			if res := l.asClient(t, revokePath, url.Values{"token": {refreshToken}}); res.status != http.StatusOK {
				t.Fatalf("user %d logs out: %d %s", i, res.status, res.body)
			}
		}
		for _, k := range redistest.AssertTTLs(t, fl.admin, fl.prefix) {
			for _, name := range []string{authorizeLimit, consentLimit, callbackLimit, revokeLimit} {
				if strings.HasSuffix(k.Name, ":"+name) {
					t.Errorf("%s is left", k.Name)
				}
			}
		}
	})
}

// Whatever a client does but log in, an address begins no more logins than it did
// when each request counted.
func TestLoginsThatDoNotEndAreLimited(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(t *testing.T, l *login){
		"on the consent page": func(*testing.T, *login) {},
		"at the login":        func(t *testing.T, l *login) { l.decide(t, "allow") },
		"by declining":        func(t *testing.T, l *login) { l.decide(t, "deny") },
		"by a denied login": func(t *testing.T, l *login) {
			state := mustURL(t, l.decide(t, "allow").link(t)).Query().Get("state")
			l.get(t, l.url+"/callback?deny=1&state="+url.QueryEscape(state))
		},
		"in another browser": func(t *testing.T, l *login) {
			state := mustURL(t, l.decide(t, "allow").link(t)).Query().Get("state")
			b := newBrowser(t)
			b.Transport = l.browser.Transport
			l.callBack(t, b, state)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				fl, _ := bubbleFleet(t)
				served := func(tries int) (n int) {
					for range tries {
						l := fl.login(t, public)
						switch res := l.ask(t); res.status {
						case http.StatusOK:
							n++
							stop(t, l)
						case http.StatusTooManyRequests:
							if after := res.header.Get("Retry-After"); after != "9" {
								t.Errorf("Retry-After %s", after)
							}
						default:
							t.Fatalf("%d %s", res.status, res.body)
						}
					}
					return n
				}
				if n := served(120); n != 100 {
					t.Errorf("%d were begun at once", n)
				}
				time.Sleep(90 * time.Second)
				if n := served(20); n != 10 {
					t.Errorf("%d were begun after a tenth of the time", n)
				}
			})
		})
	}
}

// Decisions that are refused or repeated are counted apart from the pages, so
// that they keep nobody from logging in whose consent page is open.
func TestDecisionsThatCostAreLimited(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(l *login){
		"made up":  func(l *login) { l.form.Set("token", random(secretBytes)) },
		"repeated": func(*login) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				fl, _ := bubbleFleet(t, behindProxy)
				l := fl.loginFrom(t, "192.0.2.1")
				l.ask(t)
				l.decide(t, "allow")
				spoil(l)
				for i := range 102 {
					res := l.decide(t, "allow")
					if refused := res.status == http.StatusTooManyRequests; refused != (i >= 100) {
						t.Fatalf("decision %d: %d %s", i, res.status, res.body)
					}
				}
				if res := fl.loginFrom(t, "192.0.2.1").ask(t); res.status != http.StatusOK {
					t.Errorf("the consent page: %d", res.status)
				}
				fl.loginFrom(t, "192.0.2.2").tokens(t, "alice")
			})
		})
	}
}

// What logins leave behind is bounded: a user's logins count for the address as
// those do that do not end, once there are too many of them.
func TestAUserWhoLogsInAgainAndAgainIsLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fl, _ := bubbleFleet(t, behindProxy)
		for range 200 { // 100 that are given back, 100 that are not
			fl.loginFrom(t, "192.0.2.1").tokens(t, "alice")
		}
		if res := fl.loginFrom(t, "192.0.2.1").ask(t); res.status != http.StatusTooManyRequests {
			t.Errorf("login 201: %d", res.status)
		}
		fl.loginFrom(t, "192.0.2.2").tokens(t, "alice")
		time.Sleep(15 * time.Minute)
		fl.loginFrom(t, "192.0.2.1").tokens(t, "alice")
	})
}

// A login gives back its own count, once, wherever it ends.
func TestNobodyGivesBackWhatAnotherTook(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, fl *fleet) {
		const full, other = "192.0.2.1", "192.0.2.2"
		mustBe := func(what string, status int) {
			t.Helper()
			if res := fl.loginFrom(t, full).ask(t); res.status != status {
				t.Errorf("%s: %d, want %d", what, res.status, status)
			}
		}
		l := fl.loginFrom(t, full)
		state := l.upstreamState(t)
		l.browser.Transport = addressed{fl.transport, other} // from now on
		for range 2 {
			fl.loginFrom(t, full).ask(t)
		}
		mustBe("3 are taken", http.StatusTooManyRequests)

		for i := range 5 {
			fl.loginFrom(t, other).tokens(t, fmt.Sprint("user ", i))
		}
		mustBe("after logins from elsewhere", http.StatusTooManyRequests)

		if res := l.callBack(t, l.browser, state); res.status != http.StatusSeeOther {
			t.Fatalf("callback: %d %s", res.status, res.body)
		}
		mustBe("after a login that began here", http.StatusOK)
		mustBe("and once only", http.StatusTooManyRequests)
		wantRefused(t, "twice", l.callBack(t, l.browser, state))
		mustBe("after the same callback", http.StatusTooManyRequests)
	}, behindProxy, func(o *Options) {
		o.Limits = &Limits{Authorize: Rate{3, time.Hour}, Callback: Rate{3, time.Hour}}
	})
}

// Who revokes what is not his is limited, whatever others at his address do.
func TestRevocationsThatRevokeNothingAreLimited(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, fl *fleet) {
		accessToken, refreshToken := fl.login(t, private).tokens(t, "alice")
		stranger := fl.login(t, public)
		revoke := func(what, token string, status int) {
			t.Helper()
			if res := stranger.asClient(t, revokePath, url.Values{"token": {token}}); res.status != status {
				t.Errorf("%s: %d %s, want %d", what, res.status, res.body, status)
			}
		}
		own, ownRefresh := stranger.tokens(t, "bob")
		revoke("its own", own, http.StatusOK)
		revoke("its own refresh token", ownRefresh, http.StatusOK)
		revoke("it is revoked already", ownRefresh, http.StatusOK)
		revoke("another's", accessToken, http.StatusOK)
		revoke("another's refresh token", refreshToken, http.StatusOK)
		revoke("one more", newCredential(refreshKind, random(grantIDBytes)).String(), http.StatusTooManyRequests)
	}, func(o *Options) { o.Limits = &Limits{Revoke: Rate{3, time.Hour}} })
}

// Those who wait for a document that is being fetched cause no fetch.
func TestManyPeopleWhoseClientIsFetchedAreServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWeb()
		fl, _ := bubbleFleet(t, w.on)
		for _, instance := range fl.instances {
			instance.clients.documents.fetcher.forAddress.Requests = 2
		}
		arrive := make(chan struct{})
		w.put(documentURL, webPage{body: documentOf(nil), wait: arrive})
		var wg sync.WaitGroup
		ask := func(people int) {
			for range people {
				wg.Go(func() {
					if res := fl.login(t, byDocument(callbackURI)).ask(t); res.status != http.StatusOK {
						t.Errorf("%d %s", res.status, res.body)
					}
				})
				synctest.Wait()
			}
		}
		ask(2)
		if n := w.fetches(""); n != len(fl.instances) {
			t.Fatalf("%d fetches", n)
		}
		ask(38)
		close(arrive)
		wg.Wait()
	})
}

// A syncBuffer is a buffer that is safe for concurrent writing.
type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func TestTheOperatorIsWarnedOnceOfAProxy(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]struct {
		header  func(*http.Request)
		proxies int
		want    int // of each instance
	}{
		"X-Forwarded-For":             {header("X-Forwarded-For", "192.0.2.7"), 0, 1},
		"several":                     {header("X-Forwarded-For", "192.0.2.7", "192.0.2.8"), 0, 1},
		"Forwarded":                   {header("Forwarded", "for=192.0.2.7"), 0, 1},
		"a proxy that is known":       {header("X-Forwarded-For", "192.0.2.7"), 1, 0},
		"no proxy":                    {func(*http.Request) {}, 0, 0},
		"a header that is no address": {header("X-Forwarded-Host", "evil.example"), 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var logs []*syncBuffer
			fl := oneFleet(t, func(o *Options) {
				logs = append(logs, new(syncBuffer))
				o.Logger, o.TrustedProxies = slog.New(slog.NewTextHandler(logs[len(logs)-1], nil)), one.proxies
			})
			var wg sync.WaitGroup
			for range 10 {
				for _, path := range []string{tokenPath, revokePath, introspectPath, registerPath} {
					wg.Go(func() { newBrowser(t).post(t, fl.url+path, nil, one.header) })
				}
			}
			wg.Wait()
			for i, log := range logs {
				text := log.String()
				if got := strings.Count(text, "level=WARN"); got != one.want || one.want > 0 && !strings.Contains(text, "TRUSTED_PROXIES") {
					t.Errorf("instance %d: %d warnings, want %d: %s", i, got, one.want, text)
				}
				if strings.Contains(text, "192.0.2.7") {
					t.Errorf("instance %d logs what a client may have written: %s", i, text)
				}
			}
		})
	}
}

// An instance of the version before stores no count with a session.
func TestASessionOfTheVersionBeforeIsFinished(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	l := fl.login(t, public)
	state := l.upstreamState(t)
	key := fl.instances[0].keys.AuthSession(l.form.Get("flow"))
	ctx := context.Background()
	data, err := fl.admin.Do(ctx, fl.admin.B().Hget().Key(key).Field("data").Build()).ToString()
	if err != nil {
		t.Fatal(err)
	}
	before, _, found := strings.Cut(data, `,"counted"`)
	if !found {
		t.Fatalf("no count in %s", data)
	}
	if err := fl.admin.Do(ctx, fl.admin.B().Hset().Key(key).FieldValue().FieldValue("data", before+"}").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	if res := l.callBack(t, l.browser, state); res.status != http.StatusSeeOther {
		t.Errorf("%d %s", res.status, res.body)
	}
}
