package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// An oauthError is an error that a client is told (OAuth 2.1, sections 3.2.4 and
// 4.1.2.1). Its description is for the client's developer and reveals nothing
// internal.
type oauthError struct {
	status      int
	code        string
	description string
}

func (e *oauthError) Error() string { return e.code + ": " + e.description }

// refuse returns the error with that code and the status that belongs to it.
func refuse(code, format string, args ...any) *oauthError {
	status := http.StatusBadRequest
	switch code {
	case "invalid_client":
		status = http.StatusUnauthorized
	case "access_denied":
		status = http.StatusForbidden
	case "too_many_requests":
		status = http.StatusTooManyRequests
	case "server_error":
		status = http.StatusInternalServerError
	case "temporarily_unavailable":
		status = http.StatusServiceUnavailable
	}
	return &oauthError{status, code, printable(fmt.Sprintf(format, args...))}
}

// printable replaces the characters that an error_description may not have (OAuth
// 2.1, section 3.2.4). Some descriptions quote what the client sent.
func printable(text string) string {
	out := []byte(text)
	for i, c := range out {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			out[i] = '\''
		}
	}
	return string(out)
}

// errorFor returns what a client is told of err. Errors that are not the
// client's are logged, and the client learns only whether to try again.
func (s *Server) errorFor(r *http.Request, err error) *oauthError {
	if refused, ok := errors.AsType[*oauthError](err); ok {
		return refused
	}
	if tooMany, ok := errors.AsType[*tooManyError](err); ok {
		return refuse("too_many_requests", "%v", tooMany)
	}
	if errors.Is(err, redisx.ErrUnavailable) {
		s.logger.WarnContext(r.Context(), "request not served", "path", r.URL.Path, "error", err)
		return refuse("temporarily_unavailable", "the authorization server cannot reach its store")
	}
	s.logger.ErrorContext(r.Context(), "request failed", "path", r.URL.Path, "error", err)
	return refuse("server_error", "the authorization server failed")
}

// fail responds to a program with an error (OAuth 2.1, section 3.2.4).
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := s.errorFor(r, err)
	if e.status == http.StatusUnauthorized { // RFC 9110, section 15.5.2
		w.Header().Set("WWW-Authenticate", `Basic realm="`+printable(s.opts.Issuer)+`"`)
	}
	retryAfter(w, e, err)
	writeJSON(w, e.status, map[string]string{"error": e.code, "error_description": e.description})
}

// retryAfter sets the header that tells a client when it may try again.
func retryAfter(w http.ResponseWriter, e *oauthError, err error) {
	if tooMany, ok := errors.AsType[*tooManyError](err); ok {
		w.Header().Set("Retry-After", tooMany.retryAfter())
	} else if e.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
}

// isInvalidClient reports whether client authentication failed.
func isInvalidClient(err error) bool {
	refused, ok := errors.AsType[*oauthError](err)
	return ok && refused.code == "invalid_client"
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that has gone needs no response
}
