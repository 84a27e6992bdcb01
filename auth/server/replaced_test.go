package server

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/auth"
)

// What a resource server learns by introspection: within its grace a replaced token
// is active, afterwards it is not, and only who asks for it is told of its grant.
func TestIntrospectionOfAReplacedToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, keys := range [][]SigningKey{nil, {{ID: "1", Key: newKey()}}} {
			fl, _ := bubbleFleet(t, func(o *Options) {
				o.SigningKeys = keys
				o.ResourceServers = append(o.ResourceServers, ResourceServer{ID: "other", SecretHash: HashSecret("other secret"), Resources: []string{o.Resources[1]}})
			})
			l := fl.login(t, public, with("resource", fl.url+"/mcp"))
			access, refresh := l.tokens(t, "alice")
			ask := func(rs string, form url.Values) map[string]any {
				t.Helper()
				var last map[string]any
				for range fl.instances {
					res := l.post(t, fl.url+introspectPath, form, basic(rs, rs+" secret"))
					if res.status != http.StatusOK {
						t.Fatalf("%d %s", res.status, res.body)
					}
					last = res.json(t)
				}
				return last
			}
			plain, withGrant := url.Values{"token": {access}}, url.Values{"token": {access}, "include_grant": {"true"}}
			hasToken := func(v map[string]any) any {
				grant, _ := v["grant"].(map[string]any)
				return grant["has_token"]
			}
			_, refresh = mustServe(t, "refresh", l.refresh(t, refresh))
			time.Sleep(2*time.Minute - time.Second)
			expires := float64(time.Now().Add(time.Hour - 2*time.Minute + time.Second).Unix())
			if v := ask("rs", plain); v["active"] != true || v["exp"] != expires || hasToken(v) != true {
				t.Errorf("within the grace: %v, want it to expire at %v", v, expires)
			}
			time.Sleep(10 * time.Second)
			nothing := func(what, rs string, form url.Values) {
				t.Helper()
				if v := ask(rs, form); v["active"] != false || len(v) != 1 {
					t.Errorf("%s: %v", what, v)
				}
			}
			nothing("after the grace", "rs", plain)
			if v := ask("rs", withGrant); v["active"] != false || len(v) != 2 || hasToken(v) != true {
				t.Errorf("its grant: %v", v)
			}
			nothing("its grant, for a server of another resource", "other", withGrant)
			nothing("the grant of a refresh token", "rs", url.Values{"token": {refresh}, "include_grant": {"true"}})
			nothing("a grant there is not", "rs", url.Values{"token": {newCredential(accessKind, random(grantIDBytes)).String()}, "include_grant": {"true"}})

			l.asClient(t, revokePath, url.Values{"token": {access}})
			time.Sleep(10 * time.Second)
			if v := ask("rs", withGrant); v["active"] != false || hasToken(v) != false {
				t.Errorf("revoked by name: %v", v)
			}
			nothing("revoked by name, for a server of another resource", "other", withGrant)
			l.asClient(t, revokePath, url.Values{"token": {refresh}})
			time.Sleep(10 * time.Second)
			nothing("without a grant", "rs", withGrant)
		}
	})
}

// How long replaced access tokens are accepted is an option of its own.
func TestAReplacedTokenIsAcceptedForAsLongAsTheOptionSays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct{ refresh, access, want time.Duration }{
			{0, 0, 2 * time.Minute}, {time.Minute, 0, time.Minute}, {time.Minute, 5 * time.Second, 5 * time.Second},
			{-1, 0, 0}, {0, -1, 0}, {-1, time.Minute, time.Minute}, {0, 2 * time.Hour, time.Hour},
		} {
			fl, _ := bubbleFleet(t, func(o *Options) { o.RefreshGrace, o.AccessGrace = test.refresh, test.access })
			l := fl.login(t, public)
			access, refresh := l.tokens(t, "alice")
			mustServe(t, "refresh", l.refresh(t, refresh))
			if test.want > 0 {
				time.Sleep(test.want - time.Millisecond)
				fl.valid(t, "within", access)
				time.Sleep(time.Millisecond)
			}
			for i, instance := range fl.instances {
				if _, err := instance.Verify(t.Context(), access); !errors.Is(err, auth.ErrInvalidToken) {
					t.Errorf("%+v: instance %d after it: %v", test, i, err)
				}
			}
		}
	})
}

// A request that was let in goes on whatever a refresh does, however it is spelled,
// and ends with its grant: by revocation, by the theft of a refresh token, and when
// its code is used twice.
func TestARefreshEndsNothingThatRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for name, end := range map[string]func(l *login, code, first, last string){
			"revocation":    func(l *login, _, _, last string) { l.asClient(t, revokePath, url.Values{"token": {last}}) },
			"a theft":       func(l *login, _, first, _ string) { l.refresh(t, first) },
			"a code reused": func(l *login, code, _, _ string) { l.redeem(t, code) },
		} {
			fl, _ := bubbleFleet(t)
			l := fl.login(t, public)
			code := l.back(t, "alice").Query().Get("code")
			access, first := tokensIn(t, l.redeem(t, code))
			causes := make(chan error, len(fl.instances))
			for i := range fl.instances {
				resource, err := auth.NewResource(fl.url+"/mcp", &auth.ResourceOptions{Verifier: fl.instances[i], AuthorizationServers: []string{fl.url}})
				if err != nil {
					t.Fatal(err)
				}
				running := resource.Protect(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					<-r.Context().Done()
					causes <- context.Cause(r.Context())
				}))
				r := httptest.NewRequestWithContext(t.Context(), "POST", "/mcp", nil)
				r.Header.Set("Authorization", "Bearer "+access)
				go running.ServeHTTP(httptest.NewRecorder(), r)
			}
			last := first
			for range 3 {
				time.Sleep(20 * time.Second)
				_, last = mustServe(t, "refresh", l.refresh(t, last))
			}
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			if len(causes) != 0 {
				t.Fatalf("%s: a request has ended: %v", name, <-causes)
			}
			end(l, code, first, last)
			at := time.Now()
			for range fl.instances {
				if cause := <-causes; time.Since(at) > 10*time.Second {
					t.Errorf("%s: ended after %v: %v", name, time.Since(at), cause)
				}
			}
		}
	})
}
