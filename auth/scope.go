package auth

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// checkScopes checks the scopes of the options, which are written into headers.
func checkScopes(o *ResourceOptions) error {
	all := slices.Concat(o.Scopes, o.ScopesSupported)
	for scope, implied := range o.Implies {
		all = append(append(all, scope), implied...)
	}
	for _, scope := range all {
		if err := checkScope(scope); err != nil {
			return fmt.Errorf("ResourceOptions: %w", err)
		}
	}
	return nil
}

func checkScope(scope string) error {
	if scope == "offline_access" {
		// It concerns only the client and the authorization server (MCP, "Refresh
		// Tokens").
		return errors.New("offline_access is not a resource's scope")
	}
	if scope == "" || strings.ContainsFunc(scope, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
		return fmt.Errorf("%q is not a scope", scope)
	}
	return nil
}

// closure returns for every scope all the scopes that it contains.
func closure(implies map[string][]string) map[string][]string {
	all := map[string][]string{}
	for scope := range implies {
		contained := []string{scope}
		for i := 0; i < len(contained); i++ {
			for _, next := range implies[contained[i]] {
				if !slices.Contains(contained, next) {
					contained = append(contained, next)
				}
			}
		}
		all[scope] = contained
	}
	return all
}

// allows reports whether granted scopes contain one.
func (r *Resource) allows(granted []string, scope string) bool {
	return slices.ContainsFunc(granted, func(g string) bool {
		return g == scope || slices.Contains(r.implied[g], scope)
	})
}

// authorize fails unless the token allows what the request asks for.
func (r *Resource) authorize(w http.ResponseWriter, req *http.Request, token *Token) error {
	needed, err := r.needed(w, req)
	if err != nil {
		return err
	}
	for _, scope := range needed {
		if !r.allows(token.Scopes, scope) {
			e := refuse("insufficient_scope", "the access token does not allow this")
			e.scopes = needed
			return e
		}
	}
	return nil
}

// needed returns the scopes that a request needs, all of them, so that a client
// can get them in one go (MCP, "Runtime Insufficient Scope Errors").
func (r *Resource) needed(w http.ResponseWriter, req *http.Request) ([]string, error) {
	needed := slices.Clone(r.opts.Scopes)
	if r.opts.ScopesFor == nil || req.Method != http.MethodPost {
		return needed, nil
	}
	operations, err := r.operations(w, req)
	if err != nil {
		return nil, err
	}
	for _, op := range operations {
		for _, scope := range r.opts.ScopesFor(op.method, op.name) {
			if slices.Contains(needed, scope) {
				continue
			}
			if err := checkScope(scope); err != nil {
				return nil, fmt.Errorf("ResourceOptions.ScopesFor: %w", err)
			}
			needed = append(needed, scope)
		}
	}
	return needed, nil
}
