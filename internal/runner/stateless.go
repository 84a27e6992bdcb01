package runner

import (
	"context"
	"encoding/json"
	"maps"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/httperror"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
)

// A Stateless is a message of a protocol without sessions: it says itself what in
// other protocols its session knows (specification 2026-07-28, "_meta").
type Stateless struct {
	// Session is what handlers are told is their session's id.
	Session string
	// CountedFor says with whose other calls a call is counted.
	CountedFor string
	Message    *jsonrpcmsg.Message
	Extra      *mcp.RequestExtra
	Server     *mcp.Server
	// Private says that the request has a user, whose results others must not get
	// out of a cache.
	Private bool

	params, meta map[string]json.RawMessage
}

// NewStateless returns a message to which the caller adds whose it is and what
// serves it. Params that cannot be decoded are like none.
func NewStateless(m *jsonrpcmsg.Message) *Stateless {
	params := maps.Collect(jsonrpcmsg.Fields(m.Params))
	return &Stateless{Message: m, params: params, meta: maps.Collect(jsonrpcmsg.Fields(params["_meta"]))}
}

// Version returns the protocol version that _meta names, empty if it names none.
func (s *Stateless) Version() string { return s.text(s.meta, mcp.MetaKeyProtocolVersion) }

// text returns a field that is a string, and otherwise nothing.
func (s *Stateless) text(fields map[string]json.RawMessage, name string) (text string) {
	if raw := fields[name]; len(raw) > 0 && raw[0] == '"' {
		_ = json.Unmarshal(raw, &text)
	}
	return text
}

// client returns what _meta says of the client.
func (r *Runner) client(s *Stateless) (*mcp.InitializeParams, error) {
	capabilities, info := s.meta[mcp.MetaKeyClientCapabilities], s.meta[mcp.MetaKeyClientInfo]
	if len(capabilities) == 0 || capabilities[0] != '{' {
		return nil, missingMeta(mcp.MetaKeyClientCapabilities)
	}
	if len(info) == 0 {
		info = json.RawMessage(`null`)
	} else if info[0] != '{' {
		return nil, invalidMeta(mcp.MetaKeyClientInfo)
	}
	// As parameters of initialize, so that both are decoded, and cached, by one.
	b := make([]byte, 0, len(capabilities)+len(info)+64)
	b = append(append(b, `{"protocolVersion":"`+VersionStateless+`","capabilities":`...), capabilities...)
	b = append(append(append(b, `,"clientInfo":`...), info...), '}')
	client, err := r.clients.decode(b)
	if err != nil {
		return nil, invalidMeta(mcp.MetaKeyClientCapabilities)
	}
	return client, nil
}

// sender returns what the _meta of a notification says of the client. It need say
// nothing.
func (r *Runner) sender(s *Stateless) *mcp.InitializeParams {
	client, err := r.client(s)
	if err != nil {
		return &mcp.InitializeParams{Capabilities: &mcp.ClientCapabilities{}}
	}
	return client
}

func missingMeta(field string) error {
	return &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: `missing or invalid _meta field "` + field + `"`}
}

func invalidMeta(field string) error {
	return &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: `invalid _meta field "` + field + `"`}
}

// Stateless has the server handle a message of a protocol without sessions, as
// [Runner.Serve] does. A notification that does not say who sends it is not handled,
// nor one that begins a session.
func (r *Runner) Stateless(ctx context.Context, s *Stateless) (*node.Conn, error) {
	if s.Message.IsNotification() && (s.Version() == "" || s.Message.Method == "notifications/initialized") {
		return nil, nil
	}
	if state, ok := s.continues(); ok {
		return r.resume(ctx, s, state)
	}
	e, err := r.prepareStateless(s)
	if err != nil {
		return nil, err
	}
	return r.Serve(ctx, e)
}

func (r *Runner) prepareStateless(s *Stateless) (Execution, error) {
	if s.Server == nil {
		return Execution{}, httperror.Refuse(400, "no server available")
	}
	sdkcompat.WithoutNullArguments(s.Message)
	e := Execution{Server: s.Server, Request: node.Request{
		Session: s.Session, CountedFor: s.CountedFor, Stateless: true,
		Message: s.Message, Extra: s.Extra, LogLevel: mcp.LoggingLevel(s.text(s.meta, mcp.MetaKeyLogLevel)),
	}}
	if s.Message.IsNotification() {
		e.state = sdkcompat.SessionState(r.sender(s), VersionStateless)
		return e, nil
	}
	client, err := r.client(s)
	if err != nil {
		return e, err
	}
	e.Request.Client = client.Capabilities
	if s.Private && isCacheable(s.Message.Method) && !sdkcompat.DecidesCaching(s.Server) {
		e.Request.Result = func(result json.RawMessage) (json.RawMessage, error) { return private(result), nil }
	}
	if sdkcompat.Decodes(s.Message.Method) {
		e.state = sdkcompat.SessionState(client, handlerVersion(s.Message.Method, client.Capabilities))
		e.Request.Asking = &node.Asking{Claim: s.claim, Encode: s.inputRequired}
	}
	return e, nil
}

// handlerVersion returns the protocol version of the session that a handler sees.
// Handlers of VersionPriming may ask their clients, and wait for the answers. The SDK
// wants contents of a resource that is read in that version, also of one that returns
// input requests; where the client answers none, there is nothing to wait for.
func handlerVersion(method string, client *mcp.ClientCapabilities) string {
	if method == "resources/read" && client.Elicitation == nil && client.Sampling == nil && client.RootsV2 == nil {
		return VersionStateless
	}
	return VersionPriming
}
