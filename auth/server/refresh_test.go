package server

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// OAuth 2.1, section 4.3.1. (Defect 6: the reference server went on taking the
// token before, and its access tokens.)
func TestT23_AReplacedRefreshTokenRevokesTheGrantEverywhere(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, fl *fleet) {
		for _, client := range []Client{public, private} {
			l := fl.login(t, client)
			firstAccess, first := l.tokens(t, "alice")
			secondAccess, second := mustServe(t, "first refresh", l.refresh(t, first))
			fl.dead(t, "the access token before", firstAccess) // there is no grace here
			fl.valid(t, "the new one", secondAccess)
			mustRefuse(t, "reuse", l.refresh(t, first), http.StatusBadRequest, "invalid_grant")
			fl.dead(t, "the new access token", secondAccess)
			for range fl.instances {
				mustRefuse(t, "the new refresh token", l.refresh(t, second), http.StatusBadRequest, "invalid_grant")
			}
		}
		redistest.AssertTTLs(t, fl.admin, fl.prefix)
	}, func(o *Options) { o.RefreshGrace = -1 })
}

func TestT23_WithinTheGraceALostResponseIsGivenAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fl, _ := bubbleFleet(t)
		l := fl.login(t, public)
		firstAccess, first := l.tokens(t, "alice")
		lostAccess, second := mustServe(t, "a refresh whose response is lost", l.refresh(t, first))
		time.Sleep(2*time.Minute - time.Millisecond)
		againAccess, again := mustServe(t, "the same again", l.refresh(t, first))
		if again != second {
			t.Error("the second response has another refresh token: there are two families")
		}
		fl.valid(t, "the access token before", firstAccess)
		time.Sleep(time.Millisecond)
		fl.dead(t, "the access token before, after the grace", firstAccess)
		fl.valid(t, "the one of the lost response", lostAccess)

		thirdAccess, third := mustServe(t, "the successor", l.refresh(t, second))
		mustRefuse(t, "a token whose successor was used", l.refresh(t, first), http.StatusBadRequest, "invalid_grant")
		for what, token := range map[string]string{"lost": lostAccess, "again": againAccess, "third": thirdAccess} {
			fl.dead(t, what, token)
		}
		mustRefuse(t, "the whole family", l.refresh(t, third), http.StatusBadRequest, "invalid_grant")
	})
}

func TestT23_AfterTheGraceATokenWhoseSuccessorWasUsedIsReuse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fl, _ := bubbleFleet(t)
		l := fl.login(t, public)
		_, first := l.tokens(t, "alice")
		_, second := mustServe(t, "refresh", l.refresh(t, first))
		accessToken, third := mustServe(t, "the successor", l.refresh(t, second))
		time.Sleep(2 * time.Minute)
		mustRefuse(t, "reuse", l.refresh(t, first), http.StatusBadRequest, "invalid_grant")
		fl.dead(t, "access token", accessToken)
		mustRefuse(t, "successor", l.refresh(t, third), http.StatusBadRequest, "invalid_grant")
	})
}

// The response may have been lost, or never have been stored. Whoever has the
// successor, if it is somebody else, is found out by using it.
func TestT23_AfterTheGraceAnUnusedSuccessorIsReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, client := range []Client{public, private} {
			fl, _ := bubbleFleet(t)
			l := fl.login(t, client)
			_, first := l.tokens(t, "alice")
			lostAccess, lost := mustServe(t, "a refresh", l.refresh(t, first))
			var accessToken, second string
			for _, after := range []time.Duration{2 * time.Minute, 2 * time.Minute, time.Hour} {
				time.Sleep(after)
				before := second
				accessToken, second = mustServe(t, "the same again", l.refresh(t, first))
				if second == lost || second == before {
					t.Errorf("after %v the successor was not replaced", after)
				}
			}
			fl.dead(t, "the access token that was given with the first successor", lostAccess)
			_, third := mustServe(t, "the last successor", l.refresh(t, second))
			fl.valid(t, "the access token with it", accessToken)

			mustRefuse(t, "a successor that was replaced", l.refresh(t, lost), http.StatusBadRequest, "invalid_grant")
			mustRefuse(t, "the whole family", l.refresh(t, third), http.StatusBadRequest, "invalid_grant")
			fl.dead(t, "its access token", accessToken)
		}
	})
}

