package auth

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/testing/authtest"
)

// Whatever is in a challenge, it is one header with the parameters that are
// meant, in characters that RFC 6750, section 3, allows.
func TestT28_ChallengesAreWellFormed(t *testing.T) {
	t.Parallel()
	r := newResource(t, &tokenBook{})
	for _, evil := range []string{
		`", error="none`, "a\r\nSet-Cookie: session=evil", "\\", `\"`, "\x00", "\x7f", "caf\u00e9", "\u202e", `", Bearer realm="x`, ",", "=", "",
	} {
		params, err := parseChallenge(r.challenge(&oauthError{status: 401, code: "invalid_token", description: evil, scopes: []string{evil, "mcp"}}))
		if err != nil {
			t.Errorf("%q: %v", evil, err)
			continue
		}
		var names []string
		for _, p := range params {
			names = append(names, p.name)
		}
		if got := strings.Join(names, " "); got != "error error_description scope resource_metadata" {
			t.Errorf("%q: parameters %s", evil, got)
		}
	}
}

func TestChallengesOfAResourceWithoutScopes(t *testing.T) {
	t.Parallel()
	r := newResource(t, &tokenBook{}, func(o *ResourceOptions) { o.Scopes = nil })
	want := `Bearer resource_metadata="` + metadataURL + `"`
	if got := ask(r, "GET", "", nil).Header().Get("WWW-Authenticate"); got != want {
		t.Errorf("challenge %s", got)
	}
	want = `Bearer error="invalid_token", error_description="the access token is not valid", resource_metadata="` + metadataURL + `"`
	if got := ask(r, "GET", "", bearerOf("x")).Header().Get("WWW-Authenticate"); got != want {
		t.Errorf("challenge %s", got)
	}
}

// Nothing that a client sends comes back to it.
func TestT28_ResponsesRepeatNothing(t *testing.T) {
	t.Parallel()
	r := newResource(t, &tokenBook{}, policy)
	for _, w := range []http.Header{
		bearerOf("canary"), {"Authorization": {"Bearer canary canary"}}, {"Authorization": {"canary"}}, {"Authorization": {"Bearer canary", "canary"}},
	} {
		res := ask(r, "POST", `"canary"`, w)
		if strings.Contains(res.Body.String()+res.Header().Get("WWW-Authenticate"), "canary") {
			t.Errorf("%v %s", res.Header(), res.Body)
		}
	}
}

// net/http reads what is left of a body before it answers, for as long as it takes.
func TestAStrangerDoesNotHoldAConnectionByABodyThatHeDoesNotSend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		served := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("served") })
		response, held := authtest.Stall(t, &http.Server{Handler: newResource(t, &tokenBook{}).Protect(served)}, "/mcp")
		if held > 10*time.Second || !strings.HasPrefix(response, "HTTP/1.1 401") {
			t.Errorf("held for %v, answered %.20q", held, response)
		}
	})
}
