package mcp

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// session returns the session that a request's headers name, if it is the user's
// and the request's protocol version has sessions. Sessions of the HTTP+SSE
// transport are not served at this endpoint.
func (h *Handler) session(r *http.Request) (sessionstore.Record, error) {
	if err := checkVersion(r); err != nil {
		return sessionstore.Record{}, err
	}
	id := r.Header.Get(sessionHeader)
	if id == "" {
		return sessionstore.Record{}, refuseCode(http.StatusBadRequest, jsonrpc.CodeInvalidRequest,
			"%s header is required, except to initialize", sessionHeader)
	}
	rec, err := h.owned(r, id)
	if err == nil && rec.Legacy {
		return sessionstore.Record{}, sessionstore.ErrNotFound
	}
	return rec, err
}

// owned returns a session, if it is the user's. A cached record is never a reason
// to refuse a request: the record is read again first.
func (h *Handler) owned(r *http.Request, id string) (sessionstore.Record, error) {
	user, err := h.principal(r)
	if err != nil {
		return sessionstore.Record{}, err
	}
	if !sessionstore.ValidID(id) {
		return sessionstore.Record{}, sessionstore.ErrNotFound
	}
	rec, err := h.store.Load(r.Context(), id)
	if err == nil && rec.Owner != user {
		rec, err = h.store.LoadFresh(r.Context(), id)
	}
	if err != nil {
		return sessionstore.Record{}, err
	}
	if rec.Owner != user {
		// The response is, to the letter, the one for an unknown session.
		return sessionstore.Record{}, sessionstore.ErrNotFound
	}
	return rec, nil
}

// principal returns whom a request comes from, empty without authentication.
func (h *Handler) principal(r *http.Request) (string, error) {
	token := auth.TokenInfoFromContext(r.Context())
	switch {
	case token == nil:
		return "", nil
	case token.UserID == "":
		// Taking it for anonymous would give all such users one identity.
		return "", errors.New("TokenInfo has no UserID: the token verifier must set it")
	default:
		return token.UserID, nil
	}
}

// checkVersion checks the version header, which may be absent. A version that
// is supported but not the session's is not an error: the session's counts.
func checkVersion(r *http.Request) error {
	v := r.Header.Get(versionHeader)
	if v == "" {
		return nil
	}
	sessions := sessionVersions()
	if !slices.Contains(sessions, v) {
		return refuse(http.StatusBadRequest, "unsupported protocol version %q (supported: %s)", v, strings.Join(sessions, ", "))
	}
	return nil
}

// sessionVersions returns the protocol versions that have sessions.
func sessionVersions() []string {
	return slices.DeleteFunc(mcp.SupportedProtocolVersions(), func(v string) bool { return v >= versionStateless })
}
