package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/bodylimit"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/sse"
)

// The protocol versions from which on something is so.
const (
	versionPriming   = "2025-11-25" // streams begin with an event to resume from
	versionStateless = "2026-07-28" // there are no sessions
)

func (h *Handler) servePost(w http.ResponseWriter, r *http.Request) {
	m, body, err := h.readMessage(w, r)
	if errors.Is(err, jsonrpcmsg.ErrBatch) {
		h.serveBatch(w, r, body)
		return
	}
	if err != nil {
		h.failMessage(w, r, m, err)
		return
	}
	untimed(w)
	if isModern(r, m) {
		h.serveModern(w, r, m, body)
		return
	}
	id := m.ID
	if !m.IsCall() {
		id = nil // what is wrong with a client's answer is not an answer to it
	}
	if v := metaVersionOf(m); v != "" && !slices.Contains(mcp.SupportedProtocolVersions(), v) {
		h.fail(w, r, id, unsupported(v, mcp.SupportedProtocolVersions()))
		return
	}
	if err := checkVersion(r); err != nil {
		h.fail(w, r, id, err)
		return
	}
	if m.IsCall() && !sse.CanFlush(w) {
		h.fail(w, r, m.ID, sse.ErrNoFlush)
		return
	}
	if m.Method == "initialize" {
		h.initialize(w, r, m)
		return
	}
	rec, err := h.session(r)
	if err != nil {
		h.fail(w, r, id, err)
		return
	}
	h.node.Use(rec.ID)
	switch {
	case m.IsCall():
		h.call(w, r, rec, m)
	case m.IsNotification():
		h.accepted(w, r, h.notification(r, rec, m))
	default:
		h.accepted(w, r, h.node.ForwardResponse(r.Context(), rec.ID, m))
	}
}

// readMessage reads the one message of a POST, and returns its body as well.
func (h *Handler) readMessage(w http.ResponseWriter, r *http.Request) (*jsonrpcmsg.Message, []byte, error) {
	if err := checkContentType(r); err != nil {
		return nil, nil, err
	}
	if !accepts(r, "application/json") || !accepts(r, "text/event-stream") {
		return nil, nil, refuse(http.StatusNotAcceptable, "Accept must contain application/json and text/event-stream")
	}
	body, err := h.readBody(w, r)
	if err != nil {
		return nil, nil, err
	}
	m, err := jsonrpcmsg.Decode(body)
	return m, body, err
}

func checkContentType(r *http.Request) error {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return refuse(http.StatusUnsupportedMediaType, "Content-Type must be application/json")
	}
	return nil
}

// bodyTime is how long a client may take to send a message.
const bodyTime = 30 * time.Second

func (h *Handler) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	data, err := io.ReadAll(http.MaxBytesReader(w, bodylimit.Within(w, r, bodyTime).Body, h.opts.MaxBody))
	if large := new(http.MaxBytesError); err != nil && !errors.As(err, &large) {
		return nil, refuse(http.StatusBadRequest, "request body could not be read")
	}
	return data, err
}

