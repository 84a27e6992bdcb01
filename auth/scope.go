package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// checkScopes checks the scopes of options, which go into headers.
func checkScopes(o ResourceOptions) error {
	all := slices.Concat(o.Scopes, o.ScopesSupported)
	for scope, implied := range o.Implies {
		all = append(append(all, scope), implied...)
	}
	for _, scope := range all {
		if scope == "offline_access" {
			// It is between the client and the authorization server (MCP,
			// "Refresh Tokens").
			return errors.New("ResourceOptions: offline_access is not a resource's scope")
		}
		if scope == "" || strings.ContainsFunc(scope, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
			return fmt.Errorf("ResourceOptions: %q is not a scope", scope)
		}
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
func (r *Resource) authorize(req *http.Request, token *Token) error {
	needed, err := r.needed(req)
	if err != nil {
		return err
	}
	for _, scope := range needed {
		if !r.allows(token.Scopes, scope) {
			return &refusal{
				status: http.StatusForbidden, code: "insufficient_scope", scopes: needed,
				description: "the access token does not allow this",
			}
		}
	}
	return nil
}

// needed returns the scopes that a request needs, all of them, so that a client
// can get them in one go (MCP, "Runtime Insufficient Scope Errors").
func (r *Resource) needed(req *http.Request) ([]string, error) {
	needed := slices.Clone(r.opts.Scopes)
	if r.opts.ScopesFor == nil || req.Method != http.MethodPost {
		return needed, nil
	}
	operations, err := r.operations(req)
	if err != nil {
		return nil, err
	}
	for _, op := range operations {
		for _, scope := range r.opts.ScopesFor(op.method, op.name) {
			if !slices.Contains(needed, scope) {
				needed = append(needed, scope)
			}
		}
	}
	return needed, nil
}

// An operation is what a message asks for.
type operation struct{ method, name string }

// operations returns what the messages of a request ask for, and puts the body
// back. The body decides, also from protocol 2026-07-28 on, where headers repeat
// the method and the name: whether they say the same is checked only later, and
// not by every handler.
func (r *Resource) operations(req *http.Request) ([]operation, error) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, req.Body, r.opts.MaxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, &refusal{status: http.StatusRequestEntityTooLarge, code: "invalid_request", description: "the body is too large"}
	}
	if err != nil {
		return nil, &refusal{status: http.StatusBadRequest, code: "invalid_request", description: "the body could not be read"}
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	return operationsIn(body)
}

// operationsIn returns the operations of a message, or of a batch. What is no
// message asks for nothing: the handler refuses it in its own form.
func operationsIn(body []byte) ([]operation, error) {
	var batch []json.RawMessage
	if json.Unmarshal(body, &batch) != nil {
		batch = []json.RawMessage{body}
	}
	var operations []operation
	for _, message := range batch {
		var params, method json.RawMessage
		if err := fields(message, map[string]*json.RawMessage{"method": &method, "params": &params}); err != nil {
			return nil, err
		}
		op := operation{method: text(method)}
		if op.method == "" {
			continue // a response
		}
		var name, uri json.RawMessage
		if err := fields(params, map[string]*json.RawMessage{"name": &name, "uri": &uri}); err != nil {
			return nil, err
		}
		if op.name = text(name); op.name == "" {
			op.name = text(uri)
		}
		operations = append(operations, op)
	}
	return operations, nil
}

// fields finds fields of an object. The names are compared exactly, and none
// may be there twice: else the handler could read another one than we did.
func fields(object json.RawMessage, want map[string]*json.RawMessage) error {
	d := json.NewDecoder(bytes.NewReader(object))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil
	}
	for d.More() {
		field, err := d.Token()
		if err != nil {
			return nil
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return nil
		}
		name, _ := field.(string)
		into := want[name]
		switch {
		case into == nil && foldsToOne(name, want):
			return &refusal{status: http.StatusBadRequest, code: "invalid_request", description: "a field's name differs from a known one in case"}
		case into == nil:
		case *into != nil:
			return &refusal{status: http.StatusBadRequest, code: "invalid_request", description: "a field is there twice"}
		default:
			*into = value
		}
	}
	return nil
}

// foldsToOne reports whether a decoder that ignores case would take name for
// one of the wanted fields.
func foldsToOne(name string, want map[string]*json.RawMessage) bool {
	for wanted := range want {
		if strings.EqualFold(name, wanted) {
			return true
		}
	}
	return false
}

func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}
