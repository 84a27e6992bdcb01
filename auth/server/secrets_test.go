package server

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// Canaries are the secrets of a login by what they are.
type canaries map[string]string

// found returns which of the canaries a text has in it, as they are, or in one
// of the ways in which the same bytes are written.
func (c canaries) found(text string) (names []string) {
	lower := strings.ToLower(text)
	for name, secret := range c {
		// The part that nobody can guess is enough to find the whole.
		value := secret[strings.LastIndexByte(secret, '.')+1:]
		forms := []string{value, url.QueryEscape(secret), hex.EncodeToString([]byte(value)), base64.RawStdEncoding.EncodeToString([]byte(value))[:len(value)]}
		if raw, err := base64.RawURLEncoding.DecodeString(value); err == nil {
			forms = append(forms, string(raw), hex.EncodeToString(raw), base64.RawStdEncoding.EncodeToString(raw))
		}
		for _, form := range forms {
			if strings.Contains(text, form) || strings.Contains(lower, strings.ToLower(form)) {
				names = append(names, name)
				break
			}
		}
	}
	return names
}

// dump returns all that Redis holds of the fleet, names and values.
func (fl *fleet) dump(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, k := range redistest.Keys(t, fl.admin, fl.prefix) {
		kind, err := fl.admin.Do(t.Context(), fl.admin.B().Type().Key(k.Name).Build()).ToString()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, k.Name, kind)
		switch kind {
		case "hash":
			fields, err := fl.admin.Do(t.Context(), fl.admin.B().Hgetall().Key(k.Name).Build()).AsStrMap()
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range fields {
				fmt.Fprintln(&b, name, value)
			}
		case "string":
			// The state of a limit may be gone by now.
			value, err := fl.admin.Do(t.Context(), fl.admin.B().Get().Key(k.Name).Build()).ToString()
			if err != nil && !rueidis.IsRedisNil(err) {
				t.Fatal(err)
			}
			fmt.Fprintln(&b, value)
		case "none": // gone since
		default:
			t.Fatalf("key %s is a %s, which the scan does not know", k.Name, kind)
		}
	}
	return b.String()
}

// everything goes through all that a client does, with a client that registers
// itself, calls step after each part, and returns the secrets there were.
func (fl *fleet) everything(t *testing.T, method string, step func(canaries)) canaries {
	t.Helper()
	seen := canaries{"upstream data": upstreamData}
	res := fl.register(t, map[string]any{"redirect_uris": []string{callbackURI}, "token_endpoint_auth_method": method})
	v := res.json(t)
	l := fl.login(t, Client{ID: v["client_id"].(string), RedirectURIs: []string{callbackURI}})
	authenticate := func(form url.Values) { form.Set("client_id", l.client.ID) }
	if secret, ok := v["client_secret"].(string); ok {
		seen["client secret"] = secret
		authenticate = func(form url.Values) { form.Set("client_id", l.client.ID); form.Set("client_secret", secret) }
	}
	seen["verifier"] = l.verifier
	step(seen)

	l.ask(t)
	seen["CSRF token"] = l.form.Get("token")
	for _, c := range l.Jar.Cookies(mustURL(t, fl.url)) {
		seen["cookie"] = c.Value
	}
	step(seen)
	upstream := mustURL(t, l.decide(t, "allow").link(t))
	seen["state of the upstream"] = upstream.Query().Get("state")
	step(seen)
	to := mustURL(t, l.get(t, l.url+"/callback?user=alice&state="+upstream.Query().Get("state")).header.Get("Location"))
	seen["code"] = to.Query().Get("code")
	step(seen)

	note := func(n int, res response) {
		a, r := mustServe(t, "tokens", res)
		seen[fmt.Sprint("access token ", n)], seen[fmt.Sprint("refresh token ", n)] = a, r
		step(seen)
	}
	note(1, l.redeem(t, seen["code"], authenticate))
	note(2, l.refresh(t, seen["refresh token 1"], authenticate))
	fl.valid(t, "access token", seen["access token 2"])
	l.post(t, fl.url+introspectPath, url.Values{"token": {seen["access token 2"]}}, basic("rs", "rs secret"))
	// All that fails, as well.
	l.redeem(t, seen["code"], authenticate, with("code_verifier", random(secretBytes)))
	l.redeem(t, seen["code"], authenticate, with("client_secret", "guessed"))
	l.post(t, fl.url+introspectPath, url.Values{"token": {seen["access token 2"]}}, basic("rs", "wrong"))
	l.asClient(t, revokePath, url.Values{"token": {seen["access token 1"]}}, authenticate)
	step(seen)
	l.refresh(t, seen["refresh token 2"], authenticate)
	l.refresh(t, seen["refresh token 1"], authenticate) // reuse
	note(3, l.redeem(t, l.code(t, "alice"), authenticate))
	l.get(t, l.url+"/callback?user=alice&state="+upstream.Query().Get("state"))
	l.asClient(t, revokePath, url.Values{"token": {seen["refresh token 3"]}}, authenticate)
	step(seen)
	return seen
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// wantCanaries fails the test if the login did not have all that must not be found.
func wantCanaries(t *testing.T, seen canaries, method string) {
	t.Helper()
	for _, name := range []string{
		"verifier", "CSRF token", "cookie", "state of the upstream", "code", "upstream data",
		"access token 1", "refresh token 1", "access token 2", "refresh token 2", "access token 3", "refresh token 3",
	} {
		if len(seen[name]) < 16 {
			t.Errorf("the login had no %s", name)
		}
	}
	if (seen["client secret"] != "") != (method != methodNone) {
		t.Errorf("client secret %q of a client of %s", seen["client secret"], method)
	}
}

// Defect 12: the reference server stored secrets in clear.
func TestT39_ADumpOfRedisHasNoSecretAtAnyTime(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, fl *fleet) {
		for _, method := range []string{methodNone, methodPost} {
			seen := fl.everything(t, method, func(c canaries) {
				if found := c.found(fl.dump(t)); len(found) > 0 {
					t.Errorf("Redis has the %v", found)
				}
			})
			wantCanaries(t, seen, method)
			// The scan finds what is there.
			for name, secret := range seen {
				for i, planted := range []string{secret, "x" + strings.ToUpper(hex.EncodeToString([]byte(secret[strings.LastIndexByte(secret, '.')+1:]))) + "y"} {
					key := fl.prefix + ":{planted}:x"
					cmds := []error{
						fl.admin.Do(t.Context(), fl.admin.B().Hset().Key(key).FieldValue().FieldValue("f", planted).Build()).Error(),
						fl.admin.Do(t.Context(), fl.admin.B().Expire().Key(key).Seconds(60).Build()).Error(),
					}
					if found := seen.found(fl.dump(t)); len(found) != 1 || found[0] != name || cmds[0] != nil || cmds[1] != nil {
						t.Errorf("of a planted %s (%d) the scan finds %v; %v", name, i, found, cmds)
					}
				}
			}
			if err := fl.admin.Do(t.Context(), fl.admin.B().Del().Key(fl.prefix+":{planted}:x").Build()).Error(); err != nil {
				t.Error(err)
			}
		}
	})
}

