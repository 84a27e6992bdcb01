package auth

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// byName is a policy as a server would have: by tool, by resource, by method.
func byName(method, name string) []string {
	switch {
	case method == "tools/call" && name == "delete-all":
		return []string{"admin", "audit"}
	case method == "tools/call" && strings.HasPrefix(name, "write"):
		return []string{"write"}
	case strings.HasPrefix(name, "secret://"):
		return []string{"secrets"}
	case method == "logging/setLevel":
		return []string{"admin"}
	}
	return nil
}

func policy(o *ResourceOptions) {
	o.ScopesFor = byName
	o.Implies = map[string][]string{"admin": {"write", "secrets"}, "write": {"read"}, "read": {"mcp"}, "loop": {"loop", "admin"}}
}

func call(method, params string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":` + params + `}`
}

func TestT27_StepUp(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, granted, body string
		needs               string // what the challenge asks for; empty if the request is served
	}{
		{"nothing special", "mcp", call("tools/call", `{"name":"echo"}`), ""},
		{"one more scope", "mcp", call("tools/call", `{"name":"write-file"}`), "mcp write"},
		{"two more scopes, in one go", "mcp", call("tools/call", `{"name":"delete-all"}`), "mcp admin audit"},
		{"what is granted is said again, for clients that ask for just that", "mcp admin", call("tools/call", `{"name":"delete-all"}`), "mcp admin audit"},
		{"all of it", "mcp admin audit", call("tools/call", `{"name":"delete-all"}`), ""},
		{"a scope that contains it", "mcp admin", call("tools/call", `{"name":"write-file"}`), ""},
		{"a scope that contains it by way of others", "admin", call("tools/call", `{"name":"echo"}`), ""},
		{"a scope that contains itself", "loop", call("tools/call", `{"name":"write-file"}`), ""},
		{"what is contained does not contain", "mcp write", call("logging/setLevel", `{"level":"debug"}`), "mcp admin"},
		{"a scope that begins alike", "mcp write-all", call("tools/call", `{"name":"write-file"}`), "mcp write"},
		{"a scope in another case", "mcp WRITE", call("tools/call", `{"name":"write-file"}`), "mcp write"},
		{"none at all", "", call("ping", `{}`), "mcp"},
		{"a resource", "mcp", call("resources/read", `{"uri":"secret://1"}`), "mcp secrets"},
		{"a resource, with the name of another thing", "mcp", call("resources/read", `{"name":"x","uri":"secret://1"}`), "mcp secrets"},
		{"a subscription", "mcp", call("resources/subscribe", `{"uri":"secret://1"}`), "mcp secrets"},
		{"a listener", "mcp", call("subscriptions/listen", `{"notifications":{"resourceSubscriptions":["a://1","secret://1"]}}`), "mcp secrets"},
		{"a listener to other things", "mcp", call("subscriptions/listen", `{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["a://1"]}}`), ""},
		{"a name with escapes", "mcp", call("tools/call", `{"name":"\u0077rite-file"}`), "mcp write"},
		{"a method with escapes", "mcp", `{"jsonrpc":"2.0","id":1,"m\u0065thod":"tools\/call","params":{"n\u0061me":"write-file"}}`, "mcp write"},
		{"a notification", "mcp", `{"jsonrpc":"2.0","method":"tools/call","params":{"name":"write-file"}}`, "mcp write"},
		{"the last of a batch", "mcp", "[" + call("ping", "{}") + "," + call("tools/call", `{"name":"write-file"}`) + "]", "mcp write"},
		{"several of a batch", "mcp", " \n[" + call("logging/setLevel", "{}") + "," + call("tools/call", `{"name":"write-file"}`) + "]", "mcp admin write"},
		{"an empty batch", "mcp", "[]", ""},
		{"a response", "mcp", `{"jsonrpc":"2.0","id":1,"result":{"method":"tools/call","params":{"name":"write-file"}}}`, ""},
		{"an error", "mcp", `{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"tools/call"}}`, ""},
		{"no parameters", "mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, ""},
		{"no parameters where some are needed", "mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":null}`, ""},
		{"names that mean nothing here", "mcp", call("initialize", `{"Name":1,"name":2,"NAME":"write-file","uri":[],"clientInfo":{"name":"write"}}`), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newResource(t, bookOf(aliceToken(func(t *Token) { t.Scopes = strings.Fields(test.granted) })), policy)
			w := ask(r, "POST", test.body, bearerOf("good"))
			if test.needs == "" {
				if w.Code != http.StatusOK {
					t.Errorf("%d %s", w.Code, w.Body)
				}
				return
			}
			if w.Code != http.StatusForbidden || errorOf(t, w) != "insufficient_scope" {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			challenge := challengeOf(t, w.Header())
			if challenge["error"] != "insufficient_scope" || challenge["scope"] != test.needs || challenge["resource_metadata"] != metadataURL {
				t.Errorf("challenge %v", challenge)
			}
		})
	}
}

// The handler gets the body as it was.
func TestABodyThatWasLookedIntoIsServed(t *testing.T) {
	t.Parallel()
	r := newResource(t, bookOf(aliceToken()), policy)
	body := "\t" + call("ping", `{"a":1 , "a":2}`) + "\r\n"
	if w := ask(r, "POST", body, bearerOf("good")); !strings.Contains(w.Body.String(), `"Body":"\t{`) || !strings.Contains(w.Body.String(), `\r\n"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	// Only a POST has messages.
	for _, method := range []string{"GET", "DELETE"} {
		if w := ask(r, method, call("tools/call", `{"name":"delete-all"}`), bearerOf("good")); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", method, w.Code, w.Body)
		}
	}
}

