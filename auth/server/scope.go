package server

import (
	"net/url"
	"slices"
	"strings"
)

// offlineAccess is the scope with which clients ask for a refresh token. They get
// one without it as well.
const offlineAccess = "offline_access"

// hasScope reports whether a scope is one of [Options.Scopes].
func (s *Server) hasScope(scope string) bool {
	return slices.ContainsFunc(s.opts.Scopes, func(known Scope) bool { return known.Name == scope })
}

// mayHave reports whether a client can be granted a scope. Only pre-registered
// clients are limited to their scopes: what a client registered itself with does
// not limit it, because the user decides.
func (s *Server) mayHave(client *Client, scope string) bool {
	limited := len(client.Scopes) > 0 && s.clients.preregistered(client.ID)
	return s.hasScope(scope) && (!limited || slices.Contains(client.Scopes, scope))
}

// scopesFor returns the scopes that a client asks for, or those it gets if it
// asks for none, sorted. Those that it cannot be granted are left out, as clients
// ask for openid wherever they log in; the token response says what it was granted
// (OAuth 2.1, section 1.4.1). It fails if none is left.
func (s *Server) scopesFor(client *Client, requested string) ([]string, error) {
	asked := s.requestedScopes(requested)
	if len(asked) == 0 {
		return s.defaultScopes(client), nil
	}
	scopes := slices.DeleteFunc(slices.Clone(asked), func(scope string) bool { return !s.mayHave(client, scope) })
	if len(scopes) == 0 {
		return nil, refuse("invalid_scope", "the client cannot be granted scope %.40s", asked[0])
	}
	return scopes, nil
}

// scopesWithin returns the scopes that a client asks for of those that it was
// granted, or all of them (OAuth 2.1, section 4.3.1). Those that it cannot be
// granted are left out, as they were from the grant; it fails for one that it
// could have been granted and was not, and if none is left.
func (s *Server) scopesWithin(client *Client, granted []string, requested string) ([]string, error) {
	asked := s.requestedScopes(requested)
	if len(asked) == 0 {
		return granted, nil
	}
	var scopes []string
	for _, scope := range asked {
		switch {
		case slices.Contains(granted, scope):
			scopes = append(scopes, scope)
		case s.mayHave(client, scope):
			return nil, refuse("invalid_scope", "the scope exceeds what was granted")
		}
	}
	if len(scopes) == 0 {
		return nil, refuse("invalid_scope", "the scope names none that was granted")
	}
	return scopes, nil
}

// requestedScopes returns the scopes in a parameter, sorted, each once, without
// offline_access. If the server has no scopes, it returns none.
func (s *Server) requestedScopes(requested string) []string {
	if len(s.opts.Scopes) == 0 {
		return nil
	}
	scopes := slices.DeleteFunc(strings.Fields(requested), func(scope string) bool { return scope == offlineAccess })
	slices.Sort(scopes)
	return slices.Compact(scopes)
}

// defaultScopes returns the scopes of a client that requests none: the default
// scopes that it is registered with, or, if there are none, all scopes that it is
// registered with.
func (s *Server) defaultScopes(client *Client) []string {
	known := slices.DeleteFunc(slices.Clone(client.Scopes), func(scope string) bool { return !s.hasScope(scope) })
	if len(known) == 0 {
		known = s.opts.DefaultScopes
	}
	scopes := slices.DeleteFunc(slices.Clone(s.opts.DefaultScopes), func(scope string) bool { return !slices.Contains(known, scope) })
	if len(scopes) == 0 {
		scopes = slices.Clone(known)
	}
	slices.Sort(scopes)
	return slices.Compact(scopes)
}

// narrow returns the resources that a token is for (RFC 8707, section 2.2). It
// fails unless the requested ones are among those that were granted, or, if
// granted is empty, among all known ones. If none are requested, it returns those
// that were granted, or the first known one.
func narrow(known, granted, requested []string) ([]string, error) {
	if len(requested) == 0 {
		if len(granted) > 0 {
			return granted, nil
		}
		return known[:1], nil
	}
	if len(granted) == 0 {
		granted = known
	}
	var resources []string
	for _, one := range requested {
		i := slices.IndexFunc(granted, func(resource string) bool { return canonical(resource) == canonical(one) })
		if i < 0 {
			return nil, refuse("invalid_target", "tokens for resource %.200s are not issued here", one)
		}
		if !slices.Contains(resources, granted[i]) {
			resources = append(resources, granted[i])
		}
	}
	return resources, nil
}

// canonical returns the form in which resource identifiers are compared: clients
// may write scheme and host in upper case, and an empty path as a slash (MCP,
// "Canonical Server URI").
func canonical(resource string) string {
	u, err := url.Parse(resource)
	if err != nil || u.Fragment != "" {
		return resource
	}
	u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	if u.Path == "/" {
		u.Path = ""
	}
	return u.String()
}