// A journal keeps what is logged.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

var _ io.Writer = (*journal)(nil)

// Defect 12: the reference server logged the beginnings of codes.
func TestT40_TheDebugLogHasNoSecret(t *testing.T) {
	t.Parallel()
	var log journal
	logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	fl := oneFleet(t, func(o *Options) { o.Logger = logger })
	for _, method := range []string{methodNone, methodBasic} {
		seen := fl.everything(t, method, func(canaries) {})
		wantCanaries(t, seen, method)
		for name, secret := range seen {
			// Nor a beginning of one.
			value := secret[strings.LastIndexByte(secret, '.')+1:]
			if strings.Contains(log.String(), value[:8]) {
				t.Errorf("the log has the beginning of the %s", name)
			}
		}
		if found := seen.found(log.String()); len(found) > 0 {
			t.Errorf("the log has the %v:\n%s", found, &log)
		}
		var planted journal
		slog.New(slog.NewJSONHandler(&planted, nil)).Info("request", "url", "/callback?"+url.Values{"code": {seen["code"]}}.Encode())
		if found := seen.found(planted.String()); len(found) != 1 || found[0] != "code" {
			t.Errorf("of a planted code the scan finds %v", found)
		}
	}
	if text := log.String(); !strings.Contains(text, "client registered") || !strings.Contains(text, "grant revoked") {
		t.Errorf("the log lacks what an operator should know:\n%s", text)
	}
}

// What Redis keeps of the upstream's data is of no use without the cookie.
func TestSealedDataOpensForItsSecretAndContextOnly(t *testing.T) {
	t.Parallel()
	sealed := seal("secret", "context", []byte("data"))
	if data, err := unseal("secret", "context", sealed); err != nil || string(data) != "data" {
		t.Errorf("%q, %v", data, err)
	}
	changed := append([]byte(nil), sealed...)
	changed[len(changed)-1] ^= 1
	for name, f := range map[string]func() ([]byte, error){
		"another secret":  func() ([]byte, error) { return unseal("other", "context", sealed) },
		"another context": func() ([]byte, error) { return unseal("secret", "other", sealed) },
		"changed":         func() ([]byte, error) { return unseal("secret", "context", changed) },
		"nothing":         func() ([]byte, error) { return unseal("secret", "context", nil) },
	} {
		if data, err := f(); err == nil {
			t.Errorf("%s: %q", name, data)
		}
	}
}
