package server

import (
	"net/url"
	"slices"
	"strings"
)

// offlineAccess is what clients ask for that want a refresh token, which they
// get anyway.
const offlineAccess = "offline_access"

// unknownScope returns the first scope that there is not, empty if there is none.
func (s *Server) unknownScope(scopes []string) string {
	for _, scope := range scopes {
		if !slices.ContainsFunc(s.opts.Scopes, func(known Scope) bool { return known.Name == scope }) {
			return scope
		}
	}
	return ""
}

// scopesFor returns the scopes that a client asks for, or those it gets if it
// asks for none, sorted.
func (s *Server) scopesFor(client *Client, asked string) ([]string, error) {
	scopes := s.askedScopes(asked)
	if len(scopes) == 0 {
		return s.defaultScopes(client), nil
	}
	if unknown := s.unknownScope(scopes); unknown != "" {
		return nil, refuse("invalid_scope", "there is no scope %.40s", unknown)
	}
	// What a client once said of itself binds nobody: the user decides.
	if len(client.Scopes) == 0 || !s.clients.preregistered(client.ID) {
		return scopes, nil
	}
	for _, scope := range scopes {
		if !slices.Contains(client.Scopes, scope) {
			return nil, refuse("invalid_scope", "the client may not ask for scope %.40s", scope)
		}
	}
	return scopes, nil
}

// scopesWithin returns the scopes that a client asks for of those that it was
// granted, or all of them (OAuth 2.1, section 4.3.1).
func (s *Server) scopesWithin(granted []string, asked string) ([]string, error) {
	scopes := s.askedScopes(asked)
	if len(scopes) == 0 {
		return granted, nil
	}
	if slices.ContainsFunc(scopes, func(scope string) bool { return !slices.Contains(granted, scope) }) {
		return nil, refuse("invalid_scope", "the scope exceeds what was granted")
	}
	return scopes, nil
}

// askedScopes returns the scopes in a parameter that mean something here,
// sorted, each once.
func (s *Server) askedScopes(asked string) []string {
	if len(s.opts.Scopes) == 0 {
		return nil
	}
	scopes := slices.DeleteFunc(strings.Fields(asked), func(scope string) bool { return scope == offlineAccess })
	slices.Sort(scopes)
	return slices.Compact(scopes)
}

// defaultScopes returns what a client gets that asks for nothing: of the default
// scopes those that it is registered with, or all of these if none is among them.
func (s *Server) defaultScopes(client *Client) []string {
	known := slices.DeleteFunc(slices.Clone(client.Scopes), func(scope string) bool { return s.unknownScope([]string{scope}) != "" })
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

// narrow returns which resources a token is for (RFC 8707, section 2.2): those
// that are asked for, if all of them were granted; else all, or of everything
// the first, because clients may ask for none.
func narrow(known, granted, asked []string) ([]string, error) {
	if len(asked) == 0 {
		if len(granted) > 0 {
			return granted, nil
		}
		return known[:1], nil
	}
	if len(granted) == 0 {
		granted = known
	}
	var resources []string
	for _, one := range asked {
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

// canonical returns a resource identifier as it is compared: clients write the
// scheme and the host in upper case, or a slash for no path (MCP, "Canonical
// Server URI").
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
