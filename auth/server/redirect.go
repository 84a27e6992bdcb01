package server

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/mcpfleet/mcpfleet/internal/loopback"
)

// checkRedirectURI fails unless a client may be sent to uri at all: to https,
// to http on its own machine, or to one of the private-use schemes (OAuth 2.1,
// sections 2.3.1 and 8.4; MCP, "Communication Security"). It is asked at
// registration and again at each use: records live longer than rules.
func checkRedirectURI(uri string, schemes []string) error {
	if strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r == 0x7f || r > '~' || r == '\\' }) {
		return fmt.Errorf("redirect URI %q has characters that no URI has", uri)
	}
	u, err := url.Parse(uri)
	switch {
	case err != nil || !u.IsAbs():
		return fmt.Errorf("redirect URI %q is not an absolute URI", uri)
	case u.Fragment != "" || strings.Contains(uri, "#"):
		return fmt.Errorf("redirect URI %q has a fragment", uri)
	case u.User != nil:
		return fmt.Errorf("redirect URI %q names a user", uri)
	case u.Scheme == "https" && u.Hostname() != "":
		return nil
	case u.Scheme == "http" && loopback.IsHost(u.Hostname()):
		return nil
	case u.Scheme != "http" && slices.Contains(schemes, u.Scheme):
		return nil
	}
	return fmt.Errorf("redirect URI %q is neither https nor, on a loopback host, http", uri)
}

// matchRedirectURI reports whether uri is the registered one. They are compared
// as they are written; only the port of a loopback host may differ, because a
// native application takes the one that is free (OAuth 2.1, section 2.3.1).
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

// withoutLoopbackPort returns an http URI of a loopback host without its port,
// and the rest as it is written.
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