// accepts reports whether the client takes a media type.
func accepts(r *http.Request, media string) bool {
	major, _, _ := strings.Cut(media, "/")
	for _, value := range r.Header.Values("Accept") {
		for item := range strings.SplitSeq(value, ",") {
			item, _, _ = strings.Cut(item, ";")
			switch strings.ToLower(strings.TrimSpace(item)) {
			case media, major + "/*", "*/*":
				return true
			}
		}
	}
	return false
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

// unsupported is the error for a call that names its protocol version as those
// of the era without sessions do. From it a client learns what to ask for.
func unsupported(requested string, supported []string) error {
	data, err := json.Marshal(mcp.UnsupportedProtocolVersionData{Supported: supported, Requested: requested})
	if err != nil {
		return err
	}
	return &jsonrpc.Error{Code: mcp.CodeUnsupportedProtocolVersion, Message: "unsupported protocol version", Data: data}
}

// session returns the session of a request, if it is the user's. One of the
// HTTP+SSE transport is not to be had here.
func (h *Handler) session(r *http.Request) (sessionstore.Record, error) {
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

// owned returns a session, if it is the user's. Nothing is refused on what a
// cache says: before it is, the record is read again.
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
		// A foreign session is answered like an unknown one, to the letter.
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

// accepted answers a notification or a response.
func (h *Handler) accepted(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		h.fail(w, r, nil, err)
		return
	}
	h.timed(w)
	w.WriteHeader(http.StatusAccepted)
}

// call runs a request and answers it.
func (h *Handler) call(w http.ResponseWriter, r *http.Request, rec sessionstore.Record, m *jsonrpcmsg.Message) {
	if h.draining.Load() {
		h.fail(w, r, m.ID, node.ErrClosed)
		return
	}
	req := h.request(r, rec, m)
	req.OnResult = h.onResult(rec, m)
	state, err := h.state(rec)
	if err != nil {
		h.fail(w, r, m.ID, err)
		return
	}
	conn, err := h.run(r, req, state)
	if err != nil {
		h.fail(w, r, m.ID, err)
		return
	}
	h.reply(w, r, conn, m.ID, rec.ProtocolVersion)
}

func (h *Handler) request(r *http.Request, rec sessionstore.Record, m *jsonrpcmsg.Message) node.Request {
	if m.Method == methodListen {
		// The SDK would listen in any era, and never answer. It has no such method.
		unknown := *m
		unknown.Method += " before " + versionStateless
		m = &unknown
	}
	return node.Request{
		Session:   rec.ID,
		Message:   m,
		Extra:     &mcp.RequestExtra{TokenInfo: auth.TokenInfoFromContext(r.Context()), Header: r.Header},
		Resumable: rec.ProtocolVersion >= versionPriming && !rec.Legacy,
	}
}

// run has the request's server handle it on a connection of its own.
func (h *Handler) run(r *http.Request, req node.Request, state *mcp.ServerSessionState) (*node.Conn, error) {
	server, err := h.server(r)
	if err != nil {
		return nil, err
	}
	return h.runOn(server, r, req, state)
}

func (h *Handler) server(r *http.Request) (*mcp.Server, error) {
	server := h.getServer(r)
	if server == nil {
		return nil, refuse(http.StatusBadRequest, "no server available")
	}
	return server, nil
}

func (h *Handler) runOn(server *mcp.Server, r *http.Request, req node.Request, state *mcp.ServerSessionState) (*node.Conn, error) {
	conn, err := h.accept(req, state)
	if err != nil {
		return nil, err
	}
	return conn, h.connect(server, r, conn, state)
}

// accept registers a request as running here; what it returns must be connected
// or closed.
func (h *Handler) accept(req node.Request, state *mcp.ServerSessionState) (*node.Conn, error) {
	sdkcompat.WithoutNullArguments(req.Message)
	if state != nil {
		req.Client = state.InitializeParams.Capabilities
	}
	return h.node.Accept(req)
}

func (h *Handler) connect(server *mcp.Server, r *http.Request, conn *node.Conn, state *mcp.ServerSessionState) error {
	ss, err := server.Connect(conn.Context(r.Context()), conn, &mcp.ServerSessionOptions{State: state})
	if err != nil {
		_ = conn.Close()
		return err
	}
	if keepsAlive(server) {
		go closeAfter(conn, ss)
	}
	return nil
}

// reply answers a call: with one JSON body if the handler has nothing else to
// say, or with a stream.
func (h *Handler) reply(w http.ResponseWriter, r *http.Request, conn *node.Conn, id json.RawMessage, version string) {
	ctx := r.Context()
	patience := time.NewTimer(h.opts.StreamAfter)
	defer patience.Stop()
	for {
		select {
		case a := <-conn.Response():
			h.answer(w, r, id, a)
			return
		case reader := <-conn.Stream():
			if h.serveStream(w, r, reader, version, false) != nil {
				conn.Leave(ctx)
			}
			return
		case <-patience.C:
			if err := conn.OpenStream(ctx); err != nil {
				h.logger.WarnContext(ctx, "stream not opened", "error", err)
			}
			patience.Reset(h.opts.StreamAfter)
		case <-ctx.Done():
			conn.Leave(ctx)
			h.fail(w, r, id, errGivenUp)
			return
		}
	}
}

func (h *Handler) answer(w http.ResponseWriter, r *http.Request, id json.RawMessage, a node.Response) {
	if a.Err != nil {
		h.fail(w, r, id, a.Err)
		return
	}
	h.timed(w)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(a.Body) // a client that has gone has lost its answer: it had no event id
}

// storeLevel keeps the level of logging/setLevel with the session.
func (h *Handler) storeLevel(ctx context.Context, id string, params json.RawMessage) error {
	var p mcp.SetLoggingLevelParams
	if err := json.Unmarshal(params, &p); err != nil || !node.ValidLogLevel(p.Level) {
		return &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "unknown log level"}
	}
	return h.store.SetLogLevel(ctx, id, p.Level)
}
