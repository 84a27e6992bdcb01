package server

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"unicode/utf8"
)

// maxBody bounds the bodies of all requests: the largest is a registration.
const maxBody = 64 << 10

// params are the parameters of a request. Only resource may be there several
// times, and an empty parameter counts as absent (OAuth 2.1, sections 3.1 and
// 3.2.2).
type params url.Values

func (p params) get(name string) string { return url.Values(p).Get(name) }

func parseParams(encoded string) (params, error) {
	values, err := url.ParseQuery(encoded)
	if err != nil {
		return nil, refuse("invalid_request", "the parameters are not well-formed")
	}
	p := params{}
	for name, all := range values {
		for _, v := range all {
			if !utf8.ValidString(v) {
				// JSON would change it.
				return nil, refuse("invalid_request", "parameter %.40s is not UTF-8", name)
			}
			if v != "" {
				p[name] = append(p[name], v)
			}
		}
		if len(all) > 1 && name != "resource" {
			return nil, refuse("invalid_request", "parameter %.40s appears more than once", name)
		}
	}
	return p, nil
}

// formParams reads the parameters of a request's body.
func formParams(r *http.Request) (params, error) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/x-www-form-urlencoded" {
		return nil, refuse("invalid_request", "the body must be application/x-www-form-urlencoded")
	}
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	return parseParams(string(body))
}

func readBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		e := refuse("invalid_request", "the body has more than %d bytes", tooLarge.Limit)
		e.status = http.StatusRequestEntityTooLarge
		return nil, e
	}
	if err != nil {
		return nil, refuse("invalid_request", "the body could not be read")
	}
	return body, nil
}
