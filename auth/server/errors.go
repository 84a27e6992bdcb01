package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// An oauthError is what a client is told in the form of OAuth 2.1, sections
// 4.1.2.1 and 3.2.4. Its description is for the client's developer and has
// nothing of ours in it.
type oauthError struct {
	status      int
	code        string
	description string
}

func (e *oauthError) Error() string { return e.code + ": " + e.description }

func refuse(code, format string, args ...any) *oauthError {
	status := http.StatusBadRequest
	if code == "invalid_client" {
		status = http.StatusUnauthorized
	}
	return &oauthError{status, code, printable(fmt.Sprintf(format, args...))}
}

// printable keeps to the characters that an error_description may have
// (OAuth 2.1, section 3.2.4); what clients send is quoted in some.
func printable(text string) string {
	out := []byte(text)
	for i, c := range out {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			out[i] = '\''
		}
	}
	return string(out)
}

// errorFor returns what a client is told of err. What is our own trouble is
// logged, and the client learns no more than whether to try again.
func (s *Server) errorFor(r *http.Request, err error) *oauthError {
	if refused, ok := errors.AsType[*oauthError](err); ok {
		return refused
	}
	if tooMany, ok := errors.AsType[*tooManyError](err); ok {
		return &oauthError{http.StatusTooManyRequests, "too_many_requests", tooMany.Error()}
	}
	if errors.Is(err, redisx.ErrUnavailable) {
		s.logger.WarnContext(r.Context(), "request not served", "path", r.URL.Path, "error", err)
		return &oauthError{http.StatusServiceUnavailable, "temporarily_unavailable", "the authorization server cannot reach its store"}
	}
	s.logger.ErrorContext(r.Context(), "request failed", "path", r.URL.Path, "error", err)
	return &oauthError{http.StatusInternalServerError, "server_error", "the authorization server failed"}
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

// retryAfter tells a client when it may try again, if it may.
func retryAfter(w http.ResponseWriter, e *oauthError, err error) {
	if tooMany, ok := errors.AsType[*tooManyError](err); ok {
		w.Header().Set("Retry-After", tooMany.retryAfter())
	} else if e.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
}

// isInvalidClient reports whether a client could not prove who it is.
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
