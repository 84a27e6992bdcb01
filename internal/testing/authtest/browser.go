// Package authtest takes users through the login of the demo's authorization
// server, as a browser without scripts does.
package authtest

import (
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A Browser keeps the cookies of one user agent.
type Browser struct{ client http.Client }

// NewBrowser returns a browser without cookies.
func NewBrowser(t testing.TB) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Browser{http.Client{
		Jar: jar, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Login follows an authorization request of a client, consents, logs in as
// user, and returns the client's redirect URI as the browser is sent there.
func (b *Browser) Login(request, user string) (*url.URL, error) {
	consent, err := b.get(request)
	if err != nil {
		return nil, fmt.Errorf("consent page: %w", err)
	}
	login, err := b.submit(consent, url.Values{"decision": {"allow"}})
	if err != nil {
		return nil, fmt.Errorf("consent: %w", err)
	}
	page, err := b.get(login.refresh())
	if err != nil {
		return nil, fmt.Errorf("login page: %w", err)
	}
	done, err := b.submit(page, url.Values{"user": {user}, "decision": {"login"}})
	if err != nil {
		return nil, fmt.Errorf("login: %w", err)
	}
	res, err := b.client.Get(done.refresh())
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusSeeOther {
		return nil, fmt.Errorf("callback: status %d", res.StatusCode)
	}
	return res.Location()
}

// A page is what a browser shows.
type page struct{ text string }

func (b *Browser) get(location string) (page, error) {
	if location == "" {
		return page{}, errors.New("the page before leads nowhere")
	}
	return read(b.client.Get(location))
}

// submit sends the form of a page, with its hidden fields and some more.
func (b *Browser) submit(p page, fields url.Values) (page, error) {
	action := regexp.MustCompile(`<form method="post" action="([^"]*)"`).FindStringSubmatch(p.text)
	if action == nil {
		return page{}, fmt.Errorf("no form in %s", p.text)
	}
	for _, m := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`).FindAllStringSubmatch(p.text, -1) {
		fields.Set(m[1], html.UnescapeString(m[2]))
	}
	return read(b.client.Post(html.UnescapeString(action[1]), "application/x-www-form-urlencoded", strings.NewReader(fields.Encode())))
}

func read(res *http.Response, err error) (page, error) {
	if err != nil {
		return page{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", res.StatusCode, body)
	}
	return page{string(body)}, err
}

// refresh returns where a page leads by itself, empty if it does not.
func (p page) refresh() string {
	m := regexp.MustCompile(`<meta http-equiv="refresh" content="0;url=([^"]*)"`).FindStringSubmatch(p.text)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}