// Whoever refreshes next, the thief or the robbed, the other is noticed.
func TestT23_ATheftIsNoticedAlthoughAnUnusedSuccessorIsReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for name, next := range map[string]func(stolen, honest, thiefs string) []string{
			"the thief goes on, then the robbed":         func(_, honest, thiefs string) []string { return []string{thiefs, honest} },
			"the robbed goes on":                         func(_, honest, _ string) []string { return []string{honest} },
			"the thief goes on, then uses the old again": func(stolen, _, thiefs string) []string { return []string{thiefs, stolen} },
		} {
			fl, _ := bubbleFleet(t)
			l := fl.login(t, public)
			_, stolen := l.tokens(t, "alice")
			_, honest := mustServe(t, "the robbed", l.refresh(t, stolen))
			time.Sleep(time.Hour)
			thiefsAccess, thiefs := mustServe(t, "the thief", l.refresh(t, stolen))
			uses := next(stolen, honest, thiefs)
			for _, token := range uses[:len(uses)-1] {
				mustServe(t, name, l.refresh(t, token))
			}
			mustRefuse(t, name, l.refresh(t, uses[len(uses)-1]), http.StatusBadRequest, "invalid_grant")
			fl.dead(t, name, thiefsAccess)
			if left := fl.grantFields(t); len(left) != 0 {
				t.Errorf("%s: Redis has %v", name, left)
			}
		}
	})
}

// Reports have bursts of up to 76 s, of processes that share what a client stores.
func TestT23_ABurstOfOneClientsProcessesRevokesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fl, _ := bubbleFleet(t)
		l := fl.login(t, public)
		firstAccess, first := l.tokens(t, "alice")
		successors := map[string]bool{}
		for range 77 {
			fl.valid(t, "the access token of a process that has not refreshed yet", firstAccess)
			_, second := mustServe(t, "a process", l.refresh(t, first))
			successors[second] = true
			time.Sleep(time.Second)
		}
		if len(successors) != 1 {
			t.Errorf("there are %d successors", len(successors))
		}
		for second := range successors {
			mustServe(t, "the successor", l.refresh(t, second))
		}
	})
}

func TestT23_ConcurrentRefreshesLeaveOneFamily(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, fl *fleet) {
		l := fl.login(t, public)
		_, refreshToken := l.tokens(t, "alice")
		for range 3 {
			successors := map[string]bool{}
			var accessTokens []string
			for _, res := range atOnce(20, func(int) response { return l.refresh(t, refreshToken) }) {
				a, r := mustServe(t, "one of 20", res)
				successors[r] = true
				accessTokens = append(accessTokens, a)
			}
			if len(successors) != 1 {
				t.Fatalf("there are %d families", len(successors))
			}
			for _, a := range accessTokens {
				fl.valid(t, "an access token of the family", a)
			}
			refreshToken = slices.Collect(maps.Keys(successors))[0]
		}
	})
}

func TestT23_WithoutGraceConcurrentRefreshesLeaveNoFamily(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, fl *fleet) {
		l := fl.login(t, public)
		_, refreshToken := l.tokens(t, "alice")
		won := 0
		for _, res := range atOnce(20, func(int) response { return l.refresh(t, refreshToken) }) {
			if res.status == http.StatusOK {
				won++
				accessToken, _ := tokensIn(t, res)
				fl.dead(t, "the winner's access token", accessToken)
			}
		}
		if won != 1 {
			t.Errorf("%d of 20 got tokens, want 1", won)
		}
	}, func(o *Options) { o.RefreshGrace = -1 })
}

