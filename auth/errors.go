package auth

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/bodylimit"
)

// An oauthError is an error that a client is told (OAuth 2.1, section 5.3). Its
// description is for the client's developer and reveals nothing internal.
type oauthError struct {
	status      int
	code        string // empty if the request has no token, which is not an error
	description string
	scopes      []string // that the request needs; nil for [ResourceOptions.Scopes]
}

func (e *oauthError) Error() string { return e.description }

// refuse returns the error with that code and the status that belongs to it
// (OAuth 2.1, section 5.3.2).
func refuse(code, description string) *oauthError {
	status := http.StatusUnauthorized
	switch code {
	case "invalid_request":
		status = http.StatusBadRequest
	case "insufficient_scope":
		status = http.StatusForbidden
	case "server_error":
		status = http.StatusInternalServerError
	case "temporarily_unavailable":
		status = http.StatusServiceUnavailable
	}
	return &oauthError{status: status, code: code, description: description}
}

// errorFor returns what a client is told of err. Errors that are not the
// client's are logged, and the client learns only whether to try again.
func (r *Resource) errorFor(req *http.Request, err error) *oauthError {
	if refused, ok := errors.AsType[*oauthError](err); ok {
		return refused
	}
	if req.Context().Err() != nil {
		// The client has gone, which may be why verification failed.
		return refuse("temporarily_unavailable", "the request was given up")
	}
	if errors.Is(err, ErrUnavailable) {
		r.logger.WarnContext(req.Context(), "token not verified", "error", err)
		// Not 401, at which the client would throw away a token that may be good.
		return refuse("temporarily_unavailable", "access tokens cannot be verified at the moment")
	}
	r.logger.ErrorContext(req.Context(), "token not verified", "error", err)
	return refuse("server_error", "the access token could not be verified")
}

// refusedTime is how long a client that is refused has for the rest of its body,
// which net/http reads before it writes the response.
const refusedTime = 5 * time.Second

// fail responds to a request that is not served.
func (r *Resource) fail(w http.ResponseWriter, req *http.Request, err error) {
	e := r.errorFor(req, err)
	bodylimit.Unread(w, req, refusedTime)
	h := w.Header()
	switch e.status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		h.Set("WWW-Authenticate", r.challenge(e))
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "1")
	}
	setSecureHeaders(h)
	h.Set("Content-Type", "application/json")
	w.WriteHeader(e.status)
	body := map[string]string{"error": e.code, "error_description": e.description}
	if e.code == "" {
		body["error"] = "unauthorized"
	}
	_ = json.NewEncoder(w).Encode(body) // a client that has gone needs no response
}