// What two readers could read differently is not let through to the second.
func TestABodyThatCouldBeReadDifferentlyIsRefused(t *testing.T) {
	t.Parallel()
	r := newResource(t, bookOf(aliceToken()), policy, func(o *ResourceOptions) { o.MaxBody = 1000 })
	for name, body := range map[string]string{
		"nothing":                         "",
		"no JSON":                         "{",
		"more than one message":           call("ping", "{}") + call("tools/call", `{"name":"write"}`),
		"something behind the message":    call("ping", "{}") + "x",
		"a comment":                       "/**/" + call("ping", "{}"),
		"a byte order mark":               "\ufeff" + call("tools/call", `{"name":"write"}`),
		"other than UTF-8":                call("tools/call", "{\"name\":\"write\xff\"}"),
		"a string":                        `"tools/call"`,
		"null in a batch":                 "[7]",
		"a batch in a batch":              "[[" + call("tools/call", `{"name":"write"}`) + "]]",
		"a method twice":                  `{"method":"ping","method":"tools/call","params":{"name":"write"}}`,
		"a method twice, once escaped":    `{"method":"ping","meth\u006fd":"tools/call","params":{"name":"write"}}`,
		"a method in another case":        `{"method":"ping","Method":"tools/call","params":{"name":"write"}}`,
		"only in another case":            `{"METHOD":"tools/call","params":{"name":"write"}}`,
		"parameters with a long s":        `{"method":"tools/call","param\u017f":{"name":"write"}}`,
		"parameters twice":                `{"method":"tools/call","params":{},"params":{"name":"write"}}`,
		"a name twice":                    call("tools/call", `{"name":"echo","name":"write"}`),
		"a name twice, first null":        call("tools/call", `{"name":null,"name":"write"}`),
		"a name in another case":          call("tools/call", `{"name":"echo","Name":"write"}`),
		"a URI in another case":           call("resources/read", `{"uri":"a://","URI":"secret://"}`),
		"a method that is no string":      `{"method":["tools/call"]}`,
		"a method without a name":         `{"method":""}`,
		"a name that is no string":        call("tools/call", `{"name":["write"]}`),
		"parameters that are no object":   call("tools/call", `["write"]`),
		"a filter that is no object":      call("subscriptions/listen", `{"notifications":["secret://"]}`),
		"a filter twice":                  call("subscriptions/listen", `{"notifications":{},"notifications":{"resourceSubscriptions":["secret://"]}}`),
		"resources that are no list":      call("subscriptions/listen", `{"notifications":{"resourceSubscriptions":"secret://"}}`),
		"resources that are no strings":   call("subscriptions/listen", `{"notifications":{"resourceSubscriptions":[null]}}`),
		"resources that are in two lists": call("subscriptions/listen", `{"notifications":{"resourceSubscriptions":[],"resourceSubscriptions":["secret://"]}}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := ask(r, "POST", body, bearerOf("good"))
			if w.Code != http.StatusBadRequest || errorOf(t, w) != "invalid_request" || challengeOf(t, w.Header())["error"] != "invalid_request" {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	w := ask(r, "POST", call("ping", `"`+strings.Repeat("x", 1000)+`"`), bearerOf("good"))
	if w.Code != http.StatusRequestEntityTooLarge || w.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("a large body: %d %s", w.Code, w.Body)
	}
	// Without a token nobody has us read anything.
	if w := ask(r, "POST", "{", nil); w.Code != http.StatusUnauthorized {
		t.Errorf("without a token: %d", w.Code)
	}
}

// A policy's mistake neither opens anything nor gets into a header.
func TestAPolicyThatAsksForWhatIsNoScope(t *testing.T) {
	t.Parallel()
	for _, scope := range []string{"", "a b", "a\"b", "a\r\nSet-Cookie: a=b", "offline_access", "\u00e4"} {
		r := newResource(t, bookOf(aliceToken(func(t *Token) { t.Scopes = append(t.Scopes, scope) })), func(o *ResourceOptions) {
			o.ScopesFor = func(string, string) []string { return []string{scope} }
		})
		if w := ask(r, "POST", call("ping", "{}"), bearerOf("good")); w.Code != http.StatusInternalServerError || len(w.Header()["Www-Authenticate"]) != 0 {
			t.Errorf("%q: %d %v", scope, w.Code, w.Header())
		}
	}
}

// deadlines are the read deadlines that a handler sets.
type deadlines struct {
	http.ResponseWriter
	set []time.Time
}

func (d *deadlines) SetReadDeadline(at time.Time) error {
	d.set = append(d.set, at)
	return nil
}

// The policy reads the body before the handler does, which bounds the time itself.
func TestThePolicyDoesNotWaitForEverForABody(t *testing.T) {
	t.Parallel()
	r := newResource(t, bookOf(aliceToken()), policy)
	req := httptest.NewRequest("POST", "/mcp", strings.NewReader(call("ping", "{}")))
	req.Header = bearerOf("good")
	w := &deadlines{ResponseWriter: httptest.NewRecorder()}
	r.Protect(serving()).ServeHTTP(w, req)
	if len(w.set) != 2 || w.set[0].IsZero() || !w.set[1].IsZero() {
		t.Errorf("deadlines %v; want one for the body, then none", w.set)
	}
}

func TestAPolicyRefusesEncodedBodies(t *testing.T) {
	t.Parallel()
	r := newResource(t, bookOf(aliceToken()), policy)
	header := bearerOf("good")
	header.Set("Content-Encoding", "gzip")
	if w := ask(r, "POST", call("ping", "{}"), header); w.Code != http.StatusUnsupportedMediaType || w.Header().Get("Accept-Encoding") != "identity" {
		t.Errorf("gzip: %d %v %s", w.Code, w.Header(), w.Body)
	}
}
