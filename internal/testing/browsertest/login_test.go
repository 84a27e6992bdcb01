package browsertest

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// A login is a client's way to a token, in a window.
type login struct {
	*fleet
	*window
	client, verifier string
	request          url.Values
}

func (fl *fleet) login(w *window, client string) *login {
	l := &login{fleet: fl, window: w, client: client, verifier: rand.Text() + rand.Text()}
	sum := sha256.Sum256([]byte(l.verifier))
	l.request = url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {fl.client + "/callback"}, "state": {"the state"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	return l
}

// ask has the client's page lead to the authorization server.
func (l *login) ask() {
	l.Helper()
	l.do(chromedp.Navigate(l.fleet.client + "/?to=" + url.QueryEscape(l.url+"/authorize?"+l.request.Encode())))
	l.click("#go")
	l.await("h1")
}

// back waits for the client's callback and returns what it was told.
func (l *login) back() url.Values {
	l.Helper()
	l.await("#done")
	at, err := url.Parse(run(l.window, chromedp.Location()))
	if err != nil {
		l.Fatal(err)
	}
	q := at.Query()
	if !strings.HasPrefix(at.String(), l.fleet.client+"/callback?") || q.Get("state") != "the state" || q.Get("iss") != l.url {
		l.Errorf("the client got %s", at)
	}
	return q
}

// token exchanges the code.
func (l *login) token(code string) string {
	l.Helper()
	res, err := http.PostForm(l.url+"/token", url.Values{
		"grant_type": {"authorization_code"}, "client_id": {l.client}, "code": {code}, "code_verifier": {l.verifier}, "redirect_uri": l.request["redirect_uri"],
	})
	if err != nil {
		l.Fatal(err)
	}
	defer res.Body.Close()
	var body struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil || body.Token == "" {
		l.Fatalf("token: %s, %v", res.Status, err)
	}
	return body.Token
}

// register registers a client that nobody knows, with a redirect URI.
func (fl *fleet) register(t *testing.T, name, redirect string) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"client_name": name, "redirect_uris": []string{redirect}, "token_endpoint_auth_method": "none"})
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post(fl.url+"/register", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var client struct {
		ID string `json:"client_id"`
	}
	if err := json.NewDecoder(res.Body).Decode(&client); err != nil || client.ID == "" {
		t.Fatalf("register: %s, %v", res.Status, err)
	}
	return client.ID
}

func TestLoginByMouseInEveryLook(t *testing.T) {
	t.Parallel()
	b, fl := newBrowser(t), newFleet(t)
	for _, look := range looks {
		t.Run(look.name, func(t *testing.T) {
			t.Parallel()
			w := b.window(t, look)
			l := fl.login(w, fl.register(t, longName, fl.client+"/callback"))
			l.ask()
			w.page("consent")
			w.click("button[value=allow]")
			w.await("#user") // the page in between leads here by itself
			w.page("login")
			w.click("button[value=login]")
			if token := l.token(l.back().Get("code")); !strings.HasPrefix(token, "mcpa_") && !strings.HasPrefix(token, "mcpa.") {
				t.Errorf("token %.5s…", token)
			}
		})
	}
}

func TestDenyInEveryLook(t *testing.T) {
	t.Parallel()
	b, fl := newBrowser(t), newFleet(t)
	for _, look := range looks {
		t.Run(look.name, func(t *testing.T) {
			t.Parallel()
			w := b.window(t, look)
			w.shots = 10
			// Whom nobody knows is not gone to without the user's asking.
			l := fl.login(w, fl.register(t, "Notebook", fl.client+"/callback"))
			l.ask()
			w.click("button[value=deny]")
			w.await("a.button")
			w.page("denied")
			w.click("a.button")
			if q := l.back(); q.Get("error") != "access_denied" || q.Has("code") {
				t.Errorf("the client got %v", q)
			}
			// A client that the operator knows is told at once.
			l = fl.login(w, "known")
			l.ask()
			w.page("consent-known")
			w.click("button[value=deny]")
			if q := l.back(); q.Get("error") != "access_denied" {
				t.Errorf("the client got %v", q)
			}
			// And so it is if the user cancels the login.
			l = fl.login(w, "known")
			l.ask()
			w.click("button[value=allow]")
			w.await("#user")
			w.click("button[value=cancel]")
			if q := l.back(); q.Get("error") != "access_denied" {
				t.Errorf("the client got %v", q)
			}
		})
	}
}

