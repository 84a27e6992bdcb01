package mcp

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/httperror"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/runner"
	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// session returns the session that a request's headers name, if it is the user's
// and the request's protocol version has sessions. Sessions of the HTTP+SSE
// transport are not served at this endpoint.
func (h *Handler) session(r *http.Request) (sessionstore.Record, error) {
	return h.sessionBy(r, h.store.LoadOwned)
}

func (h *Handler) sessionBy(r *http.Request, load runner.LoadOwned) (sessionstore.Record, error) {
	if err := checkVersion(r); err != nil {
		return sessionstore.Record{}, err
	}
	id := r.Header.Get(sessionHeader)
	if id == "" {
		return sessionstore.Record{}, httperror.New(http.StatusBadRequest, jsonrpc.CodeInvalidRequest,
			"%s header is required, except to initialize", sessionHeader)
	}
	rec, err := h.owned(r, id, load)
	if err == nil && rec.HTTPSSE {
		return sessionstore.Record{}, sessionstore.ErrNotFound
	}
	return rec, err
}

// owned returns a session, if it is the user's and of the request's server.
func (h *Handler) owned(r *http.Request, id string, load runner.LoadOwned) (sessionstore.Record, error) {
	user, err := userOf(r)
	if err != nil {
		return sessionstore.Record{}, err
	}
	server, err := h.server(r)
	if err != nil {
		return sessionstore.Record{}, err
	}
	name := sdkcompat.ServerName(server)
	rec, err := load(r.Context(), id, user, name)
	if err != nil {
		h.runner.LoadFailed(r.Context(), rec, name, err)
	}
	return rec, err
}

// userOf returns the user that a request comes from, empty without authentication.
func userOf(r *http.Request) (string, error) {
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
	if sessions := runner.SessionVersions(); !slices.Contains(sessions, v) {
		return runner.UnsupportedHeader(v, sessions)
	}
	return nil
}

// checkNamed refuses a call that asks for a protocol version which its server does
// not support in the way of those without sessions: by _meta, or by a header that
// none with sessions has. From the error its client learns which there are. What the
// header and _meta of a stateless call say is compared later.
func (h *Handler) checkNamed(r *http.Request, m *jsonrpcmsg.Message) error {
	header, v := r.Header.Get(versionHeader), m.MetaVersion()
	switch {
	case !m.IsCall():
		return nil
	case v == "" && header >= runner.VersionStateless:
		v = header
	case v == "" || isStateless(r, m) || slices.Contains(mcp.SupportedProtocolVersions(), v):
		return nil
	}
	server, err := h.server(r)
	if err != nil || sdkcompat.SupportsVersion(server, v) {
		return err
	}
	return runner.Unsupported(v, sdkcompat.SupportedVersions(server))
}

// incoming returns a message with the request that brought it.
func (h *Handler) incoming(r *http.Request, rec sessionstore.Record, m *jsonrpcmsg.Message) runner.Incoming {
	return runner.Incoming{
		Record:  rec,
		Message: m,
		Extra:   &mcp.RequestExtra{TokenInfo: auth.TokenInfoFromContext(r.Context()), Header: r.Header},
		Server:  runner.Chosen(h.server(r)),
	}
}

// A choice is the server of a request, once getServer has been asked.
type choice struct {
	once   sync.Once
	server *mcp.Server
	err    error
}

// chosen is the context key of a request's choice.
type chosen struct{}

// choosing returns a request for which getServer is called at most once, however
// often [Handler.server] is.
func choosing(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), chosen{}, &choice{}))
}

// server returns the server of a request that [choosing] returned, or of a copy of
// it. It is nil if there is none. Should getServer panic, that concerns this
// request alone.
func (h *Handler) server(r *http.Request) (*mcp.Server, error) {
	c, ok := r.Context().Value(chosen{}).(*choice)
	if !ok {
		return nil, nil
	}
	c.once.Do(func() {
		defer h.runner.Faults().Recover(r.Context(), "getServer panicked", func() { c.err = errNoServer })
		if c.server = h.getServer(r); c.server != nil {
			h.returned(c.server)
		}
	})
	return c.server, c.err
}

var errNoServer = httperror.New(http.StatusInternalServerError, jsonrpc.CodeInternalError, "internal error")
