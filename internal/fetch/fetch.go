// Package fetch gets JSON documents from elsewhere: bounded in size and time,
// never by way of a redirect, and, if others choose the address, from the
// public internet only.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"code.dny.dev/ssrf"
)

// Timeout bounds one fetch, from the look-up of the host to the body's end.
const Timeout = 5 * time.Second

// Public returns a client for addresses that others choose. It connects to
// port 443 of public addresses only, which is checked when the connection is
// made: what a name stood for a moment ago does not matter. It uses no proxy.
func Public() *http.Client {
	guard := ssrf.New(ssrf.WithPorts(443))
	return client(&net.Dialer{Timeout: Timeout, Control: guard.Safe})
}

// Trusted returns a client for addresses that the operator chose.
func Trusted() *http.Client { return client(&net.Dialer{Timeout: Timeout}) }

func client(dialer *net.Dialer) *http.Client {
	return &http.Client{
		Timeout: Timeout,
		Transport: &http.Transport{
			DialContext:           dialer.DialContext,
			ForceAttemptHTTP2:     true,
			TLSHandshakeTimeout:   Timeout,
			ResponseHeaderTimeout: Timeout,
			IdleConnTimeout:       30 * time.Second,
			MaxIdleConnsPerHost:   2,
			MaxConnsPerHost:       8,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// A Document is what was fetched.
type Document struct {
	Body   []byte
	MaxAge time.Duration // how long it may be kept; zero if nothing is said, or not at all
}

// ErrRefused says that the other side answered, but not with a document.
var ErrRefused = errors.New("there is no such document")

// JSON gets a document of at most maxBytes. It fails with [ErrRefused] for any
// answer but 200 with a JSON body; other errors may pass.
func JSON(ctx context.Context, c *http.Client, url string, maxBytes int64) (Document, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Document{}, fmt.Errorf("fetch: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	res, err := c.Do(req)
	if err != nil {
		return Document{}, fmt.Errorf("fetch: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return Document{}, fmt.Errorf("fetch: status %d: %w", res.StatusCode, ErrRefused)
	}
	if !isJSON(res.Header.Get("Content-Type")) {
		return Document{}, fmt.Errorf("fetch: not of a JSON type: %w", ErrRefused)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBytes+1))
	if err != nil {
		return Document{}, fmt.Errorf("fetch: %w", err)
	}
	if int64(len(body)) > maxBytes {
		return Document{}, fmt.Errorf("fetch: more than %d bytes: %w", maxBytes, ErrRefused)
	}
	return Document{body, maxAge(res.Header.Get("Cache-Control"))}, nil
}

func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json"))
}

// maxAge reads the part of Cache-Control that matters here.
func maxAge(header string) time.Duration {
	var age time.Duration
	for directive := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return 0
		case "max-age":
			if n, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 32); err == nil && n > 0 {
				age = time.Duration(n) * time.Second
			}
		}
	}
	return age
}
