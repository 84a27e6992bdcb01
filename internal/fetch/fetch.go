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
func Public() *http.Client { return client(guarded(net.DefaultResolver, 443)) }

// guarded returns a dialer that connects to one port of public addresses only.
func guarded(resolver *net.Resolver, port uint16) *net.Dialer {
	guard := ssrf.New(ssrf.WithPorts(port))
	return &net.Dialer{Timeout: Timeout, Resolver: resolver, Control: guard.Safe}
}

// Trusted returns a client for addresses that the operator chose.
func Trusted() *http.Client { return client(&net.Dialer{Timeout: Timeout}) }

func client(dialer *net.Dialer) *http.Client {
	return &http.Client{
		Timeout: Timeout,
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    Timeout,
			ResponseHeaderTimeout:  Timeout,
			MaxResponseHeaderBytes: 64 << 10,
			IdleConnTimeout:        30 * time.Second,
			MaxIdleConns:           16,
			MaxIdleConnsPerHost:    2,
			MaxConnsPerHost:        8,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// A Document is what was fetched.
type Document struct {
	Body   []byte
	MaxAge time.Duration // how long it may be cached; zero if it may not, or if that is not stated
}

// ErrRefused says that the other side has no such document, or something else in
// its place.
var ErrRefused = errors.New("there is no such document")

// JSON gets a document of at most maxBytes. It fails with [ErrRefused] for any
// response but 200 with a JSON body. Other errors may be temporary, such as that
// of a server that responds with 429 or 5xx.
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
	if res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= http.StatusInternalServerError {
		return Document{}, fmt.Errorf("fetch: status %d", res.StatusCode)
	}
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
	return Document{body, maxAge(res.Header)}, nil
}

func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json"))
}

// maxAge returns how long a response may be cached from now (RFC 9111, sections
// 5.1 and 5.2).
func maxAge(h http.Header) time.Duration {
	var age time.Duration
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return 0
		case "max-age":
			age = seconds(strings.Trim(value, `"`))
		}
	}
	return max(0, age-seconds(h.Get("Age")))
}

// seconds reads a number of seconds, of which more than a year is a year.
func seconds(text string) time.Duration {
	const year = 365 * 24 * 60 * 60
	n, err := strconv.ParseUint(text, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		n, err = year, nil
	}
	if err != nil {
		return 0
	}
	return time.Duration(min(n, year)) * time.Second
}
