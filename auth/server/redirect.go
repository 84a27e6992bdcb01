package server

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mcpfleet/mcpfleet/internal/loopback"
)

// usableRedirectURIs returns those of a client's redirect URIs that can be used. A
// client lists all that it may ever need, at any server, so one that cannot be used
// here says nothing of the others. It fails if none is left, and says why the first
// one is not.
func usableRedirectURIs(uris, schemes []string) ([]string, error) {
	var usable []string
	var first error
	for _, uri := range uris {
		err := checkRedirectURI(uri, schemes)
		if len(uri) > maxURILength {
			err = fmt.Errorf("a redirect URI has more than %d characters", maxURILength)
		}
		if err != nil {
			first = cmp.Or(first, err)
			continue
		}
		usable = append(usable, uri)
	}
	if len(usable) == 0 {
		return nil, cmp.Or(first, errors.New("redirect_uris is missing or empty"))
	}
	return usable, nil
}

// checkRedirectURI fails unless uri may be a redirect URI at all: https, http on a
// loopback host, or one of the private-use schemes (OAuth 2.1, sections 2.3.1 and
// 8.4; MCP, "Communication Security"). It is called at registration and again at
// each use, because the rules may have become stricter.
func checkRedirectURI(uri string, schemes []string) error {
	if strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r == 0x7f || r > '~' || r == '\\' }) {
		return fmt.Errorf("redirect URI %.200q has characters that no URI has", uri)
	}
	u, err := url.Parse(uri)
	switch {
	case err != nil || !u.IsAbs():
		return fmt.Errorf("redirect URI %.200q is not an absolute URI", uri)
	case u.Fragment != "" || strings.Contains(uri, "#"):
		return fmt.Errorf("redirect URI %.200q has a fragment", uri)
	case u.User != nil:
		return fmt.Errorf("redirect URI %.200q names a user", uri)
	case u.Scheme == "https" && u.Hostname() != "":
		return nil
	case u.Scheme == "http" && loopback.IsHost(u.Hostname()):
		return nil
	case ValidRedirectScheme(u.Scheme) && slices.Contains(schemes, u.Scheme):
		return nil
	}
	return fmt.Errorf("redirect URI %.200q is neither https nor, on a loopback host, http, nor of an application's scheme that is accepted here", uri)
}

// ValidRedirectScheme reports whether a scheme can be one of
// [Options.RedirectSchemes]: it has the form of RFC 3986, section 3.1, in lower
// case and without a colon, and no browser or system is known to open it itself.
// Such schemes, javascript and data among them, are never accepted.
func ValidRedirectScheme(scheme string) bool {
	return isScheme.MatchString(scheme) && !slices.Contains(foreignSchemes, scheme)
}

// isScheme is the grammar of RFC 3986, section 3.1, in lower case, in which
// schemes are compared.
var isScheme = regexp.MustCompile(`^[a-z][a-z0-9+.-]*$`)

// foreignSchemes are schemes that browsers and systems open themselves, and so
// not those of applications.
var foreignSchemes = []string{
	"about", "blob", "chrome", "chrome-extension", "cid", "content", "data", "edge", "feed", "file", "filesystem", "ftp", "gopher", "http", "https",
	"intent", "jar", "javascript", "ldap", "livescript", "mailto", "mhtml", "mid", "mk", "mocha", "moz-extension", "ms-its", "resource", "sms",
	"smb", "ssh", "tel", "telnet", "urn", "vbscript", "view-source", "ws", "wss",
}

// matchRedirectURI reports whether uri is the registered one. They are compared
// character by character; only the port of a loopback host may differ, because a
// native application uses any free port (OAuth 2.1, section 2.3.1).
func matchRedirectURI(registered, uri string) bool {
	if registered == uri {
		return true
	}
	a, ok := withoutLoopbackPort(registered)
	if !ok {
		return false
	}
	b, ok := withoutLoopbackPort(uri)
	return ok && a == b
}

// withoutLoopbackPort returns an http URI of a loopback host without its scheme and
// port, and otherwise unchanged.
func withoutLoopbackPort(uri string) (string, bool) {
	rest, ok := strings.CutPrefix(uri, "http://")
	if !ok {
		return "", false
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, path := rest[:end], rest[end:]
	host, port := authority, ""
	// An IPv6 address has colons of its own.
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		host, port = authority[:i], authority[i+1:]
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", false
		}
	}
	if !loopback.IsHost(strings.Trim(host, "[]")) {
		return "", false
	}
	return host + path, true
}
