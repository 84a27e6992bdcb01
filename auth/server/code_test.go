package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/auth"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// mustRefuse fails the test unless a client was refused with that error.
func mustRefuse(t *testing.T, what string, res response, status int, code string) {
	t.Helper()
	if v := res.json(t); res.status != status || v["error"] != code {
		t.Errorf("%s: %d %s, want %d %s", what, res.status, res.body, status, code)
	}
}

// mustServe fails the test unless a client got tokens.
func mustServe(t *testing.T, what string, res response) (accessToken, refreshToken string) {
	t.Helper()
	accessToken, refreshToken = tokensIn(t, res)
	if res.status != http.StatusOK || accessToken == "" {
		t.Fatalf("%s: %d %s", what, res.status, res.body)
	}
	return accessToken, refreshToken
}

// valid fails the test unless all instances accept an access token.
func (fl *fleet) valid(t *testing.T, what, accessToken string) {
	t.Helper()
	for i, instance := range fl.instances {
		if _, err := instance.Verify(t.Context(), accessToken); err != nil {
			t.Errorf("%s: instance %d: %v", what, i, err)
		}
	}
}

// dead fails the test unless all instances refuse an access token, as soon as
// they have heard of it.
func (fl *fleet) dead(t *testing.T, what, accessToken string) {
	t.Helper()
	for _, instance := range fl.instances {
		redistest.Until(t, what+" is refused", func() bool {
			_, err := instance.Verify(t.Context(), accessToken)
			return errors.Is(err, auth.ErrInvalidToken)
		})
	}
}

// code goes through consent and login.
func (l *login) code(t *testing.T, user string) string {
	t.Helper()
	return l.back(t, user).Query().Get("code")
}

func with(name string, values ...string) func(url.Values) {
	return func(form url.Values) {
		delete(form, name)
		if len(values) > 0 {
			form[name] = values
		}
	}
}

// OAuth 2.1, section 4.1.3. (Defect 9: the redemption is one atomic step.)
func TestT06_ReplayByTheSameClientRevokesWhatTheCodeGave(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, fl *fleet) {
		for _, client := range []Client{public, private} {
			l := fl.login(t, client)
			code := l.code(t, "alice")
			accessToken, refreshToken := mustServe(t, "first redemption", l.redeem(t, code))
			fl.valid(t, "before the replay", accessToken)
			mustRefuse(t, "replay", l.redeem(t, code), http.StatusBadRequest, "invalid_grant")
			fl.dead(t, "the access token", accessToken)
			for range fl.instances {
				mustRefuse(t, "the refresh token", l.refresh(t, refreshToken), http.StatusBadRequest, "invalid_grant")
			}
		}
	})
}

// OAuth 2.1, section 7.5.3: who has a code only must not be able to spoil it.
func TestT07_WrongAttemptsNeitherConsumeACodeNorRevoke(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	other := Client{ID: private.ID, RedirectURIs: private.RedirectURIs, AuthMethod: methodBasic}
	for _, client := range []Client{public, private} {
		l := fl.login(t, client)
		code := l.code(t, "alice")
		attempts := map[string]func() response{
			"wrong verifier": func() response { return l.redeem(t, code, with("code_verifier", random(secretBytes))) },
			"no verifier":    func() response { return l.redeem(t, code, with("code_verifier")) },
			"wrong redirect": func() response { return l.redeem(t, code, with("redirect_uri", "https://client.example/other")) },
			"wrong resource": func() response { return l.redeem(t, code, with("resource", fl.url+"/other")) },
			"guessed code": func() response {
				return l.redeem(t, code[:len(code)-secretBytes]+random(secretBytes)[:secretBytes])
			},
			"another client": func() response {
				thief := *l
				thief.client = other
				if client.ID == other.ID {
					thief.client = public
				}
				return thief.redeem(t, code)
			},
			"wrong secret": func() response {
				form := url.Values{
					"grant_type": {grantCode}, "code": {code}, "code_verifier": {l.verifier},
					"client_id": {private.ID}, "client_secret": {"guessed"},
				}
				return l.post(t, l.url+tokenPath, form)
			},
		}
		try := func(when string) {
			for name, attempt := range attempts {
				if res := attempt(); res.status < 400 || res.status >= 500 {
					t.Errorf("%s, %s: %d %s", when, name, res.status, res.body)
				}
			}
		}
		try("before the redemption")
		accessToken, refreshToken := mustServe(t, "redemption after wrong attempts", l.redeem(t, code))
		try("after the redemption")
		fl.valid(t, "after wrong replays", accessToken)
		mustServe(t, "refresh after wrong replays", l.refresh(t, refreshToken))
	}
}

