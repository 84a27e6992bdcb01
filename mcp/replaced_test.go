package mcp_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
)

// bound is how long a stream outlives the revocation of its grant: CacheTTL of the
// authorization server and of the introspector, if there is one, RecheckEvery, and a
// second.
func (o *ownServer) bound() time.Duration {
	if o.introspected {
		return 16 * time.Second
	}
	return 11 * time.Second
}

// end fails the test unless all streams end in time, that of the call which nobody
// can resume with an error.
func (o *open) end(t testing.TB, within time.Duration) {
	t.Helper()
	late := time.Now().Add(within)
	for name, events := range o.streams {
		left := rest(t, name, events, time.Until(late))
		if name == "stream of a stateless call" {
			if len(left) != 1 || !strings.HasPrefix(left[0], `{"jsonrpc":"2.0","id":1,"error":`) {
				t.Errorf("%s ends with %q", name, left)
			}
		} else if len(left) != 0 {
			t.Errorf("%s ends with %q", name, left)
		}
	}
}

// What came with a valid token outlives that its client refreshes, in every era: a
// call of a minute with and without sessions, their streams, and a session of
// HTTP+SSE. That the grant is revoked ends it, within the bound. It is the same
// whether the replaced token would be valid still or has expired since.
func TestWhatRunsGoesOnWhenItsTokenIsReplaced(t *testing.T) {
	t.Parallel()
	for name, life := range map[string]time.Duration{"long-lived tokens": time.Hour, "short-lived tokens": 30 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachOwnServer(t, life, func(t *testing.T, s *simulation, o *ownServer) {
				client, others := o.login(t, "alice"), o.login(t, "bob")
				done, hers, bobs := openAll(t, s, client.access, "done"), openAll(t, s, client.access, "alice"), openAll(t, s, others.access, "bob")
				for range 3 {
					time.Sleep(15 * time.Second)
					o.renew(t, client)
					o.renew(t, others)
				}
				time.Sleep(15 * time.Second)
				for _, one := range []*open{done, hers, bobs} {
					one.goOn(t)
				}
				s.open(done.stateless)
				contains(t, done.streams["stream of a stateless call"], "went on")
				s.open(done.call)
				contains(t, done.streams["stream of a call"], "went on")
				delete(done.streams, "stream of a stateless call")
				delete(done.streams, "stream of a call")
				if res := as(done.sse.Client, client.access).Post(t, fleettest.Request(5, "ping", "{}")); res.StatusCode != http.StatusAccepted {
					t.Errorf("a message of the HTTP+SSE session: %s", res.Status)
				}
				contains(t, done.sse.events, `"id":5`)

				o.renew(t, client)
				o.revoke(t, client.refresh)
				at := time.Now()
				hers.end(t, o.bound())
				done.end(t, time.Until(at.Add(o.bound())))
				bobs.goOn(t)
				o.revoke(t, others.refresh)
				bobs.end(t, o.bound())
			})
		})
	}
}

// A token that was replaced can still be revoked by name: what came with it ends,
// also when new requests are not accepted with it any more. What came with another
// token of the grant goes on.
func TestAReplacedTokenIsRevokedByName(t *testing.T) {
	t.Parallel()
	eachOwnServer(t, time.Hour, func(t *testing.T, s *simulation, o *ownServer) {
		client := o.login(t, "alice")
		first := client.access
		before := openAll(t, s, first, "before")
		o.renew(t, client)
		after := openAll(t, s, client.access, "after")
		time.Sleep(4 * time.Minute)
		if res := read(t, s.guest(t, first).Post(t, initializeBody)); res.Status != http.StatusUnauthorized {
			t.Errorf("a request with a token that was replaced long ago: %+v", res)
		}
		before.goOn(t)
		after.goOn(t)
		o.revoke(t, first)
		before.end(t, o.bound())
		time.Sleep(time.Minute)
		after.goOn(t)
		o.revoke(t, client.refresh)
		after.end(t, o.bound())
	})
}

// A client that does not refresh any more has its streams until its last token
// expires. The one call that would be lost by it goes on, until its grant is revoked.
func TestWhatRunsEndsWithTheLastToken(t *testing.T) {
	t.Parallel()
	eachOwnServer(t, time.Minute, func(t *testing.T, s *simulation, o *ownServer) {
		client := o.login(t, "alice")
		expires := time.Now().Add(time.Minute)
		hers := openAll(t, s, client.access, "alice")
		time.Sleep(time.Until(expires) - time.Second) // at the last moment
		o.renew(t, client)
		time.Sleep(58 * time.Second)
		hers.goOn(t)
		stateless := hers.streams["stream of a stateless call"]
		delete(hers.streams, "stream of a stateless call")
		for name, events := range hers.streams {
			left := rest(t, name, events, 3*time.Second)
			if name == "listener" && (len(left) != 1 || left[0] != completionOf(`1`)) {
				t.Errorf("the listener ends with %q", left)
			}
		}
		time.Sleep(time.Minute)
		goesOn(t, "the stateless call", stateless)
		o.revoke(t, client.refresh)
		if left := rest(t, "the stateless call", stateless, o.bound()); len(left) != 1 || !strings.Contains(left[0], `"error":`) {
			t.Errorf("the stateless call ends with %q", left)
		}
	})
}