func TestProblemsInEveryLook(t *testing.T) {
	t.Parallel()
	b, fl := newBrowser(t), newFleet(t)
	for _, look := range looks {
		t.Run(look.name, func(t *testing.T) {
			t.Parallel()
			w := b.window(t, look)
			w.shots = 20
			l := fl.login(w, "known")
			l.request.Set("scope", "no-such-scope")
			l.ask()
			w.page("problem")
			w.click("a.button")
			if q := l.back(); q.Get("error") != "invalid_scope" {
				t.Errorf("the client got %v", q)
			}
			l = fl.login(w, fl.register(t, "Web \u202e<b>bold</b>", "https://client.example/callback"))
			l.request.Set("redirect_uri", "https://client.example/callback")
			l.ask()
			w.page("consent-web")
			w.do(chromedp.Navigate(fl.url + "/fakeupstreamauth/authorize?state=x"))
			w.await("#user")
			w.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("form").noValidate = true`))
			w.click("#edit")
			w.do(chromedp.SetValue(chromedp.CSS("#user"), "a\u202eb"))
			w.click("button[value=login]")
			w.await("#wrong")
			w.page("login-wrong")
			w.forgive() // the browser reports the statuses of these pages
		})
	}
}

func TestLoginByKeyboard(t *testing.T) {
	t.Parallel()
	w := newBrowser(t).window(t, looks[0])
	fl := newFleet(t)
	l := fl.login(w, "known")
	l.ask()
	press := func(keys string) { w.do(chromedp.KeyEvent(keys)) }
	focused := func() string { return eval[string](w, "document.activeElement.value || document.activeElement.id") }
	press(kb.Tab)
	if got := focused(); got != "allow" {
		t.Fatalf("the first is %q", got)
	}
	if eval[string](w, "getComputedStyle(document.activeElement).outlineStyle") != "solid" {
		t.Error("where the focus is cannot be seen")
	}
	w.shots = 30
	w.page("focus")
	press(kb.Tab)
	if got := focused(); got != "deny" {
		t.Fatalf("the second is %q", got)
	}
	w.do(chromedp.Focus(chromedp.CSS("button[value=allow]")))
	press(kb.Enter)
	w.await("#user")
	w.do(chromedp.Focus(chromedp.CSS("#edit")))
	press(kb.Enter)
	if got := eval[string](w, "document.activeElement.id"); got != "user" {
		t.Fatalf("edit leads to %q", got)
	}
	w.do(chromedp.KeyEvent("alice")) // instead of what was selected
	press(kb.Enter)
	l.token(l.back().Get("code"))
	l.ask()
	w.click("button[value=allow]")
	w.await("#user")
	if got := eval[string](w, "document.getElementById('user').value"); got != "alice" {
		t.Errorf("the browser remembers %q", got)
	}
}

func TestFakeLoginKnowsItsBrowser(t *testing.T) {
	t.Parallel()
	b, fl := newBrowser(t), newFleet(t)
	user := func(w *window) string {
		l := fl.login(w, "known")
		l.ask()
		w.click("button[value=allow]")
		w.await("#tools")
		return eval[string](w, "document.getElementById('user').value")
	}
	one, other := b.window(t, looks[0]), b.window(t, looks[0])
	first := user(one)
	if first == "" || first != user(one) || first != eval[string](one, "localStorage.getItem('mcpUserId')") {
		t.Errorf("the same window is another user")
	}
	if first == user(other) {
		t.Error("two private windows are the same user")
	}
	if !eval[bool](one, "document.getElementById('user').readOnly") {
		t.Error("the id can be changed by accident")
	}
	one.click("#new")
	second := eval[string](one, "document.getElementById('user').value")
	if second == first || len(second) != 36 {
		t.Errorf("the new id is %q", second)
	}
	if got := user(one); got != second {
		t.Errorf("the window is %q afterwards", got)
	}
}

func TestLoginWithoutScript(t *testing.T) {
	t.Parallel()
	w := newBrowser(t).window(t, looks[2])
	fl := newFleet(t)
	if _, err := chromedp.Call(w.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	l := fl.login(w, "known")
	l.ask()
	w.click("button[value=allow]")
	w.await("#user")
	w.shots = 40
	w.picture("no-script-login.png")
	w.do(chromedp.SendKeys(chromedp.CSS("#user"), "x"))
	w.click("button[value=login]")
	l.token(l.back().Get("code"))
}
