package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/mcpfleet/mcpfleet/internal/bodylimit"
)

// An operation is the method of a message and the name that it is about.
type operation struct{ method, name string }

// operations returns the operations of the messages in a request's body, and puts
// the body back. From protocol 2026-07-28 on, headers repeat method and name, but
// the body decides: not every handler checks that the two agree.
func (r *Resource) operations(w http.ResponseWriter, req *http.Request) ([]operation, error) {
	if bodylimit.IsEncoded(w, req) {
		e := refuse("invalid_request", "the body's Content-Encoding must be identity")
		e.status = http.StatusUnsupportedMediaType
		return nil, e
	}
	data, err := io.ReadAll(http.MaxBytesReader(nil, bodylimit.Body(w, req, bodylimit.MessageTime), r.opts.MaxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		e := refuse("invalid_request", "the body is too large")
		e.status = http.StatusRequestEntityTooLarge
		return nil, e
	}
	if err != nil {
		return nil, malformed("the body could not be read")
	}
	req.Body = io.NopCloser(bytes.NewReader(data))
	return operationsIn(data)
}

// malformed refuses a body that the handler might read in another way than this
// package: what it asks for is then not known, so it cannot be allowed.
func malformed(description string) error {
	return refuse("invalid_request", description)
}

// operationsIn returns the operations of a message or of a batch. A response has
// none.
func operationsIn(body []byte) ([]operation, error) {
	if !json.Valid(body) || !utf8.Valid(body) {
		return nil, malformed("the body is not JSON")
	}
	messages := []json.RawMessage{body}
	if bytes.TrimLeft(body, " \t\r\n")[0] == '[' {
		if err := json.Unmarshal(body, &messages); err != nil {
			return nil, malformed("the body is not JSON")
		}
	}
	var operations []operation
	for _, message := range messages {
		found, err := operationsOf(message)
		if err != nil {
			return nil, err
		}
		operations = append(operations, found...)
	}
	return operations, nil
}

// operationsOf returns the operations of one message.
func operationsOf(message json.RawMessage) ([]operation, error) {
	found, err := fields(message, "method", "params")
	if err != nil || found["method"] == nil {
		return nil, err
	}
	method, err := text(found["method"])
	if err != nil {
		return nil, err
	}
	if method == "" {
		return nil, malformed("a method without a name")
	}
	names, err := namesIn(method, found["params"])
	var operations []operation
	for _, name := range names {
		operations = append(operations, operation{method, name})
	}
	return operations, err
}

// namesIn returns the names that [ResourceOptions.ScopesFor] is called with for a
// method.
func namesIn(method string, params json.RawMessage) ([]string, error) {
	field := ""
	switch method {
	case "tools/call", "prompts/get":
		field = "name"
	case "resources/read", "resources/subscribe", "resources/unsubscribe":
		field = "uri"
	case "subscriptions/listen":
		return listened(params)
	default:
		return []string{""}, nil
	}
	found, err := fields(params, field)
	if err != nil {
		return nil, err
	}
	name, err := text(found[field])
	return []string{name}, err
}

// listened returns the resources that a listener subscribes to, besides the
// empty name for the method itself (specification 2026-07-28, "Subscriptions").
func listened(params json.RawMessage) ([]string, error) {
	found, err := fields(params, "notifications")
	if err != nil {
		return nil, err
	}
	if found, err = fields(found["notifications"], "resourceSubscriptions"); err != nil {
		return nil, err
	}
	names := []string{""}
	if raw := found["resourceSubscriptions"]; raw != nil {
		var uris []*string
		if json.Unmarshal(raw, &uris) != nil {
			return nil, malformed("a field has another type than it should")
		}
		for _, uri := range uris {
			if uri == nil {
				return nil, malformed("a field has another type than it should")
			}
			names = append(names, *uri)
		}
	}
	return names, nil
}

// fields returns the wanted fields that an object has. It fails if one of them is
// there twice or in another case, because the handler could then read another one.
// An object that is absent or null has no fields.
func fields(object json.RawMessage, wanted ...string) (map[string]json.RawMessage, error) {
	if object == nil || string(object) == "null" {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(object))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, malformed("a field has another type than it should")
	}
	found := map[string]json.RawMessage{}
	for d.More() {
		name, err := d.Token()
		var value json.RawMessage
		if err == nil {
			err = d.Decode(&value)
		}
		if err != nil {
			return nil, malformed("the body is not JSON")
		}
		for _, want := range wanted {
			switch {
			case !strings.EqualFold(name.(string), want): // the name of a field is a string
			case name != want:
				return nil, malformed("the name of a field differs from a known one in case")
			case found[want] != nil:
				return nil, malformed("a field is there twice")
			default:
				found[want] = value
			}
		}
	}
	return found, nil
}

// text returns a string, empty for what is absent or null.
func text(raw json.RawMessage) (string, error) {
	var s string
	if raw != nil && json.Unmarshal(raw, &s) != nil {
		return "", malformed("a field has another type than it should")
	}
	return s, nil
}