func TestT24_AStolenRefreshTokenIsOfNoUseAndDoesNoHarm(t *testing.T) {
	t.Parallel()
	second := Client{ID: "second", RedirectURIs: []string{callbackURI}}
	fl := oneFleet(t, func(o *Options) { o.Clients = append(o.Clients, second) })
	for _, client := range []Client{public, private} {
		l := fl.login(t, client, with("scope", "read"), with("resource", fl.url+"/mcp"))
		accessToken, refreshToken := l.tokens(t, "alice")
		before := fl.grantFields(t)
		grantID := strings.Split(refreshToken, ".")[1] // every access token shows it
		for name, one := range map[string]struct {
			code   string
			change []func(url.Values)
			client Client
		}{
			"another client":           {"invalid_grant", nil, second},
			"a wider scope":            {"invalid_scope", []func(url.Values){with("scope", "read write")}, client},
			"a scope there is not":     {"invalid_scope", []func(url.Values){with("scope", "admin")}, client},
			"another resource":         {"invalid_target", []func(url.Values){with("resource", fl.url+"/other")}, client},
			"a further resource":       {"invalid_target", []func(url.Values){with("resource", fl.url+"/mcp", fl.url+"/other")}, client},
			"a guess":                  {"invalid_grant", []func(url.Values){with("refresh_token", newCredential(refreshKind, grantID).String())}, client},
			"the access token":         {"invalid_grant", []func(url.Values){with("refresh_token", accessToken)}, client},
			"the access token renamed": {"invalid_grant", []func(url.Values){with("refresh_token", "mcpr"+accessToken[4:])}, client},
			"made of the access token": {"invalid_grant", []func(url.Values){with("refresh_token", "mcpr"+accessToken[4:]+random(familyBytes))}, client},
			"a code's grant":           {"invalid_grant", []func(url.Values){with("grant_type", grantCode), with("code", refreshToken), with("code_verifier", l.verifier)}, client},
		} {
			thief := *l
			thief.client = one.client
			mustRefuse(t, name, thief.refresh(t, refreshToken, one.change...), http.StatusBadRequest, one.code)
		}
		if client.confidential() {
			form := url.Values{"grant_type": {grantRefreshToken}, "refresh_token": {refreshToken}, "client_id": {client.ID}}
			mustRefuse(t, "without the client's secret", l.post(t, l.url+tokenPath, form), http.StatusUnauthorized, "invalid_client")
			form.Set("client_secret", "guessed")
			mustRefuse(t, "with a wrong secret", l.post(t, l.url+tokenPath, form), http.StatusUnauthorized, "invalid_client")
		}
		if after := fl.grantFields(t); !maps.EqualFunc(before, after, maps.Equal) {
			t.Errorf("the grant changed from %v to %v", before, after)
		}
		fl.valid(t, "after all that", accessToken)
		mustServe(t, "the client itself", l.refresh(t, refreshToken))
	}
}

// grantFields returns what Redis has of all grants.
func (fl *fleet) grantFields(t *testing.T) map[string]map[string]string {
	t.Helper()
	all := map[string]map[string]string{}
	for _, k := range redistest.Keys(t, fl.admin, fl.prefix+":{grant") {
		fields, err := fl.admin.Do(t.Context(), fl.admin.B().Hgetall().Key(k.Name).Build()).AsStrMap()
		if err != nil && !rueidis.IsRedisNil(err) {
			t.Fatal(err)
		}
		all[k.Name] = fields
	}
	return all
}

