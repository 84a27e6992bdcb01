package mcp

import (
	"net/http"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/httperror"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/runner"
	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/sse"
)

// serveStateless serves a message of a protocol without sessions.
func (h *Handler) serveStateless(w http.ResponseWriter, r *http.Request, m *jsonrpcmsg.Message) {
	s, err := h.statelessMessage(w, r, m)
	if err != nil {
		h.fail(w, r, m.ID, err)
		return
	}
	if m.Method == methodListen && m.IsCall() {
		h.serveListen(w, r, s)
		return
	}
	conn, err := h.runner.Stateless(r.Context(), s)
	switch {
	case err != nil:
		h.fail(w, r, m.ID, err)
	case m.IsNotification():
		h.accepted(w, r, nil)
	default:
		h.respondStateless(w, r, conn, m)
	}
}

// statelessMessage returns a message with what its request says of it, if it can be
// served.
func (h *Handler) statelessMessage(w http.ResponseWriter, r *http.Request, m *jsonrpcmsg.Message) (*runner.Stateless, error) {
	switch {
	case h.draining.Load():
		return nil, node.ErrClosed
	case m.IsResponse():
		return nil, httperror.New(http.StatusBadRequest, jsonrpc.CodeInvalidRequest, "in this protocol version clients send no responses")
	case m.IsCall() && !sse.CanFlush(w):
		return nil, sse.ErrNoFlush
	case r.Header.Get(resumeHeader) != "": // what it asks for, it would miss unnoticed
		return nil, httperror.Refuse(http.StatusBadRequest, "%s: in this protocol version no stream can be resumed", resumeHeader)
	}
	user, err := userOf(r)
	if err != nil {
		return nil, err
	}
	s := runner.NewStateless(m)
	s.Extra = &mcp.RequestExtra{TokenInfo: auth.TokenInfoFromContext(r.Context()), Header: r.Header}
	if s.Server, err = h.server(r); err != nil {
		return nil, err
	}
	s.Private = s.Extra.TokenInfo != nil
	if err := s.CheckHeaders(); err != nil {
		return nil, err
	}
	if s.Private {
		s.CountedFor = "user " + user
		s.Session, err = h.store.UserID(r.Context(), sdkcompat.ServerName(s.Server), user)
	} else { // those of one connection to us count as one user's
		s.CountedFor = "connection " + r.RemoteAddr
		s.Session = sessionstore.NewRequestID()
	}
	return s, err
}

// respondStateless sends the response to a call: as one JSON body if the handler
// sends nothing else, or on a stream that is nobody else's. A client that names
// streams first gets one in any case.
func (h *Handler) respondStateless(w http.ResponseWriter, r *http.Request, conn *node.Conn, m *jsonrpcmsg.Message) {
	res, stream, err := conn.Wait(r.Context(), h.opts.StreamAfter)
	switch {
	case err != nil:
		h.fail(w, r, m.ID, httperror.ErrGivenUp)
	case stream == nil && res.Err != nil:
		h.fail(w, r, m.ID, res.Err)
	case stream == nil && res.Code == 0 && prefersStream(r):
		events := sse.NewWriter(w, h.opts.pace())
		if events.Start() == nil {
			_ = events.Write(sse.Event{Data: res.Body}) // a client that has gone needs no response
		}
	case stream == nil:
		h.writeJSONStatus(w, statusOf(res.Code), res.Body)
	default:
		defer stream.Release(r.Context())
		events := sse.NewWriter(w, h.opts.pace())
		if events.Start() != nil {
			return
		}
		_ = stream.Serve(r.Context(), events, node.ServeOptions{KeepAlive: h.opts.KeepAlive}) // a client that has gone has cancelled the call
	}
}

// prefersStream reports whether a request's Accept names streams before JSON.
func prefersStream(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	stream := strings.Index(accept, "text/event-stream")
	return stream >= 0 && stream < strings.Index(accept, "application/json")
}

// statusOf returns the HTTP status of an error with a JSON-RPC code, or of none
// (specification 2026-07-28, "Streamable HTTP").
func statusOf(code int64) int {
	switch code {
	case jsonrpc.CodeMethodNotFound:
		return http.StatusNotFound
	case jsonrpc.CodeInvalidParams, jsonrpc.CodeInvalidRequest, mcp.CodeHeaderMismatch, mcp.CodeUnsupportedProtocolVersion, mcp.CodeMissingRequiredClientCapabilities:
		return http.StatusBadRequest
	default:
		return http.StatusOK
	}
}