// Whoever wins, the others show that the code is in too many hands: of 100
// redemptions exactly one is answered with tokens, and these the second one
// revokes. At no time are there two sets of tokens. (Defect 9.)
func TestT08_ConcurrentRedemptionsGiveTokensOnce(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, fl *fleet) {
		l := fl.login(t, public)
		code := l.code(t, "alice")
		responses := atOnce(100, func(int) response { return l.redeem(t, code) })
		var won []response
		for _, res := range responses {
			if res.status == http.StatusOK {
				won = append(won, res)
				continue
			}
			mustRefuse(t, "a loser", res, http.StatusBadRequest, "invalid_grant")
		}
		if len(won) != 1 {
			t.Fatalf("%d redemptions were answered with tokens, want 1", len(won))
		}
		accessToken, refreshToken := tokensIn(t, won[0])
		fl.dead(t, "the winner's access token", accessToken)
		mustRefuse(t, "the winner's refresh token", l.refresh(t, refreshToken), http.StatusBadRequest, "invalid_grant")
		for _, k := range redistest.Keys(t, fl.admin, fl.prefix) {
			if strings.HasSuffix(k.Name, ":grant") {
				t.Errorf("%s is left", k.Name)
			}
		}
	})
}

// atOnce calls f n times at the same time.
func atOnce[T any](n int, f func(i int) T) []T {
	results, start := make([]T, n), make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			results[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	return results
}

// Defect 5: the token endpoint checks redirect URI and resource.
func TestT09_ACodeIsForOneClientRedirectURIAndResource(t *testing.T) {
	t.Parallel()
	second := Client{ID: "second", RedirectURIs: []string{callbackURI}}
	fl := oneFleet(t, func(o *Options) { o.Clients = append(o.Clients, second) })
	l := fl.login(t, public, with("resource", fl.url+"/mcp"))
	code := l.code(t, "alice")
	thief := *l
	thief.client = second
	mustRefuse(t, "another client", thief.redeem(t, code), http.StatusBadRequest, "invalid_grant")
	for _, uri := range []string{callbackURI + "/", callbackURI + "?a=b", "https://second.example/callback", "http://localhost/callback"} {
		mustRefuse(t, uri, l.redeem(t, code, with("redirect_uri", uri)), http.StatusBadRequest, "invalid_grant")
	}
	for _, resource := range []string{fl.url + "/other", "https://elsewhere.example/mcp", fl.url + "/mcp/sub", fl.url, "not a uri"} {
		mustRefuse(t, resource, l.redeem(t, code, with("resource", resource)), http.StatusBadRequest, "invalid_target")
		mustRefuse(t, resource, l.redeem(t, code, with("resource", fl.url+"/mcp", resource)), http.StatusBadRequest, "invalid_target")
	}
	accessToken, _ := mustServe(t, "the client itself", l.redeem(t, code, with("resource", strings.ToUpper(fl.url[:4])+fl.url[4:]+"/mcp")))
	token, err := fl.instances[1].Verify(t.Context(), accessToken)
	if err != nil || len(token.Audience) != 1 || token.Audience[0] != fl.url+"/mcp" {
		t.Errorf("the token is for %v, %v", token, err)
	}
}

func TestT10_PKCECannotBeSwitchedOff(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	challenge := challengeOf(random(secretBytes))
	for name, change := range map[string][]func(url.Values){
		"no challenge":                {with("code_challenge"), with("code_challenge_method")},
		"no challenge but a method":   {with("code_challenge")},
		"plain":                       {with("code_challenge_method", "plain")},
		"no method, which is plain":   {with("code_challenge_method")},
		"unknown method":              {with("code_challenge_method", "S512")},
		"another case":                {with("code_challenge_method", "s256")},
		"challenge too short":         {with("code_challenge", challenge[:42])},
		"challenge too long":          {with("code_challenge", challenge+"A")},
		"challenge of other alphabet": {with("code_challenge", challenge[:42]+"+")},
	} {
		l := fl.login(t, public, change...)
		if res := l.ask(t); res.status != http.StatusBadRequest || res.header.Get("Location") != "" || l.form.Has("flow") {
			t.Errorf("%s: %d %s", name, res.status, res.body)
		}
	}
	l := fl.login(t, public)
	code := l.code(t, "alice")
	for name, verifier := range map[string][]string{
		"missing": nil, "empty": {""}, "too short": {strings.Repeat("a", 42)}, "too long": {strings.Repeat("a", 129)},
		"wrong alphabet": {strings.Repeat("a", 42) + "+"}, "the challenge": {challengeOf(l.verifier)},
	} {
		if res := l.redeem(t, code, with("code_verifier", verifier...)); res.status != http.StatusBadRequest {
			t.Errorf("verifier %s: %d %s", name, res.status, res.body)
		}
	}
	mustServe(t, "the right verifier", l.redeem(t, code))
}

// A record that has no challenge, however it came to be, gives no tokens.
func TestT10_AGrantWithoutChallengeCannotBeRedeemed(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	l := fl.login(t, public)
	code, err := fl.instances[0].grants.create(t.Context(), grant{
		Client: public.ID, Subject: "alice", Redirect: callbackURI, Resources: []string{fl.url + "/mcp"},
	})
	if err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, "with a verifier", l.redeem(t, code.String()), http.StatusBadRequest, "invalid_grant")
	mustRefuse(t, "without one", l.redeem(t, code.String(), with("code_verifier")), http.StatusBadRequest, "invalid_request")
}

func TestACodeEndsAfterAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fl, _ := bubbleFleet(t)
		for wait, want := range map[time.Duration]int{59 * time.Second: http.StatusOK, 60 * time.Second: http.StatusBadRequest} {
			l := fl.login(t, public)
			code := l.code(t, "alice")
			time.Sleep(wait)
			if res := l.redeem(t, code); res.status != want {
				t.Errorf("after %v: %d %s", wait, res.status, res.body)
			}
		}
	})
}

// A lost response is an unknown outcome: if the client asks again, the code was
// used, and all that came of it goes, rather than tokens that nobody has.
func TestARedemptionWhoseResponseWasLostEndsTheGrant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fl, _ := bubbleFleet(t)
		l := fl.login(t, public)
		code, ok := parseCredential(codeKind, l.code(t, "alice"))
		if !ok {
			t.Fatal("no code")
		}
		if _, err := fl.instances[0].grants.redeem(t.Context(), code, grant{}, access{}, true); err != nil {
			t.Fatal(err) // nobody tells the client
		}
		mustRefuse(t, "the same again", l.redeem(t, code.String()), http.StatusBadRequest, "invalid_grant")
		if keys := redistest.Keys(t, fl.admin, fl.prefix+":{grant"); len(keys) != 0 {
			t.Errorf("%v is left", keys)
		}
	})
}

// Defect 1: what a page or a link shows before login is not the code.
func TestNothingThatIsShownBeforeLoginIsTheCode(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t, func(o *Options) { o.Limits = &Limits{} })
	l := fl.login(t, public)
	shown := l.ask(t).body
	shown += l.decide(t, "allow").body
	code := fl.login(t, public).code(t, "alice")
	for _, text := range append(strings.FieldsFunc(shown, func(r rune) bool { return strings.ContainsRune(`"=& <>;?`, r) }), l.form.Get("flow"), l.form.Get("token"), "the state") {
		mustRefuse(t, text, l.redeem(t, text), http.StatusBadRequest, "invalid_grant")
		if text != "" && len(text) > 20 && strings.Contains(code, text) {
			t.Errorf("the code contains %q", text)
		}
	}
}

func TestAGrantLivesAsLongAsItsAccessToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		codeOnly := Client{ID: "code only", RedirectURIs: []string{callbackURI}, GrantTypes: []string{grantCode}}
		fl, _ := bubbleFleet(t, func(o *Options) {
			o.Clients = append(o.Clients, codeOnly)
			o.AccessTokenTTL, o.RefreshTokenTTL = time.Hour, time.Minute
		})
		for _, client := range []Client{public, codeOnly} {
			accessToken, refreshToken := fl.login(t, client).tokens(t, "alice")
			if client.ID == codeOnly.ID && refreshToken != "" {
				t.Error("a client that may not refresh got a refresh token")
			}
			time.Sleep(time.Hour - time.Second)
			fl.valid(t, client.ID, accessToken)
			time.Sleep(time.Second)
			fl.dead(t, client.ID, accessToken)
		}
	})
}

func TestALoginWhoseSubjectWouldChangeInJSONIsRefused(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	for _, subject := range []string{"", "a\xff", strings.Repeat("a", maxSubject+1)} {
		if err := checkSubject(subject); err == nil {
			t.Errorf("subject %.20q is taken", subject)
		}
	}
	l := fl.login(t, public)
	l.ask(t)
	upstream, err := url.Parse(l.decide(t, "allow").link(t))
	if err != nil {
		t.Fatal(err)
	}
	res := l.get(t, l.url+"/callback?user=&state="+upstream.Query().Get("state"))
	if to := res.link(t); res.status != http.StatusInternalServerError || !strings.HasPrefix(to, callbackURI+"?error=server_error") {
		t.Errorf("%d, link to %s", res.status, to)
	}
}

// tokenJSON is what a token response has.
func tokenJSON(t *testing.T, res response) (v tokenResponse) {
	t.Helper()
	if err := json.Unmarshal([]byte(res.body), &v); err != nil {
		t.Fatal(err)
	}
	return v
}