func TestARefreshMayAskForLessAndThenForAllAgain(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	l := fl.login(t, public, with("scope", "write read read"), with("resource", fl.url+"/mcp", fl.url+"/other"))
	_, refreshToken := l.tokens(t, "alice")
	for _, one := range []struct{ scope, want string }{
		{"read", "read"}, {"", "read write"}, {"read read offline_access", "read"}, {"write read", "read write"}, {"offline_access", "read write"},
	} {
		res := l.refresh(t, refreshToken, with("scope", one.scope), with("resource", fl.url+"/other"))
		var accessToken string
		accessToken, refreshToken = mustServe(t, one.scope, res)
		if got := tokenJSON(t, res).Scope; got != one.want {
			t.Errorf("scope %q gives %q, want %q", one.scope, got, one.want)
		}
		token, err := fl.instances[0].Verify(t.Context(), accessToken)
		if err != nil || !slices.Equal(token.Audience, []string{fl.url + "/other"}) {
			t.Errorf("token for %v, %v", token, err)
		}
	}
}

func TestT23_AGrantIsBoundedAndReuseNoticedHoweverOftenItIsRefreshed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fl, _ := bubbleFleet(t, func(o *Options) { o.RefreshGrace = time.Hour })
		l := fl.login(t, public)
		_, first := l.tokens(t, "alice")
		token := first
		size := func() (fields, bytes int) {
			for _, record := range fl.grantFields(t) {
				for k, v := range record {
					fields, bytes = fields+1, bytes+len(k)+len(v)
				}
			}
			return fields, bytes
		}
		for range 400 {
			_, token = mustServe(t, "refresh", l.refresh(t, token))
			time.Sleep(time.Second)
		}
		if fields, bytes := size(); fields > 120 || bytes > 24<<10 {
			t.Errorf("the grant has %d fields and %d bytes", fields, bytes)
		}
		// A thief who refreshes often does not make the server forget whom he robbed.
		mustRefuse(t, "the first of 400", l.refresh(t, first), http.StatusBadRequest, "invalid_grant")
		mustRefuse(t, "the last", l.refresh(t, token), http.StatusBadRequest, "invalid_grant")
	})
}

func TestARefreshTokenEndsUnused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fl, _ := bubbleFleet(t, func(o *Options) { o.AccessTokenTTL, o.RefreshTokenTTL = time.Minute, 3*time.Minute })
		l := fl.login(t, public)
		_, token := l.tokens(t, "alice")
		for range 3 {
			time.Sleep(3*time.Minute - time.Second)
			_, token = mustServe(t, "in use", l.refresh(t, token))
		}
		time.Sleep(3 * time.Minute)
		mustRefuse(t, "unused", l.refresh(t, token), http.StatusBadRequest, "invalid_grant")
	})
}

func TestAGrantEndsHoweverOftenItIsRefreshed(t *testing.T) {
	t.Parallel()
	for _, keys := range [][]SigningKey{nil, {{ID: "1", Key: newKey()}}} {
		synctest.Test(t, func(t *testing.T) {
			fl, _ := bubbleFleet(t, func(o *Options) { o.MaxGrantAge, o.SigningKeys = 3*time.Hour, keys })
			l := fl.login(t, public)
			_, token := l.tokens(t, "alice")
			for _, step := range []struct {
				wait time.Duration
				want int64
			}{{30 * time.Minute, 3600}, {40 * time.Minute, 3600}, {40 * time.Minute, 3600}, {40 * time.Minute, 1800}} {
				time.Sleep(step.wait)
				res := l.refresh(t, token)
				_, token = mustServe(t, "refresh", res)
				if got := tokenJSON(t, res).ExpiresIn; got != step.want {
					t.Errorf("the access token lives for %d s, want %d", got, step.want)
				}
			}
			time.Sleep(30*time.Minute - time.Second)
			accessToken, token := mustServe(t, "in the last second", l.refresh(t, token))
			fl.valid(t, "in the last second", accessToken)
			time.Sleep(time.Second)
			fl.dead(t, "after three hours", accessToken)
			mustRefuse(t, "after three hours", l.refresh(t, token), http.StatusBadRequest, "invalid_grant")
			if left := fl.grantFields(t); len(left) != 0 {
				t.Errorf("Redis has %v", left)
			}
		})
	}
}
